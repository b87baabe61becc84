//! `propeller logs`: what a task wrote, also after its end.

use std::io::{self, Write};

use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use super::{
    ControlError,
    kind::{Kind, name_of, text},
    server::Server,
    table::clean,
};
use crate::{
    args::{Format, Logs},
    failure::Failure,
    output::Output,
};

/// Shows the lines as they come: those of standard output there, and those of standard error here, too.
pub async fn logs(args: &Logs, server: &Server, output: &Output) -> Result<(), Failure> {
    let name = name_of(Kind::Task, &args.task)?;
    let lines = server.lines(&name, args.follow, args.tail).await?;
    let mut lines = std::pin::pin!(lines.lines());
    let broken = |source: io::Error| server.broken(format!("read the lines of task/{name}"), source);
    while let Some(line) = lines.try_next().await.map_err(broken)? {
        if output.format() == Format::Json {
            output.text(&format!("{line}\n"))?;
            continue;
        }
        let Ok(entry) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        show(args, &entry, output)?;
    }
    Ok(())
}

/// Shows the lines of a task that is followed to its end: all of them on standard error, or each where the task wrote it.
pub async fn follow(server: &Server, task: &str, all_are_asides: bool) -> Result<(), ControlError> {
    let lines = server.lines(task, true, None).await?;
    let mut lines = std::pin::pin!(lines.lines());
    let broken = |source: io::Error| server.broken(format!("read the lines of task/{task}"), source);
    while let Some(line) = lines.try_next().await.map_err(broken)? {
        let Ok(entry) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let shown = format!("{}\n", clean(text(&entry, "/line")));
        // Where these are gone, the result of the task still has somewhere to go.
        let _ = match text(&entry, "/stream") {
            "stdout" if !all_are_asides => io::stdout().write_all(shown.as_bytes()),
            _ => io::stderr().write_all(shown.as_bytes()),
        };
    }
    Ok(())
}

fn show(args: &Logs, entry: &Value, output: &Output) -> Result<(), Failure> {
    let mut shown = String::new();
    if args.timestamps {
        shown.push_str(text(entry, "/time"));
        shown.push(' ');
    }
    shown.push_str(&clean(text(entry, "/line")));
    shown.push('\n');
    match text(entry, "/stream") {
        // Where standard error is gone, there is nobody to tell.
        "stderr" => drop(io::stderr().write_all(shown.as_bytes())),
        _ => output.text(&shown)?,
    }
    Ok(())
}
