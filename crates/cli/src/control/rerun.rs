//! `propeller rerun`: another Task of the same spec.

use propeller_api::{API_VERSION, Metadata, Task};
use serde_json::{Value, json};

use super::{
    ControlError,
    kind::{Kind, name, text},
    merge::LAST_APPLIED,
    server::Server,
};
use crate::{args::Rerun, failure::Failure, output::Output};

/// Names of Tasks have 253 characters at most.
const NAME: usize = 253;
/// Tries to find a name that nobody has.
const TRIES: usize = 5;

/// Makes it, and says its name.
pub async fn rerun(args: &Rerun, server: &Server, output: &Output) -> Result<(), Failure> {
    let old = server.get(Kind::Task, &args.task).await?;
    let made = match &args.name {
        Some(name) => server.create(Kind::Task, &again(&old, name)).await?,
        None => create(server, &args.task, |name| again(&old, name)).await?,
    };
    output.line(&format!("task/{} created", name(&made)))?;
    output.document(&made)
}

/// Makes a Task under a name that begins like that.
pub async fn create(server: &Server, base: &str, task: impl Fn(&str) -> Value) -> Result<Value, ControlError> {
    for _ in 1..TRIES {
        match server.create(Kind::Task, &task(&fresh(base))).await {
            Err(error) if error.code() == Some(409) => tracing::debug!(%error, "trying another name"),
            result => return result,
        }
    }
    server.create(Kind::Task, &task(&fresh(base))).await
}

/// `base`, and five characters that nobody chose.
fn fresh(base: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let base: String = base.chars().take(NAME - 6).collect();
    format!("{}-{}", base.trim_end_matches(['-', '.']), &random[..5])
}

fn again(old: &Value, name: &str) -> Value {
    let mut spec = old["spec"].clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("cancel");
        fields.remove("suspend");
    }
    let mut annotations = old.pointer("/metadata/annotations").cloned().unwrap_or_default();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let mut metadata = json!({"name": name, "namespace": text(old, "/metadata/namespace")});
    let labels = old.pointer("/metadata/labels").cloned().unwrap_or_default();
    for (field, value) in [("labels", labels), ("annotations", annotations)] {
        if value.as_object().is_some_and(|fields| !fields.is_empty()) {
            metadata[field] = value;
        }
    }
    json!({"apiVersion": API_VERSION, "kind": Kind::Task.kind(), "metadata": metadata, "spec": spec})
}

/// A Task of ours as the API takes it.
pub fn object(spec: propeller_api::TaskSpec, name: &str, namespace: &str) -> Value {
    let metadata = Metadata {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        ..Metadata::default()
    };
    serde_json::to_value(Task::new(metadata, spec)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_is_the_same_and_nothing_of_the_old_life() {
        let old = json!({
            "metadata": {"name": "a", "namespace": "lab", "uid": "1", "labels": {"site": "lab"}, "annotations": {LAST_APPLIED: "{}"}},
            "spec": {"image": "r/a:1", "command": {}, "cancel": true, "suspend": true},
            "status": {"phase": "Cancelled"},
        });
        let expected = json!({
            "apiVersion": "propeller.dev/v1alpha1", "kind": "Task",
            "metadata": {"name": "b", "namespace": "lab", "labels": {"site": "lab"}},
            "spec": {"image": "r/a:1", "command": {}},
        });
        assert_eq!(again(&old, "b"), expected);
    }

    #[test]
    fn names_are_new_and_not_too_long() {
        let name = fresh("addition");
        assert!(name.starts_with("addition-") && name.len() == 14, "{name}");
        assert_ne!(name, fresh("addition"));
        assert_eq!(fresh(&"a".repeat(300)).len(), NAME);
        assert!(!fresh(&format!("{}-b", "a".repeat(NAME - 7))).contains("--"));
    }
}
