//! The whole path on a real API server: Task → operator → broker → proplet → status.

use std::fs;

use anyhow::{Context, Result, ensure};
use propeller_api::{Phase, condition, types};
use propeller_protocol::{Base, Channel, Report, Stage, decode};
use propeller_tests::{
    PATIENCE, Registry, Service, Spy, World, registry, scratch,
    spy::Message,
    wait_for,
    world::{OPERATOR_READY, PROPLET_READY},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

on_both_shells!(
    typed_results_land_in_the_status,
    what_cannot_work_never_reaches_a_proplet,
    a_task_waits_for_the_proplet_that_fits,
    an_operator_that_restarts_loses_nothing,
    a_deleted_task_is_stopped,
    the_deadline_and_the_memory_bound_hold,
    a_component_knows_which_task_it_runs_for,
);

pub(crate) fn call(image: &str, function: &str, args: Value) -> Value {
    json!({"image": image, "call": {"function": function, "args": args}})
}

pub(crate) fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

fn starts(spy: &Spy) -> Vec<Message> {
    spy.messages()
        .into_iter()
        .filter(|message| message.topic.contains("/control/manager/start/"))
        .collect()
}

async fn typed_results_land_in_the_status(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({"site": "lab"})).await?;

    world
        .create_task("addition", call(&world.push("addition").await?, "add", json!([20, 22])))
        .await?;
    assert_eq!(world.results("addition").await?, json!(42));

    let typed = world.push("typed").await?;
    for (name, file) in [("typed", "task.yaml"), ("typed-err", "task-err.yaml")] {
        let text = std::fs::read_to_string(propeller_tests::cargo::root().join("examples/typed").join(file))?;
        let task: Value = serde_saphyr::from_str(&text)?;
        world
            .create_task(name, with(task["spec"].clone(), "image", json!(typed)))
            .await?;
    }
    let round = world.results("typed").await?;
    // The API server stores 85.0 as 85: JSON knows one kind of number.
    let leg = &round["legs"][0];
    assert_eq!(
        (round["metres"].as_f64(), leg["metres"].as_f64(), &leg["to"]),
        (Some(85.0), Some(6.0), &json!("A1"))
    );

    let failed = world.finished("typed-err").await?;
    assert_eq!(failed.phase, Phase::Failed);
    assert_eq!(failed.error, Some(json!({"overloaded": {"boxes": 40, "capacity": 10}})));
    let finished = condition(&failed.conditions, types::FINISHED).context("Finished")?;
    assert_eq!(finished.reason, "ErrResult");
    Ok(())
}

/// An API server takes any depth, and parsers of lists don't.
#[tokio::test]
async fn a_task_nested_too_deep_disturbs_no_other() -> Result<()> {
    let world = World::kubernetes().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;
    let folder = scratch::folder("deep")?;
    let kubectl = async |args: &[&str]| {
        let args = [&["--namespace", &world.namespace], args].concat();
        world.cluster()?.kubectl(&args).await
    };
    // One that the operator lists when it starts, and one that it watches.
    let create = async |name: &str| -> Result<()> {
        let path = folder.path().join(name);
        let (open, close) = ("[".repeat(300), "]".repeat(300));
        let text = format!(
            r#"{{"apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {{"name": "{name}"}},
                 "spec": {{"image": "{image}", "call": {{"function": "add", "args": {open}{close}}}}}}}"#
        );
        fs::write(&path, text)?;
        let path = path.to_str().context("a path")?;
        kubectl(&["create", "--filename", path]).await.map(drop)
    };
    create("listed").await?;
    let _operator = world.start_operator().await?;
    world
        .create_task("before", call(&image, "add", json!([20, 22])))
        .await?;
    assert_eq!(world.results("before").await?, json!(42));
    create("watched").await?;
    world.create_task("after", call(&image, "add", json!([1, 2]))).await?;
    assert_eq!(world.results("after").await?, json!(3));
    for name in ["listed", "watched"] {
        let task = format!("task/{name}");
        kubectl(&["wait", "--for=condition=Finished", "--timeout=60s", &task]).await?;
        let described = kubectl(&["describe", &task]).await?;
        ensure!(
            described.contains("InvalidSpec") && described.contains("levels"),
            "{described}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_task_tells_what_became_of_it() -> Result<()> {
    let world = World::kubernetes().await?;
    let _operator = world.start_operator().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;
    world
        .create_task(
            "addition",
            call(&image, "propeller:examples/math@1.0.0#add", json!({"a": 1, "b": 2})),
        )
        .await?;
    let status = world.finished("addition").await?;

    assert_eq!(
        (status.phase, status.results, status.attempt),
        (Phase::Completed, Some(json!(3)), 1)
    );
    assert_eq!(status.proplet.as_deref(), Some("edge-1"));
    ensure!(
        status.image.is_some_and(|image| image.contains("@sha256:")),
        "the digest is what ran"
    );
    let said: Vec<&str> = status
        .conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(said, [types::RESOLVED, types::SCHEDULED, types::FINISHED]);

    let kubectl = async |args: &[&str]| {
        world
            .cluster()?
            .kubectl(&[&["--namespace", &world.namespace], args].concat())
            .await
    };
    let table = kubectl(&["get", "tasks"]).await?;
    let row: Vec<&str> = table
        .lines()
        .nth(1)
        .context("a row")?
        .split_whitespace()
        .take(5)
        .collect();
    assert_eq!(row, ["addition", "Completed", "Completed", "edge-1", "3"], "{table}");
    kubectl(&["wait", "--for=condition=Finished", "--timeout=10s", "task/addition"]).await?;
    let described = wait_for("Events of the task", PATIENCE, async || {
        let text = kubectl(&["describe", "task", "addition"]).await?;
        ensure!(
            text.contains("Completed") && text.contains("Events:") && text.contains("Dispatched"),
            "{text}"
        );
        Ok(text)
    });
    described.await?;
    let proplets = kubectl(&["get", "proplets"]).await?;
    ensure!(
        proplets
            .lines()
            .nth(1)
            .is_some_and(|row| row.starts_with("edge-1") && row.contains("True")),
        "{proplets}"
    );
    let explained = kubectl(&["explain", "task.spec.call"]).await?;
    for words in ["function", "args", "qualified by its interface", "by parameter name"] {
        ensure!(
            explained
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains(words),
            "{words}: {explained}"
        );
    }
    Ok(())
}

async fn what_cannot_work_never_reaches_a_proplet(world: World) -> Result<()> {
    let closed = Registry::start(registry::Access::Login).await?;
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({"site": "lab"})).await?;
    let spy = world.spy().await?;

    let (addition, ambiguous) = (world.push("addition").await?, world.push("ambiguous").await?);
    let typed = world.push("typed").await?;
    let text = world.push_bytes("text", b"just some text".to_vec()).await?;
    let module = world.push_bytes("module", wat::parse_str("(module)")?).await?;
    let add = |args| call(&addition, "add", args);
    let deep = json!({"request": {"cart": "tug", "rules": [], "start": {"x": 0, "y": 0}, "stops": [
        {"shelf": "A1", "at": {"x": "far", "y": 0}, "boxes": 1},
    ]}});
    let cases = [
        (
            "host",
            call("no-such-host.invalid/a:1", "add", json!([])),
            types::RESOLVED,
            "RegistryUnreachable",
            "no-such-host.invalid",
        ),
        (
            "tag",
            call(&format!("{addition}0"), "add", json!([])),
            types::RESOLVED,
            "NotFound",
            "tests/addition:10",
        ),
        (
            "login",
            call(&format!("{}/a:1", closed.addr()), "add", json!([])),
            types::RESOLVED,
            "Unauthorized",
            "docker login",
        ),
        (
            "text",
            call(&text, "add", json!([])),
            types::FINISHED,
            "NotWasm",
            "WebAssembly",
        ),
        (
            "module",
            call(&module, "add", json!([])),
            types::FINISHED,
            "CoreModule",
            "wasm32-wasip2",
        ),
        (
            "export",
            call(&addition, "sub", json!([1, 2])),
            types::FINISHED,
            "UnknownExport",
            "add",
        ),
        (
            "ambiguous",
            call(&ambiguous, "greet", json!([])),
            types::FINISHED,
            "AmbiguousExport",
            "english",
        ),
        ("few", add(json!([1])), types::FINISHED, "TooFewArguments", "b"),
        (
            "type",
            add(json!([1, "two"])),
            types::FINISHED,
            "WrongArgumentType",
            "args[1]",
        ),
        (
            "deep",
            call(&typed, "plan", deep),
            types::FINISHED,
            "WrongArgumentType",
            "stops[0].at.x",
        ),
        (
            "reference",
            call("addition", "add", json!([])),
            types::FINISHED,
            "InvalidReference",
            "registry",
        ),
        (
            "nobody",
            with(add(json!([1, 2])), "proplet", json!("edge-9")),
            types::SCHEDULED,
            "Unschedulable",
            "edge-9",
        ),
        (
            "labels",
            with(
                add(json!([1, 2])),
                "propletSelector",
                json!({"matchLabels": {"site": "roof"}}),
            ),
            types::SCHEDULED,
            "Unschedulable",
            "site=roof",
        ),
    ];
    for (name, spec, ..) in &cases {
        world.create_task(name, spec.clone()).await?;
    }
    for (name, _, type_, reason, mention) in cases {
        let said = world.wait_for_reason(name, type_, reason).await?;
        ensure!(
            said.message.contains(mention),
            "{name}: {:?} doesn't mention {mention}",
            said.message
        );
    }
    ensure!(
        starts(&spy).is_empty(),
        "something reached a proplet: {:?}",
        starts(&spy)
    );

    // The witness isn't blind.
    world.create_task("fine", add(json!([1, 2]))).await?;
    world.results("fine").await?;
    ensure!(!starts(&spy).is_empty(), "the spy saw no start at all");
    Ok(())
}

async fn a_task_waits_for_the_proplet_that_fits(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let image = world.push("addition").await?;
    let labelled = |site: &str| json!({"matchLabels": {"site": site}});
    let expressed = |expressions: Value| json!({"matchExpressions": expressions});
    let tasks = [
        ("first-north", "north-1", labelled("north")),
        ("second-north", "north-1", labelled("north")),
        ("south", "south-1", labelled("south")),
        (
            "in-north",
            "north-1",
            expressed(json!([{"key": "site", "operator": "In", "values": ["north", "west"]}])),
        ),
        (
            "not-in-north",
            "south-1",
            expressed(json!([{"key": "site", "operator": "NotIn", "values": ["north"]}])),
        ),
        (
            "cold",
            "south-1",
            expressed(json!([{"key": "cold", "operator": "Exists"}, {"key": "hot", "operator": "DoesNotExist"}])),
        ),
    ];
    for (name, _, selector) in &tasks {
        let task = with(call(&image, "add", json!([1, 2])), "propletSelector", selector.clone());
        world.create_task(name, task).await?;
    }
    world
        .wait_for_reason("south", types::SCHEDULED, "Unschedulable")
        .await?;

    let _north = world.start_proplet("north-1", json!({"site": "north"})).await?;
    let _south = world
        .start_proplet("south-1", json!({"site": "south", "cold": "yes"}))
        .await?;
    for (name, proplet, _) in tasks {
        let status = world.finished(name).await?;
        assert_eq!(
            (status.phase, status.proplet.as_deref()),
            (Phase::Completed, Some(proplet)),
            "{name}"
        );
    }
    Ok(())
}

/// The operator is killed while the task runs, so the outcome arrives at a broker without a control plane.
async fn an_operator_that_restarts_loses_nothing(world: World) -> Result<()> {
    let mut control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let spy = world.spy().await?;
    let image = world.push("sleep").await?;
    world.create_task("sleep", call(&image, "sleep", json!([3000]))).await?;
    spy.wait_for_message("the accept", |message| {
        stage(message).is_some_and(|stage| stage == Stage::Accepted)
    })
    .await?;

    control.kill()?;
    let finished = |message: &Message| matches!(stage(message), Some(Stage::Finished { .. }));
    spy.wait_for_message("the outcome", finished).await?;
    control.start_again().await?;
    let status = world.finished("sleep").await?;
    assert_eq!((status.phase, status.attempt), (Phase::Completed, 1));
    spy.wait_for_message("the acknowledgement", |message| message.topic.contains("/manager/ack/"))
        .await?;
    Ok(())
}

async fn a_deleted_task_is_stopped(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let mut proplet = world.start_proplet("edge-1", json!({})).await?;
    world
        .create_task("spin", call(&world.push("spin").await?, "spin", json!([])))
        .await?;
    world
        .wait_for_task("spin", "to run", |status| status.phase == Phase::Running)
        .await?;

    world.delete_task("spin").await?;
    let cancelled = |line: &str| line.contains("Cancelled").then_some(());
    proplet
        .process()?
        .wait_for_log("line that says Cancelled", cancelled)
        .await
}

async fn the_deadline_and_the_memory_bound_hold(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let spin = call(&world.push("spin").await?, "spin", json!([]));
    world
        .create_task("spin", with(spin, "activeDeadlineSeconds", json!(1)))
        .await?;
    let hoard = call(&world.push("hoard").await?, "hoard", json!([64]));
    world
        .create_task("hoard", with(hoard, "resources", json!({"memory": "16Mi"})))
        .await?;
    world
        .create_task("trap", call(&world.push("trap").await?, "trap", json!([])))
        .await?;
    for (name, reason) in [("spin", "DeadlineExceeded"), ("hoard", "OutOfMemory"), ("trap", "Trap")] {
        world.wait_for_reason(name, types::FINISHED, reason).await?;
    }
    Ok(())
}

async fn a_component_knows_which_task_it_runs_for(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("task-context").await?;
    world.create_task("who", call(&image, "identify", json!([]))).await?;
    let told = world.results("who").await?;
    assert_eq!(
        (&told["namespace"], &told["name"], &told["attempt"]),
        (&json!(world.namespace), &json!("who"), &json!(1))
    );
    Ok(())
}

#[tokio::test]
async fn proplets_show_what_they_are_and_whether_they_are_there() -> Result<()> {
    let world = World::kubernetes().await?;
    let operator = world
        .operator()
        .await?
        .args(["--auto-register", "--auto-register-namespace", &world.namespace]);
    let _operator = operator.start(OPERATOR_READY).await?;

    // Announced without a resource: it gets one, with its labels.
    let proplet = world
        .proplet("stranger")
        .await?
        .args(["--label", "site=roof", "--capacity-tasks", "3"]);
    let mut proplet = proplet.start(PROPLET_READY).await?;
    let ready = |reason| wait_for_ready(&world, "stranger", reason);
    ready("Heartbeats").await?;
    let made = world.proplets().await?.get("stranger").await?;
    assert_eq!(
        made.metadata.labels.unwrap_or_default().get("site").map(String::as_str),
        Some("roof")
    );
    let status = made.status.context("a status")?;
    assert_eq!(status.capacity.context("a capacity")?.tasks, 3);
    assert_eq!(status.host.context("a host")?.os, std::env::consts::OS);

    proplet.kill()?;
    ready("Offline").await?;
    proplet.start_again().await?;
    ready("Heartbeats").await?;
    proplet.stop().await?;
    ready("Offline").await
}

async fn wait_for_ready(world: &World, name: &str, reason: &str) -> Result<()> {
    let proplets = world.proplets().await?;
    wait_for(&format!("{name} to be {reason}"), PATIENCE, async || {
        let status = proplets.get(name).await?.status.context("it has no status")?;
        let said = condition(&status.conditions, "Ready").context("it isn't judged")?;
        ensure!(said.reason == reason, "it is {}: {}", said.reason, said.message);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_cannot_be_decoded_is_counted_and_changes_nothing() -> Result<()> {
    let world = World::kubernetes().await?;
    let mut operator = world.start_operator().await?;
    let proplet = world.start_proplet("edge-1", json!({})).await?;
    let spy = world.spy().await?;
    let base = Base::new("default", "main")?;
    let id = "edge-1".parse()?;
    let (to_control, to_proplet) = (
        [Channel::Alive, Channel::Results, Channel::Metrics],
        [Channel::Start, Channel::Stop, Channel::Ack],
    );
    for channel in to_control.into_iter().chain(to_proplet) {
        for payload in ["", "{", "{\"v\":99}", "[1,2,3]"] {
            spy.publish(&base.topic(channel, &id), payload).await?;
        }
    }
    let address = health(&mut operator).await?;
    wait_for("the operator's count", PATIENCE, async || {
        let metrics = get(&address, "/metrics").await?;
        let counted = |channel: &Channel| {
            let name = channel.levels().rsplit('/').next().unwrap_or_default();
            metrics
                .lines()
                .any(|line| line.contains("undecodable") && line.contains(name) && line.ends_with(" 4"))
        };
        ensure!(to_control.iter().all(counted), "{metrics}");
        Ok(())
    })
    .await?;
    let alive = |message: &Message| {
        let value: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        message.topic.ends_with("/alive/edge-1") && value["undecodable"] == json!(12)
    };
    spy.wait_for_message("the proplet's count", alive).await?;
    for (log, channels) in [
        (operator.log(), to_control.as_slice()),
        (proplet.log(), to_proplet.as_slice()),
    ] {
        for channel in channels {
            let topic = base.topic(*channel, &id);
            let lines = log
                .lines()
                .filter(|line| line.contains("WARN") && line.contains(&topic))
                .count();
            assert_eq!(lines, 1, "{topic} is logged once:\n{log}");
        }
    }
    world
        .create_task("addition", call(&world.push("addition").await?, "add", json!([1, 2])))
        .await?;
    assert_eq!(world.results("addition").await?, json!(3));
    Ok(())
}

#[tokio::test]
async fn a_second_operator_takes_over() -> Result<()> {
    let world = World::kubernetes().await?;
    let mut first = world.start_operator().await?;
    let second = world.operator().await?;
    let mut second = second.start("standing by").await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;
    world.create_task("before", call(&image, "add", json!([1, 2]))).await?;
    world.results("before").await?;
    ensure!(!second.log().contains(OPERATOR_READY), "only the leader has a session");

    first.kill()?;
    let leads = |line: &str| line.contains(OPERATOR_READY).then_some(());
    second
        .process()?
        .wait_for_log("line that says that it leads", leads)
        .await?;
    world.create_task("after", call(&image, "add", json!([3, 4]))).await?;
    assert_eq!(world.results("after").await?, json!(7));
    let address = health(&mut second).await?;
    for path in ["/healthz", "/readyz"] {
        get(&address, path).await?;
    }
    Ok(())
}

/// Mosquitto doesn't say that a session was taken over; the lease does.
#[tokio::test]
async fn a_leader_that_overslept_goes() -> Result<()> {
    let world = World::kubernetes().await?;
    let mut first = world.start_operator().await?;
    let mut second = world.operator().await?.start("standing by").await?;
    first.process()?.signal(Signal::STOP)?;
    let leads = |line: &str| line.contains(OPERATOR_READY).then_some(());
    second
        .process()?
        .wait_for_log("line that says that it leads", leads)
        .await?;
    first.process()?.signal(Signal::CONT)?;
    let status = first.process()?.wait_for_end(PATIENCE).await?;
    assert_eq!(status.code(), Some(1), "{}", first.log());
    ensure!(first.log().contains("another replica leads now"), "{}", first.log());
    Ok(())
}

/// In its own namespace, and with all that it may be asked to do.
#[tokio::test]
async fn the_operator_needs_its_role_and_no_more() -> Result<()> {
    let world = World::kubernetes().await?;
    let operator = world.operator_by(world.broker.addr(), "propeller-system").await?;
    let operator = operator.args(["--auto-register", "--auto-register-namespace", &world.namespace]);
    let operator = operator.start(OPERATOR_READY).await?;

    let _proplet = world.proplet("edge-1").await?.start(PROPLET_READY).await?;
    world
        .create_task("addition", call(&world.push("addition").await?, "add", json!([20, 22])))
        .await?;
    assert_eq!(world.results("addition").await?, json!(42));
    let short = call(&world.push("addition").await?, "add", json!([20, 22]));
    world
        .create_task("short-lived", with(short, "ttlSecondsAfterFinished", json!(1)))
        .await?;
    world.wait_until_gone("short-lived").await?;
    let events = wait_for("Events", PATIENCE, async || {
        let events = world
            .cluster()?
            .kubectl(&["get", "events", "--namespace", &world.namespace])
            .await?;
        ensure!(
            events.contains("Dispatched") && events.contains("Completed"),
            "{events}"
        );
        Ok(())
    });
    events.await?;
    ensure!(!operator.log().contains("forbidden"), "{}", operator.log());
    Ok(())
}

#[tokio::test]
async fn a_broken_object_disturbs_nobody() -> Result<()> {
    let world = World::kubernetes().await?;
    let _operator = world.start_operator().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;
    // A status that no version of ours would write; the schema takes it, our types don't.
    world
        .create_task(
            "broken",
            with(call(&image, "add", json!([1, 2])), "proplet", json!("nobody")),
        )
        .await?;
    let patch = json!({"status": {"component": "not a digest"}});
    let params = kube::api::PatchParams::default();
    let raw: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(
        world.client().await?,
        &world.namespace,
        &kube::core::ApiResource::erase::<propeller_crd::Task>(&()),
    );
    raw.patch_status("broken", &params, &kube::api::Patch::Merge(patch))
        .await?;
    world.create_task("fine", call(&image, "add", json!([1, 2]))).await?;
    assert_eq!(world.results("fine").await?, json!(3));
    Ok(())
}

fn stage(message: &Message) -> Option<Stage> {
    let report: Report = message
        .topic
        .contains("/proplet/results/")
        .then(|| decode(&message.payload).ok())??;
    Some(report.stage)
}

/// Where an operator serves health and metrics, by its log.
async fn health(operator: &mut Service) -> Result<String> {
    let address = |line: &str| {
        Some(
            line.split_once("serving health and metrics on http://")?
                .1
                .trim()
                .to_owned(),
        )
    };
    operator.process()?.wait_for_log("line with its address", address).await
}

/// The body of a page, which must be served with 200.
pub(crate) async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    Ok(answer)
}
