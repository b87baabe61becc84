//! A hostile client on a broker without access control. It hears everything, and says what it likes to operator and proplet.
//!
//! What it can't be kept from without access control is to speak in a proplet's own name, or in its control plane's, with all that these know. All
//! else changes no task, ends no process, and takes no memory that isn't given back.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use propeller_api::{JournalId, Phase};
use propeller_protocol::{Ack, Alive, Base, Channel, ControllerId, Message, Report, Start, Stop, decode, encode};
use propeller_tests::{PATIENCE, Service, Spy, World, wait_for, world::PROPLET_READY};
use serde_json::{Value, json};

use crate::operator::{call, get, with};

/// Made-up tasks, and made-up proplets.
const STRANGERS: usize = 20_000;
/// Messages between two looks at whether the other side has heard them all. Mosquitto keeps up to 1000 for a client, and drops what is beyond.
const BURST: usize = 800;
/// How much larger than before a process may be in the end.
const GROWTH: u64 = 64 << 20;
const PROPLET: &str = "edge-1";

/// An operator or a proplet that is talked to.
struct Victim {
    service: Service,
    metrics: String,
    /// Where it listens, to tell when it has heard what was said before.
    topic: String,
    memory: u64,
}

impl Victim {
    async fn new(mut service: Service, topic: String) -> Result<Self> {
        let address = |line: &str| {
            let (_, rest) = line.split_once("health and metrics ")?;
            Some(rest.split_once("http://")?.1.trim().to_owned())
        };
        let metrics = service
            .process()?
            .wait_for_log("line with its address", address)
            .await?;
        Ok(Self {
            service,
            metrics,
            topic,
            memory: 0,
        })
    }

    /// Says all of it, no faster than it is heard: what the broker drops on the way proves nothing.
    async fn told(&self, peer: &Spy, messages: impl Iterator<Item = (String, Vec<u8>)>) -> Result<()> {
        let mut messages = messages.peekable();
        while messages.peek().is_some() {
            peer.flood(messages.by_ref().take(BURST)).await?;
            self.hears(peer).await?;
        }
        Ok(())
    }

    /// Waits until it has heard all that was said to it before.
    async fn hears(&self, peer: &Spy) -> Result<()> {
        let before = self.undecodable().await?;
        peer.publish(&self.topic, "what can't be read is counted").await?;
        wait_for("it to hear everything", PATIENCE, async || {
            ensure!(self.undecodable().await? > before, "still {before}");
            Ok(())
        })
        .await
    }

    async fn undecodable(&self) -> Result<u64> {
        let metrics = get(&self.metrics, "/metrics").await?;
        let counts = metrics
            .lines()
            .filter(|line| line.contains("undecodable") && !line.starts_with('#'));
        counts
            .map(|line| Ok(line.rsplit(' ').next().context("a count")?.parse::<u64>()?))
            .sum()
    }

    /// Waits until it isn't larger than it may be, and tells how much larger than before it is.
    async fn has_not_grown(&mut self) -> Result<i64> {
        let (process, before) = (self.service.process()?, self.memory);
        ensure!(process.ended()?.is_none(), "it has ended");
        wait_for("its memory to be given back", PATIENCE, async || {
            let now = process.memory()?;
            ensure!(now < before + GROWTH, "{} KiB, and {} before", now >> 10, before >> 10);
            Ok(now as i64 - before as i64)
        })
        .await
    }
}

/// Operator, proplet, and a peer who hears everything.
struct Stage {
    world: World,
    operator: Victim,
    proplet: Victim,
    peer: Spy,
    base: Base,
}

impl Stage {
    async fn new() -> Result<Self> {
        let world = World::kubernetes().await?;
        let base = Base::new("default", "main")?;
        let id = PROPLET.parse()?;
        let operator = world.start_operator().await?;
        world.create_proplet(PROPLET, json!({})).await?;
        let proplet = world.proplet(PROPLET).await?;
        let proplet = proplet.args([
            "--capacity-tasks",
            "4",
            "--capacity-queue",
            "4",
            "--http-address",
            "127.0.0.1:0",
        ]);
        let proplet = proplet.start(PROPLET_READY).await?;
        Ok(Self {
            operator: Victim::new(operator, base.topic(Channel::Results, &id)).await?,
            proplet: Victim::new(proplet, base.topic(Channel::Stop, &id)).await?,
            peer: world.spy().await?,
            world,
            base,
        })
    }

    async fn add(&self, name: &str) -> Result<()> {
        let image = self.world.push("addition").await?;
        self.world
            .create_task(name, call(&image, "add", json!([20, 22])))
            .await?;
        self.completes(name).await
    }

    async fn completes(&self, name: &str) -> Result<()> {
        ensure!(
            self.world.results(name).await? == json!(42),
            "{name} has another result"
        );
        Ok(())
    }

    fn topic(&self, channel: Channel, proplet: &str) -> Result<String> {
        Ok(self.base.topic(channel, &proplet.parse()?))
    }

    /// Everything that was said on that channel.
    fn overheard<M: Message>(&self, channel: Channel) -> Result<Vec<M>> {
        let topic = self.topic(channel, PROPLET)?;
        let messages = self
            .peer
            .messages()
            .into_iter()
            .filter(|message| message.topic == topic);
        Ok(messages.filter_map(|message| decode(&message.payload).ok()).collect())
    }

    /// The newest thing of that task that was said on that channel.
    async fn overhear<M: Message>(&self, channel: Channel, what: &str, wanted: impl Fn(&M) -> bool) -> Result<M> {
        wait_for(what, PATIENCE, async || {
            self.overheard::<M>(channel)?
                .into_iter()
                .rev()
                .find(|message| wanted(message))
                .context("not yet")
        })
        .await
    }

    async fn proplet_runs(&self, count: u32) -> Result<bool> {
        let metrics = get(&self.proplet.metrics, "/metrics").await?;
        Ok(metrics.contains(&format!("proplet_attempts_running {count}\n")))
    }

    async fn remember_memory(&mut self) -> Result<()> {
        for victim in [&mut self.operator, &mut self.proplet] {
            victim.memory = victim.service.process()?.memory()?;
        }
        Ok(())
    }

    /// Checks that neither side has grown, and that both still work.
    async fn has_survived(&mut self) -> Result<()> {
        self.operator.hears(&self.peer).await?;
        self.proplet.hears(&self.peer).await?;
        let operator = self.operator.has_not_grown().await.context("operator")?;
        let proplet = self.proplet.has_not_grown().await.context("proplet")?;
        println!(
            "operator: {} KiB more, proplet: {} KiB more",
            operator >> 10,
            proplet >> 10
        );
        self.add("afterwards").await
    }

    /// What can't be changed by anybody else: the tasks' resource versions.
    async fn versions(&self, names: &[&str]) -> Result<Vec<(String, Option<String>)>> {
        let tasks = self.world.tasks().await?;
        let mut versions = Vec::new();
        for name in names {
            let task = tasks.get(name).await?;
            versions.push((task.name_any(), task.resource_version()));
        }
        Ok(versions)
    }
}

#[tokio::test]
async fn what_a_stranger_says_changes_no_task() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.add("before").await?;
    let image = stage.world.push("addition").await?;
    let waiting = with(call(&image, "add", json!([1, 2])), "proplet", json!("edge-9"));
    stage.world.create_task("waiting", waiting).await?;
    stage
        .world
        .wait_for_reason("waiting", "Scheduled", "Unschedulable")
        .await?;
    let sleep = stage.world.push("sleep").await?;
    stage
        .world
        .create_task("steady", call(&sleep, "sleep", json!([3_600_000])))
        .await?;
    let runs = |status: &propeller_api::TaskStatus| status.phase == Phase::Running;
    stage.world.wait_for_task("steady", "to run", runs).await?;

    let names = ["before", "waiting", "steady"];
    let versions = stage.versions(&names).await?;
    stage.remember_memory().await?;
    let messages = [malformed(&stage)?, spoofed(&stage).await?, replayed(&stage)?].concat();
    for _ in 0..2 {
        stage.peer.flood(messages.iter().rev().cloned()).await?;
        stage.operator.hears(&stage.peer).await?;
        stage.proplet.hears(&stage.peer).await?;
    }
    assert_eq!(stage.versions(&names).await?, versions, "a task was changed");
    ensure!(stage.proplet_runs(1).await?, "what ran doesn't run any more");

    stage.has_survived().await
}

/// On every topic, what isn't a message: too large, too deep, of another version, of other types, no text.
fn malformed(stage: &Stage) -> Result<Vec<(String, Vec<u8>)>> {
    let payloads: [Vec<u8>; 9] = [
        vec![],
        vec![0xff; 64],
        b"{".to_vec(),
        b"null".to_vec(),
        br#"{"v":1}"#.to_vec(),
        br#"{"v":99}"#.to_vec(),
        br#"{"v":1,"attempt":-1,"task":[],"stage":{"stage":"finished"},"status":7}"#.to_vec(),
        "[".repeat(500_000).into_bytes(),
        [b"{\"v\":1,\"task\":\"".to_vec(), vec![b'x'; 1_040_000], b"\"}".to_vec()].concat(),
    ];
    let mut topics = vec!["m/default/c/main/control/proplet/results/NOT A PROPLET".to_owned()];
    for channel in Channel::ALL {
        topics.push(stage.topic(channel, PROPLET)?);
        topics.push(stage.topic(channel, "nobody")?);
    }
    let with_each = |topic: &String| {
        payloads
            .iter()
            .map(|payload| (topic.clone(), payload.clone()))
            .collect()
    };
    Ok(topics
        .iter()
        .flat_map(|topic: &String| -> Vec<_> { with_each(topic) })
        .collect())
}

/// Of the task that runs: its end, by everybody but the one who may tell of it; and stops and acknowledgements by everybody but its control plane.
async fn spoofed(stage: &Stage) -> Result<Vec<(String, Vec<u8>)>> {
    let start: Start = stage
        .overhear(Channel::Start, "the start of steady", |start: &Start| {
            start.attempt.task.name == "steady"
        })
        .await?;
    let finished: Report = stage
        .overhear(Channel::Results, "the end of before", |report: &Report| {
            report.attempt.task.name == "before" && matches!(report.stage, propeller_protocol::Stage::Finished { .. })
        })
        .await?;
    let mut report = finished;
    report.attempt = start.attempt.clone();
    report.sender.sequence += 1_000_000;
    let (elsewhere, stranger): (JournalId, ControllerId) = ("elsewhere".parse()?, "stranger".parse()?);
    let results = stage.topic(Channel::Results, PROPLET)?;
    let mut said = Vec::new();
    let mut say = |topic: &str, change: &dyn Fn(&mut Report)| -> Result<()> {
        let mut report = report.clone();
        change(&mut report);
        said.push((topic.to_owned(), encode(&report)?));
        Ok(())
    };
    say(&stage.topic(Channel::Results, "edge-2")?, &|_| {})?;
    say(&results, &|report| report.controller = stranger.clone())?;
    say(&results, &|report| report.sender.journal = elsewhere.clone())?;
    say(&results, &|report| report.attempt.task.uid += "0")?;
    say(&results, &|report| report.attempt.attempt = 7)?;
    say(&results, &|report| report.attempt.attempt = 0)?;

    let stop = Stop {
        controller: start.controller.clone(),
        journal: start.journal.clone(),
        attempt: start.attempt.clone(),
        issued_at: start.issued_at,
    };
    let stops = stage.topic(Channel::Stop, PROPLET)?;
    let of_stranger = Stop {
        controller: stranger.clone(),
        ..stop.clone()
    };
    let of_other_journal = Stop {
        journal: elsewhere.clone(),
        ..stop.clone()
    };
    said.push((stops.clone(), encode(&of_stranger)?));
    said.push((stops, encode(&of_other_journal)?));
    let ack = Ack {
        controller: stranger.clone(),
        journal: start.journal.clone(),
        attempt: start.attempt.clone(),
        verdict: propeller_protocol::Verdict::Recorded,
    };
    said.push((stage.topic(Channel::Ack, PROPLET)?, encode(&ack)?));
    let later = Start {
        controller: stranger,
        ..start
    };
    said.push((stage.topic(Channel::Start, PROPLET)?, encode(&later)?));
    Ok(said)
}

/// All that was said so far, but for what a control plane says only once it means it.
fn replayed(stage: &Stage) -> Result<Vec<(String, Vec<u8>)>> {
    let stops = stage.topic(Channel::Stop, PROPLET)?;
    let messages = stage.peer.messages().into_iter();
    let messages: Vec<_> = messages
        .filter(|message| message.topic != stops && !message.retained)
        .map(|message| (message.topic, message.payload))
        .collect();
    let alive = messages.iter().filter(|(topic, _)| topic.contains("/alive/")).count();
    ensure!(
        alive > 0 && messages.len() > alive + 3,
        "too little was overheard: {}",
        messages.len()
    );
    Ok(messages)
}

#[tokio::test]
async fn made_up_tasks_and_proplets_take_no_memory() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.add("before").await?;
    let start: Start = stage.overhear(Channel::Start, "a start", |_| true).await?;
    let report: Report = stage
        .overhear(Channel::Results, "an end", |report: &Report| {
            matches!(report.stage, propeller_protocol::Stage::Finished { .. })
        })
        .await?;
    let alive: Alive = stage.overhear(Channel::Alive, "presence", |_| true).await?;
    let versions = stage.versions(&["before"]).await?;
    stage.remember_memory().await?;

    let results = stage.topic(Channel::Results, PROPLET)?;
    let reports = (0..STRANGERS).map(|number| {
        let mut report = report.clone();
        report.attempt.task.uid = format!("made-up-{number}");
        (results.clone(), encode(&report).expect("as the protocol has it"))
    });
    let presences = (0..STRANGERS).map(|number| {
        let payload = encode(&alive).expect("as the protocol has it");
        (
            stage
                .base
                .topic(Channel::Alive, &format!("made-up-{number}").parse().expect("an id")),
            payload,
        )
    });
    let stops = stage.topic(Channel::Stop, PROPLET)?;
    let stopped = (0..STRANGERS).map(|number| {
        let mut attempt = start.attempt.clone();
        attempt.task.uid = format!("made-up-{number}");
        let stop = Stop {
            controller: start.controller.clone(),
            journal: start.journal.clone(),
            attempt,
            issued_at: start.issued_at,
        };
        (stops.clone(), encode(&stop).expect("as the protocol has it"))
    });
    let honest = async {
        for number in 0..5 {
            stage.add(&format!("meanwhile-{number}")).await?;
        }
        anyhow::Ok(())
    };
    // Each its own connection, so that they do it at the same time.
    let (first, second) = (stage.world.spy().await?, stage.world.spy().await?);
    tokio::try_join!(
        async {
            stage.operator.told(&first, reports).await?;
            stage.operator.told(&first, presences).await
        },
        stage.proplet.told(&second, stopped),
        honest,
    )?;
    drop((first, second));
    ensure!(stage.versions(&["before"]).await? == versions, "a task was changed");
    stage.has_survived().await
}

/// What proplets say of themselves may be large. It's kept of those only that somebody has made a resource for.
#[tokio::test]
async fn strangers_that_say_much_take_no_memory() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.add("before").await?;
    let alive: Alive = stage.overhear(Channel::Alive, "presence", |_| true).await?;
    let mut alive: Value = serde_json::from_slice(&encode(&alive)?)?;
    let held = json!({"attempt": 1, "controller": "stranger", "state": "running",
                      "task": {"namespace": "default", "name": "made-up", "uid": "x".repeat(128)}});
    alive["inventory"] = json!(vec![held; 3_000]);
    let payload = alive.to_string().into_bytes();
    stage.remember_memory().await?;
    let topic = |number| {
        stage
            .base
            .topic(Channel::Alive, &format!("made-up-{number}").parse().expect("an id"))
    };
    for first in (0..400).step_by(10) {
        let messages = (first..first + 10).map(|number| (topic(number), payload.clone()));
        stage.operator.told(&stage.peer, messages).await?;
    }
    stage.has_survived().await
}

#[tokio::test]
async fn made_up_starts_take_the_places_that_there_are_and_no_more() -> Result<()> {
    let mut stage = Stage::new().await?;
    stage.add("before").await?;
    let sleep = stage.world.push("sleep").await?;
    // Held up in the control plane's hands, for a start to copy.
    stage
        .world
        .create_task("sleep", call(&sleep, "sleep", json!([1])))
        .await?;
    let mut start: Start = stage
        .overhear(Channel::Start, "a start", |start: &Start| {
            start.attempt.task.name == "sleep"
        })
        .await?;
    stage.world.finished("sleep").await?;
    start.controller = "stranger".parse()?;
    start.work = serde_json::from_value(json!({"call": {"function": "sleep", "args": ["3600000"]}}))?;
    stage.remember_memory().await?;

    let starts = stage.topic(Channel::Start, PROPLET)?;
    let start_of = |number: usize| {
        let mut start = start.clone();
        start.attempt.task.uid = format!("made-up-{number}");
        start
    };
    let messages = (0..STRANGERS).map(|number| {
        (
            starts.clone(),
            encode(&start_of(number)).expect("as the protocol has it"),
        )
    });
    let spy = stage.world.spy().await?;
    stage.proplet.told(&spy, messages).await?;
    let metrics = get(&stage.proplet.metrics, "/metrics").await?;
    for figure in ["proplet_attempts_running 4", "proplet_attempts_queued 4"] {
        ensure!(metrics.contains(figure), "no {figure}: {metrics}");
    }
    let stops = stage.topic(Channel::Stop, PROPLET)?;
    let stop_of = |number: usize| {
        let Start {
            controller,
            journal,
            attempt,
            issued_at,
            ..
        } = start_of(number);
        encode(&Stop {
            controller,
            journal,
            attempt,
            issued_at,
        })
        .expect("as the protocol has it")
    };
    stage
        .proplet
        .told(&spy, (0..8).map(|number| (stops.clone(), stop_of(number))))
        .await?;
    stage.has_survived().await
}
