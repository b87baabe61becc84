//! What a proplet needs around it, and the control plane that a test plays.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use propeller_api::{Call, Command, JournalId, PropletId, Work};
use propeller_artifact::{Client, ClientConfig, ComponentInfo, Progress, Publication, Pushed};
use propeller_protocol::{
    Ack, Alive, AttemptRef, Base, Channel, Failure, Held, Limits, Message, Outcome, Presence, Refusal, Report, Stage,
    Start, Stop, TaskRef, Verdict, decode, encode, requires,
};
use propeller_tests::{
    Mosquitto, PATIENCE, Program, Registry, Service, Spy, cargo, mosquitto, registry, scratch, wait_for,
};
use serde_json::{Value, json};

/// The proplet's identity.
pub const ID: &str = "edge-1";
/// What it says when it is at work.
pub const READY: &str = "connected to the broker";

/// A broker, a registry, and the control plane that the test plays.
pub struct Site {
    pub broker: Mosquitto,
    pub registry: Registry,
    pub spy: Spy,
    pub base: Base,
    pub id: PropletId,
}

impl Site {
    pub async fn new() -> Result<Self> {
        let broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
        Ok(Self {
            registry: Registry::start(registry::Access::Anyone).await?,
            spy: Spy::connect(broker.addr(), "m/default/c/main/control/proplet/#").await?,
            base: Base::new("default", "main")?,
            id: ID.parse()?,
            broker,
        })
    }

    /// A proplet about to be started, with these flags besides.
    pub async fn proplet(&self, flags: &[&str]) -> Result<Program> {
        let proplet = Program::new("proplet").await?;
        let state = proplet.folder().join("state");
        Ok(proplet
            .env("PROPLET_STATE_DIR", state)
            .args(["--id", ID, "--heartbeat-seconds", "1"])
            .args(["--mqtt-broker", &format!("mqtt://{}", self.broker.addr())])
            .args(flags))
    }

    /// Starts a proplet, and waits until it is present.
    pub async fn start(&self, flags: &[&str]) -> Result<Service> {
        let proplet = self.proplet(flags).await?.start(READY).await?;
        self.alive().await?;
        Ok(proplet)
    }

    pub async fn push(&self, guest: &str) -> Result<Pushed> {
        self.push_bytes(guest, fs::read(cargo::guest(guest).await?)?).await
    }

    pub async fn push_bytes(&self, name: &str, component: Vec<u8>) -> Result<Pushed> {
        // The first of all tests wins; it is the same for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = scratch::folder("push")?;
        let publication = Publication {
            component: component.into(),
            info: ComponentInfo::default(),
            author: None,
            created: None,
            annotations: Default::default(),
        };
        let reference = format!("{}/tests/{name}:1", self.registry.addr()).parse()?;
        Ok(Client::new(ClientConfig::new(folder.path()))?
            .push(&reference, &publication, &Progress::none())
            .await?)
    }

    pub async fn addition(&self, task: &str, pushed: &Pushed) -> Result<Start> {
        self.call(task, pushed, "add", json!([20, 22])).await
    }

    /// A task that takes a while: `milliseconds`, in a host call.
    pub async fn sleep(&self, task: &str, pushed: &Pushed, milliseconds: u64) -> Result<Start> {
        self.call(task, pushed, "sleep", json!([milliseconds.to_string()]))
            .await
    }

    pub async fn call(&self, task: &str, pushed: &Pushed, function: &str, args: Value) -> Result<Start> {
        let function = function.to_owned();
        self.task(task, pushed, Work::Call(Call { function, args })).await
    }

    pub async fn command(&self, task: &str, pushed: &Pushed, args: &[&str]) -> Result<Start> {
        let args = args.iter().map(|arg| arg.to_string()).collect();
        let start = self.task(task, pushed, Work::Command(Command { args })).await?;
        Ok(Start {
            requires: vec![requires::COMMAND.to_owned()],
            ..start
        })
    }

    /// The start of a task of that name, for the journal that the proplet announces.
    pub async fn task(&self, task: &str, pushed: &Pushed, work: Work) -> Result<Start> {
        Ok(Start {
            controller: "control".parse()?,
            journal: self.journal().await?,
            attempt: AttemptRef {
                task: TaskRef {
                    namespace: "default".into(),
                    name: task.into(),
                    uid: format!("uid-of-{task}"),
                },
                attempt: 1,
            },
            issued_at: "2026-01-01T00:00:00Z".parse()?,
            window_seconds: 60,
            requires: vec![],
            image: pushed.reference.pinned(&pushed.manifest).to_string(),
            component: pushed.component.clone(),
            work,
            grants: None,
            limits: Limits::default(),
        })
    }

    async fn journal(&self) -> Result<JournalId> {
        Ok(self.alive().await?.sender.journal)
    }

    pub async fn say<M: Message>(&self, channel: Channel, message: &M) -> Result<()> {
        self.spy
            .publish(&self.base.topic(channel, &self.id), encode(message)?)
            .await
    }

    /// All that came on that channel, which must be readable and the proplet's own.
    pub fn heard<M: Message>(&self, channel: Channel) -> Vec<M> {
        let topic = self.base.topic(channel, &self.id);
        let messages = self.spy.messages().into_iter().filter(|message| message.topic == topic);
        messages
            .map(|message| decode(&message.payload).expect("a proplet speaks the protocol"))
            .collect()
    }

    pub async fn alive(&self) -> Result<Alive> {
        self.wait_for_alive("presence", |alive| alive.presence != Presence::Offline)
            .await
    }

    pub fn presences(&self) -> usize {
        self.heard::<Alive>(Channel::Alive)
            .iter()
            .filter(|alive| alive.presence != Presence::Offline)
            .count()
    }

    /// Waits for one more presence than that many.
    pub async fn wait_for_presence_after(&self, known: usize) -> Result<()> {
        wait_for("presence again", PATIENCE, async || {
            ensure!(self.presences() > known, "not yet");
            Ok(())
        })
        .await
    }

    /// Waits for a presence that `wanted` accepts, from the beginning on.
    pub async fn wait_for_alive(&self, what: &str, wanted: impl Fn(&Alive) -> bool) -> Result<Alive> {
        wait_for(what, PATIENCE, async || {
            let presences = self.heard::<Alive>(Channel::Alive);
            let last = format!("{:?}", presences.last());
            presences.into_iter().find(|alive| wanted(alive)).context(last)
        })
        .await
    }

    /// Waits until what the proplet said last is what `wanted` accepts.
    pub async fn wait_for_inventory(&self, what: &str, wanted: impl Fn(&[Held]) -> bool) -> Result<()> {
        wait_for(what, PATIENCE, async || {
            match self.heard::<Alive>(Channel::Alive).last().map(|alive| &alive.presence) {
                Some(Presence::Alive { inventory, .. }) if wanted(inventory) => Ok(()),
                other => bail!("{other:?}"),
            }
        })
        .await
    }

    pub fn reports(&self, start: &Start) -> Vec<Stage> {
        let reports = self.heard::<Report>(Channel::Results).into_iter();
        let own = reports.filter(|report| report.attempt == start.attempt && report.controller == start.controller);
        own.map(|report| report.stage).collect()
    }

    pub fn outcomes(&self, start: &Start) -> usize {
        self.reports(start)
            .iter()
            .filter(|stage| matches!(stage, Stage::Finished { .. }))
            .count()
    }

    pub async fn wait_for_stage(&self, start: &Start, what: &str, wanted: impl Fn(&Stage) -> bool) -> Result<Stage> {
        wait_for(&format!("{}: {what}", start.attempt), PATIENCE, async || {
            let stages = self.reports(start);
            stages
                .iter()
                .find(|stage| wanted(stage))
                .cloned()
                .with_context(|| format!("{stages:?}"))
        })
        .await
    }

    pub async fn wait_for_outcome(&self, start: &Start) -> Result<Outcome> {
        match self
            .wait_for_stage(start, "an outcome", |stage| matches!(stage, Stage::Finished { .. }))
            .await?
        {
            Stage::Finished { outcome } => Ok(outcome),
            other => bail!("{other:?}"),
        }
    }

    pub async fn wait_for_failure(&self, start: &Start) -> Result<Failure> {
        match self.wait_for_outcome(start).await? {
            Outcome::Failed { failure, .. } => Ok(failure),
            other => bail!("it completed: {other:?}"),
        }
    }

    pub async fn wait_for_rejection(&self, start: &Start, reason: Refusal) -> Result<()> {
        let is_wanted =
            |stage: &Stage| matches!(stage, Stage::Rejected { rejection, .. } if rejection.reason == reason);
        self.wait_for_stage(start, &format!("{reason:?}"), is_wanted)
            .await
            .map(drop)
    }
}

pub fn stop(start: &Start) -> Stop {
    Stop {
        controller: start.controller.clone(),
        journal: start.journal.clone(),
        attempt: start.attempt.clone(),
        issued_at: start.issued_at,
    }
}

pub fn ack(start: &Start) -> Ack {
    Ack {
        controller: start.controller.clone(),
        journal: start.journal.clone(),
        attempt: start.attempt.clone(),
        verdict: Verdict::Recorded,
    }
}
