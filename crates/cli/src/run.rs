//! `propeller run`: one call of one function, or one run of a program, in the sandbox that a proplet has.

use std::{fmt, future::Future, num::NonZeroU32, time::Duration};

use propeller_api::Work as TaskWork;
use propeller_host::engine::{
    Exit as ProgramExit, Invocation, InvokeError, Outcome, Program, Returned, Sandbox, Stdio,
};
use propeller_types::Contract;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Run,
    call::{Call, Wanted},
    component::Access,
    control::remote,
    exit::{Exit, Ran},
    failure::{Failure, Known},
    figures::FiguresReport,
    order::{self, Order},
    output::Output,
    runnable::Runnable,
};

/// How much later than the engine this process ends what doesn't end at its deadline: a guest whose output nobody reads holds a
/// thread of the engine in the kernel, where no deadline reaches.
const GRACE: Duration = Duration::from_millis(500);

/// What to do, before it's known what the component can.
pub enum Asked {
    Call(Wanted),
    Program(Vec<String>),
    /// What the component is made for.
    Anything,
}

/// What to do.
pub enum Work {
    Call(Call),
    Program(Vec<String>),
}

/// Runs it, and tells its result.
pub async fn run(args: &Run, access: &Access<'_>, output: &Output, known: &mut Known) -> Result<Exit, Failure> {
    // Until it's known better, what isn't asked for as a call may be a program, whose own codes a failure shouldn't take.
    known.ran = if args.call.is_some() || args.function.is_some() || args.args.is_some() {
        Ran::NoProgram
    } else {
        Ran::Program
    };
    if args.remote.is_asked() {
        return remote::run(args, access, output, known).await;
    }
    if let Some(flag) = args.remote.stray() {
        return Err(Failure::CommandLine(format!(
            "`{flag}` is for a run on a proplet: say which one, with `--on` or `--selector`"
        )));
    }
    let order = Order::new(&args.source, args.image.as_deref(), known)?;
    let asked = Asked::new(args, order.work())?;
    let grants = order.grants(&args.grants)?;
    let component = Runnable::load(&order.source, access, NonZeroU32::MIN).await?;
    let (limits, task) = (
        order.limits(args.memory, args.timeout),
        order.context(component.origin()),
    );
    let uid = task.uid.clone();
    let walls = |stdio| order::sandbox(limits, task, &grants, stdio, access.environment);
    let done = match asked.of(component.contract(), known)? {
        Work::Call(call) => call_it(call, component, walls(Stdio::Stderr)?, output, known).await,
        Work::Program(args) => run_it(args, component, walls(Stdio::Inherit)?, output, known).await,
    };
    order::forget(&uid, &grants, access.environment);
    done
}

async fn call_it(
    call: Call,
    component: Runnable,
    sandbox: Sandbox,
    output: &Output,
    known: &mut Known,
) -> Result<Exit, Failure> {
    let deadline = sandbox.limits.deadline;
    let invocation = Invocation {
        function: call.function,
        args: call.args,
        sandbox,
    };
    let prepared = component.prepare().await?;
    let outcome = in_time(deadline, prepared.invoke(invocation)).await?;
    output.report(&Report::new(outcome, known)?)?;
    Ok(Exit::Done)
}

async fn run_it(
    args: Vec<String>,
    component: Runnable,
    sandbox: Sandbox,
    output: &Output,
    known: &mut Known,
) -> Result<Exit, Failure> {
    let name = component.origin().short_name();
    let program = Program { name, args, sandbox };
    let exit = main(program, component, known).await?;
    if let Some(figures) = known.figures {
        let exit_code = exit.code;
        let figures = figures.into();
        output.aside(&Ended { exit_code, figures });
    }
    Ok(Exit::Program(exit.code))
}

async fn main(program: Program, component: Runnable, known: &mut Known) -> Result<ProgramExit, Failure> {
    let deadline = program.sandbox.limits.deadline;
    let prepared = component.prepare().await?;
    let outcome = in_time(deadline, prepared.command(program)).await?;
    known.ended(&outcome);
    Ok(outcome.result?)
}

/// Also what doesn't end by itself at its deadline is over soon after it; what it used isn't known then.
async fn in_time<T>(deadline: Duration, run: impl Future<Output = Outcome<T>>) -> Result<Outcome<T>, InvokeError> {
    let outcome = tokio::time::timeout(deadline.saturating_add(GRACE), run).await;
    outcome.map_err(|_| InvokeError::DeadlineExceeded { deadline })
}

impl Known {
    fn ended<T>(&mut self, outcome: &Outcome<T>) {
        self.figures = Some(outcome.figures);
        tracing::info!(figures = ?outcome.figures, "the run ended");
    }
}

impl Asked {
    /// What the command line says counts, and then what the Task says.
    pub fn new(args: &Run, task: Option<TaskWork>) -> Result<Self, Failure> {
        let program_args = args.program_args.clone();
        let wants_call = args.call.is_some() || args.function.is_some() || args.args.is_some();
        let other_work = |task: &TaskWork, asked| Failure::OtherWork {
            task: task.to_string(),
            asked,
        };
        match task {
            Some(task @ TaskWork::Service(_)) => Err(other_work(
                &task,
                "a run: `propeller serve` does it here, `propeller apply` on a proplet",
            )),
            Some(task @ TaskWork::Call(_)) if !program_args.is_empty() => {
                Err(other_work(&task, "a program's arguments"))
            }
            Some(TaskWork::Command(_)) if !wants_call && !program_args.is_empty() => Ok(Self::Program(program_args)),
            Some(TaskWork::Command(command)) if !wants_call => Ok(Self::Program(command.args)),
            Some(TaskWork::Call(call)) => Self::call(args, Some(&call)),
            _ if wants_call => Self::call(args, None),
            _ if !program_args.is_empty() => Ok(Self::Program(program_args)),
            _ => Ok(Self::Anything),
        }
    }

    fn call(args: &Run, task: Option<&propeller_api::Call>) -> Result<Self, Failure> {
        let wanted = Wanted::new(args.call.as_deref(), args.function.clone(), args.args.as_deref(), task);
        Ok(Self::Call(wanted?))
    }

    /// Checks that the component can do it, so that nothing is compiled for what it can't.
    pub fn of(self, contract: &Contract, known: &mut Known) -> Result<Work, Failure> {
        let wanted = match self {
            Self::Program(_) if contract.command().is_none() => return Err(InvokeError::NotACommand.into()),
            Self::Program(args) => return Ok(Work::Program(args)),
            Self::Anything if contract.command().is_some() => return Ok(Work::Program(Vec::new())),
            Self::Anything => Wanted::default(),
            Self::Call(wanted) => wanted,
        };
        known.ran = Ran::NoProgram;
        if contract.service().is_some() && contract.functions().next().is_none() {
            return Err(Failure::OnlyServes);
        }
        wanted.fit(contract).map(Work::Call)
    }
}

/// What the function returned: in text the value alone, as WAVE; in JSON beside the figures.
#[derive(Debug, Serialize)]
pub struct Report {
    /// A function that returns nothing gives null.
    pub result: Value,
    pub figures: FiguresReport,
    /// A function that returns nothing has no text.
    #[serde(skip)]
    pub wave: String,
}

/// How a program ended, in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    pub exit_code: i32,
    pub figures: FiguresReport,
}

impl Report {
    fn new(outcome: Outcome<Returned>, known: &mut Known) -> Result<Self, Failure> {
        known.ended(&outcome);
        let returned = outcome.result?;
        Ok(Self {
            result: returned.json().cloned().unwrap_or_default(),
            figures: outcome.figures.into(),
            wave: returned.wave().unwrap_or_default(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wave)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(line: &str, task: Option<&str>) -> Result<String, Failure> {
        let line = ["propeller", "run"].into_iter().chain(line.split_whitespace());
        let Command::Run(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not a run")
        };
        let task = task.map(|task| serde_saphyr::from_str(task).unwrap());
        Ok(match Asked::new(&args, task)? {
            Asked::Call(_) => "call".to_owned(),
            Asked::Program(args) => format!("program {}", args.join(",")),
            Asked::Anything => "anything".to_owned(),
        })
    }

    #[test]
    fn flags_count_more_than_the_task() {
        let check = |line: &str, task: Option<&str>, expected: Result<&str, &str>| {
            let asked = asked(line, task).map_err(|failure| failure.reason().to_owned());
            assert_eq!(asked.as_deref().map_err(String::as_str), expected, "{line} {task:?}");
        };
        let call = Some("{call: {function: f, args: []}}");
        let command = Some("{command: {args: [a, b]}}");
        check("a.wasm", None, Ok("anything"));
        check("a.wasm f()", None, Ok("call"));
        check("a.wasm --args []", None, Ok("call"));
        check("a.wasm -- a --b", None, Ok("program a,--b"));
        check("t.yaml", call, Ok("call"));
        check("t.yaml f()", call, Ok("call"));
        check("t.yaml -- a", call, Err("Usage"));
        check("t.yaml", command, Ok("program a,b"));
        check("t.yaml -- c", command, Ok("program c"));
        check("t.yaml f()", command, Ok("call"));
        check("t.yaml", Some("{service: {}}"), Err("Usage"));
    }
}
