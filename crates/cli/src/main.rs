//! `propeller`, the one command that people type: run, serve, inspect, push and pull components.
//!
//! ```text
//!  args ──► source: file or reference ──► component: bytes, digest, contract ──► run, serve ──► output: text or JSON
//!           settings: registries, cache    (propeller-artifact, -types)          inspect        failure: reason, exit code
//!                                                                                push, pull
//! ```
//!
//! A thin client: registries are `propeller-artifact`'s, types and calls `propeller-types`', and the sandbox of `run` is the one of
//! `propeller-host`. Never here: a rule of its own about components, a result on standard error, a secret in a flag.

mod args;
mod call;
mod component;
mod exit;
mod failure;
mod figures;
mod grants;
mod inspect;
mod logs;
mod order;
mod output;
mod progress;
mod pull;
mod push;
mod run;
mod runnable;
mod serve;
mod settings;
mod source;
mod task;

use std::{env, process::ExitCode};

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use propeller_host::engine::compile_child;
use rustls::crypto::ring;
use tokio::{runtime, signal};

use args::{Cli, Command, Format, Global, RegistryArgs};
use component::Access;
use exit::{Exit, Ran};
use failure::{Failure, Known};
use output::Output;
use settings::Environment;

fn main() -> ExitCode {
    if let Some(exit) = compile_child(env::args_os()) {
        return exit;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => return refuse(&stop),
    };
    logs::start(&cli.global);
    let output = Output::new(cli.global.output);
    let mut known = Known::default();
    match perform(cli, &output, &mut known) {
        Ok(exit) => exit.code(known.ran),
        Err(failure) => output.failure(&failure, &known),
    }
}

/// Help and version come here too: for clap they are reasons not to go on.
fn refuse(stop: &clap::Error) -> ExitCode {
    if !stop.use_stderr() {
        // Whoever reads the help may stop reading.
        let _ = stop.print();
        return Exit::Done.code(Ran::NoProgram);
    }
    if args::asks_for_json(env::args_os()) {
        let words = stop.to_string();
        let first = words.split("\n\n").next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        return Output::new(Format::Json).failure(&Failure::CommandLine(message), &Known::default());
    }
    let _ = stop.print();
    Exit::Usage.code(Ran::NoProgram)
}

fn perform(cli: Cli, output: &Output, known: &mut Known) -> Result<Exit, Failure> {
    // Only fails if there is a provider already.
    let _ = ring::default_provider().install_default();
    // The engine has threads of its own, and everything else waits for the network.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    let result = runtime.block_on(async {
        // A service ends in its own way.
        if let Command::Serve(_) = cli.command {
            return command(&cli, output, known).await;
        }
        tokio::select! {
            biased;
            interrupted = signal::ctrl_c() => Err(interrupted.map_or_else(Failure::Start, |()| Failure::Interrupted)),
            result = command(&cli, output, known) => result,
        }
    });
    // A DNS query or a file may still hold a thread, for which nobody who pressed Ctrl-C wants to wait.
    runtime.shutdown_background();
    result
}

async fn command(cli: &Cli, output: &Output, known: &mut Known) -> Result<Exit, Failure> {
    let environment = Environment::read();
    let access = |args| access(&environment, args, &cli.global);
    match &cli.command {
        Command::Run(args) => return run::run(args, &access(&args.registry), output, known).await,
        Command::Serve(args) => serve::serve(args, &access(&args.registry)).await?,
        Command::Inspect(args) if args.task => output.report(&inspect::task(args, &access(&args.registry)).await?)?,
        Command::Inspect(args) => output.report(&inspect::inspect(args, &access(&args.registry)).await?)?,
        Command::Push(args) => output.report(&push::push(args, &access(&args.registry)).await?)?,
        Command::Pull(args) => pull::pull(args, &access(&args.registry), output).await?,
        Command::Completions { shell } => output.bytes(&completions(*shell))?,
    }
    Ok(Exit::Done)
}

/// Bars would get between the lines of a log, and programs don't look at them.
fn access<'a>(environment: &'a Environment, args: &'a RegistryArgs, global: &Global) -> Access<'a> {
    let bars = !global.quiet && global.verbose == 0 && global.output == Format::Text;
    Access {
        environment,
        args,
        bars,
    }
}

/// Into memory first: clap_complete panics where it can't write.
fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "propeller", &mut script);
    script
}
