//! `sim`: many worlds, and the seed of each that breaks a promise.

use std::{
    io::{self, IsTerminal, Write},
    panic::catch_unwind,
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;
use propeller_sim::{Broken, Sabotage};

/// Runs simulated worlds and checks the promises of delivery in each.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Flags {
    /// How many worlds.
    #[arg(long, default_value_t = 100_000)]
    worlds: u64,
    /// Seed of the first one; each next world has the next seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Runs only the world of this seed, and prints everything that happens in it.
    #[arg(long, conflicts_with_all = ["worlds", "first"])]
    seed: Option<u64>,
    /// Breaks something on purpose, to see that it is found.
    #[arg(long = "break", value_enum)]
    sabotage: Option<Sabotage>,
    /// Threads.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, Into::into))]
    threads: usize,
}

fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    if let Some(seed) = flags.seed {
        return replay(seed, flags.sabotage);
    }
    let begin = Instant::now();
    let (next, failed) = (AtomicU64::new(flags.first), AtomicBool::new(false));
    let end = flags.first.saturating_add(flags.worlds);
    let found = thread::scope(|scope| {
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                // A panic breaks a promise too.
                let kept = catch_unwind(|| propeller_sim::run(seed, flags.sabotage));
                let broken = match kept {
                    Ok(Ok(())) => continue,
                    Ok(Err(broken)) => broken.to_string(),
                    Err(_) => "it panicked".to_owned(),
                };
                failed.store(true, Ordering::Relaxed);
                return Some((seed, broken));
            }
            None
        };
        let threads: Vec<_> = (0..flags.threads.max(1)).map(|_| scope.spawn(work)).collect();
        progress(&next, end, &threads);
        threads
            .into_iter()
            .find_map(|thread| thread.join().expect("panics are caught"))
    });
    let worlds = next.load(Ordering::Relaxed).min(end) - flags.first;
    let took = begin.elapsed();
    match found {
        None => {
            println!("{worlds} worlds in {:.1} s: every promise was kept", took.as_secs_f64());
            Ok(ExitCode::SUCCESS)
        }
        Some((seed, broken)) => {
            println!("seed {seed}: {broken}");
            println!(
                "replay it: cargo run --release --bin sim -- --seed {seed}{}",
                how(flags.sabotage)
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

fn how(sabotage: Option<Sabotage>) -> String {
    use clap::ValueEnum;
    let name = sabotage.and_then(|sabotage| sabotage.to_possible_value());
    name.map_or(String::new(), |name| format!(" --break {}", name.get_name()))
}

fn progress<T>(next: &AtomicU64, end: u64, threads: &[thread::ScopedJoinHandle<'_, T>]) {
    if !io::stderr().is_terminal() {
        return;
    }
    while threads.iter().any(|thread| !thread.is_finished()) {
        thread::sleep(Duration::from_millis(200));
        eprint!("\r{} of {end} ", next.load(Ordering::Relaxed).min(end));
        let _ = io::stderr().flush();
    }
    eprintln!();
}

fn replay(seed: u64, sabotage: Option<Sabotage>) -> Result<ExitCode> {
    let (lines, result) = propeller_sim::trace(seed, sabotage);
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    match result {
        Ok(()) => writeln!(out, "every promise was kept")?,
        Err(Broken { promise, at }) => {
            writeln!(out, "{:10.3}  BROKEN: {promise}", at.as_secs_f64())?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
