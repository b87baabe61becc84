//! `propeller up`: from nothing to all of it, and from a Task to its result on a component that is warm.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api,
    api::{PostParams, WatchEvent, WatchParams},
};
use propeller_api::{is_true, types};
use propeller_tests::{Standalone, cargo, scratch};
use serde_json::json;
use tokio::{process::Command, time::timeout};

use crate::table::{Table, micros};

/// What it says when the local proplet is there.
const READY: &str = "made a Proplet for a proplet";
/// Tasks for one figure.
const TASKS: usize = 30;
/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(table: &mut Table, rounds: usize) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    starts(table, rounds).await?;
    let up = Standalone::new()?;
    let _running = up.whole().await?.start(READY).await?;
    let bench = Bench { up };
    bench.tasks(table, rounds).await
}

/// From the start of the process until control plane, broker, registry and proplet work together.
async fn starts(table: &mut Table, rounds: usize) -> Result<()> {
    let (mut fresh, mut floor) = (vec![], vec![]);
    for _ in 0..rounds {
        let up = Standalone::new()?;
        let begin = Instant::now();
        let running = up.whole().await?.start(READY).await?;
        fresh.push(micros(begin.elapsed()) / 1_000.0);
        drop(running);
        floor.push(version().await? / 1_000.0);
    }
    table.beside(
        "propeller up, until a proplet is there",
        "ms",
        fresh,
        "propeller --version",
        floor,
    );
    Ok(())
}

async fn version() -> Result<f64> {
    let begin = Instant::now();
    let program = cargo::binary("propeller").await?;
    let status = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "propeller --version failed");
    Ok(micros(begin.elapsed()))
}

struct Bench {
    up: Standalone,
}

impl Bench {
    async fn tasks(&self, table: &mut Table, rounds: usize) -> Result<()> {
        let component = cargo::guest("addition").await?;
        let image = format!("{}/bench/addition:1", self.up.registry());
        self.types(&["push", component.to_str().context("a path")?, &image])
            .await?;
        // The first one compiles it.
        self.by_api(&image, "first").await?;
        let (mut commands, mut floor) = (vec![], vec![]);
        let (mut calls, mut syncs) = (vec![], vec![]);
        for round in 0..rounds {
            for task in 0..TASKS {
                commands.push(self.by_commands(&image, &format!("typed-{round}-{task}")).await? / 1_000.0);
                floor.push((version().await? + version().await?) / 1_000.0);
                calls.push(self.by_api(&image, &format!("sent-{round}-{task}")).await? / 1_000.0);
                syncs.push(three_syncs()? / 1_000.0);
            }
        }
        let what = "propeller apply, propeller wait: to the result, warm";
        table.beside(what, "ms", commands, "propeller --version, twice", floor);
        let what = "from a Task by the API to its result in a watch, warm";
        table.beside(what, "ms", calls, "three writes, each synced", syncs);
        Ok(())
    }

    async fn by_commands(&self, image: &str, name: &str) -> Result<f64> {
        let folder = scratch::folder("task")?;
        let file = folder.path().join("task.json");
        std::fs::write(&file, task(image, name).to_string())?;
        let begin = Instant::now();
        self.types(&["apply", "-f", file.to_str().context("a path")?]).await?;
        self.types(&["wait", &format!("task/{name}"), "--for=condition=Finished"])
            .await?;
        Ok(micros(begin.elapsed()))
    }

    async fn by_api(&self, image: &str, name: &str) -> Result<f64> {
        let tasks: Api<propeller_crd::Task> = Api::namespaced(self.up.client()?, "default");
        let task = serde_json::from_value(task(image, name))?;
        let only = WatchParams::default().fields(&format!("metadata.name={name}"));
        let begin = Instant::now();
        let made = tasks.create(&PostParams::default(), &task).await?;
        let version = made.metadata.resource_version.unwrap_or_default();
        let changes = tasks.watch(&only, &version).await?;
        let ended = changes.try_filter_map(async |change| {
            let WatchEvent::Modified(task) = change else {
                return Ok(None);
            };
            let status = task
                .status
                .filter(|status| is_true(&status.conditions, types::FINISHED));
            Ok(status)
        });
        let mut ended = std::pin::pin!(ended);
        let status = timeout(PATIENCE, ended.next()).await?.context("the watch ended")??;
        ensure!(status.results == Some(json!(42)), "{status:?}");
        Ok(micros(begin.elapsed()))
    }

    async fn types(&self, line: &[&str]) -> Result<()> {
        let mut command = Command::new(cargo::binary("propeller").await?);
        command
            .args(line)
            .env("PROPELLER_SERVER", self.up.url())
            .env("PROPELLER_TOKEN", self.up.token()?)
            .stdout(Stdio::null());
        let status = timeout(PATIENCE, command.status()).await??;
        ensure!(status.success(), "propeller {} failed", line.join(" "));
        Ok(())
    }
}

fn task(image: &str, name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": name},
        "spec": {"image": image, "call": {"function": "add", "args": [20, 22]}},
    })
}

/// What a store must do at least for a Task: made, dispatched, ended.
fn three_syncs() -> Result<f64> {
    let folder = scratch::folder("syncs")?;
    let file = File::create(folder.path().join("file"))?;
    let begin = Instant::now();
    for write in 0..3 {
        file.write_all_at(&[b'x'; 1_024], write * 1_024)?;
        file.sync_data()?;
    }
    Ok(micros(begin.elapsed()))
}
