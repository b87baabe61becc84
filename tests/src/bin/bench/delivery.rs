//! Delivery: from a start that is published to its result, through a real Mosquitto and real proplets. The control plane is played here, so that what is
//! measured is the broker's way, the proplet's journal and its run, and nothing else.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use propeller_api::{Call, Digest, JournalId, PropletId, Work};
use propeller_artifact::{self as artifact, ClientConfig, ComponentInfo, Progress, Pushed};
use propeller_bus::{Event, Events, Options, Publication, Publisher, Qos, Subscription, connect};
use propeller_protocol::{
    Ack, Alive, AttemptRef, Base, Channel, ControllerId, Limits, Message, Report, Stage, Start, TaskRef, Verdict,
    decode, encode,
};
use propeller_tests::{
    Mosquitto, Program, Registry, Service, cargo, mosquitto, registry, scratch, world::PROPLET_READY,
};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::table::{Table, micros};

/// Starts for one figure of a latency.
const PINGS: u32 = 300;
/// Between two starts, so that the disk has what was written of the one before: an outcome is told before it is synced.
const QUIET: Duration = Duration::from_millis(10);
/// Starts for one figure of a rate.
const BURST: u32 = 3_000;
/// Starts under way at a time.
const WINDOW: u32 = 256;
/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(table: &mut Table, rounds: usize) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let broker = Mosquitto::start(mosquitto::Access::Anyone).await?;
    let registry = Registry::start(registry::Access::Anyone).await?;
    let pushed = push(&registry).await?;
    let mut proplets = Vec::new();
    for number in 0..4 {
        proplets.push(start_proplet(&broker, number).await?);
    }
    let mut control = Control::connect(&broker, pushed).await?;
    control.wait_for_proplets(4).await?;
    let mut hops = Hops::connect(&broker).await?;
    // The first start of each compiles or loads the component.
    for proplet in 0..4 {
        control.ping(proplet).await?;
    }
    latency(table, rounds, &mut control, &mut hops).await?;
    rates(table, rounds, &mut control, &mut hops).await
}

async fn push(registry: &Registry) -> Result<Pushed> {
    let folder = scratch::folder("push")?;
    let publication = artifact::Publication {
        component: std::fs::read(cargo::guest("addition").await?)?.into(),
        info: ComponentInfo::default(),
        author: None,
        created: None,
        annotations: Default::default(),
    };
    let reference = format!("{}/bench/addition:1", registry.addr()).parse()?;
    let client = artifact::Client::new(ClientConfig::new(folder.path()))?;
    Ok(client.push(&reference, &publication, &Progress::none()).await?)
}

/// What a control plane would have resolved it to.
fn image(pushed: &Pushed) -> Result<String> {
    let reference = pushed.reference.to_string();
    let (repository, _) = reference.rsplit_once(':').context("a tag")?;
    Ok(format!("{repository}@{}", pushed.manifest))
}

async fn start_proplet(broker: &Mosquitto, number: usize) -> Result<Service> {
    let proplet = Program::new("proplet").await?;
    let (state, many) = (proplet.folder().join("state"), WINDOW.to_string());
    proplet
        .args([
            "--id",
            &name(number),
            "--mqtt-broker",
            &format!("mqtt://{}", broker.addr()),
        ])
        .args([
            "--capacity-tasks",
            &many,
            "--capacity-queue",
            &many,
            "--capacity-memory",
            "64Gi",
        ])
        .arg("--state-dir")
        .arg(state)
        .start(PROPLET_READY)
        .await
}

fn name(number: usize) -> String {
    format!("bench-{number}")
}

async fn latency(table: &mut Table, rounds: usize, control: &mut Control, hops: &mut Hops) -> Result<()> {
    let (mut p50, mut p99, mut floor50, mut floor99) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        let mut times = Vec::new();
        for _ in 0..PINGS {
            sleep(QUIET).await;
            times.push(micros(control.ping(0).await?));
        }
        p50.push(quantile(&mut times, 0.5));
        p99.push(quantile(&mut times, 0.99));
        let mut times = Vec::new();
        for _ in 0..PINGS {
            sleep(QUIET).await;
            times.push(micros(hops.ping().await?));
        }
        floor50.push(quantile(&mut times, 0.5));
        floor99.push(quantile(&mut times, 0.99));
    }
    let what = "start to result, one at a time";
    table.beside(format!("{what}: p50"), "µs", p50, "2 QoS 1 hops and an fsync", floor50);
    table.beside(format!("{what}: p99"), "µs", p99, "2 QoS 1 hops and an fsync", floor99);
    Ok(())
}

async fn rates(table: &mut Table, rounds: usize, control: &mut Control, hops: &mut Hops) -> Result<()> {
    let (mut one, mut four, mut floor) = (vec![], vec![], vec![]);
    for _ in 0..rounds.div_ceil(3) {
        one.push(control.burst(1).await?);
        four.push(control.burst(4).await?);
        floor.push(hops.burst().await?);
    }
    let what = "the broker alone: start, finished, ack";
    table.beside("tasks through one proplet", "/s", one, what, floor.clone());
    table.beside("tasks through four proplets", "/s", four, what, floor);
    Ok(())
}

/// What a control plane says and hears, without its store.
struct Control {
    publisher: Publisher,
    events: Events,
    base: Base,
    controller: ControllerId,
    journals: HashMap<String, JournalId>,
    image: String,
    component: Digest,
    tasks: u32,
}

impl Control {
    async fn connect(broker: &Mosquitto, pushed: Pushed) -> Result<Self> {
        let base = Base::new("default", "main")?;
        let filters = [Channel::Alive, Channel::Results].map(|channel| base.filter(channel));
        let (publisher, events) = session(broker, "bench-control", filters.into()).await?;
        Ok(Self {
            image: image(&pushed)?,
            component: pushed.component,
            publisher,
            events,
            base,
            controller: "bench".parse()?,
            journals: HashMap::new(),
            tasks: 0,
        })
    }

    async fn wait_for_proplets(&mut self, count: usize) -> Result<()> {
        while self.journals.len() < count {
            let (topic, payload) = next_message(&mut self.events).await?;
            if topic.contains("/alive/") {
                let alive: Alive = decode(&payload)?;
                let id = topic.rsplit('/').next().unwrap_or_default();
                self.journals.insert(id.to_owned(), alive.sender.journal);
            }
        }
        Ok(())
    }

    /// From publishing a start to hearing its result.
    async fn ping(&mut self, proplet: usize) -> Result<Duration> {
        let begin = Instant::now();
        self.start(proplet).await?;
        loop {
            if let Some(report) = self.finished().await? {
                let took = begin.elapsed();
                self.acknowledge(report).await?;
                return Ok(took);
            }
        }
    }

    /// Tasks per second, with many under way.
    async fn burst(&mut self, proplets: usize) -> Result<f64> {
        let begin = Instant::now();
        let (mut started, mut ended) = (0, 0);
        while ended < BURST {
            while started < BURST && started - ended < WINDOW {
                self.start(started as usize % proplets).await?;
                started += 1;
            }
            if let Some(report) = self.finished().await? {
                self.acknowledge(report).await?;
                ended += 1;
            }
        }
        Ok(f64::from(BURST) / begin.elapsed().as_secs_f64())
    }

    async fn start(&mut self, proplet: usize) -> Result<()> {
        self.tasks += 1;
        let id: PropletId = name(proplet).parse()?;
        let task = TaskRef {
            namespace: "bench".to_owned(),
            name: format!("task-{}", self.tasks),
            uid: format!("uid-{}", self.tasks),
        };
        let start = Start {
            controller: self.controller.clone(),
            journal: self.journals.get(id.as_str()).context("no such proplet")?.clone(),
            attempt: AttemptRef { task, attempt: 1 },
            issued_at: Timestamp::now(),
            window_seconds: 60,
            requires: vec![],
            image: self.image.clone(),
            component: self.component.clone(),
            work: Work::Call(Call {
                function: "add".to_owned(),
                args: json!([20, 22]),
            }),
            grants: None,
            limits: Limits::default(),
        };
        self.say(Channel::Start, &id, &start).await
    }

    /// The next report, if it is a result.
    async fn finished(&mut self) -> Result<Option<(PropletId, Report)>> {
        let (topic, payload) = next_message(&mut self.events).await?;
        if !topic.contains("/results/") {
            return Ok(None);
        }
        let id = topic.rsplit('/').next().unwrap_or_default().parse()?;
        let report: Report = decode(&payload)?;
        match &report.stage {
            Stage::Finished {
                outcome: propeller_protocol::Outcome::Completed { .. },
            } => Ok(Some((id, report))),
            Stage::Accepted | Stage::Started { .. } => Ok(None),
            other => bail!("{other:?} instead of a result"),
        }
    }

    async fn acknowledge(&self, (id, report): (PropletId, Report)) -> Result<()> {
        let ack = Ack {
            controller: self.controller.clone(),
            journal: report.sender.journal,
            attempt: report.attempt,
            verdict: Verdict::Recorded,
        };
        self.say(Channel::Ack, &id, &ack).await
    }

    async fn say<M: Message>(&self, channel: Channel, id: &PropletId, message: &M) -> Result<()> {
        publish(&self.publisher, self.base.topic(channel, id), encode(message)?).await
    }
}

/// Two clients that send each other what has the size of a start and of a result, with one fsync in between.
struct Hops {
    here: (Publisher, Events),
    there: (Publisher, Events),
    journal: File,
    _folder: tempfile::TempDir,
}

impl Hops {
    async fn connect(broker: &Mosquitto) -> Result<Self> {
        let folder = scratch::folder("hops")?;
        Ok(Self {
            here: session(broker, "bench-here", vec!["floor/here".to_owned()]).await?,
            there: session(broker, "bench-there", vec!["floor/there".to_owned()]).await?,
            journal: File::create(folder.path().join("journal"))?,
            _folder: folder,
        })
    }

    async fn ping(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        publish(&self.here.0, "floor/there".to_owned(), vec![b'x'; 700]).await?;
        let (_, payload) = next_message(&mut self.there.1).await?;
        self.journal.write_all_at(&payload, 0)?;
        self.journal.sync_data()?;
        publish(&self.there.0, "floor/here".to_owned(), vec![b'x'; 400]).await?;
        next_message(&mut self.here.1).await?;
        Ok(begin.elapsed())
    }

    /// As many messages as tasks make, in both directions, with nothing in between.
    async fn burst(&mut self) -> Result<f64> {
        let begin = Instant::now();
        let Self { here, there, .. } = self;
        let starts_and_acks = exchange(BURST * 2, &here.0, "floor/there", &mut there.1);
        let outcomes = exchange(BURST, &there.0, "floor/here", &mut here.1);
        tokio::try_join!(starts_and_acks, outcomes)?;
        Ok(f64::from(BURST) / begin.elapsed().as_secs_f64())
    }
}

async fn exchange(messages: u32, publisher: &Publisher, topic: &str, events: &mut Events) -> Result<()> {
    let send = async {
        for _ in 0..messages {
            publish(publisher, topic.to_owned(), vec![b'x'; 500]).await?;
        }
        Ok(())
    };
    let receive = async {
        for _ in 0..messages {
            next_message(events).await?;
        }
        Ok(())
    };
    tokio::try_join!(send, receive).map(drop)
}

/// A session that has connected.
pub async fn session(broker: &Mosquitto, client_id: &str, filters: Vec<String>) -> Result<(Publisher, Events)> {
    let subscription = |filter| Subscription {
        filter,
        qos: Qos::AtLeastOnce,
    };
    let options = Options {
        broker: format!("mqtt://{}", broker.addr()).parse()?,
        client_id: client_id.to_owned(),
        username: None,
        password: None,
        ca: None,
        keep_alive: Duration::from_secs(15),
        session_expiry: Duration::from_secs(60),
        max_packet_bytes: 1 << 20,
        will: None,
        subscriptions: filters.into_iter().map(subscription).collect(),
    };
    let (publisher, mut events) = connect(options, CancellationToken::new())?;
    let connected = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Connected { .. }) {
                return true;
            }
        }
        false
    };
    ensure!(timeout(PATIENCE, connected).await?, "the session ended");
    Ok((publisher, events))
}

async fn publish(publisher: &Publisher, topic: String, payload: Vec<u8>) -> Result<()> {
    let publication = Publication {
        topic,
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expiry: None,
    };
    Ok(publisher.publish(publication).await?)
}

async fn next_message(events: &mut Events) -> Result<(String, bytes::Bytes)> {
    loop {
        match timeout(PATIENCE, events.next()).await?.context("the session ended")? {
            Event::Message { topic, payload, .. } => return Ok((topic, payload)),
            Event::Disconnected { .. } => bail!("the broker went away"),
            _ => {}
        }
    }
}

fn quantile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let index = (last as f64 * quantile).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}
