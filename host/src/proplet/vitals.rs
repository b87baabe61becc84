//! Whether the proplet lives, and can do its work: asked when somebody wants to know, so that the answer is never an old one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use propeller_artifact::digest_of;
use propeller_types::InvalidFunctionRef;
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{Mutex, OnceCell, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::chain::chain;
use crate::engine::{Engine, Granted, Invocation, Limits, Prepared, Sandbox, Stdio, TaskContext};

/// For an answer. Kubernetes' probes wait a second.
const PATIENCE: Duration = Duration::from_millis(800);
/// However often it's asked, the canary runs no more often than this.
const CANARY_LASTS: Duration = Duration::from_secs(1);

/// A component that exports `sing: func() -> u32`; `canary.wat` beside it is its source.
const CANARY: &[u8] = include_bytes!("canary.wasm");

/// The loop's answer to a question about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Whether the session with the broker is up.
    pub connected: bool,
    /// Whether the journal could be written the last time.
    pub durable: bool,
    /// Whether no start is accepted.
    pub draining: bool,
}

/// A question to the loop.
pub type Question = oneshot::Sender<Pulse>;

/// Asks.
#[derive(Clone)]
pub struct Doctor {
    questions: mpsc::Sender<Question>,
    engine: Engine,
    canary: Arc<Canary>,
}

/// The component, once it's compiled, and how it went the last time.
#[derive(Default)]
struct Canary {
    prepared: OnceCell<Prepared>,
    last: Mutex<Option<(Instant, Part)>>,
}

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    ok: bool,
    detail: String,
}

/// How each part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether a start that comes now would be accepted, as far as the proplet itself goes.
    pub ready: bool,
    broker: Part,
    journal: Part,
    engine: Part,
    accepting: Part,
}

impl Part {
    fn new(ok: bool, good: &str, bad: &str) -> Self {
        let detail = if ok { good } else { bad }.to_owned();
        Self { ok, detail }
    }
}

impl Doctor {
    /// `questions` go to the loop. Must be called inside a Tokio runtime: nobody who asks waits long enough for the canary to be compiled.
    pub fn new(questions: mpsc::Sender<Question>, engine: Engine) -> Self {
        let canary = Arc::<Canary>::default();
        let (first, works) = (canary.clone(), engine.clone());
        tokio::spawn(async move {
            if let Err(problem) = first.prepared(&works).await {
                tracing::warn!(problem, "the engine cannot be tried");
            }
        });
        Self {
            questions,
            engine,
            canary,
        }
    }

    /// Whether the loop turns.
    pub async fn pulse(&self) -> Option<Pulse> {
        let answer = async {
            let (question, answer) = oneshot::channel();
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        timeout(PATIENCE, answer).await.ok().flatten()
    }

    /// How each part is.
    pub async fn readiness(&self) -> Readiness {
        let (pulse, engine) = tokio::join!(self.pulse(), self.canary());
        let is = |ok: fn(Pulse) -> bool| pulse.is_some_and(ok);
        let silent = pulse.is_none().then_some("the event loop does not answer");
        let part = |ok: bool, good: &str, bad: &str| Part::new(ok, good, silent.unwrap_or(bad));
        let broker = part(
            is(|pulse| pulse.connected),
            "connected",
            "there is no session with the broker",
        );
        let journal = part(is(|pulse| pulse.durable), "written", "the journal can't be written");
        let accepting = part(
            is(|pulse| !pulse.draining),
            "starts are accepted",
            "the proplet is shutting down",
        );
        Readiness {
            ready: broker.ok && journal.ok && engine.ok && accepting.ok,
            broker,
            journal,
            engine,
            accepting,
        }
    }

    /// Whether a component can be called on the guests' threads, whatever they are busy with.
    async fn canary(&self) -> Part {
        let mut last = self.canary.last.lock().await;
        if let Some((when, part)) = &*last
            && when.elapsed() < CANARY_LASTS
        {
            return part.clone();
        }
        let song = timeout(PATIENCE, self.canary.sing(&self.engine)).await;
        let song = song.unwrap_or_else(|_| Err("the guests' threads do not get to it".to_owned()));
        let part = match song {
            Ok(()) => Part::new(true, "components run", ""),
            Err(problem) => Part::new(false, "", &problem),
        };
        *last = Some((Instant::now(), part.clone()));
        part
    }
}

impl Canary {
    async fn prepared(&self, engine: &Engine) -> Result<&Prepared, String> {
        let prepare = async || engine.prepare(&digest_of(CANARY), CANARY).await;
        let prepared = self.prepared.get_or_try_init(prepare).await;
        prepared.map_err(|error| chain(&error))
    }

    async fn sing(&self, engine: &Engine) -> Result<(), String> {
        sing(self.prepared(engine).await?).await
    }
}

async fn sing(prepared: &Prepared) -> Result<(), String> {
    let name = || "canary".to_owned();
    let invocation = Invocation {
        function: "sing".parse().map_err(|error: InvalidFunctionRef| error.to_string())?,
        args: json!([]),
        sandbox: Sandbox {
            limits: Limits {
                memory: 0,
                deadline: PATIENCE,
                result: 64,
            },
            task: Arc::new(TaskContext {
                namespace: name(),
                name: name(),
                uid: name(),
                attempt: 1,
            }),
            grants: Granted::default(),
            stdio: Stdio::Discard,
            cancel: CancellationToken::new(),
        },
    };
    let outcome = prepared.invoke(invocation).await;
    outcome.result.map(drop).map_err(|error| chain(&error))
}
