//! `propeller up` as a whole: with every part in its one process, killed and started again, and on a state that isn't right.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use kube::{Api, api::PostParams};
use propeller_api::{Phase, TaskStatus, is_true, types};
use propeller_tests::{
    Mosquitto, PATIENCE, Program, Service, Spy, Standalone, cargo, mosquitto::Access, wait_for, world::PROPLET_READY,
};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::cli::Person;

/// The local proplet is connected last.
const READY: &str = "made a Proplet for a proplet";
const READY_AGAIN: &str = "proplet starts";

/// Somebody at home, with everything in one process.
pub(crate) struct Home {
    pub(crate) up: Standalone,
    running: Service,
    person: Person,
}

impl Home {
    pub(crate) async fn new() -> Result<Self> {
        let up = Standalone::new()?;
        let running = up.whole().await?.start(READY).await?;
        Ok(Self {
            up,
            running,
            person: Person::new().await?,
        })
    }

    /// Killed, and started on what that left.
    async fn again(&mut self) -> Result<()> {
        self.running.kill()?;
        self.running = self.up.whole().await?.start(READY_AGAIN).await?;
        Ok(())
    }

    /// The output of a command that finds its control plane by the environment.
    pub(crate) async fn types(&self, line: &[&str]) -> Result<String> {
        let mut command = self.person.command(line);
        command
            .env("PROPELLER_SERVER", self.up.url())
            .env("PROPELLER_TOKEN", self.up.token()?);
        let output = timeout(PATIENCE, command.output()).await??;
        let (printed, told) = (
            String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        ensure!(output.status.success(), "{line:?}: {told}");
        Ok(printed)
    }

    pub(crate) async fn push(&self, guest: &str) -> Result<String> {
        let file = cargo::guest(guest).await?;
        let reference = format!("{}/tests/{guest}:1", self.up.registry());
        self.types(&["push", file.to_str().context("a path")?, &reference])
            .await?;
        Ok(reference)
    }

    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let task = json!({
            "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": name}, "spec": spec,
        });
        let tasks: Api<propeller_crd::Task> = Api::namespaced(self.up.client()?, "default");
        tasks
            .create(&PostParams::default(), &serde_json::from_value(task)?)
            .await?;
        Ok(())
    }

    pub(crate) async fn finished(&self, name: &str) -> Result<TaskStatus> {
        let tasks: Api<propeller_crd::Task> = Api::namespaced(self.up.client()?, "default");
        wait_for(&format!("{name} to end"), PATIENCE, async || {
            let status = tasks.get(name).await?.status.context("no status")?;
            ensure!(is_true(&status.conditions, types::FINISHED), "{status:#?}");
            Ok(status)
        })
        .await
    }
}

#[tokio::test]
async fn two_commands_lead_to_the_result() -> Result<()> {
    let home = Home::new().await?;
    let image = home.push("addition").await?;
    let task = json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "addition"},
        "spec": {"image": image, "call": {"function": "add", "args": [20, 22]}},
    });
    home.person.file("task.json", task.to_string())?;
    assert_eq!(
        home.types(&["apply", "-f", "task.json"]).await?,
        "task/addition created"
    );
    home.types(&["wait", "task/addition", "--for=condition=Finished"])
        .await?;
    let shown = home.types(&["get", "task", "addition", "-o", "json"]).await?;
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!(
        (&shown["status"]["results"], &shown["status"]["proplet"]),
        (&json!(42), &json!("local"))
    );
    assert_eq!(home.types(&["run", "--on", "local", &image, "add(1, 2)"]).await?, "3");
    let prints = home.push("print-lines").await?;
    let printed = home.types(&["run", "--on", "local", &prints]).await?;
    assert_eq!(printed, "out 1\nout 2\n\u{fffd} is no character\nno end");
    let described = home.types(&["describe", "task", "addition"]).await?;
    ensure!(
        described.contains("Events:") && described.contains("Dispatched"),
        "{described}"
    );
    let inspected = home.types(&["inspect", &image, "-o", "json"]).await?;
    let ours: Value = serde_json::from_str(&inspected)?;
    let path = format!("/apis/propeller.dev/v1alpha1/components?image={image}");
    let theirs: Value = home
        .up
        .client()?
        .request(http::Request::get(path).body(vec![])?)
        .await?;
    assert_eq!(theirs, ours);
    Ok(())
}

#[tokio::test]
async fn a_tasks_lines_are_there_after_its_end() -> Result<()> {
    let mut home = Home::new().await?;
    let image = home.push("print-lines").await?;
    home.create("print", json!({"image": image, "command": {}})).await?;
    let lines = "out 1\nout 2\n\u{fffd} is no character\nno end";
    assert_eq!(home.types(&["logs", "print", "--follow"]).await?, lines);
    home.finished("print").await?;
    home.again().await?;
    assert_eq!(home.types(&["logs", "task/print"]).await?, lines);
    let all = home.types(&["logs", "print", "-o", "json"]).await?;
    let all: Vec<Value> = all.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let errors = all.iter().filter(|entry| entry["stream"] == "stderr");
    let errors: Vec<_> = errors.filter_map(|entry| entry["line"].as_str()).collect();
    assert_eq!(errors, ["error 1", "error with two parts"]);
    let last = home.types(&["logs", "print", "--tail", "1", "-o", "json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&last)?, all[all.len() - 1]);
    Ok(())
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on() -> Result<()> {
    let mut home = Home::new().await?;
    let image = home.push("sleep").await?;
    for round in 0..4 {
        for number in 0..5 {
            let name = format!("sleep-{round}-{number}");
            let spec = json!({"image": image, "call": {"function": "sleep", "args": [20 * number]}, "backoffLimit": 3});
            home.create(&name, spec).await?;
        }
        home.again().await?;
    }
    for round in 0..4 {
        for number in 0..5 {
            let status = home.finished(&format!("sleep-{round}-{number}")).await?;
            assert_eq!(status.phase, Phase::Completed, "{status:#?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn it_answers_at_once_and_stops_in_order() -> Result<()> {
    let mut home = Home::new().await?;
    ensure!(home.running.stop().await?.success(), "it failed");
    let begin = Instant::now();
    home.running = home.up.whole().await?.start("API").await?;
    println!("it answers after {:?}", begin.elapsed());
    let file = home.running.folder().join(".local/state/propeller/server.json");
    let written: Value = serde_json::from_slice(&fs::read(&file)?)?;
    assert_eq!(
        (written["server"].as_str(), written["token"].as_str()),
        (Some(&*home.up.url()), Some(&*home.up.token()?))
    );
    ensure!(home.running.stop().await?.success(), "it failed");
    ensure!(!file.exists(), "it leads nowhere");
    Ok(())
}

/// Runs `propeller up` on that state to its end, which is a failure, with free ports but for that one. Returns what it says last.
async fn fails(up: &Standalone, part: &str, port: &str) -> Result<Value> {
    let mut command = Command::new(cargo::binary("propeller").await?);
    command
        .args(["up", "--output", "json", "--no-proplet", "--state-dir"])
        .arg(up.state());
    for flag in ["--listen", "--mqtt-listen", "--registry-listen"] {
        let port = if flag == part { port } else { "0" };
        command.args([flag, &format!("127.0.0.1:{port}")]);
    }
    command.env_clear().env("HOME", up.state()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await??;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr)?;
    let last = told.lines().last().context("nothing is said")?;
    Ok(serde_json::from_str::<Value>(last)?["error"].clone())
}

#[tokio::test]
async fn a_state_that_is_not_right_says_so() -> Result<()> {
    let mut home = Home::new().await?;
    let error = fails(&home.up, "", "").await?;
    assert_eq!(error["reason"], "StateInUse");
    ensure!(
        error["message"]
            .as_str()
            .is_some_and(|words| words.contains(&home.up.url())),
        "{error}"
    );

    home.create(
        "a",
        json!({"image": "localhost:1/a:1", "call": {"function": "f"}, "suspend": true}),
    )
    .await?;
    home.running.stop().await?;
    let path = home.up.state().join("state.db");
    let whole = fs::read(&path)?;
    fs::write(&path, "not a state")?;
    let error = fails(&home.up, "", "").await?;
    assert_eq!(error["reason"], "StateDamaged");
    ensure!(
        error["message"]
            .as_str()
            .is_some_and(|words| words.contains("--repair")),
        "{error}"
    );
    // One that isn't there any more is no reason to begin with nothing as if it never had been.
    fs::write(&path, "")?;
    assert_eq!(fails(&home.up, "", "").await?["reason"], "StateDamaged");
    fs::remove_file(&path)?;
    assert_eq!(fails(&home.up, "", "").await?["reason"], "StateDamaged");
    // A state that is whole is left as it is.
    fs::write(&path, whole)?;
    let devices = home.up.state().join("devices.json");
    for damaged in ["{\"a\"", "{\"a\": \"no hash\"}"] {
        fs::write(&devices, damaged)?;
        let error = fails(&home.up, "", "").await?;
        assert_eq!(error["reason"], "StateDamaged");
        ensure!(
            error["message"]
                .as_str()
                .is_some_and(|words| words.contains("devices.json") && words.contains("--replace")),
            "{error}"
        );
    }
    fs::remove_file(&devices)?;
    let _repaired = home.up.whole().await?.arg("--repair").start(READY_AGAIN).await?;
    home.types(&["get", "task", "a"]).await?;
    Ok(())
}

/// What a device needs, as it was written.
fn joined(home: &Home, file: &str) -> Result<(PathBuf, String)> {
    let path = home.person.home().join(file);
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path)?;
    let password = text.lines().find_map(|line| line.strip_prefix("password = \""));
    let password = password.context("no password")?.trim_end_matches('"').to_owned();
    Ok((path, password))
}

#[tokio::test]
async fn a_device_joins_over_tls() -> Result<()> {
    let mut home = Home::new().await?;
    home.running.stop().await?;
    home.running = home.up.open_to_devices().await?.start(READY_AGAIN).await?;
    let told = home
        .types(&["proplet", "add", "edge-1", "--label", "site=roof"])
        .await?;
    let (file, password) = joined(&home, "edge-1.join.toml")?;
    ensure!(
        told.contains("proplet --join edge-1.join.toml") && !told.contains(&password),
        "{told}"
    );
    home.types(&["proplet", "add", "edge-1", "--to", "again.toml"])
        .await
        .expect_err("it has credentials");

    let device = Program::new("proplet").await?;
    let state = device.folder().join("state");
    let device = device
        .arg("--join")
        .arg(&file)
        .arg("--state-dir")
        .arg(state)
        .args(["--heartbeat-seconds", "1"]);
    let mut device = device.start(PROPLET_READY).await?;
    let image = home.push("addition").await?;
    assert_eq!(
        home.types(&["run", "--selector", "site=roof", &image, "add(20, 22)"])
            .await?,
        "42"
    );

    // Credentials last over restarts, and no longer than the Proplet.
    home.running.kill()?;
    home.running = home.up.open_to_devices().await?.start(READY_AGAIN).await?;
    assert_eq!(home.types(&["run", "--on", "edge-1", &image, "add(1, 2)"]).await?, "3");
    home.types(&["proplet", "remove", "edge-1"]).await?;
    let refused = |line: &str| line.contains("the broker refuses us").then_some(());
    device.process()?.wait_for_log("refusal", refused).await?;
    Ok(())
}

#[tokio::test]
async fn mosquitto_takes_the_files_that_were_written() -> Result<()> {
    let home = Home::new().await?;
    let add = async |name: &str| {
        let file = format!("{name}.toml");
        let mut line = vec!["proplet", "add", name, "--broker", "mqtt://mqtt.lab"];
        line.extend(["--mosquitto", "rules", "--to", &file, "--replace"]);
        home.types(&line).await
    };
    let mut passwords = Vec::new();
    for name in ["edge-1", "edge-2", "edge-1"] {
        add(name).await?;
        passwords.push(joined(&home, &format!("{name}.toml"))?.1);
    }
    // Some at once: nobody is lost.
    tokio::try_join!(add("edge-3"), add("edge-4"), add("edge-5"), add("edge-6"))?;
    let directory = home.person.home().join("rules");
    let known = fs::read_to_string(directory.join("passwords"))?;
    assert_eq!(known.lines().count(), 6, "{known}");
    // That name may do everything.
    add("control").await.expect_err("it's the control plane's");
    let broker = Mosquitto::start(Access::Files {
        directory: &directory,
        control: "secret",
    })
    .await?;
    Spy::connect_as(broker.addr(), Some(("edge-1", &passwords[0])), "m/#")
        .await
        .expect_err("replaced");
    let control = Spy::connect_as(broker.addr(), Some(("control", "secret")), "m/#").await?;
    let edge = Spy::connect_as(broker.addr(), Some(("edge-1", &passwords[2])), "m/#").await?;
    edge.publish("m/default/c/main/control/proplet/alive/edge-1", "")
        .await?;
    for others in ["control/proplet/alive/edge-2", "control/manager/start/edge-1"] {
        let spoken = edge.publish(&format!("m/default/c/main/{others}"), "").await;
        spoken.expect_err("spoke for another");
    }
    for name in ["edge-2", "edge-1"] {
        control
            .publish(&format!("m/default/c/main/control/manager/start/{name}"), "")
            .await?;
    }
    edge.wait_for_message("its own start", |message| message.topic.ends_with("/start/edge-1"))
        .await?;
    assert_eq!(edge.messages().len(), 1, "saw another's message");
    home.types(&["proplet", "remove", "edge-2", "--mosquitto", "rules"])
        .await?;
    let left = fs::read_to_string(directory.join("passwords"))?;
    ensure!(left.contains("edge-1:$7$") && !left.contains("edge-2:"), "{left}");
    Ok(())
}

#[tokio::test]
async fn an_address_in_use_says_what_to_choose() -> Result<()> {
    let home = Home::new().await?;
    for (part, flag) in [("--listen", home.up.url()), ("--registry-listen", home.up.registry())] {
        let port = flag.rsplit(':').next().context("a port")?.to_owned();
        let error = fails(&Standalone::new()?, part, &port).await?;
        assert_eq!(error["reason"], "ListenFailed");
        ensure!(
            error["message"].as_str().is_some_and(|words| words.contains(part)),
            "{error}"
        );
    }
    Ok(())
}
