//! `propeller run --on`: a Task made, waited for, shown as a run here would be, and deleted.

use std::time::Duration;

use propeller_api::{Call, Command, Usage};
use propeller_host::{engine::InvokeError, proplet::signals};
use propeller_types::{Contract, FunctionRef};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::{
    ControlError,
    kind::{Kind, condition, name, text},
    logs,
    rerun::{create, object},
    server::{Query, Server},
    wait::{describe, has_ended},
    watch::{Seen, Watch},
};
use crate::{
    args::Run,
    component::{Access, Component},
    exit::Exit,
    failure::{Failure, Known},
    order::Order,
    output::Output,
    run::{Asked, Ended, Report, Work},
    source::Source,
};

/// How long somebody who pressed Ctrl-C waits for the end of what was cancelled.
const CANCEL: Duration = Duration::from_secs(5);
/// How long lines of a call may come after its result, which is what people wait for.
const LATE_FOR_A_CALL: Duration = Duration::from_millis(100);
/// How long those of a program may, whose lines are what people wait for.
const LATE_FOR_A_PROGRAM: Duration = Duration::from_secs(3);

/// Why a Task failed, where a run here has no failure of that kind.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TaskFailure {
    reason: String,
    message: String,
}

impl TaskFailure {
    /// The reason of the Task's condition.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The exit code of a run here that fails for that reason.
    pub fn exit(&self) -> Exit {
        match self.reason.as_str() {
            "OutOfMemory" | "Crowded" => Exit::OutOfMemory,
            "DeadlineExceeded" | "StartDeadlineExceeded" => Exit::Deadline,
            "ResultTooLarge" => Exit::Trapped,
            "Cancelled" => Exit::Interrupted,
            "InvalidReference" | "InvalidSpec" => Exit::Usage,
            "RegistryUnreachable"
            | "Unauthorized"
            | "NotFound"
            | "RateLimited"
            | "RegistryFailed"
            | "TooLarge"
            | "DigestMismatch"
            | "CredentialsFailed" => Exit::Registry,
            "UnknownImport"
            | "CompileFailed"
            | "CompileTooLong"
            | "CompileOutOfMemory"
            | "CompileTooLarge"
            | "NotWasm"
            | "UnsupportedArtifact" => Exit::Component,
            _ => Exit::Failed,
        }
    }
}

/// Runs it there. The Task is gone afterwards, unless it is to be kept.
pub async fn run(args: &Run, access: &Access<'_>, output: &Output, known: &mut Known) -> Result<Exit, Failure> {
    let order = Order::new(&args.source, args.image.as_deref(), known)?;
    let asked = Asked::new(args, order.work())?;
    let reference = match &order.source {
        Source::File(path) => return Err(Failure::NotInARegistry(path.clone())),
        Source::Reference(reference) => reference.to_string(),
    };
    let mut spec = order.spec(args)?;
    let server = Server::find(&args.remote.server, access.environment).await?;
    let component = Component::load(&order.source, access).await?;
    spec.image = reference;
    (spec.call, spec.command) = match asked.of(&component.contract, known)? {
        Work::Call(call) => {
            let (function, args) = (call.function.to_string(), call.args);
            (Some(Call { function, args }), None)
        }
        Work::Program(args) => (None, Some(Command { args })),
    };
    spec.proplet.clone_from(&args.remote.on);
    spec.proplet_selector.clone_from(&args.remote.selector);
    let make = |name: &str| object(spec.clone(), name, &server.namespace);
    let task = create(&server, &component.origin.short_name(), make).await?;
    attend(args, &server, &task, output).await.and_then(|ended| {
        let function = spec.call.as_ref().map(|call| call.function.as_str());
        shown(&ended, function, &component.contract, output)
    })
}

/// The Task when it has ended; and then it is gone, also if nobody wanted to wait.
async fn attend(args: &Run, server: &Server, task: &Value, output: &Output) -> Result<Value, Failure> {
    let mut signals = signals().map_err(Failure::Start)?;
    let ended = tokio::select! {
        biased;
        _ = signals.recv() => {
            cancel(server, task, &mut signals).await;
            Err(Failure::Interrupted)
        }
        ended = shown_to_its_end(server, task, output) => ended.map_err(Into::into),
    };
    if args.remote.keep {
        output.note(&format!("task/{} is kept", name(task)));
    } else {
        let uid = text(task, "/metadata/uid");
        let deleted = tokio::select! {
            deleted = server.delete(Kind::Task, &server.namespace, name(task), Some(uid)) => deleted,
            // Once more than to cancel it.
            _ = signals.recv() => return Err(Failure::Interrupted),
        };
        if let Err(error) = deleted {
            tracing::warn!("{error}: delete it with `propeller delete task {}`", name(task));
        }
    }
    ended
}

/// What it prints is shown as it comes, as a run here shows it.
async fn shown_to_its_end(server: &Server, task: &Value, output: &Output) -> Result<Value, ControlError> {
    let is_program = task.pointer("/spec/command").is_some();
    let lines = async {
        match logs::follow(server, name(task), !is_program).await {
            Err(error) if is_program => output.note(&format!("what it prints can't be shown: {error}")),
            Err(error) => tracing::debug!("what it prints can't be shown: {error}"),
            Ok(()) => {}
        }
    };
    let mut lines = std::pin::pin!(lines);
    let mut end = std::pin::pin!(end_of(server, task, output));
    let ended = tokio::select! {
        ended = &mut end => ended,
        () = &mut lines => return end.await,
    };
    let late = if is_program {
        LATE_FOR_A_PROGRAM
    } else {
        LATE_FOR_A_CALL
    };
    let _ = timeout(late, lines).await;
    ended
}

/// A cancelled task says so when it has stopped. Whoever presses Ctrl-C again doesn't wait for that.
async fn cancel(server: &Server, task: &Value, signals: &mut mpsc::Receiver<()>) {
    let cancelled = async {
        server
            .change_spec(Kind::Task, name(task), json!({"cancel": true}))
            .await?;
        let (list, mut watch) = Watch::begin(server, Kind::Task, Query::one(name(task))).await?;
        let mut seen = list["items"].as_array().and_then(|items| items.first()).cloned();
        while seen.is_some_and(|task| !has_ended(&task)) {
            seen = match watch.next().await? {
                Seen::Is(task) => Some(task),
                Seen::Gone(_) => None,
            };
        }
        Ok::<_, ControlError>(())
    };
    tokio::select! {
        _ = signals.recv() => {}
        result = timeout(CANCEL, cancelled) => if let Ok(Err(error)) = result {
            tracing::warn!("can't cancel {}: {error}", name(task));
        },
    }
}

/// Tells people why it waits, each time that changes.
async fn end_of(server: &Server, task: &Value, output: &Output) -> Result<Value, ControlError> {
    let (list, mut watch) = Watch::begin(server, Kind::Task, Query::one(name(task))).await?;
    let first = list["items"].as_array().and_then(|items| items.first()).cloned();
    let gone = || ControlError::Hopeless {
        what: format!("the end of task/{}", name(task)),
        state: "it was deleted".to_owned(),
    };
    let mut now = first.ok_or_else(gone)?;
    let mut told = String::new();
    while !has_ended(&now) {
        let held_up = condition(&now, "Resolved")
            .into_iter()
            .chain(condition(&now, "Scheduled"));
        if held_up.into_iter().any(|said| said["status"] == "False") && told != describe(&now) {
            told = describe(&now);
            output.note(&format!("task/{} waits: {told}", name(&now)));
        }
        now = match watch.next().await? {
            Seen::Is(object) => object,
            Seen::Gone(_) => return Err(gone()),
        };
    }
    Ok(now)
}

/// Its result or failure, as a run here shows it.
fn shown(task: &Value, function: Option<&str>, contract: &Contract, output: &Output) -> Result<Exit, Failure> {
    let status = &task["status"];
    let usage: Usage = serde_json::from_value(status["usage"].clone()).unwrap_or_default();
    let exit_code = status.pointer("/error/exitCode").and_then(Value::as_i64);
    let exit_code = exit_code.map(|code| i32::try_from(code).unwrap_or(i32::MAX));
    let is_completed = text(status, "/phase") == "Completed";
    let Some(function) = function else {
        let exit_code = if is_completed {
            0
        } else {
            exit_code.ok_or_else(|| failure(task))?
        };
        let figures = usage.into();
        output.aside(&Ended { exit_code, figures });
        return Ok(Exit::Program(exit_code));
    };
    if !is_completed {
        return Err(failure(task));
    }
    let result = status["results"].clone();
    let found = function
        .parse::<FunctionRef>()
        .ok()
        .and_then(|name| contract.find(&name).ok());
    let wave = found
        .and_then(|function| function.result_as_wave(&result))
        .unwrap_or_default();
    let figures = usage.into();
    output.report(&Report { result, figures, wave })?;
    Ok(Exit::Done)
}

/// Where a run here has the same failure, it is that one.
fn failure(task: &Value) -> Failure {
    let finished = condition(task, "Finished").cloned().unwrap_or_default();
    let (reason, message) = (text(&finished, "/reason"), text(&finished, "/message"));
    let error = task.pointer("/status/error");
    let code = error
        .and_then(|error| error["exitCode"].as_i64())
        .and_then(|code| i32::try_from(code).ok());
    match (reason, code) {
        ("ErrResult", _) => InvokeError::ErrResult { value: error.cloned() }.into(),
        ("Trap", _) => {
            let mut lines = message.lines().map(super::table::clean);
            InvokeError::Trap {
                message: lines.next().unwrap_or_default(),
                backtrace: lines.collect(),
            }
            .into()
        }
        ("Exited", Some(code)) => InvokeError::Exited { code }.into(),
        _ => TaskFailure {
            reason: reason.to_owned(),
            message: super::table::clean_lines(message),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_those_of_a_run_here() {
        let check = |reason: &str, message: &str, error: Value, expected: Exit, told: &str| {
            let task = json!({"status": {
                "error": error,
                "conditions": [{"type": "Finished", "status": "True", "reason": reason, "message": message}],
            }});
            let failure = failure(&task);
            assert_eq!(
                (failure.exit(), failure.reason(), failure.to_string().as_str()),
                (expected, reason, told)
            );
        };
        let none = Value::Null;
        check(
            "ErrResult",
            "x",
            json!({"a": 1}),
            Exit::ErrResult,
            r#"the function returned an error: {"a":1}"#,
        );
        check(
            "Trap",
            "wasm trap: unreachable\n0: a!b",
            none.clone(),
            Exit::Trapped,
            "the guest failed: wasm trap: unreachable",
        );
        check(
            "Exited",
            "x",
            json!({"exitCode": 3}),
            Exit::Trapped,
            "the guest exited with code 3 instead of returning",
        );
        check("OutOfMemory", "too much", none.clone(), Exit::OutOfMemory, "too much");
        check("DeadlineExceeded", "too long", none.clone(), Exit::Deadline, "too long");
        check("RegistryUnreachable", "away", none.clone(), Exit::Registry, "away");
        check("Lost", "the proplet is away", none, Exit::Failed, "the proplet is away");
    }
}
