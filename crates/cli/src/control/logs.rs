//! `propeller logs`: what a task wrote, also after its end.

use std::io::{self, Write};

use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use super::{kind::text, server::Server, table::clean};
use crate::{
    args::{Format, Logs},
    failure::Failure,
    output::Output,
};

/// Shows the lines as they come: those of standard output there, and those of standard error here, too.
pub async fn logs(args: &Logs, server: &Server, output: &Output) -> Result<(), Failure> {
    let name = args.task.strip_prefix("task/").unwrap_or(&args.task);
    let lines = server.lines(name, args.follow, args.tail).await?;
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
