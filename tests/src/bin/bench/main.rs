//! `make bench`: what things cost, each beside its floor in the same run.
//!
//! A floor is the same work without Propeller. Both are measured in turn, round after round, so that what the machine does meanwhile hits
//! both; what is shown are medians. Nothing is asserted here: docs/PERFORMANCE.md has the figures of one machine, and what they mean.

mod delivery;
mod engine;
mod floor;
mod memory;
mod operator;
mod process;
mod standalone;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use table::Table;

/// What things cost, each beside its floor.
#[derive(Parser)]
#[command(name = "bench")]
struct Flags {
    #[command(subcommand)]
    what: What,
    /// A table for people, or JSON.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
    /// How often each thing is measured. The figures are medians.
    #[arg(long, default_value_t = 9, global = true)]
    rounds: usize,
}

#[derive(Subcommand)]
enum What {
    /// The engine: calls, compilations, memory, and `propeller run` as a whole process.
    Engine,
    /// From a start to its result, through a real broker and real proplets.
    Delivery,
    /// The operator: many tasks on a real API server, many proplets' heartbeats.
    Operator {
        /// Tasks.
        #[arg(long, default_value_t = 10_000)]
        tasks: usize,
        /// Proplets.
        #[arg(long, default_value_t = 10_000)]
        proplets: usize,
    },
    /// `propeller up`: its start, and tasks from the command to the result.
    Standalone,
    /// In a process of its own: how many bytes so many running tasks hold. `bench engine` starts these.
    #[command(hide = true)]
    Memory {
        /// Idle components, or sleeping tasks.
        #[arg(value_enum)]
        of: memory::Of,
        count: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    let mut table = Table::default();
    let measured = match flags.what {
        What::Engine => engine::measure(&mut table, flags.rounds).await,
        What::Delivery => delivery::measure(&mut table, flags.rounds).await,
        What::Operator { tasks, proplets } => operator::measure(&mut table, tasks, proplets).await,
        What::Standalone => standalone::measure(&mut table, flags.rounds).await,
        What::Memory { of, count } => {
            println!("{}", memory::hold(of, count).await?);
            return Ok(());
        }
    };
    // Also what was measured before something failed.
    match flags.output {
        Output::Text => print!("{table}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&table)?),
    }
    measured
}
