//! The columns of tables: those that the custom resources tell kubectl, so that the two look the same.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    age::since,
    kind::{Kind, condition, conditions, text},
};

/// Characters of a result in a table. `-o wide` has all of it.
const RESULT: usize = 40;

/// One column behind the name.
pub struct Column {
    pub name: &'static str,
    /// Only with `-o wide`.
    pub wide: bool,
    value: Show,
}

/// How a cell is made.
enum Show {
    Field(&'static str),
    Age,
    Result,
    NewestReason,
    Ready(&'static str),
}

const fn column(name: &'static str, value: Show) -> Column {
    Column {
        name,
        wide: false,
        value,
    }
}

const fn wide(name: &'static str, value: Show) -> Column {
    Column {
        name,
        wide: true,
        value,
    }
}

const TASK: [Column; 10] = [
    column("Phase", Show::Field("/status/phase")),
    column("Reason", Show::NewestReason),
    column("Proplet", Show::Field("/status/proplet")),
    column("Results", Show::Result),
    column("Age", Show::Age),
    wide("Function", Show::Field("/spec/call/function")),
    wide("Image", Show::Field("/spec/image")),
    wide("Ready", Show::Ready("status")),
    wide("Address", Show::Field("/status/address")),
    wide("Attempt", Show::Field("/status/attempt")),
];

const PROPLET: [Column; 9] = [
    column("Ready", Show::Ready("status")),
    column("Reason", Show::Ready("reason")),
    column("Tasks", Show::Field("/status/capacity/tasks")),
    column("Memory", Show::Field("/status/capacity/memory")),
    column("Version", Show::Field("/status/host/version")),
    column("Age", Show::Age),
    wide("Client-ID", Show::Field("/spec/connectionConfig/clientId")),
    wide("Arch", Show::Field("/status/host/arch")),
    wide("OS", Show::Field("/status/host/os")),
];

/// What is in a table beside the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub kind: Kind,
    pub namespace: bool,
    pub wide: bool,
}

impl Layout {
    fn columns(self) -> impl Iterator<Item = &'static Column> {
        let all: &[Column] = match self.kind {
            Kind::Task => &TASK,
            Kind::Proplet => &PROPLET,
        };
        all.iter().filter(move |column| self.wide || !column.wide)
    }

    /// The headings.
    pub fn headings(self) -> Vec<String> {
        let first = ["NAMESPACE", "NAME"].into_iter().skip(usize::from(!self.namespace));
        let rest = self.columns().map(|column| column.name.to_uppercase());
        first.map(str::to_owned).chain(rest).collect()
    }

    /// One object's row.
    pub fn row(self, object: &Value, now: Timestamp) -> Vec<String> {
        let first = ["/metadata/namespace", "/metadata/name"];
        let first = first.into_iter().skip(usize::from(!self.namespace));
        let first = first.map(|pointer| text(object, pointer).to_owned());
        let rest = self.columns().map(|column| column.value.of(object, self.wide, now));
        first.chain(rest).collect()
    }
}

impl Show {
    fn of(&self, object: &Value, wide: bool, now: Timestamp) -> String {
        match self {
            Self::Field(pointer) => plain(object.pointer(pointer)),
            Self::Age => since(object, "/metadata/creationTimestamp", now),
            Self::Result => {
                let result = plain(object.pointer("/status/results"));
                if wide { result } else { cut(result) }
            }
            Self::NewestReason => plain(conditions(object).last().map(|newest| &newest["reason"])),
            Self::Ready(field) => plain(condition(object, "Ready").map(|ready| &ready[field])),
        }
    }
}

/// Text without quotes, anything else as JSON, nothing for nothing.
pub fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= RESULT {
        return text;
    }
    text.chars().take(RESULT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_columns_are_those_of_the_custom_resources() {
        for (crd, kind) in propeller_crd::all().into_iter().zip(Kind::ALL) {
            let theirs = crd.spec.versions[0]
                .additional_printer_columns
                .clone()
                .unwrap_or_default();
            let theirs: Vec<_> = theirs
                .iter()
                .map(|column| (column.name.as_str(), column.priority.unwrap_or(0) > 0))
                .collect();
            let layout = Layout {
                kind,
                namespace: false,
                wide: true,
            };
            let ours: Vec<_> = layout.columns().map(|column| (column.name, column.wide)).collect();
            assert_eq!(crd.spec.names.kind, kind.kind());
            assert_eq!(crd.spec.names.plural, kind.plural());
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn rows_say_what_is_known() {
        let now: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let task = json!({
            "metadata": {"name": "a", "namespace": "lab", "creationTimestamp": "2026-01-01T00:00:07Z"},
            "spec": {"image": "r/a:1", "call": {"function": "f"}},
            "status": {
                "phase": "Completed", "proplet": "edge-1", "results": {"deep": ["x".repeat(60)]}, "attempt": 1,
                "conditions": [{"type": "Resolved", "reason": "Resolved"}, {"type": "Finished", "reason": "Completed"}],
            },
        });
        let layout = |namespace, wide| Layout {
            kind: Kind::Task,
            namespace,
            wide,
        };
        let row = layout(false, false).row(&task, now);
        assert_eq!(row[..4], ["a", "Completed", "Completed", "edge-1"]);
        assert_eq!(
            (row[4].chars().count(), row[4].chars().last(), row[5].as_str()),
            (40, Some('…'), "3s")
        );
        let row = layout(true, true).row(&task, now);
        assert_eq!((row.len(), row[0].as_str(), row[5].len()), (12, "lab", 73));
        assert_eq!(row[7..], ["f", "r/a:1", "", "", "1"]);
        let young = json!({"metadata": {"name": "b"}, "spec": {}});
        assert_eq!(
            layout(false, false).row(&young, now),
            ["b", "", "", "", "", "<unknown>"]
        );

        let proplet = json!({
            "metadata": {"name": "edge-1", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Cordoned"}], "capacity": {"tasks": 8, "memory": "1Gi"}},
        });
        let layout = Layout {
            kind: Kind::Proplet,
            namespace: false,
            wide: false,
        };
        assert_eq!(
            layout.headings(),
            ["NAME", "READY", "REASON", "TASKS", "MEMORY", "VERSION", "AGE"]
        );
        assert_eq!(
            layout.row(&proplet, now),
            ["edge-1", "True", "Cordoned", "8", "1Gi", "", "10s"]
        );
    }
}
