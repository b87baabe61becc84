//! Real guests in the host's engine: what each of `components/` is named after, and the examples.

use std::{
    io::ErrorKind,
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use propeller_api::Task;
use propeller_host::engine::{
    Engine, EngineConfig, Figures, Granted, Invocation, InvokeError, Limits, Outcome, PrepareError, Prepared, Returned,
    Sandbox, Stdio, TaskContext,
};
use propeller_tests::{PATIENCE, cargo};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a guest may go on after it was told to end.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn addition_adds() -> Result<()> {
    let addition = load("addition").await?;
    for function in [
        "add",
        "propeller:examples/math#add",
        "propeller:examples/math@1.0.0#add",
    ] {
        let outcome = call(&addition, function, json!([20, 22])).await?;
        let returned = outcome.result?;
        assert_eq!(
            (returned.json(), returned.wave().as_deref()),
            (Some(&json!(42)), Some("42"))
        );
    }
    let by_name = call(&addition, "add", json!({"b": 22, "a": -20})).await?;
    assert_eq!(by_name.result?.json(), Some(&json!(2)));
    Ok(())
}

/// Values of every kind of type, there and back.
#[tokio::test]
async fn typed_values_go_there_and_back() -> Result<()> {
    let typed = load("typed").await?;
    let check = async |function: &str, args: Value, expected: Value| -> Result<()> {
        let returned = call(&typed, function, args)
            .await?
            .result
            .with_context(|| function.to_owned())?;
        assert_eq!(returned.json(), Some(&expected), "{function}");
        Ok(())
    };
    let stops = json!([
        {"shelf": "B2", "at": {"x": 10, "y": 0}, "boxes": 2},
        {"shelf": "Ä1", "at": {"x": 0, "y": 5}, "boxes": 1, "note": null},
        {"shelf": "B9", "at": {"x": 90, "y": 90.5}, "boxes": 4_000_000_000_u32, "note": "far"},
    ]);
    let around = json!({"around": [{"x": 0, "y": 0}, 20]});
    let near =
        json!({"stops": 2, "boxes": 3, "aisles": ["B", "Ä"], "bounds": [{"x": 0.0, "y": 0.0}, {"x": 10.0, "y": 5.0}]});
    check("summarise", json!([stops, around]), near).await?;
    let everywhere = json!({"stops": 3, "boxes": 4_000_000_003_u64, "aisles": ["B", "Ä"], "bounds": [{"x": 0.0, "y": 0.0}, {"x": 90.0, "y": 90.5}]});
    check("summarise", json!([stops]), everywhere.clone()).await?;
    check("summarise", json!({"stops": stops, "within": "everywhere"}), everywhere).await?;
    let nothing = json!({"stops": 0, "boxes": 0, "aisles": [], "bounds": null});
    check("summarise", json!([[]]), nothing).await?;
    check("nearest", json!([{"x": 1, "y": 4}, stops]), json!(["Ä1", 2.0])).await?;
    check("nearest", json!([{"x": 1, "y": 4}, []]), Value::Null).await?;
    check("parse-point", json!(["3.5, -2"]), json!({"x": 3.5, "y": -2.0})).await?;
    check("odometer", json!(["9007199254740993", 1]), json!("9007199254740994")).await?;
    check("odometer", json!([5, -7]), json!(0)).await?;
    check("beacon", json!([3, true]), json!([128, 3])).await
}

/// As the API server keeps it, and so as a reader of the README sees it: 6.0 becomes 6, since JSON knows one kind of number.
fn as_stored(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(as_stored).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), as_stored(value)))
            .collect(),
        _ => value.clone(),
    }
}

/// The Tasks of `examples/typed` give what its README shows.
#[tokio::test]
async fn the_typed_example_is_as_its_readme_says() -> Result<()> {
    let typed = load("typed").await?;
    let folder = cargo::root().join("examples/typed");
    let [round, refusal]: [Value; 2] = json_blocks(&folder.join("README.md"))?
        .try_into()
        .ok()
        .context("two blocks")?;

    let returned = call_of(&typed, &folder.join("task.yaml")).await?.result?;
    assert_eq!(returned.json().map(as_stored), Some(round));
    let failure = call_of(&typed, &folder.join("task-err.yaml")).await?.result;
    assert_eq!(failure, Err(InvokeError::ErrResult { value: Some(refusal) }));
    Ok(())
}

#[tokio::test]
pub(crate) async fn ambiguous_exports_must_be_qualified() -> Result<()> {
    let ambiguous = load("ambiguous").await?;
    let error = failure(&ambiguous, "greet", json!([])).await?;
    assert_eq!(error.reason(), "AmbiguousExport");
    assert!(
        error.to_string().contains("propeller:guests/german@1.0.0#greet"),
        "{error}"
    );
    let greeting = call(&ambiguous, "propeller:guests/german#greet", json!([])).await?;
    assert_eq!(greeting.result?.json(), Some(&json!("guten Tag")));
    Ok(())
}

#[tokio::test]
pub(crate) async fn greedy_imports_are_named_before_anything_runs() -> Result<()> {
    let error = load("greedy").await.err().context("it was prepared")?;
    let error = error.downcast::<PrepareError>()?;
    assert_eq!(error.reason(), "UnknownImport");
    assert!(
        error.to_string().contains("propeller:guests/philosophers-stone@1.0.0"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn hoard_is_out_of_memory_and_disturbs_nobody() -> Result<()> {
    let (engine, mebibytes) = (engine()?, |n: u32| json!([n]));
    let hoard = load_in(&engine, "hoard").await?;
    let modest = call(&hoard, "hoard", mebibytes(8)).await?;
    assert_eq!(modest.result?.json(), Some(&json!(8)));
    assert!(
        (8 << 20..16 << 20).contains(&modest.figures.peak_memory),
        "{:?}",
        modest.figures
    );

    let (too_much, other) = tokio::join!(
        call(&hoard, "hoard", mebibytes(1000)),
        call(&hoard, "hoard", mebibytes(8))
    );
    let Outcome {
        result,
        figures: Figures { peak_memory, .. },
    } = too_much?;
    assert_eq!(result, Err(InvokeError::OutOfMemory { limit: 16 << 20 }));
    assert!(peak_memory <= 16 << 20, "{peak_memory}");
    assert_eq!(other?.result?.json(), Some(&json!(8)));
    Ok(())
}

/// The test's own environment isn't empty, its files exist, and somebody listens.
#[tokio::test]
pub(crate) async fn peek_sees_nothing() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?.to_string();
    let sight = call(&load("peek").await?, "peek", json!([address])).await?.result?;
    let nothing = json!({
        "variables": [], "arguments": [], "files": false, "network": false, "datagrams": false, "names": false, "input": 0,
    });
    assert_eq!(sight.json(), Some(&nothing));
    assert_eq!(
        listener.accept().map(drop).map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock),
        "it knocked"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn sleep_ends_at_its_deadline_and_on_cancel() -> Result<()> {
    let hour = json!([3_600_000]);
    ends_at_its_deadline("sleep", "sleep", hour.clone()).await?;
    ends_on_cancel("sleep", "sleep", hour).await?;
    let nap = call(&load("sleep").await?, "sleep", json!([20])).await?;
    assert_eq!(nap.result?.json(), None);
    assert!(nap.figures.wall >= Duration::from_millis(20), "{:?}", nap.figures);
    Ok(())
}

#[tokio::test]
pub(crate) async fn spin_ends_at_its_deadline_and_on_cancel() -> Result<()> {
    ends_at_its_deadline("spin", "spin", json!([])).await?;
    ends_on_cancel("spin", "spin", json!([])).await
}

#[tokio::test]
pub(crate) async fn task_context_is_the_invocations() -> Result<()> {
    let identity = call(&load("task-context").await?, "identify", json!([]))
        .await?
        .result?;
    assert_eq!(
        identity.json(),
        Some(&json!({"namespace": "lab", "name": "probe", "uid": "0c7e-11", "attempt": 3}))
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn trap_shows_its_functions() -> Result<()> {
    let error = failure(&load("trap").await?, "trap", json!([])).await?;
    let InvokeError::Trap { message, backtrace } = error else {
        anyhow::bail!("not a trap: {error}")
    };
    assert!(message.contains("unreachable"), "{message}");
    let line = |name: &str| {
        backtrace
            .iter()
            .position(|line| line.contains(name))
            .with_context(|| backtrace.join("\n"))
    };
    assert!(
        line("fall_over_the_edge")? < line("step_on_the_edge")?,
        "innermost first: {backtrace:?}"
    );
    Ok(())
}

fn engine() -> Result<Engine> {
    Ok(Engine::new(EngineConfig::default())?)
}

pub(crate) async fn load(guest: &str) -> Result<Prepared> {
    load_in(&engine()?, guest).await
}

async fn load_in(engine: &Engine, guest: &str) -> Result<Prepared> {
    let bytes = tokio::fs::read(cargo::guest(guest).await?).await?;
    Ok(engine.prepare(&propeller_artifact::digest_of(&bytes), bytes).await?)
}

/// Nothing granted, little memory, and no deadline that matters.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox {
        limits: Limits {
            memory: 16 << 20,
            deadline: PATIENCE,
            result: Limits::DEFAULT_RESULT_BYTES,
        },
        task: Arc::new(TaskContext {
            namespace: "lab".to_owned(),
            name: "probe".to_owned(),
            uid: "0c7e-11".to_owned(),
            attempt: 3,
        }),
        grants: Granted::default(),
        stdio: Stdio::Discard,
        cancel: CancellationToken::new(),
    }
}

fn invocation(function: &str, args: Value) -> Result<Invocation> {
    Ok(Invocation {
        function: function.parse()?,
        args,
        sandbox: sandbox(),
    })
}

pub(crate) async fn call(guest: &Prepared, function: &str, args: Value) -> Result<Outcome<Returned>> {
    Ok(guest.invoke(invocation(function, args)?).await)
}

async fn failure(guest: &Prepared, function: &str, args: Value) -> Result<InvokeError> {
    call(guest, function, args).await?.result.err().context("it returned")
}

async fn call_of(guest: &Prepared, task: &Path) -> Result<Outcome<Returned>> {
    let task: Task = serde_saphyr::from_str(&std::fs::read_to_string(task)?)?;
    let wanted = task.spec.call.context("the Task has a call")?;
    call(guest, &wanted.function, wanted.args).await
}

fn json_blocks(readme: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(readme)?;
    let blocks = text
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    Ok(blocks.map(serde_json::from_str).collect::<Result<_, _>>()?)
}

async fn ends_at_its_deadline(guest: &str, function: &str, args: Value) -> Result<()> {
    let deadline = Duration::from_millis(100);
    let mut invocation = invocation(function, args)?;
    invocation.sandbox.limits.deadline = deadline;
    let outcome = timeout(deadline + PROMPTLY, load(guest).await?.invoke(invocation)).await?;
    assert_eq!(outcome.result, Err(InvokeError::DeadlineExceeded { deadline }));
    Ok(())
}

/// More of them than there are threads, so that all of these are busy.
async fn ends_on_cancel(guest: &str, function: &str, args: Value) -> Result<()> {
    let (guest, invocation) = (load(guest).await?, invocation(function, args)?);
    let calls = (0..8).map(|_| {
        let (guest, invocation) = (guest.clone(), invocation.clone());
        tokio::spawn(async move { guest.invoke(invocation).await })
    });
    let calls: Vec<_> = calls.collect();
    let before = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    ensure!(
        before.elapsed() < PROMPTLY,
        "the control side was held up for {:?}",
        before.elapsed()
    );
    ensure!(calls.iter().all(|call| !call.is_finished()), "it ended by itself");

    invocation.sandbox.cancel.cancel();
    for call in calls {
        assert_eq!(timeout(PROMPTLY, call).await??.result, Err(InvokeError::Cancelled));
    }
    Ok(())
}
