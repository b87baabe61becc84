//! What tasks hold that only wait, and components that nobody calls. Each figure is of a fresh process, because a process hardly ever gives memory
//! back.

use std::{env, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use propeller_artifact::digest_of;
use propeller_host::engine::{Engine, EngineConfig};
use propeller_tests::cargo;
use tokio::process::Command;

use crate::{engine::invocation, table::Table};

#[derive(Clone, Copy, ValueEnum)]
pub enum Of {
    Components,
    Tasks,
}

pub async fn measure(table: &mut Table) -> Result<()> {
    for (of, what) in [
        (Of::Tasks, "each of {} tasks that sleep"),
        (Of::Components, "each of {} idle warm components"),
    ] {
        let none = process(of, 0).await?;
        table.add(what.replace("each of {}", "a process without"), "KiB", vec![none]);
        for count in &[1, 100, 1000] {
            let each = (process(of, *count).await? - none) / *count as f64;
            table.add(what.replace("{}", &count.to_string()), "KiB", vec![each]);
        }
    }
    Ok(())
}

async fn process(of: Of, count: usize) -> Result<f64> {
    let of = of.to_possible_value().context("no name")?.get_name().to_owned();
    let output = Command::new(env::current_exe()?)
        .args(["memory", &of, &count.to_string()])
        .output()
        .await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Kibibytes of memory of this process once it holds so many.
pub async fn hold(of: Of, count: usize) -> Result<u64> {
    let engine = Engine::new(EngineConfig {
        warm_components: (count + 1).try_into()?,
        warm_bytes: usize::MAX,
        ..EngineConfig::default()
    })?;
    let sleep = fs::read(cargo::guest("sleep").await?)?;
    let prepared = engine.prepare(&digest_of(&sleep), sleep.clone()).await?;
    match of {
        Of::Components => {
            for n in 0..count {
                // A digest of its own makes it another component, for the shelf and for Wasmtime.
                engine
                    .prepare(&digest_of(n.to_string().as_bytes()), sleep.clone())
                    .await?;
            }
            resident()
        }
        Of::Tasks => {
            let invocation = std::sync::Arc::new(invocation("sleep", serde_json::json!([600_000]))?);
            let tasks: Vec<_> = (0..count)
                .map(|_| {
                    let (prepared, invocation) = (prepared.clone(), invocation.clone());
                    tokio::spawn(async move { prepared.invoke(invocation).await.result })
                })
                .collect();
            // Until all of them sleep: a guest does so after some microseconds.
            tokio::time::sleep(Duration::from_secs(2)).await;
            ensure!(tasks.iter().all(|task| !task.is_finished()), "a task ended");
            resident()
        }
    }
}

fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.context("no VmRSS")?.trim_end_matches("kB").trim();
    Ok(words.parse()?)
}
