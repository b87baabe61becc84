//! A component as a program: `wasi:cli/run`, arguments, and an exit code.

use propeller_types::Wasi;
use std::future::poll_fn;
use wasmtime::Store;
use wasmtime_wasi::{p2, p3};

use super::{Life, Outcome};
use crate::engine::{InvokeError, Prepared, Sandbox, state::State};

/// A program to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// What it's told to be called, its first argument: the component's short name.
    pub name: String,
    /// The arguments after that.
    pub args: Vec<String>,
    /// The walls around it.
    pub sandbox: Sandbox,
}

/// A program ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// What it gave to `wasi:cli/exit`; without that, 0 if its `run` returned `ok` and 1 if it returned `err`.
    pub code: i32,
}

impl Prepared {
    /// Runs the component as a program, on the engine's threads. As WASI 0.3 if it exports both generations. Dropping the future ends it too.
    pub async fn command(&self, program: Program) -> Outcome<Exit> {
        self.drive(run(self.clone(), program)).await
    }
}

async fn run(prepared: Prepared, program: Program) -> Outcome<Exit> {
    let Program {
        name,
        mut args,
        sandbox,
    } = program;
    args.insert(0, name);
    let mut life = Life::begin(&prepared, &sandbox, &args);
    life.store.data().traffic.gave(args.iter().map(String::len).sum());
    let result = life.end(&sandbox, |store| main(&prepared, store, &sandbox)).await;
    life.outcome(result)
}

async fn main(prepared: &Prepared, store: &mut Store<State>, sandbox: &Sandbox) -> Result<Exit, InvokeError> {
    let limits = &sandbox.limits;
    let generation = prepared.contract().command().ok_or(InvokeError::NotACommand)?;
    let instance = prepared.pre().instantiate_async(&mut *store).await;
    let instance = instance.map_err(|error| InvokeError::from_instantiation(&error, store.data(), limits))?;
    let end = match generation {
        Wasi::V02 => match p2::bindings::Command::new(&mut *store, &instance) {
            Ok(command) => command.wasi_cli_run().call_run(&mut *store).await,
            Err(error) => return Err(InvokeError::host(error)),
        },
        Wasi::V03 => match p3::bindings::Command::new(&mut *store, &instance) {
            Ok(command) => run_03(&command, store).await,
            Err(error) => return Err(InvokeError::host(error)),
        },
    };
    match end {
        Ok(Ok(())) => Ok(Exit { code: 0 }),
        Ok(Err(())) => Ok(Exit { code: 1 }),
        Err(error) => match InvokeError::from_guest(&error, store.data(), limits) {
            InvokeError::Exited { code } => Ok(Exit { code }),
            failure => Err(failure),
        },
    }
}

/// What `run` started may go on after it returned, such as writing the last of its output. The program has ended when that has.
async fn run_03(command: &p3::bindings::Command, store: &mut Store<State>) -> wasmtime::Result<Result<(), ()>> {
    let ended = store.run_concurrent(async |store| {
        let returned = command.wasi_cli_run().call_run(store).await?;
        poll_fn(|context| store.poll_no_interesting_tasks(context)).await;
        Ok(returned)
    });
    ended.await?
}
