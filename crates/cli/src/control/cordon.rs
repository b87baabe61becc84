//! `propeller cordon`, `uncordon` and `drain`: what keeps tasks away from a proplet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{signal, time::timeout};

use super::{
    ControlError,
    kind::{Kind, name, text},
    server::{Query, Server, together},
    wait::has_ended,
    watch::{Seen, Watch},
};
use crate::{
    args::{Cordon, Drain},
    failure::Failure,
    output::Output,
};

/// Sets or takes away the cordons of those that are named.
pub async fn cordon(args: &Cordon, wanted: bool, server: &Server, output: &Output) -> Result<(), Failure> {
    let mut objects = vec![];
    for proplet in &args.proplets {
        let (said, object) = set(server, proplet, wanted).await?;
        output.line(&said)?;
        objects.push(object);
    }
    output.document(&together(objects))
}

async fn set(server: &Server, proplet: &str, wanted: bool) -> Result<(String, Value), ControlError> {
    let verb = if wanted { "cordoned" } else { "uncordoned" };
    let before = server.get(Kind::Proplet, proplet).await?;
    if is_cordoned(&before) == wanted {
        return Ok((format!("proplet/{proplet} already {verb}"), before));
    }
    // Null takes the field away, which is what a Proplet has that never was cordoned.
    let field = if wanted { json!(true) } else { Value::Null };
    let object = server
        .change_spec(Kind::Proplet, proplet, json!({"unschedulable": field}))
        .await?;
    Ok((format!("proplet/{proplet} {verb}"), object))
}

/// Whether nothing new is placed there.
pub fn is_cordoned(proplet: &Value) -> bool {
    proplet.pointer("/spec/unschedulable") == Some(&Value::Bool(true))
}

/// Cordons it, and waits until nothing is there that ends by itself, nor anything else if that is moved.
pub async fn drain(args: &Drain, server: &Server, output: &Output) -> Result<(), Failure> {
    let (said, _) = set(server, &args.proplet, true).await?;
    output.line(&said)?;
    let mut left = Left::default();
    let emptied = tokio::select! {
        biased;
        _ = signal::ctrl_c() => Err(Failure::Interrupted),
        emptied = in_time(args, server, output, &mut left) => emptied,
    };
    if let Err(failure) = emptied {
        resume(server, &left).await;
        return Err(failure);
    }
    if let Some(services) = left.services() {
        let proplet = args.proplet.clone();
        return Err(ControlError::Services { proplet, services }.into());
    }
    output.line(&format!("proplet/{} drained", args.proplet))?;
    output.document(&server.get(Kind::Proplet, &args.proplet).await?)
}

async fn in_time(args: &Drain, server: &Server, output: &Output, left: &mut Left) -> Result<(), Failure> {
    let limit = args.timeout.map_or(Duration::MAX, |limit| limit.0);
    if let Ok(emptied) = timeout(limit, empty(args, server, output, left)).await {
        return emptied;
    }
    let what = format!("the end of what is on {}", args.proplet);
    let state = format!("it still has {left}");
    Err(ControlError::TimedOut { what, limit, state }.into())
}

/// Nobody waits any more for what was suspended to stop: it is placed anew by itself.
async fn resume(server: &Server, left: &Left) {
    let here = |name: &&String| left.tasks.values().any(|task| super::kind::name(task) == name.as_str());
    for service in left.suspended.iter().filter(here) {
        if let Err(error) = suspend(server, service, false).await {
            tracing::warn!("{error}: task/{service} stays suspended");
        }
    }
}

async fn empty(args: &Drain, server: &Server, output: &Output, left: &mut Left) -> Result<(), Failure> {
    let (list, mut watch) = Watch::begin(server, Kind::Task, Query::default()).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items
        .into_iter()
        .for_each(|task| left.note(Seen::Is(task), &args.proplet));
    if !left.is_empty() {
        output.note(&format!("waiting for {left}"));
    }
    while left.waits_for(args.evict) {
        // One may have been on its way here when the proplet was cordoned.
        for service in left.not_yet_suspended(args.evict) {
            suspend(server, &service, true).await?;
            output.note(&format!("task/{service} is suspended, to be placed elsewhere"));
        }
        let before = left.to_string();
        left.note(watch.next().await?, &args.proplet);
        for moved in std::mem::take(&mut left.moved) {
            if args.evict && is_service(&moved) {
                suspend(server, name(&moved), false).await?;
                output.line(&format!("task/{} moved away", name(&moved)))?;
            }
        }
        if before != left.to_string() && !left.is_empty() {
            output.note(&format!("waiting for {left}"));
        }
    }
    Ok(())
}

async fn suspend(server: &Server, task: &str, wanted: bool) -> Result<(), ControlError> {
    let field = if wanted { json!(true) } else { Value::Null };
    let changed = server.change_spec(Kind::Task, task, json!({"suspend": field})).await;
    match changed {
        // Deleted meanwhile: it's gone from there too.
        Err(ControlError::NotFound { .. }) => Ok(()),
        result => result.map(drop),
    }
}

fn is_service(task: &Value) -> bool {
    task.pointer("/spec/service").is_some()
}

/// Whether the task's attempt is there: written, sent or accepted.
pub fn is_placed_on(task: &Value, proplet: &str) -> bool {
    let is_under_way = matches!(text(task, "/status/phase"), "Dispatched" | "Running");
    is_under_way && text(task, "/status/proplet") == proplet && !has_ended(task)
}

/// What a proplet still has, by uid.
#[derive(Default)]
struct Left {
    tasks: BTreeMap<String, Value>,
    /// What isn't there any more since somebody looked.
    moved: Vec<Value>,
    /// Names of services that are on their way to elsewhere.
    suspended: BTreeSet<String>,
}

impl Left {
    fn note(&mut self, seen: Seen, proplet: &str) {
        match seen {
            Seen::Is(task) if is_placed_on(&task, proplet) => {
                self.tasks.insert(text(&task, "/metadata/uid").to_owned(), task);
            }
            Seen::Is(task) => self.moved.extend(self.tasks.remove(text(&task, "/metadata/uid"))),
            Seen::Gone(task) => drop(self.tasks.remove(text(&task, "/metadata/uid"))),
        }
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn waits_for(&self, services_too: bool) -> bool {
        self.tasks.values().any(|task| services_too || !is_service(task))
    }

    /// Names of the services that nobody suspended yet, which is done now.
    fn not_yet_suspended(&mut self, evict: bool) -> Vec<String> {
        let services = self.tasks.values().filter(|task| evict && is_service(task));
        let new = services
            .map(|task| name(task).to_owned())
            .filter(|name| !self.suspended.contains(name));
        let new: Vec<_> = new.collect();
        self.suspended.extend(new.iter().cloned());
        new
    }

    fn services(&self) -> Option<String> {
        let services: Vec<_> = self.tasks.values().filter(|task| is_service(task)).map(name).collect();
        (!services.is_empty()).then(|| services.join(", "))
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.tasks.values().map(|task| format!("task/{}", name(task))).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, phase: &str, proplet: &str, service: bool) -> Value {
        let work = if service {
            json!({"service": {}})
        } else {
            json!({"command": {}})
        };
        json!({"metadata": {"name": name, "uid": name}, "spec": work, "status": {"phase": phase, "proplet": proplet}})
    }

    #[test]
    fn what_is_left_is_what_runs_there() {
        let mut left = Left::default();
        for task in [
            task("a", "Running", "edge", false),
            task("b", "Running", "other", false),
            task("c", "Pending", "edge", false),
            task("d", "Completed", "edge", false),
            task("e", "Dispatched", "edge", true),
        ] {
            left.note(Seen::Is(task), "edge");
        }
        assert_eq!(
            (left.to_string().as_str(), left.services().as_deref()),
            ("task/a, task/e", Some("e"))
        );
        assert!(left.waits_for(false));
        left.note(Seen::Is(task("a", "Completed", "edge", false)), "edge");
        assert!(!left.waits_for(false) && left.waits_for(true));
        left.note(Seen::Is(task("e", "Pending", "edge", true)), "edge");
        assert_eq!((left.is_empty(), left.moved.len()), (true, 2));
    }
}
