//! The engine against components written as text, each as small as what it shows. Guests built from Rust are in the end-to-end tests.

mod bounds;
mod cache;
mod calls;
mod ends;
mod loading;
mod room;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use propeller_api::Digest;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Engine, EngineConfig, Granted, Invocation, InvokeError, Limits, Outcome, PrepareError, Prepared, Returned, Sandbox,
    Stdio, TaskContext,
};

/// Far beyond what any test here needs, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a guest may go on after it was told to end.
const PROMPTLY: Duration = Duration::from_secs(1);

fn engine() -> Engine {
    Engine::new(EngineConfig {
        guest_threads: NonZeroUsize::new(2).unwrap(),
        ..EngineConfig::default()
    })
    .unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let mut sum = [0; 32];
    sum[..8].copy_from_slice(&hasher.finish().to_le_bytes());
    Digest::from_sha256(sum)
}

async fn load(engine: &Engine, wat: &str) -> Result<Prepared, PrepareError> {
    let bytes = wat::parse_str(wat).unwrap();
    engine.prepare(&digest(&bytes), bytes).await
}

fn invocation(function: &str, args: Value) -> Invocation {
    Invocation {
        function: function.parse().unwrap(),
        args,
        sandbox: Sandbox {
            limits: Limits {
                memory: 16 << 20,
                deadline: PATIENCE,
                result: Limits::DEFAULT_RESULT_BYTES,
            },
            task: Arc::new(TaskContext {
                namespace: "default".to_owned(),
                name: "test".to_owned(),
                uid: "b8e1".to_owned(),
                attempt: 1,
            }),
            grants: Granted::default(),
            stdio: Stdio::Discard,
            cancel: CancellationToken::new(),
        },
    }
}

/// Call a function of a component in an engine of its own.
async fn call(wat: &str, function: &str, args: Value) -> Outcome<Returned> {
    load(&engine(), wat)
        .await
        .unwrap()
        .invoke(invocation(function, args))
        .await
}

async fn failure(wat: &str, function: &str, args: Value) -> InvokeError {
    call(wat, function, args).await.result.unwrap_err()
}

/// A component that exports one core function, with a memory at hand: `ty` is its WIT type, and `body` what the module has beside the
/// memory, with the function exported as `f`.
fn component(ty: &str, body: &str) -> String {
    format!(
        r#"(component
            (core module $guest
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                {body})
            (core instance $guest (instantiate $guest))
            (func (export "f") {ty}
                (canon lift (core func $guest "f") (memory (core memory $guest "memory"))
                    (realloc (core func $guest "realloc")))))"#
    )
}

/// A component whose `f` never returns.
fn spin() -> String {
    component("", r#"(func (export "f") (loop $again (br $again)))"#)
}

/// A component whose `f` adds.
fn add() -> String {
    component(
        r#"(param "a" s32) (param "b" s32) (result s32)"#,
        r#"(func (export "f") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"#,
    )
}
