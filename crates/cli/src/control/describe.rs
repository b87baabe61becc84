//! `propeller describe`: all that is known of one task or proplet, for people.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age::{short, since},
    columns::{Layout, plain},
    cordon::{is_cordoned, is_placed_on},
    get::yaml,
    kind::{Kind, Target, conditions, text},
    merge::LAST_APPLIED,
    server::{Query, Server, together},
    table::{Table, clean, clean_lines},
};
use crate::{
    args::{Describe, Format},
    failure::Failure,
    output::Output,
};

/// Width of the names before values.
const LABEL: usize = 13;

/// Describes each that is named.
pub async fn describe(args: &Describe, server: &Server, output: &Output) -> Result<(), Failure> {
    let Target { kind, names } = Target::named(&args.what)?;
    let mut objects = vec![];
    for (index, name) in names.iter().enumerate() {
        let object = server.get(kind, name).await?;
        if output.format() == Format::Text {
            let tasks = match kind {
                Kind::Task => vec![],
                Kind::Proplet => placed(server, name).await?,
            };
            let told = Told {
                tasks,
                events: server.events(kind, &object).await.map_err(|error| error.to_string()),
            };
            let gap = if index == 0 { "" } else { "\n" };
            output.text(&format!("{gap}{}", page(kind, &object, &told, Timestamp::now())))?;
        }
        objects.push(object);
    }
    output.document(&together(objects))
}

async fn placed(server: &Server, proplet: &str) -> Result<Vec<Value>, Failure> {
    let mut list = server.list(Kind::Task, &Query::default()).await?;
    let tasks = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok(tasks.into_iter().filter(|task| is_placed_on(task, proplet)).collect())
}

/// What is told of an object beside itself.
struct Told {
    /// What a proplet has.
    tasks: Vec<Value>,
    /// What was noticed of it, or why that isn't known: the rest is shown all the same.
    events: Result<Vec<Value>, String>,
}

fn page(kind: Kind, object: &Value, told: &Told, now: Timestamp) -> String {
    let mut page = Page {
        text: String::new(),
        now,
    };
    page.identity(object);
    match kind {
        Kind::Task => page.task(object),
        Kind::Proplet => page.proplet(object, &told.tasks),
    }
    page.block("Spec", &yaml(&object["spec"]));
    match &told.events {
        Ok(events) => page.events(events),
        Err(problem) => page.line("Events", &format!("not known: {problem}")),
    }
    page.text
}

struct Page {
    text: String,
    now: Timestamp,
}

impl Page {
    fn identity(&mut self, object: &Value) {
        self.field("Name", object.pointer("/metadata/name"));
        self.field("Namespace", object.pointer("/metadata/namespace"));
        for (label, pointer) in [("Labels", "/metadata/labels"), ("Annotations", "/metadata/annotations")] {
            let pairs = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
            let pairs: Vec<_> = pairs
                .filter(|(key, _)| *key != LAST_APPLIED)
                .map(|(key, value)| format!("{key}={}", plain(Some(value))))
                .collect();
            self.line(label, &pairs.join(", "));
        }
        self.time("Created", object, "/metadata/creationTimestamp");
    }

    fn task(&mut self, task: &Value) {
        let status = &task["status"];
        self.field("Phase", status.get("phase"));
        self.field("Image", status.get("image").or(task.pointer("/spec/image")));
        self.field("Proplet", status.get("proplet"));
        self.field("Address", status.get("address"));
        let failures = status["failures"].as_u64().unwrap_or_default();
        let attempt = plain(status.get("attempt"));
        self.line(
            "Attempt",
            &match failures {
                0 => attempt,
                failures => format!("{attempt} ({failures} failed)"),
            },
        );
        self.time("Next attempt", status, "/retryTime");
        self.time("Started", status, "/startTime");
        self.time("Ended", status, "/completionTime");
        self.block("Results", &pretty(status.get("results")));
        self.block("Error", &pretty(status.get("error")));
        self.line("Used", &usage(&status["usage"]));
        self.conditions(task);
        self.rows(
            "Lost attempts",
            &["ATTEMPT", "PROPLET"],
            status,
            "lost",
            &["attempt", "proplet"],
        );
        self.line("Failed on", &list(&status["tried"]));
        let columns = ["PROPLET", "REASON", "TIMES", "NOT BEFORE", "MESSAGE"];
        let fields = ["proplet", "reason", "count", "until", "message"];
        self.rows("Refusals", &columns, status, "refusals", &fields);
    }

    fn proplet(&mut self, proplet: &Value, tasks: &[Value]) {
        let status = &proplet["status"];
        self.field("Client id", proplet.pointer("/spec/connectionConfig/clientId"));
        self.line(
            "Cordoned",
            if is_cordoned(proplet) {
                "yes: nothing new is placed here"
            } else {
                "no"
            },
        );
        self.field("Version", status.pointer("/host/version"));
        let machine = ["/host/os", "/host/arch"]
            .map(|pointer| text(status, pointer).to_owned())
            .join(" ");
        let cpus = status.pointer("/host/cpus").map(|cpus| format!(", {cpus} processors"));
        self.line("Machine", format!("{machine}{}", cpus.unwrap_or_default()).trim());
        let capacity = |field: &str| plain(status.pointer(&format!("/capacity/{field}")));
        if status.get("capacity").is_some() {
            self.line(
                "Takes",
                &format!("{} tasks, {} of memory", capacity("tasks"), capacity("memory")),
            );
        }
        self.line("Of a task", &capacity("maxTaskMemory"));
        self.conditions(proplet);
        let layout = Layout {
            kind: Kind::Task,
            namespace: false,
            wide: false,
        };
        let rows = tasks.iter().map(|task| layout.row(task, self.now));
        let rows: Vec<_> = std::iter::once(layout.headings()).chain(rows).collect();
        match tasks {
            [] => self.line("Tasks", "none"),
            _ => self.table("Tasks", &rows),
        }
    }

    fn conditions(&mut self, object: &Value) {
        let row = |condition: &Value| {
            let age = since(condition, "/lastTransitionTime", self.now);
            let [type_, status, reason, message] =
                ["/type", "/status", "/reason", "/message"].map(|field| text(condition, field).to_owned());
            // What follows the first line is a backtrace, which is shown below.
            let first = message.lines().next().unwrap_or_default().to_owned();
            (vec![type_, status, reason, age, first], message)
        };
        let rows: Vec<_> = conditions(object).map(row).collect();
        let headings = ["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"]
            .map(str::to_owned)
            .to_vec();
        if !rows.is_empty() {
            let cells = rows.iter().map(|(row, _)| row.clone());
            let table: Vec<_> = std::iter::once(headings).chain(cells).collect();
            self.table("Conditions", &table);
        }
        for (row, message) in rows.iter().filter(|(_, message)| message.lines().count() > 1) {
            self.block(&format!("{} in full", row[0]), message);
        }
    }

    /// The oldest first. Of what repeats, how often, and the last time.
    fn events(&mut self, events: &[Value]) {
        let mut rows: Vec<_> = events.iter().map(|event| (last_time(event), event)).collect();
        rows.sort_by_key(|(last, _)| *last);
        let row = |(last, event): (Option<Timestamp>, &Value)| {
            let [type_, reason, message] = ["/type", "/reason", "/message"].map(|field| text(event, field).to_owned());
            let times = event.pointer("/series/count").or(event.get("count"));
            let times = times.and_then(Value::as_u64).unwrap_or(1);
            let age = last.map(|last| short(self.now.duration_since(last).as_secs().max(0)));
            let age = age.unwrap_or_default();
            let age = if times > 1 { format!("{age} (×{times})") } else { age };
            let message = message.lines().next().unwrap_or_default().to_owned();
            vec![type_, reason, age, message]
        };
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        if !rows.is_empty() {
            let headings = ["TYPE", "REASON", "AGE", "MESSAGE"].map(str::to_owned).to_vec();
            self.table("Events", &std::iter::once(headings).chain(rows).collect::<Vec<_>>());
        }
    }

    fn rows(&mut self, title: &str, headings: &[&str], status: &Value, list: &str, fields: &[&str]) {
        let items = status[list].as_array().into_iter().flatten();
        let rows: Vec<Vec<String>> = items
            .map(|item| fields.iter().map(|field| plain(item.get(*field))).collect())
            .collect();
        if !rows.is_empty() {
            let headings = headings.iter().map(ToString::to_string).collect();
            let table: Vec<_> = std::iter::once(headings).chain(rows).collect();
            self.table(title, &table);
        }
    }

    fn table(&mut self, title: &str, rows: &[Vec<String>]) {
        let drawn = Table::default().draw(rows);
        self.indented(title, &drawn);
    }

    fn block(&mut self, title: &str, text: &str) {
        match text.trim_end() {
            "" => {}
            line if !line.contains('\n') && title != "Spec" => self.line(title, line),
            text => self.indented(title, &clean_lines(text)),
        }
    }

    fn indented(&mut self, title: &str, lines: &str) {
        // Writing into text doesn't fail.
        let _ = writeln!(self.text, "{title}:");
        for line in lines.lines() {
            let _ = writeln!(self.text, "  {line}");
        }
    }

    fn time(&mut self, label: &str, object: &Value, pointer: &str) {
        let time = text(object, pointer);
        let Ok(at) = time.parse::<Timestamp>() else { return };
        let passed = self.now.duration_since(at).as_secs();
        let distance = match passed {
            ..-1 => format!("in {}", short(-passed)),
            _ => format!("{} ago", short(passed)),
        };
        self.line(label, &format!("{time} ({distance})"));
    }

    fn field(&mut self, label: &str, value: Option<&Value>) {
        self.line(label, &plain(value));
    }

    /// What isn't known is no line.
    fn line(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            let label = format!("{label}:");
            let _ = writeln!(self.text, "{label:LABEL$} {}", clean(value));
        }
    }
}

/// Kubernetes has had several fields for it.
fn last_time(event: &Value) -> Option<Timestamp> {
    let fields = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    fields.into_iter().find_map(|field| text(event, field).parse().ok())
}

fn pretty(value: Option<&Value>) -> String {
    match value {
        Some(value @ (Value::Array(_) | Value::Object(_))) => {
            serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
        }
        Some(Value::Null) | None => String::new(),
        Some(value) => value.to_string(),
    }
}

fn list(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}

fn usage(usage: &Value) -> String {
    if !usage.is_object() {
        return String::new();
    }
    let number = |field: &str| usage[field].as_u64().unwrap_or_default();
    format!(
        "{} ms, {} ms of processor time, {} KiB of memory, {} bytes in, {} bytes out",
        number("wallMillis"),
        number("cpuMillis"),
        number("peakMemoryBytes").div_ceil(1024),
        number("bytesIn"),
        number("bytesOut"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:01:00Z".parse().unwrap()
    }

    #[test]
    fn a_task_tells_what_became_of_it() {
        let at = |second: u8| format!("2026-01-01T00:00:{second:02}Z");
        let task = json!({
            "metadata": {"name": "a", "namespace": "lab", "labels": {"x": "y"}, "creationTimestamp": at(0), "annotations": {LAST_APPLIED: "{}"}},
            "spec": {"image": "r/a:1", "call": {"function": "f"}},
            "status": {
                "phase": "Failed", "proplet": "edge-2", "attempt": 2, "failures": 1, "tried": ["edge-1"], "completionTime": at(50),
                "error": {"deep": 1}, "usage": {"wallMillis": 3, "peakMemoryBytes": 1025},
                "lost": [{"attempt": 1, "proplet": "edge-1", "proplet_id": "x"}],
                "conditions": [
                    {"type": "Finished", "status": "True", "reason": "Trap", "message": "wasm trap\n0: f\u{1b}", "lastTransitionTime": at(50)},
                ],
            },
        });
        let expected = "\
Name:         a
Namespace:    lab
Labels:       x=y
Created:      2026-01-01T00:00:00Z (60s ago)
Phase:        Failed
Image:        r/a:1
Proplet:      edge-2
Attempt:      2 (1 failed)
Ended:        2026-01-01T00:00:50Z (10s ago)
Error:
  {
    \"deep\": 1
  }
Used:         3 ms, 0 ms of processor time, 2 KiB of memory, 0 bytes in, 0 bytes out
Conditions:
  TYPE       STATUS   REASON   AGE   MESSAGE
  Finished   True     Trap     10s   wasm trap
Finished in full:
  wasm trap
  0: f\\u{1b}
Lost attempts:
  ATTEMPT   PROPLET
  1         edge-1
Failed on:    edge-1
Spec:
  call:
    function: f
  image: r/a:1
Events:
  TYPE      REASON       AGE        MESSAGE
  Normal    Dispatched   30s        on edge-2
  Warning   Trap         10s (×3)   wasm trap
";
        let event =
            |type_: &str, reason: &str, message: &str| json!({"type": type_, "reason": reason, "message": message});
        let mut trap = event("Warning", "Trap", "wasm trap\n0: f");
        (trap["series"], trap["firstTimestamp"]) = (json!({"count": 3, "lastObservedTime": at(50)}), at(1).into());
        let mut dispatched = event("Normal", "Dispatched", "on edge-2");
        (dispatched["count"], dispatched["lastTimestamp"]) = (1.into(), at(30).into());
        let told = Told {
            tasks: vec![],
            events: Ok(vec![trap, dispatched]),
        };
        assert_eq!(page(Kind::Task, &task, &told, now()), expected);
    }

    #[test]
    fn a_proplet_tells_what_it_has() {
        let proplet = json!({
            "metadata": {"name": "edge-1"},
            "spec": {"connectionConfig": {"clientId": "edge-1"}, "unschedulable": true},
            "status": {"host": {"version": "0.1.0", "os": "linux", "arch": "aarch64", "cpus": 4}, "capacity": {"tasks": 8, "memory": "1Gi"}},
        });
        let task = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running", "proplet": "edge-1"}});
        let expected = "\
Name:         edge-1
Client id:    edge-1
Cordoned:     yes: nothing new is placed here
Version:      0.1.0
Machine:      linux aarch64, 4 processors
Takes:        8 tasks, 1Gi of memory
Tasks:
  NAME   PHASE     REASON   PROPLET   RESULTS   AGE
  a      Running            edge-1              60s
Spec:
  connectionConfig:
    clientId: edge-1
  unschedulable: true
Events:       not known: forbidden
";
        let told = Told {
            tasks: vec![task],
            events: Err("forbidden".into()),
        };
        assert_eq!(page(Kind::Proplet, &proplet, &told, now()), expected);
    }
}
