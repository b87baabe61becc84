//! `make demo`: from a component's source to `results: 42`, in one process; `make demo-kubernetes`: the same with every server of a cluster.
//!
//! Everything runs on free ports of loopback and ends with this process, however that ends.

mod kubernetes;
mod standalone;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use propeller_tests::cargo;
use tokio::signal;

/// What the examples' YAML calls the registry.
const REGISTRY: &str = "localhost:5000";
/// The component's name there.
const REPOSITORY: &str = "examples/addition:1.0.0";

/// From a component's source to its result.
#[derive(Parser)]
struct Args {
    /// Where.
    #[arg(value_enum, default_value_t = On::Up)]
    on: On,
}

#[derive(Clone, Copy, ValueEnum)]
enum On {
    /// `propeller up`
    Up,
    /// An API server, the operator, Mosquitto and docker-registry
    Kubernetes,
}

#[tokio::main]
async fn main() -> ExitCode {
    let story = Story::begin();
    let demo = async {
        match Args::parse().on {
            On::Up => standalone::demo(&story).await,
            On::Kubernetes => kubernetes::demo(&story).await,
        }
    };
    let done = tokio::select! {
        done = demo => done,
        _ = signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; everything that was started is stopped")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Here, so that the times after it are those of starting.
async fn build(story: &Story) -> Result<PathBuf> {
    story.step("Build the component from its WIT and its source");
    let component = cargo::guest("addition").await?;
    cargo::binary("propeller").await?;
    let bytes = component.metadata()?.len();
    story.tell(&format!(
        "examples/addition/component → {} ({bytes} bytes)",
        name(&component)
    ));
    Ok(component)
}

fn name(path: &Path) -> String {
    PathBuf::from(path.file_name().unwrap_or_default())
        .display()
        .to_string()
}

/// What is shown: a step, and below it what happens, each with the time since the beginning.
struct Story {
    begin: Instant,
}

impl Story {
    fn begin() -> Self {
        Self { begin: Instant::now() }
    }

    fn step(&self, title: &str) {
        println!("\n[{:5.1} s] {title}", self.begin.elapsed().as_secs_f32());
    }

    fn run(&self, words: &[&str]) {
        println!("  $ {}", words.join(" "));
    }

    fn tell(&self, text: &str) {
        for line in text.lines() {
            println!("    {line}");
        }
    }
}
