//! The verbs of a control plane, against a real API server with a real operator: apply, get, describe, wait, delete.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use propeller_tests::{PATIENCE, World, world::Shell};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{Ended, Person};
use crate::operator::call;

on_both_shells!(a_task_is_applied_shown_waited_for_and_deleted,);

/// A person who works in the world's namespace.
pub(super) struct Clerk<'a> {
    pub(super) person: Person,
    pub(super) world: &'a World,
}

impl<'a> Clerk<'a> {
    pub(super) async fn new(world: &'a World) -> Result<Self> {
        let person = Person::new().await?;
        Ok(Self { person, world })
    }

    /// The line, with what says where the control plane is.
    pub(super) fn line<'b>(&'b self, line: &[&'b str]) -> Vec<&'b str> {
        let words = if line.first() == Some(&"proplet") { 2 } else { 1 };
        let verb = line.len().min(words);
        let place: &[&str] = match self.world.shell {
            Shell::Kubernetes(_) => &["--kube"],
            Shell::Standalone(_) => &[],
        };
        [&line[..verb], place, &["-n", &self.world.namespace], &line[verb..]].concat()
    }

    pub(super) fn command(&self, line: &[&str]) -> Command {
        let mut command = self.person.command(&self.line(line));
        match &self.world.shell {
            Shell::Kubernetes(cluster) => command.env("KUBECONFIG", cluster.kubeconfig()),
            Shell::Standalone(up) => command
                .env("PROPELLER_SERVER", up.url())
                .env("PROPELLER_TOKEN", up.token().unwrap_or_default()),
        };
        command
    }

    /// Runs a verb to its end.
    pub(super) async fn types(&self, line: &[&str]) -> Result<Ended> {
        let output = timeout(PATIENCE, self.command(line).output()).await;
        Ok(Ended::new(
            line,
            output.with_context(|| format!("{line:?} doesn't end"))??,
        ))
    }

    /// The lines that a verb prints which doesn't end by itself.
    pub(super) fn watches(&self, line: &[&str]) -> Result<Watching> {
        let mut child = self.command(line).stderr(Stdio::inherit()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Watching { child, lines })
    }
}

/// It ends with this.
pub(super) struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    /// The first line, of those to come, with all these words in it.
    pub(super) async fn until(&mut self, words: &[&str]) -> Result<String> {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await? {
                if words
                    .iter()
                    .all(|word| line.split_whitespace().any(|cell| cell == *word))
                {
                    return Ok(line);
                }
            }
            anyhow::bail!("the output ended")
        });
        found.await.with_context(|| format!("no line with {words:?}"))?
    }

    /// How it ends by itself, whatever it prints until then.
    pub(super) async fn end(mut self) -> Result<ExitStatus> {
        while self.lines.next_line().await?.is_some() {}
        Ok(self.child.wait().await?)
    }
}

pub(super) fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "propeller.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

async fn a_task_is_applied_shown_waited_for_and_deleted(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let _control = world.start_control().await?;
    let image = world.push("addition").await?;
    let proplet = manifest("Proplet", "edge-1", json!({"connectionConfig": {"clientId": "edge-1"}}));
    let task = manifest("Task", "addition", call(&image, "add", json!([20, 22])));
    clerk
        .person
        .file("fleet/all.yaml", format!("{proplet}\n---\n{task}\n"))?;
    clerk.person.file("fleet/notes.txt", "not for apply")?;

    let dry = clerk.types(&["apply", "-f", "fleet", "--dry-run"]).await?;
    assert_eq!(
        dry.printed()?,
        "proplet/edge-1 created (dry run)\ntask/addition created (dry run)"
    );
    let nothing = clerk.types(&["get", "tasks"]).await?;
    assert_eq!(
        (
            nothing.printed()?,
            nothing.stderr.contains("there are no tasks in namespace")
        ),
        ("", true)
    );

    let mut watch = clerk.watches(&["get", "tasks", "--watch"])?;
    let applied = clerk.types(&["apply", "-f", "fleet"]).await?;
    assert_eq!(applied.printed()?, "proplet/edge-1 created\ntask/addition created");
    watch.until(&["NAME", "PHASE", "AGE"]).await?;
    watch.until(&["addition", "Pending", "Unschedulable"]).await?;

    let waited = clerk
        .types(&[
            "wait",
            "task/addition",
            "--for=condition=Finished",
            "--timeout",
            "500ms",
        ])
        .await?;
    assert!(
        waited
            .failed(7)?
            .contains("Unschedulable: 0 of 1 proplets fit: 1 offline"),
        "{}",
        waited.stderr
    );

    let _proplet = world
        .proplet("edge-1")
        .await?
        .start(propeller_tests::world::PROPLET_READY)
        .await?;
    let waited = clerk
        .types(&[
            "wait",
            "task",
            "addition",
            "--for=condition=Finished",
            "--timeout",
            "1m",
        ])
        .await?;
    assert_eq!(waited.printed()?, "task/addition condition met");
    watch.until(&["addition", "Completed", "edge-1", "42"]).await?;
    shown(&clerk).await?;

    // What is applied again is as it was, also after others edited what isn't in the file.
    let again = clerk.types(&["apply", "-f", "fleet"]).await?;
    assert_eq!(again.printed()?, "proplet/edge-1 unchanged\ntask/addition unchanged");
    let mut labelled = proplet.clone();
    labelled["metadata"]["labels"] = json!({"site": "lab"});
    clerk.person.file("fleet/all.yaml", labelled.to_string())?;
    clerk.types(&["cordon", "edge-1"]).await?.printed()?;
    assert_eq!(
        clerk.types(&["apply", "-f", "fleet"]).await?.printed()?,
        "proplet/edge-1 configured"
    );
    let edge = clerk.types(&["get", "p/edge-1", "-o", "json"]).await?.json()?;
    assert_eq!(
        (&edge["metadata"]["labels"], &edge["spec"]["unschedulable"]),
        (&json!({"site": "lab"}), &json!(true))
    );
    clerk.person.file("fleet/all.yaml", proplet.to_string())?;
    assert_eq!(
        clerk.types(&["apply", "-f", "fleet"]).await?.printed()?,
        "proplet/edge-1 configured"
    );
    let selected = clerk
        .types(&["get", "proplets", "-l", "site=lab", "-o", "name"])
        .await?;
    assert_eq!(selected.printed()?, "", "the label went with the line in the file");

    // What has ended otherwise is told at once.
    let waited = clerk
        .types(&["wait", "task/addition", "--for=phase=Failed", "--timeout", "1h"])
        .await?;
    assert!(
        waited.failed(8)?.contains("can't come any more: Completed"),
        "{}",
        waited.stderr
    );
    let deleted = clerk.types(&["delete", "task", "addition"]).await?;
    assert_eq!(deleted.printed()?, "task/addition deleted");
    clerk
        .types(&["wait", "task/addition", "--for=delete"])
        .await?
        .printed()?;
    let missing = clerk.types(&["get", "task", "addition", "--output", "json"]).await?;
    assert_eq!(missing.error(6)?["reason"], "NotFound");
    clerk.types(&["delete", "-f", "fleet"]).await?.printed()?;
    let none = clerk.types(&["delete", "-f", "fleet"]).await?;
    none.failed(6)?;
    assert_eq!(
        clerk
            .types(&["delete", "-f", "fleet", "--ignore-not-found"])
            .await?
            .printed()?,
        ""
    );
    Ok(())
}

/// Each way to look at the task that has ended.
async fn shown(clerk: &Clerk<'_>) -> Result<()> {
    let table = clerk.types(&["get", "t"]).await?;
    let cells: Vec<_> = table
        .printed()?
        .lines()
        .nth(1)
        .context("a row")?
        .split_whitespace()
        .take(5)
        .map(str::to_owned)
        .collect();
    assert_eq!(cells, ["addition", "Completed", "Completed", "edge-1", "42"]);
    let wide = clerk
        .types(&["get", "t", "addition", "-o", "wide", "--no-headers"])
        .await?;
    ensure!(
        wide.printed()?.lines().count() == 1 && wide.printed()?.contains("/tests/addition:1"),
        "{}",
        wide.printed()?
    );
    assert_eq!(
        clerk.types(&["get", "tasks", "-o", "name"]).await?.printed()?,
        "task/addition"
    );

    // What it prints is what the API says, to the letter.
    let theirs = clerk.world.client().await?;
    let path = format!(
        "/apis/propeller.dev/v1alpha1/namespaces/{}/tasks",
        clerk.world.namespace
    );
    let asked = async |path: String| -> Result<Value> {
        let request = http::Request::get(path).body(vec![])?;
        Ok(serde_json::from_str(&theirs.request_text(request).await?)?)
    };
    let one = clerk.types(&["get", "task", "addition", "-o", "json"]).await?.json()?;
    assert_eq!(one, asked(format!("{path}/addition")).await?);
    let mut list = clerk.types(&["get", "tasks", "--output", "json"]).await?.json()?;
    let mut theirs = asked(path).await?;
    // The cluster's version moves on for reasons of others.
    for list in [&mut list, &mut theirs] {
        list["metadata"]["resourceVersion"] = json!("");
    }
    assert_eq!(list, theirs);
    let yaml = clerk.types(&["get", "task", "addition", "-o", "yaml"]).await?;
    assert_eq!(serde_saphyr::from_str::<Value>(yaml.printed()?)?, one);

    let described = clerk.types(&["describe", "task", "addition"]).await?;
    let text = described.printed()?;
    for words in [
        "Phase:        Completed",
        "Results:      42",
        "Conditions:",
        "Finished",
        "Used:",
        "function: add",
    ] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    let described = clerk.types(&["describe", "proplet/edge-1"]).await?;
    for words in [
        "Client id:    edge-1",
        "Cordoned:     no",
        "Tasks:        none",
        "Heartbeats",
    ] {
        ensure!(
            described.printed()?.contains(words),
            "{words}: {}",
            described.printed()?
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_of_files_with_a_mistake() -> Result<()> {
    let world = World::kubernetes().await?;
    let clerk = Clerk::new(&world).await?;
    let good = manifest("Task", "good", call("r.example/a:1", "f", json!([])));
    let mut bad = good.clone();
    bad["metadata"]["name"] = json!("bad");
    bad["spec"]["call"]["function"] = json!("");
    clerk.person.file("tasks.yaml", format!("{good}\n---\n{bad}\n"))?;
    let refused = clerk.types(&["apply", "-f", "tasks.yaml"]).await?;
    assert_eq!(
        refused.failed(2)?,
        "error: tasks.yaml, document 2 (Task bad): spec.call.function: has 0 characters, should have from 1 to 512\n"
    );
    let refused = clerk.types(&["apply", "-f", "tasks.yaml", "-o", "json"]).await?;
    assert_eq!(refused.error(2)?["reason"], "InvalidSpec");
    assert_eq!(clerk.types(&["get", "tasks", "-o", "name"]).await?.printed()?, "");

    let mut elsewhere = good.clone();
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    clerk.person.file("elsewhere.yaml", elsewhere.to_string())?;
    let refused = clerk.types(&["apply", "-f", "elsewhere.yaml"]).await?;
    assert!(refused.failed(2)?.contains("metadata.namespace"), "{}", refused.stderr);

    // What only the API server knows is refused in its words.
    clerk.person.file("good.yaml", good.to_string())?;
    assert_eq!(
        clerk.types(&["apply", "-f", "good.yaml"]).await?.printed()?,
        "task/good created"
    );
    let mut cancelled = good.clone();
    cancelled["spec"]["cancel"] = json!(true);
    clerk.person.file("cancelled.yaml", cancelled.to_string())?;
    assert_eq!(
        clerk.types(&["apply", "-f", "cancelled.yaml"]).await?.printed()?,
        "task/good configured"
    );
    let refused = clerk.types(&["apply", "-f", "good.yaml"]).await?;
    assert!(
        refused.failed(6)?.contains("what is cancelled stays cancelled"),
        "{}",
        refused.stderr
    );
    Ok(())
}
