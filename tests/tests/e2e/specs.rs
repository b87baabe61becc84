//! What a Task and a Proplet may say: one table, held against the schemas and CEL rules of a real API server and against
//! `propeller_api`'s own validation, which shells without an API server use.

use anyhow::{Context, Result, ensure};
use kube::{
    Client,
    api::{Api, DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use propeller_api::{Proplet, Task};
use propeller_tests::ControlPlane;
use serde_json::{Value, json};

/// A change of a valid spec, by JSON pointer, and what the refusal must mention; nothing when it is fine. `null` removes the field.
struct Case(&'static str, Value, Option<&'static str>);

fn tasks() -> Vec<Case> {
    let long = |length: usize| json!("x".repeat(length));
    vec![
        Case("/spec/image", json!("registry.example:5000/a/b@sha256:abc"), None),
        Case("/spec/image", Value::Null, Some("image")),
        Case("/spec/image", json!(""), Some("image")),
        Case("/spec/image", json!(7), Some("image")),
        Case("/spec/image", json!("https://registry.example/a"), Some("scheme")),
        Case("/spec/image", json!("registry.example/a b"), Some("spaces")),
        Case("/spec/image", long(1024), None),
        Case("/spec/image", long(1025), Some("image")),
        Case("/spec/call", Value::Null, Some("call")),
        Case("/spec/call/function", Value::Null, Some("function")),
        Case("/spec/call/function", json!(""), Some("function")),
        Case("/spec/call/function", long(513), Some("function")),
        Case("/spec/call/args", Value::Null, None),
        Case(
            "/spec/call/args",
            json!({"a": 1, "b": {"deep": [null, "text", 1.5]}}),
            None,
        ),
        Case("/spec/call/unheard-of", json!(1), Some("unheard-of")),
        Case("/spec/unheardOf", json!(1), Some("unheardOf")),
        Case("/spec/proplet", json!("edge-1"), None),
        Case("/spec/proplet", json!(""), Some("proplet")),
        Case("/spec/propletSelector", json!({"matchLabels": {"site": "lab"}}), None),
        Case(
            "/spec/propletSelector",
            json!({"matchLabels": {"site": 7}}),
            Some("site"),
        ),
        Case(
            "/spec",
            json!({"proplet": "a", "propletSelector": {"matchLabels": {}}}),
            Some("exclude each other"),
        ),
        Case("/spec/resources", json!({"memory": "64Mi"}), None),
        Case("/spec/resources", json!({"memory": 67_108_864}), None),
        Case("/spec/resources", json!({"memory": "64 MB"}), Some("memory")),
        Case("/spec/resources", json!({"memory": "much"}), Some("memory")),
        Case("/spec/activeDeadlineSeconds", json!(1), None),
        Case("/spec/activeDeadlineSeconds", json!(31_536_000), None),
        Case("/spec/activeDeadlineSeconds", json!(0), Some("activeDeadlineSeconds")),
        Case("/spec/activeDeadlineSeconds", json!(-1), Some("activeDeadlineSeconds")),
        Case(
            "/spec/activeDeadlineSeconds",
            json!(31_536_001),
            Some("activeDeadlineSeconds"),
        ),
        Case(
            "/spec/activeDeadlineSeconds",
            json!("30s"),
            Some("activeDeadlineSeconds"),
        ),
        Case("/metadata/name", json!("Not_A_Name"), Some("name")),
        Case("/metadata/name", json!("a..b"), Some("name")),
    ]
}

fn proplets() -> Vec<Case> {
    vec![
        Case("/spec/connectionConfig/clientId", json!("0"), None),
        Case("/spec/connectionConfig/clientId", Value::Null, Some("clientId")),
        Case("/spec/connectionConfig/clientId", json!(""), Some("clientId")),
        Case("/spec/connectionConfig/clientId", json!("Edge"), Some("clientId")),
        Case("/spec/connectionConfig/clientId", json!("a/b"), Some("clientId")),
        Case("/spec/connectionConfig/clientId", json!("-a"), Some("clientId")),
        Case("/spec/connectionConfig/clientId", json!("x".repeat(63)), None),
        Case(
            "/spec/connectionConfig/clientId",
            json!("x".repeat(64)),
            Some("clientId"),
        ),
        Case("/spec/connectionConfig", Value::Null, Some("connectionConfig")),
        Case("/spec/connectionConfig/password", json!("x"), Some("password")),
    ]
}

fn task() -> Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "case"},
        "spec": {"image": "registry.example/a:1", "call": {"function": "add", "args": [1, 2]}},
    })
}

fn proplet() -> Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet", "metadata": {"name": "case"},
        "spec": {"connectionConfig": {"clientId": "edge-1"}},
    })
}

#[tokio::test]
async fn task_specs() -> Result<()> {
    check(task(), tasks(), |object| {
        let task: Task = serde_json::from_value(object)?;
        Ok(task.validate()?)
    })
    .await
}

#[tokio::test]
async fn proplet_specs() -> Result<()> {
    check(proplet(), proplets(), |object| {
        let proplet: Proplet = serde_json::from_value(object)?;
        Ok(proplet.validate()?)
    })
    .await
}

#[tokio::test]
async fn a_task_is_edited_until_it_is_dispatched() -> Result<()> {
    let cluster = ControlPlane::shared().await?;
    let tasks: Api<DynamicObject> = Api::namespaced_with(
        cluster.client().await?,
        &cluster.namespace().await?,
        &ApiResource::erase::<propeller_crd::Task>(&()),
    );
    let params = PatchParams::default();
    tasks
        .create(&PostParams::default(), &serde_json::from_value(task())?)
        .await?;
    let edit = async |spec: Value| tasks.patch("case", &params, &Patch::Merge(json!({"spec": spec}))).await;
    edit(json!({"call": {"args": [3, 4]}})).await?;

    let dispatch = json!({"propletId": "edge-1", "journal": "j", "time": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"phase": "Dispatched", "attempt": 1, "dispatch": dispatch}});
    tasks.patch_status("case", &params, &Patch::Merge(status)).await?;
    for spec in [
        json!({"image": "registry.example/a:2"}),
        json!({"call": {"args": [5, 6]}}),
        json!({"proplet": "edge-1"}),
    ] {
        let refused = edit(spec.clone())
            .await
            .err()
            .with_context(|| format!("{spec} was accepted"))?;
        ensure!(refused.to_string().contains("can't be edited"), "{refused}");
    }
    tasks
        .patch(
            "case",
            &params,
            &Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .await?;
    let status = json!({"status": {"phase": "Completed", "results": 7}});
    tasks.patch_status("case", &params, &Patch::Merge(status)).await?;
    Ok(())
}

async fn check(valid: Value, cases: Vec<Case>, ours: impl Fn(Value) -> Result<()>) -> Result<()> {
    let cluster = ControlPlane::shared().await?;
    let (client, namespace) = (cluster.client().await?, cluster.namespace().await?);
    for Case(pointer, value, expected) in cases {
        let object = with(valid.clone(), pointer, value)?;
        let what = || format!("{pointer} in {object}");
        // Where in the text a field is that doesn't parse is for whoever reads the text to say, so only the refusal itself is asked for.
        let ours = ours(object.clone());
        ensure!(
            ours.is_err() == expected.is_some(),
            "propeller_api: {ours:?} for {}",
            what()
        );
        judge(create(&client, &namespace, &object).await, expected)
            .with_context(|| format!("API server: {}", what()))?;
    }
    Ok(())
}

fn judge(outcome: Result<()>, expected: Option<&str>) -> Result<()> {
    match (outcome, expected) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(expected)) => anyhow::bail!("accepted, though it should be refused for {expected:?}"),
        (Err(error), None) => Err(error.context("refused, though it is fine")),
        (Err(error), Some(expected)) => {
            ensure!(
                format!("{error:#}").contains(expected),
                "the refusal doesn't mention {expected:?}: {error:#}"
            );
            Ok(())
        }
    }
}

/// A dry run, which is validated like any other request, with unknown fields refused as kubectl asks for.
async fn create(client: &Client, namespace: &str, object: &Value) -> Result<()> {
    let plural = format!("{}s", object["kind"].as_str().context("a kind")?.to_lowercase());
    let path = format!("/apis/propeller.dev/v1alpha1/namespaces/{namespace}/{plural}");
    let request = http::Request::post(format!("{path}?dryRun=All&fieldValidation=Strict"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(object)?)?;
    client.request::<Value>(request).await?;
    Ok(())
}

fn with(mut object: Value, pointer: &str, value: Value) -> Result<Value> {
    let (parent, field) = pointer.rsplit_once('/').context("a pointer")?;
    let parent = object
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .context("a parent")?;
    match value {
        Value::Null => drop(parent.remove(field)),
        Value::Object(new) if parent.get(field).is_some_and(Value::is_object) => {
            parent[field].as_object_mut().context("an object")?.extend(new);
        }
        value => drop(parent.insert(field.to_owned(), value)),
    }
    Ok(object)
}
