//! Compilations in a child process: bounded in time and memory, ended when nobody wants them, and done once per machine.

use std::{
    fs,
    num::NonZeroU32,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use propeller_artifact::digest_of;
use propeller_host::engine::{CacheConfig, CompileBounds, Compiler, Engine, EngineConfig, PrepareError, Prepared};
use propeller_tests::{PATIENCE, cargo, wait_for};
use tempfile::TempDir;

/// How long something may take that was told to end.
const PROMPTLY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_child_compiles_what_then_runs() -> Result<()> {
    let engine = engine(proplet().await?, CompileBounds::default(), None)?;
    let addition = fs::read(cargo::guest("addition").await?)?;
    let prepared = prepare(&engine, addition).await?;
    let outcome = super::host::call(&prepared, "add", serde_json::json!([20, 22])).await?;
    ensure!(outcome.result?.json() == Some(&serde_json::json!(42)));
    Ok(())
}

#[tokio::test]
async fn what_the_compiler_refuses_is_the_components_fault() -> Result<()> {
    let engine = engine(proplet().await?, CompileBounds::default(), None)?;
    // Drops what isn't there.
    let error = refused(&engine, component(&[&[0, 0x1a, 0x0b]])).await?;
    ensure!(error.reason() == "CompileFailed", "{error}");
    ensure!(error.to_string().contains("expected a type"), "{error}");
    Ok(())
}

/// Eight kilobytes: a thousand functions of eight bytes that declare 50,000 variables each.
fn slow() -> Vec<u8> {
    component(&[&[1_u8, 0xd0, 0x86, 3, 0x7f, 0x0b][..]; 1000])
}

/// Thirty kilobytes: 2,000 loops inside one another, and 2,000 variables that live through all of them.
fn large() -> Vec<u8> {
    let mut body = vec![1, 0xd0, 0x0f, 0x7f];
    for n in 0..2000_u16 {
        let [low, high] = [0x80 | (n & 0x7f) as u8, (n >> 7) as u8];
        // loop: variable += 1
        body.extend([0x03, 0x40, 0x20, low, high, 0x41, 1, 0x6a, 0x21, low, high]);
    }
    // br_if to the loop's begin; end
    body.extend([0x20, 0, 0x0d, 0, 0x0b].repeat(2000));
    body.push(0x0b);
    component(&[&body])
}

#[tokio::test]
async fn a_compilation_has_a_deadline() -> Result<()> {
    let bounds = CompileBounds {
        wall: Duration::from_millis(300),
        ..CompileBounds::default()
    };
    let engine = engine(proplet().await?, bounds, None)?;
    let begin = Instant::now();
    let error = refused(&engine, slow()).await?;
    ensure!(error.reason() == "CompileTooLong", "{error}");
    ensure!(error.to_string().contains("0.3 s"), "{error}");
    ensure!(begin.elapsed() < bounds.wall + PROMPTLY, "{:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_compilation_has_a_bound_on_its_memory_and_another_is_not_disturbed() -> Result<()> {
    let bounds = CompileBounds {
        memory: 32 << 20,
        ..CompileBounds::default()
    };
    let engine = engine(proplet().await?, bounds, None)?;
    let addition = fs::read(cargo::guest("addition").await?)?;
    let (error, other) = tokio::join!(refused(&engine, large()), prepare(&engine, addition));
    let error = error?;
    ensure!(error.reason() == "CompileOutOfMemory", "{error}");
    ensure!(error.to_string().contains("32Mi"), "{error}");
    other?;
    Ok(())
}

#[tokio::test]
async fn code_has_a_bound_on_its_size() -> Result<()> {
    let bounds = CompileBounds {
        code: 4096,
        ..CompileBounds::default()
    };
    let engine = engine(proplet().await?, bounds, None)?;
    let error = refused(&engine, component(&[&[0, 0x0b]])).await?;
    ensure!(error.reason() == "CompileTooLarge", "{error}");
    Ok(())
}

#[tokio::test]
async fn a_compilation_ends_with_the_last_who_waits() -> Result<()> {
    // A bound that no other test has tells this child from theirs.
    let bounds = CompileBounds {
        memory: 1_234_567_890,
        ..CompileBounds::default()
    };
    let engine = engine(proplet().await?, bounds, None)?;
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { prepare(&engine, slow()).await })
        })
        .collect();
    let child_of = |memory| child(memory).context("none");
    let process = wait_for("a child", PATIENCE, async || child_of(bounds.memory)).await?;
    // It says so itself as it begins.
    let sacrificed = async || {
        let score = fs::read_to_string(process.join("oom_score_adj"))?;
        ensure!(score.trim() == "1000", "the kernel would end others before it: {score}");
        Ok(())
    };
    wait_for(
        "its place in the order of the out-of-memory killer",
        PATIENCE,
        sacrificed,
    )
    .await?;
    waiting.remove(0).abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    child(bounds.memory).context("it ended, although somebody waits")?;
    waiting.remove(0).abort();
    let begin = Instant::now();
    let gone = async || {
        ensure!(child(bounds.memory).is_none(), "it is there");
        Ok(())
    };
    wait_for("the end of the child", PATIENCE, gone).await?;
    ensure!(begin.elapsed() < PROMPTLY, "{:?}", begin.elapsed());
    Ok(())
}

/// Several that take minutes hold up nothing that takes a moment.
#[tokio::test]
async fn what_takes_long_to_compile_makes_way() -> Result<()> {
    let bounds = CompileBounds {
        // Enough for what takes a moment, also where many tests run.
        quick: Duration::from_secs(5),
        memory: 1_345_678_901,
        ..CompileBounds::default()
    };
    let engine = engine(proplet().await?, bounds, None)?;
    let slow: Vec<_> = (0..3_u8)
        .map(|n| {
            // Each is another one by an empty section with a name of its own.
            let bytes = [slow(), vec![0, 2, 1, n]].concat();
            let engine = engine.clone();
            tokio::spawn(async move { prepare(&engine, bytes).await })
        })
        .collect();
    let addition = fs::read(cargo::guest("addition").await?)?;
    // They are in the queue before it.
    wait_for("a child", PATIENCE, async || child(bounds.memory).context("none")).await?;
    tokio::time::timeout(PATIENCE, prepare(&engine, addition)).await??;
    ensure!(slow.iter().all(|slow| !slow.is_finished()), "they weren't slow");
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// Two engines are to each other as two processes are: they have nothing in common but the directory.
#[tokio::test]
async fn a_digest_is_compiled_once_per_machine() -> Result<()> {
    let directory = TempDir::new()?;
    let (log, program) = (directory.path().join("log"), directory.path().join("compiler"));
    let script = format!(
        "#!/bin/sh\necho compiles >>{}\nexec {} \"$@\"\n",
        log.display(),
        proplet().await?.display()
    );
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    let cache = directory.path().join("cache");
    let engine = || engine(program.clone(), CompileBounds::default(), Some(&cache));
    let engines = [engine()?, engine()?];
    let addition = fs::read(cargo::guest("addition").await?)?;
    let asks = engines.iter().cycle().take(100);
    for prepared in join_all(asks.map(|engine| prepare(engine, addition.clone()))).await {
        prepared?;
    }
    let log = fs::read_to_string(log)?;
    ensure!(log.lines().count() == 1, "{log}");
    Ok(())
}

/// A component with a core module in it that has these bodies of functions.
fn component(bodies: &[&[u8]]) -> Vec<u8> {
    let count = length(bodies.len());
    let mut functions = count.clone();
    functions.resize(count.len() + bodies.len(), 0);
    let mut code = count;
    for body in bodies {
        code.extend([&length(body.len())[..], body].concat());
    }
    let types = [1, 0x60, 0, 0];
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &types),
        &section(3, &functions),
        &section(10, &code),
    ];
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module.concat())].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &length(content.len())[..], content].concat()
}

/// As LEB128, always of three bytes.
fn length(n: usize) -> Vec<u8> {
    vec![0x80 | (n & 0x7f) as u8, 0x80 | (n >> 7 & 0x7f) as u8, (n >> 14) as u8]
}

async fn proplet() -> Result<PathBuf> {
    cargo::binary("proplet").await
}

fn engine(program: PathBuf, bounds: CompileBounds, cache: Option<&Path>) -> Result<Engine> {
    Ok(Engine::new(EngineConfig {
        instances: NonZeroU32::new(8).context("none")?,
        compiler: Compiler::Child { program, bounds },
        cache: cache.map(|directory| CacheConfig {
            directory: directory.to_owned(),
            max_bytes: 1 << 30,
        }),
        ..EngineConfig::default()
    })?)
}

async fn prepare(engine: &Engine, bytes: Vec<u8>) -> Result<Prepared, PrepareError> {
    engine.prepare(&digest_of(&bytes), bytes).await
}

async fn refused(engine: &Engine, bytes: Vec<u8>) -> Result<PrepareError> {
    prepare(engine, bytes).await.err().context("it was compiled")
}

/// Where the kernel tells of a compiling process that has this bound on its memory.
fn child(memory: u64) -> Option<PathBuf> {
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    let is_it = |process: &PathBuf| {
        let command = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        command.contains("\0__compile\0") && command.contains(&memory.to_string())
    };
    processes.into_iter().find(is_it)
}
