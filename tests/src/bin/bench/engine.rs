//! Calls, the mapping of values, and compilations.

use std::{
    fs,
    hint::black_box,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use propeller_artifact::digest_of;
use propeller_host::engine::{
    CacheConfig, CompileBounds, Compiler, Engine, EngineConfig, Granted, Invocation, Limits, Prepared, Sandbox, Stdio,
    TaskContext,
};
use propeller_tests::cargo;
use propeller_types::{json, wave};
use serde_json::Value;
use tempfile::TempDir;
use wasmtime::component::{Component, Val, types::ComponentItem};

use crate::{
    floor::Floor,
    memory, process,
    table::{Table, micros},
};

/// How long the same call is repeated for one figure.
const SPAN: Duration = Duration::from_millis(200);

/// Calls between two looks at the clock.
const BATCH: u32 = 256;

/// Adds two numbers as well, and has and imports nothing else: neither memory nor table.
const LEAST: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"#;

const INTERFACE: &str = "propeller:examples/math@1.0.0";

pub async fn measure(table: &mut Table, rounds: usize) -> Result<()> {
    // Missing it after a minute of measuring would be a pity.
    let wasmtime = process::wasmtime()?;
    let addition = fs::read(cargo::guest("addition").await?)?;
    for (what, component, interface) in [
        ("addition", &addition, Some(INTERFACE)),
        ("the least component", &wat::parse_str(LEAST)?, None),
    ] {
        for threads in [1, 2] {
            calls(table, rounds, threads, what, component, interface).await?;
        }
    }
    handed_over(table, rounds, &addition).await?;
    values(table, rounds, &addition).await?;
    for guest in ["addition", "typed"] {
        compilations(table, rounds, guest).await?;
    }
    process::measure(table, rounds, wasmtime).await?;
    memory::measure(table).await
}

/// Instantiate, call, drop: through the host and without it, by futures that are where guests are.
async fn calls(
    table: &mut Table,
    rounds: usize,
    threads: usize,
    what: &str,
    component: &[u8],
    interface: Option<&str>,
) -> Result<()> {
    let engine = Engine::new(EngineConfig {
        guest_threads: NonZeroUsize::new(threads).context("none")?,
        ..EngineConfig::default()
    })?;
    let prepared = engine.prepare(&digest_of(component), component.to_vec()).await?;
    let floor = Floor::new(&prepared, interface, "add")?;
    let invocation = Arc::new(invocation("add", serde_json::json!([20, 22]))?);
    let (mut through, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let floor = floor.clone();
        bare.push(
            rate(&engine, threads, move || {
                let floor = floor.clone();
                async move { ensured(floor.call(&[Val::S32(20), Val::S32(22)]).await? == Val::S32(42)) }
            })
            .await?,
        );
        let (prepared, invocation) = (prepared.clone(), invocation.clone());
        through.push(
            rate(&engine, threads, move || {
                let (prepared, invocation) = (prepared.clone(), invocation.clone());
                async move { ensured(prepared.invoke(invocation).await.result?.json().is_some()) }
            })
            .await?,
        );
    }
    if threads == 1 {
        let time = |rates: &[f64]| rates.iter().map(|rate| 1e6 / rate).collect();
        let what = format!("instantiate, call, drop {what}");
        table.beside(what, "µs", time(&through), "Wasmtime", time(&bare));
    }
    let what = format!("instantiate, call, drop {what}: {threads} thread(s)");
    table.beside(what, "/s", through, "Wasmtime", bare);
    Ok(())
}

/// One call at a time, made by somebody elsewhere, as the proplet and the command line do.
async fn handed_over(table: &mut Table, rounds: usize, component: &[u8]) -> Result<()> {
    let engine = Engine::new(EngineConfig::default())?;
    let prepared = engine.prepare(&digest_of(component), component.to_vec()).await?;
    let invocation = Arc::new(invocation("add", serde_json::json!([20, 22]))?);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        for _ in 0..BATCH {
            prepared.invoke(invocation.clone()).await.result?;
        }
        times.push(micros(begin.elapsed()) / f64::from(BATCH));
    }
    table.add("the same, from another thread and back", "µs", times);
    Ok(())
}

/// Calls per second, by one future per thread.
async fn rate<F, W>(engine: &Engine, threads: usize, work: F) -> Result<f64>
where
    F: Fn() -> W + Clone + Send + 'static,
    W: Future<Output = Result<()>> + Send,
{
    let repeat = |work: F| async move {
        let begin = Instant::now();
        let mut calls = 0;
        while begin.elapsed() < SPAN {
            for _ in 0..BATCH {
                work().await?;
            }
            calls += BATCH;
            // Others have their turn, as between calls of different guests.
            tokio::task::yield_now().await;
        }
        Ok::<_, anyhow::Error>(f64::from(calls) / begin.elapsed().as_secs_f64())
    };
    let all = (0..threads).map(|_| engine.among_guests(repeat(work.clone())));
    let rates = try_join_all(all).await?;
    rates.into_iter().sum()
}

fn ensured(right: bool) -> Result<()> {
    ensure!(right, "a call returned something else");
    Ok(())
}

/// From text to WIT values and back, as it happens around every call.
async fn values(table: &mut Table, rounds: usize, component: &[u8]) -> Result<()> {
    let engine = Engine::new(EngineConfig::default())?;
    let prepared = engine.prepare(&digest_of(component), component.to_vec()).await?;
    let component = prepared.component();
    let interface = component
        .get_export_index(None, INTERFACE)
        .context("no such interface")?;
    let Some((ComponentItem::ComponentFunc(function), _)) = component.get_export(Some(&interface), "add") else {
        anyhow::bail!("no such function");
    };
    let params: Vec<_> = function.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let arguments = |args: &Value| -> Result<Vec<Val>> { Ok(json::args_to_values(&params, args)?) };
    let sum = Val::S32(42);
    let (mut as_json, mut as_wave) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        as_json.push(each(|| {
            let args: Value = serde_json::from_str(black_box("[20, 22]"))?;
            black_box((arguments(&args)?, json::from_value(&sum)?.to_string()));
            Ok(())
        })?);
        as_wave.push(each(|| {
            let call: wave::Call = black_box("add(20, 22)").parse()?;
            let arguments: Vec<Val> = wave::args_to_values(&params, &call)?;
            black_box((arguments, wave::to_string(&sum)?));
            Ok(())
        })?);
    }
    table.add("two numbers in and one out, as JSON text", "µs", as_json);
    table.add("two numbers in and one out, as WAVE text", "µs", as_wave);
    Ok(())
}

/// Microseconds for each of many repetitions.
fn each(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    const TIMES: u32 = 20_000;
    let begin = Instant::now();
    for _ in 0..TIMES {
        work()?;
    }
    Ok(micros(begin.elapsed()) / f64::from(TIMES))
}

/// A component for the first time, with a compiler in a child and in this process, and from the cache on disk.
async fn compilations(table: &mut Table, rounds: usize, guest: &str) -> Result<()> {
    let bytes = fs::read(cargo::guest(guest).await?)?;
    let digest = digest_of(&bytes);
    let kib = bytes.len() / 1024;
    let (mut bare, mut here, mut child, mut cached) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let proplet: PathBuf = cargo::binary("proplet").await?;
    for _ in 0..rounds {
        let engine = Engine::new(EngineConfig::default())?;
        let first = engine.prepare(&digest, bytes.clone());
        let prepared = timed(&mut here, first).await?;
        let begin = Instant::now();
        Component::new(prepared.component().engine(), &bytes)?;
        bare.push(millis(begin));

        let directory = TempDir::new()?;
        let config = EngineConfig {
            compiler: Compiler::Child {
                program: proplet.clone(),
                bounds: CompileBounds::default(),
            },
            cache: Some(CacheConfig {
                directory: directory.path().join("code"),
                max_bytes: 1 << 30,
            }),
            ..EngineConfig::default()
        };
        let engine = Engine::new(config.clone())?;
        timed(&mut child, engine.prepare(&digest, bytes.clone())).await?;
        let engine = Engine::new(config)?;
        let begin = Instant::now();
        engine.warm(&digest).await.context("it isn't cached")?;
        cached.push(millis(begin));
    }
    let what = |how: &str| format!("first time, {guest} ({kib} KiB): {how}");
    table.beside(what("in this process"), "ms", here, "Component::new", bare.clone());
    table.beside(
        what("in a child, kept on disk"),
        "ms",
        child,
        "Component::new",
        bare.clone(),
    );
    table.beside(what("found on disk"), "ms", cached, "Component::new", bare);
    Ok(())
}

async fn timed<E: Into<anyhow::Error>>(
    times: &mut Vec<f64>,
    prepare: impl Future<Output = Result<Prepared, E>>,
) -> Result<Prepared> {
    let begin = Instant::now();
    let prepared = prepare.await.map_err(Into::into)?;
    times.push(millis(begin));
    Ok(prepared)
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

pub fn invocation(function: &str, args: Value) -> Result<Invocation> {
    Ok(Invocation {
        function: function.parse()?,
        args,
        sandbox: Sandbox {
            limits: Limits {
                memory: 64 << 20,
                deadline: Duration::from_secs(600),
                result: Limits::DEFAULT_RESULT_BYTES,
            },
            task: Arc::new(TaskContext {
                namespace: "default".to_owned(),
                name: "bench".to_owned(),
                uid: "0c7e-11".to_owned(),
                attempt: 1,
            }),
            grants: Granted::default(),
            stdio: Stdio::Discard,
            cancel: Default::default(),
        },
    })
}
