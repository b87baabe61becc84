//! In one process: `propeller up`, and three commands.

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use propeller_tests::{Service, Standalone, cargo};
use tokio::{io::AsyncWriteExt, process::Command, signal};

use crate::{REGISTRY, REPOSITORY, Story};

/// What it says when the local proplet is there.
const READY: &str = "made a Proplet for a proplet";

pub async fn demo(story: &Story) -> Result<()> {
    let component = crate::build(story).await?;

    story.step("Start everything: control plane, broker, registry, a proplet");
    story.run(&["propeller", "up", "--label", "site=lab"]);
    let begin = Instant::now();
    let up = Standalone::new()?;
    let mut running = up.whole().await?.args(["--label", "site=lab"]).start(READY).await?;
    story.tell(&format!("all of it works after {:.1?}", begin.elapsed()));
    let person = Person { up: &up, story };

    story.step("Publish the component");
    let reference = format!("{}/{REPOSITORY}", up.registry());
    person.types(&["push", path(&component)?, &reference], "").await?;

    story.step("Apply the Task, and wait for its end");
    let task = cargo::root().join("examples/addition/task.yaml");
    let task = std::fs::read_to_string(task)?.replace(REGISTRY, &up.registry());
    let begin = Instant::now();
    person.types(&["apply", "--filename", "-"], &task).await?;
    person
        .types(&["wait", "task/addition", "--for=condition=Finished"], "")
        .await?;
    story.tell(&format!("it took {:.1?}", begin.elapsed()));
    person.types(&["get", "task", "addition"], "").await?;
    let shown = person
        .output(&["get", "task", "addition", "--output", "json"], "")
        .await?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let results = &shown["status"]["results"];
    println!("\nresults: {results}");
    ensure!(*results == 42, "20 + 22 should be 42");

    look(story, &up).await?;
    stop(story, &mut running).await
}

/// Whoever sits before a terminal may look around.
async fn look(story: &Story, up: &Standalone) -> Result<()> {
    story.step("Look at it");
    if !io::stdout().is_terminal() {
        story.tell(&format!("the web page was at {}", up.url()));
        return Ok(());
    }
    story.tell(&format!("the web page: {}/#token={}", up.url(), up.token()?));
    story.tell("Ctrl-C ends the demo");
    Ok(signal::ctrl_c().await?)
}

async fn stop(story: &Story, running: &mut Service) -> Result<()> {
    story.step("Stop everything");
    ensure!(running.stop().await?.success(), "propeller up failed");
    story.tell("propeller up has ended");
    Ok(())
}

/// Who types the commands.
struct Person<'a> {
    up: &'a Standalone,
    story: &'a Story,
}

impl Person<'_> {
    async fn types(&self, args: &[&str], input: &str) -> Result<()> {
        self.story.run(&[&["propeller"], args].concat());
        self.story.tell(self.output(args, input).await?.trim_end());
        Ok(())
    }

    async fn output(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(cargo::binary("propeller").await?);
        command
            .args(args)
            .env("PROPELLER_SERVER", self.up.url())
            .env("PROPELLER_TOKEN", self.up.token()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "propeller {} failed", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that isn't Unicode")
}
