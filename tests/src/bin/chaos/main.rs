//! `make chaos`: tasks of all kinds on real servers, while these are killed, frozen, cut off and robbed of what they keep.
//!
//! Faults and tasks follow from a seed. How they meet depends on the machine, so a seed that found something finds it again most likely, not
//! certainly. When the time is over everything is healed; then every task must end as its kind does, with the result that is its own, and must have
//! run as often as its policy allows: each run leaves a mark in a file. Nothing may be left on any proplet.

mod checks;
mod faults;
mod site;
mod tasks;
mod victims;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use fastrand::Rng;
use futures::future::try_join_all;
use kube::Api;
use propeller_tests::{World, scratch};
use serde::Serialize;

use checks::Seen;
use faults::{Fault, Target};
use site::Site;
use tasks::Images;
use victims::Victim;

/// Runs tasks while their servers suffer, and checks what became of them.
#[derive(Parser)]
#[command(name = "chaos")]
struct Flags {
    /// What faults and tasks follow from [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults happen.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// How many tasks are created meanwhile.
    #[arg(long, default_value_t = 200)]
    tasks: usize,
    /// How many proplets there are.
    #[arg(long, default_value_t = 4)]
    proplets: usize,
    /// Which control plane: two operators on an API server, or `propeller up`.
    #[arg(long, value_enum, default_value_t = On::Kubernetes)]
    on: On,
    /// A summary for people, or JSON.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum On {
    Kubernetes,
    Up,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

type Tasks = Api<propeller_crd::Task>;

/// How long tasks have to end when everything is well again. The longest of them wait for a start's window and a lease, then for their next attempt.
const SETTLE: Duration = Duration::from_secs(300);

/// What a run found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    seed: u64,
    /// How many tasks ended how.
    tasks: BTreeMap<String, usize>,
    faults: BTreeMap<Fault, usize>,
    /// How programs ended when nobody had asked them to, and how often.
    ended_by_themselves: BTreeMap<String, usize>,
    /// From the end of the last fault to the end of the last task.
    settled_after_seconds: f64,
    /// Which promises were broken.
    wrong: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let ran = tokio::select! {
        ran = run(&flags, seed) => ran,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; everything that was started is stopped")),
    };
    let wrong = match ran {
        Ok(summary) => {
            tell(&summary, flags.output);
            !summary.wrong.is_empty()
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            true
        }
    };
    if !wrong {
        return ExitCode::SUCCESS;
    }
    let Flags {
        seconds,
        tasks,
        proplets,
        on,
        ..
    } = flags;
    let on = on
        .to_possible_value()
        .map(|on| on.get_name().to_owned())
        .unwrap_or_default();
    eprintln!(
        "again: PROPELLER_TEST_KEEP=1 cargo run --locked --bin chaos -- --seed {seed} --seconds {seconds} --tasks {tasks} --proplets {proplets} --on {on}"
    );
    ExitCode::FAILURE
}

async fn run(flags: &Flags, seed: u64) -> Result<Summary> {
    let period = Duration::from_secs(flags.seconds);
    let mut rng = Rng::with_seed(seed);
    let mut faults = faults::plan(&mut rng, period, flags.proplets);
    if flags.on == On::Up {
        faults.retain(|planned| !matches!(planned.target, Target::ApiServer | Target::Operator(1..)));
    }
    if flags.output == Output::Text {
        println!("seed {seed}");
        faults.iter().for_each(|planned| println!("{planned}"));
    }
    let mut world = match flags.on {
        On::Kubernetes => World::kubernetes().await?,
        On::Up => World::standalone().await?,
    };
    let marks = scratch::folder("marks")?;
    let images = Images::push(&world).await?;
    let planned = tasks::plan(&mut rng, period, flags.tasks, &images, marks.path());
    let mut site = Site::start(&world, flags.proplets, marks.path()).await?;

    let tasks = world.tasks().await?;
    let mut seen = Seen::default();
    let mut victims = site.victims(&mut world);
    disturb(&mut victims, &faults, period, &planned, &tasks, &mut seen).await?;
    let ended_by_themselves = ends(&victims);
    seen.wrong.extend(crashes(&victims));
    drop(victims);

    let settled = seen.settle(&planned, &tasks, SETTLE).await;
    seen.judge(&planned, marks.path());
    let counted = seen.ends(&planned);
    seen.wrong.extend(site.panics());
    for checked in [
        checks::services(&planned, &seen, &tasks).await,
        checks::orphans(world.broker.addr(), flags.proplets).await,
    ] {
        seen.wrong.extend(checked.err().map(|error| format!("{error:#}")));
    }
    site.end(&mut world)?;
    Ok(Summary {
        seed,
        tasks: counted,
        faults: count(faults.iter().map(|planned| planned.fault)),
        ended_by_themselves,
        settled_after_seconds: settled.as_secs_f64(),
        wrong: seen.wrong,
    })
}

/// Faults happen while tasks are made. When this returns everything is well.
async fn disturb(
    victims: &mut [(Target, Victim<'_>)],
    faults: &[faults::Planned],
    period: Duration,
    planned: &[tasks::Planned],
    tasks: &Tasks,
    seen: &mut Seen,
) -> Result<()> {
    let begin = Instant::now();
    let play = try_join_all(planned.iter().map(|planned| tasks::play(planned, tasks, begin.into())));
    let suffer = try_join_all(victims.iter_mut().map(async |(target, victim)| {
        let own = faults.iter().filter(|planned| planned.target == *target);
        let suffered = victim.suffer(own.copied(), begin, begin + period).await;
        suffered.with_context(|| target.to_string())
    }));
    tokio::select! {
        done = async { tokio::try_join!(play, suffer) } => done.map(drop),
        () = seen.watch(tasks) => Ok(()),
    }
}

fn ends(victims: &[(Target, Victim<'_>)]) -> BTreeMap<String, usize> {
    count(victims.iter().flat_map(|(_, victim)| victim.ended().iter().cloned()))
}

/// A replica of the operator that can't be sure to lead, or can't stand for it, ends with 1. Nobody else ends by itself.
fn crashes(victims: &[(Target, Victim<'_>)]) -> Vec<String> {
    let is_in_order =
        |target: &Target, end: &str| matches!(target, Target::Operator(_)) && end.starts_with("exit status: 1:");
    let ends = victims
        .iter()
        .flat_map(|(target, victim)| victim.ended().iter().map(move |end| (target, end)));
    ends.filter(|(target, end)| !is_in_order(target, end))
        .map(|(target, end)| format!("{target} ended by itself: {end}"))
        .collect()
}

fn count<T: Ord>(things: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for thing in things {
        *counts.entry(thing).or_default() += 1;
    }
    counts
}

fn tell(summary: &Summary, output: Output) {
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(summary).expect("string keys"));
        return;
    }
    let list = |counts: Vec<String>| counts.join(", ");
    println!();
    println!(
        "tasks:   {}",
        list(
            summary
                .tasks
                .iter()
                .map(|(end, count)| format!("{count} {end}"))
                .collect()
        )
    );
    println!(
        "faults:  {}",
        list(
            summary
                .faults
                .iter()
                .map(|(fault, count)| format!("{count} {fault}"))
                .collect()
        )
    );
    println!("settled: {:.1} s after the last fault", summary.settled_after_seconds);
    for (end, count) in &summary.ended_by_themselves {
        println!("ended by itself, {count} times: {end}");
    }
    match summary.wrong.as_slice() {
        [] => println!("every promise was kept"),
        wrong => wrong.iter().for_each(|wrong| println!("WRONG: {wrong}")),
    }
}
