//! `propeller`, the one command that people type: run, serve, inspect, push and pull components; and the verbs of a control plane.
//!
//! ```text
//!  args ──► source: file or reference ──► component: bytes, digest, contract ──► run, serve ──► output: text or JSON
//!           settings: registries, cache    (propeller-artifact, -types)          inspect        failure: reason, exit code
//!                                                                                push, pull
//!
//!  args ──► control: which control plane, its API ──► apply, get, describe, wait, delete, cordon, drain, rerun ──► output
//! ```
//!
//! A thin client: registries are `propeller-artifact`'s, types and calls `propeller-types`', and the sandbox of `run` is the one of
//! `propeller-host`. Never here: a rule of its own about components, a result on standard error, a secret in a flag.

mod args;
mod build;
mod call;
mod component;
mod control;
mod exit;
mod failure;
mod figures;
mod grants;
mod inspect;
mod logs;
mod new;
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
mod up;

use std::{env, process::ExitCode, sync::Arc};

use clap::{CommandFactory, Parser};
use clap_complete::{CompleteEnv, Shell, env::Shells};
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
    // A shell asks what may follow; this never returns then.
    CompleteEnv::with_factory(Cli::command).complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(stop) => return refuse(&stop),
    };
    logs::start(&cli.global);
    let output = Output::new(cli.global.output, cli.global.quiet);
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
        return Output::new(Format::Json, false).failure(&Failure::CommandLine(message), &Known::default());
    }
    let _ = stop.print();
    Exit::Usage.code(Ran::NoProgram)
}

fn perform(cli: Cli, output: &Output, known: &mut Known) -> Result<Exit, Failure> {
    // Only fails if there is a provider already.
    let _ = ring::default_provider().install_default();
    // The engine has threads of its own, and everything else waits for the network. A whole Propeller does more at a time.
    let mut builder = match &cli.command {
        Command::Up(_) => runtime::Builder::new_multi_thread(),
        _ => runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().map_err(Failure::Start)?;
    let result = runtime.block_on(async {
        // A service ends in its own way, what runs elsewhere is cancelled, and what a drain suspended is resumed.
        let ends_itself = match &cli.command {
            Command::Serve(_) | Command::Drain(_) | Command::Up(_) => true,
            Command::Run(args) => args.remote.is_asked(),
            _ => false,
        };
        if ends_itself {
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
    let environment = Arc::new(Environment::read());
    let access = |args| access(&environment, args, &cli.global);
    check_format(cli)?;
    match &cli.command {
        Command::Run(args) => return run::run(args, &access(&args.registry), output, known).await,
        Command::Up(args) => return up::up(args, &cli.global, environment, output).await,
        Command::Serve(args) => serve::serve(args, &access(&args.registry)).await?,
        Command::Inspect(args) if args.task => output.report(&inspect::task(args, &access(&args.registry)).await?)?,
        Command::Inspect(args) => output.report(&inspect::inspect(args, &access(&args.registry)).await?)?,
        Command::Push(args) => output.report(&push::push(args, &access(&args.registry)).await?)?,
        Command::Pull(args) => pull::pull(args, &access(&args.registry), output).await?,
        Command::Completions { shell } => output.bytes(&completions(*shell))?,
        Command::New(args) => output.report(&new::new(args)?)?,
        Command::Build(args) => output.report(&build::build(args)?)?,
        verb => control::perform(verb, &environment, output).await?,
    }
    Ok(Exit::Done)
}

/// One flag for all, of which most commands know two values.
fn check_format(cli: &Cli) -> Result<(), Failure> {
    let format = cli.global.output;
    if matches!(format, Format::Text | Format::Json) || matches!(cli.command, Command::Get(_)) {
        return Ok(());
    }
    let name = format!("{format:?}").to_lowercase();
    Err(Failure::CommandLine(format!(
        "`--output {name}` is for `propeller get`; here it is text or json"
    )))
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

/// The script that has a shell ask this program.
fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    if let Some(completer) = Shells::builtins().completer(&shell.to_string()) {
        // Into memory, which doesn't fail.
        let _ = completer.write_registration("COMPLETE", "propeller", "propeller", "propeller", &mut script);
    }
    script
}
