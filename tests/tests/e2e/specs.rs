//! What a Task and a Proplet may say: one table, held against the schemas and CEL rules of a real API server, against the API of
//! `propeller up`, and against `propeller_api`'s own validation, which that uses.

use anyhow::{Context, Result, ensure};
use kube::{
    Client,
    api::{Api, DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use propeller_api::{Proplet, Task};
use propeller_tests::{ControlPlane, Standalone, world::OPERATOR_READY};
use serde_json::{Value, json};

/// A change of a valid spec, by JSON pointer, and what the refusal must mention, one of several words if the two shells say it differently; nothing
/// when it is fine. `null` removes the field.
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
        Case(
            "/spec/propletSelector",
            json!({"matchExpressions": [{"key": "site", "operator": "In", "values": ["lab", "roof"]}, {"key": "gpu", "operator": "Exists"}]}),
            None,
        ),
        Case(
            "/spec/propletSelector",
            json!({"matchExpressions": [{"key": "site", "operator": "In"}]}),
            Some("In and NotIn need values"),
        ),
        Case(
            "/spec/propletSelector",
            json!({"matchExpressions": [{"key": "site", "operator": "Exists", "values": ["lab"]}]}),
            Some("In and NotIn need values"),
        ),
        Case(
            "/spec/propletSelector",
            json!({"matchExpressions": [{"key": "site", "operator": "Near", "values": ["lab"]}]}),
            Some("operator"),
        ),
        Case(
            "/spec/propletSelector",
            json!({"matchExpressions": [{"key": "", "operator": "Exists"}]}),
            Some("key"),
        ),
        Case("/spec/priority", json!(-1_000_000_000), None),
        Case("/spec/priority", json!(1_000_000_001), Some("priority")),
        Case("/spec/priority", json!("high"), Some("priority")),
        Case("/spec/suspend", json!(true), None),
        Case("/spec/suspend", json!("yes"), Some("suspend")),
        Case("/spec/cancel", json!(false), None),
        Case("/spec/backoffLimit", json!(0), None),
        Case("/spec/backoffLimit", json!(100), None),
        Case("/spec/backoffLimit", json!(101), Some("backoffLimit")),
        Case("/spec/backoffLimit", json!(-1), Some("backoffLimit")),
        Case("/spec/retryPolicy", json!({}), None),
        Case("/spec/retryPolicy", json!({"retryOn": []}), None),
        Case("/spec/retryPolicy", json!({"retryOn": ["Trap", "Lost"]}), None),
        Case(
            "/spec/retryPolicy",
            json!({"retryOn": ["Trap", "Trap"]}),
            Some("retryOn"),
        ),
        Case("/spec/retryPolicy", json!({"retryOn": ["Boredom"]}), Some("retryOn")),
        Case("/spec/onDisconnect", json!("Stop"), None),
        Case("/spec/onDisconnect", json!("Continue"), None),
        Case("/spec/onDisconnect", json!("Hope"), Some("onDisconnect")),
        Case("/spec/lostAfterSeconds", json!(1), None),
        Case("/spec/lostAfterSeconds", json!(0), Some("lostAfterSeconds")),
        Case("/spec/startDeadlineSeconds", json!(1), None),
        Case("/spec/startDeadlineSeconds", json!(0), Some("startDeadlineSeconds")),
        Case("/spec/ttlSecondsAfterFinished", json!(0), None),
        Case(
            "/spec/ttlSecondsAfterFinished",
            json!(-1),
            Some("ttlSecondsAfterFinished"),
        ),
        Case("/metadata/name", json!("Not_A_Name"), Some("name")),
        Case("/metadata/name", json!("a..b"), Some("name")),
        Case(
            "/metadata/labels",
            json!({"site": "lab", "lab.example/Rack_2.b": ""}),
            None,
        ),
        Case("/metadata/labels", json!({"site": "a b"}), Some("label")),
        Case("/metadata/labels", json!({"site": "-lab"}), Some("label")),
        Case("/metadata/labels", json!({"site": "x".repeat(64)}), Some("label")),
        Case("/metadata/labels", json!({"": "lab"}), Some("label")),
        Case("/metadata/labels", json!({"a/b/c": "lab"}), Some("label")),
        Case("/metadata/labels", json!({"Lab.Example/site": "lab"}), Some("label")),
        Case("/spec/command", json!({}), Some("exactly one of")),
        Case("/spec/service", json!({}), Some("exactly one of")),
    ]
}

fn commands() -> Vec<Case> {
    let args = "/spec/command/args";
    vec![
        Case(args, Value::Null, None),
        Case(args, json!(["", "-v", "ä"]), None),
        Case(args, json!([7]), Some("args")),
        Case(args, json!(["a\0b"]), Some("args")),
        Case(args, json!(vec!["x"; 256]), None),
        Case(args, json!(vec!["x"; 257]), Some("args")),
        Case(args, json!(["x".repeat(32_768)]), None),
        Case(args, json!(["x".repeat(32_769)]), Some("args")),
        Case(args, json!(vec!["x".repeat(32_768); 8]), None),
        Case(args, json!(vec!["x".repeat(32_768); 9]), Some("262144")),
        Case("/spec/command/stdin", json!("x"), Some("stdin")),
        Case("/spec/activeDeadlineSeconds", json!(30), None),
    ]
}

fn services() -> Vec<Case> {
    let port = "/spec/service/port";
    vec![
        Case(port, Value::Null, None),
        Case(port, json!(1), None),
        Case(port, json!(65_535), None),
        Case(port, json!(0), Some("port")),
        Case(port, json!(65_536), Some("port")),
        Case(port, json!("80"), Some("port")),
        Case("/spec/service/address", json!("0.0.0.0"), Some("address")),
        Case(
            "/spec/activeDeadlineSeconds",
            json!(30),
            Some("until its Task is deleted"),
        ),
        Case("/spec/onDisconnect", json!("Stop"), None),
        Case("/spec/backoffLimit", json!(1), Some("placed anew")),
        Case("/spec/retryPolicy", json!({}), Some("placed anew")),
        Case("/spec/ttlSecondsAfterFinished", json!(1), Some("placed anew")),
    ]
}

fn grants() -> Vec<Case> {
    let mut cases = vec![
        Case("/spec/grants", json!({}), None),
        Case("/spec/grants", json!({"gpu": true}), Some("gpu")),
    ];
    cases.extend(env());
    cases.extend(directories());
    cases.extend(config_and_buckets());
    let targets = |field: &'static str, taken: &[&str], refused: &[&str]| {
        let case = |text: &&str, expected| Case(field, json!([text]), expected);
        let taken: Vec<_> = taken.iter().map(|text| case(text, None)).collect();
        let refused = refused.iter().map(|text| case(text, Some("write a name|is no ")));
        taken.into_iter().chain(refused).collect::<Vec<_>>()
    };
    let (name, label) = (format!("{}a", "a.".repeat(126)), "a".repeat(63));
    let (long_name, long_label) = (format!("{name}b"), format!("{label}a"));
    cases.extend(targets("/spec/grants/http", &HTTP, &NOT_HTTP));
    cases.extend(targets(
        "/spec/grants/http",
        &[&name, &label],
        &[&long_name, &long_label],
    ));
    cases.extend(targets("/spec/grants/net", &NET, &NOT_NET));
    cases.extend([
        Case("/spec/grants/http", json!([""]), Some("http")),
        Case("/spec/grants/http", json!(vec!["a"; 64]), None),
        Case("/spec/grants/http", json!(vec!["a"; 65]), Some("http")),
        Case("/spec/grants/net", json!(vec!["a:1"; 65]), Some("net")),
    ]);
    cases
}

const HTTP: [&str; 14] = [
    "api.example.com",
    "API.Example.com.:8080",
    "*.example.com",
    "*.example.com:65535",
    "localhost",
    "a_b",
    "7a.1b",
    "10.0.0.7",
    "10.0.0.7:8080",
    "::1",
    "fd00::1:53",
    "[::1]",
    "[fd00::1]:1",
    "[::1.2.3.4]:80",
];

const NOT_HTTP: [&str; 31] = [
    "*",
    "*.",
    "a.*.b",
    "a:0",
    "a:080",
    "a:+80",
    "a:65536",
    "a:x",
    "a:",
    "a:80:80",
    "a b",
    "a..b",
    ".a",
    "a/b",
    "-a",
    "a-.b",
    "ü",
    "http://a",
    "10.0.0.256",
    "10.0.0",
    "010.0.0.1",
    "a.1",
    "*.1",
    "1.",
    "[10.0.0.7]:80",
    "[a]:80",
    "[::1",
    "[::1]80",
    "[fe80::1%eth0]",
    "::ffff:10.0.0.7",
    "10.0.0.0/8",
];

const NET: [&str; 12] = [
    "db.example.com:5432",
    "db:*",
    "DB.:1",
    "10.0.0.7:*",
    "10.0.0.7:65535",
    "10.0.0.0/8:5432",
    "10.0.0.1/8:5432",
    "0.0.0.0/0:*",
    "[::1]:53",
    "[fd00::/8]:53",
    "[::/0]:*",
    "[fd00::1]:*",
];

const NOT_NET: [&str; 19] = [
    "db",
    "*:80",
    "*.example.com:80",
    ":80",
    "db:0",
    "db:70000",
    "db:**",
    "10.0.0.0/33:1",
    "10.0.0.0/08:1",
    "10.0.0.0/:1",
    "10.0.0.0/8",
    "10.0.0.256:1",
    "fd00::1:53",
    "fd00::/8:53",
    "[fd00::/129]:1",
    "[::ffff:0:0/96]:53",
    "[::ffff:10.0.0.7]:53",
    "[db]:53",
    "[10.0.0.7]:53",
];

fn env() -> Vec<Case> {
    let env = |value: Value| ("/spec/grants/env", value);
    let many = |count: usize, length: usize| {
        let value = "x".repeat(length);
        (0..count)
            .map(|index| json!({"name": format!("V{index:03}"), "value": value}))
            .collect::<Value>()
    };
    [
        (
            env(json!([{"name": "A", "value": "1"}, {"name": "a", "value": "x=y"}])),
            None,
        ),
        (env(json!([{"name": "A"}])), None),
        (env(json!([{"value": "1"}])), Some("name")),
        (env(json!([{"name": ""}])), Some("name")),
        (env(json!([{"name": "A=B"}])), Some("name")),
        (env(json!([{"name": "A\0"}])), Some("name")),
        (env(json!([{"name": "A", "value": "a\0"}])), Some("value")),
        (env(json!([{"name": "A", "value": 1}])), Some("value")),
        (env(json!([{"name": "A", "secret": "x"}])), Some("secret")),
        (
            env(json!([{"name": "A"}, {"name": "B"}, {"name": "A"}])),
            Some("Duplicate|two entries"),
        ),
        (env(json!([{"name": "x".repeat(256)}])), None),
        (env(json!([{"name": "x".repeat(257)}])), Some("name")),
        (env(many(1, 32_768)), None),
        (env(many(1, 32_769)), Some("value")),
        (env(many(8, 32_764)), None),
        (env(many(8, 32_765)), Some("262144")),
        (env(many(256, 0)), None),
        (env(many(257, 0)), Some("env")),
    ]
    .into_iter()
    .map(|((pointer, value), expected)| Case(pointer, value, expected))
    .collect()
}

fn directories() -> Vec<Case> {
    let field = "/spec/grants/directories";
    let one = |host: &str, guest: &str| json!([{"hostPath": host, "guestPath": guest}]);
    let mut cases = vec![
        Case(
            field,
            json!([{"hostPath": "/srv/data", "guestPath": "/data", "readOnly": true}]),
            None,
        ),
        Case(field, json!([{"hostPath": "/srv/data"}]), Some("guestPath")),
        Case(field, json!([{"guestPath": "/data"}]), Some("hostPath")),
        Case(
            field,
            json!([{"hostPath": "/a", "guestPath": "/x"}, {"hostPath": "/b", "guestPath": "/x"}]),
            Some("Duplicate|two entries"),
        ),
        Case(
            field,
            json!([{"hostPath": "/a", "guestPath": "/x"}, {"hostPath": "/a", "guestPath": "/y"}]),
            None,
        ),
        Case(field, one("/a", &format!("/{}", "x".repeat(4095))), None),
        Case(field, one("/a", &format!("/{}", "x".repeat(4096))), Some("guestPath")),
        Case(field, one("", "/x"), Some("hostPath")),
    ];
    for path in ["/", "/a/b", "/..a", "/a..", "/.hidden/...", "/a b/ü"] {
        cases.push(Case(field, one(path, path), None));
    }
    for path in [
        ".", "a", "../a", "/a/", "//", "/a//b", "/a/../b", "/..", "/.", "/./a", "/a\0",
    ] {
        cases.push(Case(field, one(path, "/x"), Some("absolute path")));
        cases.push(Case(field, one("/x", path), Some("absolute path")));
    }
    cases
}

fn config_and_buckets() -> Vec<Case> {
    let config = |value: Value| ("/spec/grants/config", value);
    let buckets = |value: Value| ("/spec/grants/keyvalue", value);
    let many = |count: usize, length: usize| {
        let value = "x".repeat(length);
        let entries = (0..count).map(|index| (format!("k{index:03}"), json!(value)));
        Value::Object(entries.collect())
    };
    [
        (config(json!({"log.level": "debug", "a b": ""})), None),
        (config(json!({"level": 7})), Some("level")),
        (config(json!({"": "x"})), Some("config")),
        (config(json!({"a\0": "x"})), Some("config")),
        (
            config(Value::Object([("x".repeat(257), json!(""))].into_iter().collect())),
            Some("config"),
        ),
        (config(many(256, 0)), None),
        (config(many(257, 0)), Some("config")),
        (config(many(1, 32_769)), Some("config")),
        (config(many(8, 32_764)), None),
        (config(many(8, 32_765)), Some("262144")),
        (
            buckets(json!([{"bucket": "default"}, {"bucket": "a.b_c-D", "scope": "Namespace"}])),
            None,
        ),
        (buckets(json!([{"bucket": ""}])), Some("bucket")),
        (buckets(json!([{"bucket": ".a"}])), Some("bucket")),
        (buckets(json!([{"bucket": "a/b"}])), Some("bucket")),
        (buckets(json!([{"bucket": "a", "scope": "Cluster"}])), Some("scope")),
        (
            buckets(json!([{"bucket": "a"}, {"bucket": "a", "scope": "Namespace"}])),
            Some("Duplicate|two entries"),
        ),
        (buckets(json!([{"bucket": "x".repeat(63)}])), None),
        (buckets(json!([{"bucket": "x".repeat(64)}])), Some("bucket")),
    ]
    .into_iter()
    .map(|((pointer, value), expected)| Case(pointer, value, expected))
    .collect()
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
        Case("/spec/unschedulable", json!(true), None),
        Case("/spec/unschedulable", json!("yes"), Some("unschedulable")),
    ]
}

fn task() -> Value {
    task_that(json!({"call": {"function": "add", "args": [1, 2]}}))
}

fn task_that(does: Value) -> Value {
    let mut task = json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "case"},
        "spec": {"image": "registry.example/a:1", "grants": {}},
    });
    if let (Some(spec), Value::Object(does)) = (task["spec"].as_object_mut(), does) {
        spec.extend(does);
    }
    task
}

fn proplet() -> Value {
    json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet", "metadata": {"name": "case"},
        "spec": {"connectionConfig": {"clientId": "edge-1"}},
    })
}

#[tokio::test]
async fn task_specs() -> Result<()> {
    check(task(), tasks(), validate).await?;
    check(task_that(json!({"command": {}})), commands(), validate).await?;
    check(task_that(json!({"service": {}})), services(), validate).await
}

#[tokio::test]
async fn task_grants() -> Result<()> {
    check(task(), grants(), validate).await
}

fn validate(object: Value) -> Result<()> {
    let task: Task = serde_json::from_value(object)?;
    Ok(task.validate()?)
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
        json!({"resources": {"memory": "1Gi"}}),
        json!({"onDisconnect": "Stop"}),
        json!({"call": null, "command": {}}),
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
    // What decides when and how often it runs can be edited.
    edit(json!({"proplet": "edge-1", "suspend": true, "priority": 3, "backoffLimit": 1})).await?;
    edit(json!({"cancel": true})).await?;
    let back = edit(json!({"cancel": false})).await.err().context("it was accepted")?;
    ensure!(back.to_string().contains("stays cancelled"), "{back}");
    let status = json!({"status": {"phase": "Completed", "results": 7}});
    tasks.patch_status("case", &params, &Patch::Merge(status)).await?;
    Ok(())
}

async fn check(valid: Value, cases: Vec<Case>, ours: impl Fn(Value) -> Result<()>) -> Result<()> {
    let cluster = ControlPlane::shared().await?;
    let (client, namespace) = (cluster.client().await?, cluster.namespace().await?);
    let up = Standalone::new()?;
    let _running = up.whole().await?.arg("--no-proplet").start(OPERATOR_READY).await?;
    let standalone = up.client()?;
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
        for (shell, client) in [("API server", &client), ("propeller up", &standalone)] {
            judge(create(client, &namespace, &object).await, expected)
                .with_context(|| format!("{shell}: {}", what()))?;
        }
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
                expected.split('|').any(|words| format!("{error:#}").contains(words)),
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
