//! The operator on a real API server: ten thousand tasks against what the same server takes of status writes, and ten thousand proplets' heartbeats.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use propeller_api::{Capacity, HostInfo, JournalId, Memory, Phase, PropletStatus, TaskStatus, is_true};
use propeller_bus::{Event, Publication, Publisher, Qos};
use propeller_protocol::{
    Ack, Alive, Base, Channel, Outcome, Presence, Report, Sender, Stage, Start, decode, encode, requires,
};
use propeller_tests::{PATIENCE, Process, World, wait_for};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{delivery::session, table::Table};

/// Connections with which the API server reaches its best rate.
const WRITERS: usize = 8;

pub async fn measure(table: &mut Table, tasks: usize, proplets: usize) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    many_tasks(table, tasks).await?;
    many_proplets(table, proplets).await
}

/// Tasks from the operator's start to their end, with a proplet that answers at once, so that the operator and the API server are all there is.
async fn many_tasks(table: &mut Table, count: usize) -> Result<()> {
    let world = World::kubernetes().await?;
    world.create_proplet("bench-0", json!({})).await?;
    let puppet = Puppet::start(&world, count).await?;
    let image = world.push("addition").await?;
    let tasks = world.tasks().await?;
    create_tasks(&tasks, count, &image).await?;
    let mut operator = world.start_operator().await?;
    let begin = Instant::now();
    puppet.wait_for_acks(count).await?;
    let through = count as f64 / begin.elapsed().as_secs_f64();
    let resident = resident(operator.process()?)?;

    let floor = floor(&world, count, &image).await?;
    let what = format!("{count} tasks, from the operator's start to the last acknowledgement");
    table.beside(what, "/s", vec![through], "two status writes alone", vec![floor]);
    table.add(format!("the operator with {count} ended tasks"), "MiB", vec![resident]);
    Ok(())
}

type Tasks = Api<propeller_crd::Task>;

async fn create_tasks(tasks: &Tasks, count: usize, image: &str) -> Result<Vec<propeller_crd::Task>> {
    let create = |number: usize| async move {
        let task = json!({
            "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": format!("task-{number}")},
            "spec": {"image": image, "call": {"function": "add", "args": [number, 1]}},
        });
        let task = serde_json::from_value(task)?;
        anyhow::Ok(tasks.create(&PostParams::default(), &task).await?)
    };
    stream::iter(0..count)
        .map(create)
        .buffer_unordered(WRITERS)
        .try_collect()
        .await
}

/// The same status writes, each conditional on the version before, with nobody in between.
async fn floor(world: &World, count: usize, image: &str) -> Result<f64> {
    let namespace = world.cluster()?.namespace().await?;
    let tasks: &Tasks = &Api::namespaced(world.client().await?, &namespace);
    let created = create_tasks(tasks, count, image).await?;
    let write = |mut task: propeller_crd::Task| async move {
        let name = task.metadata.name.clone().context("a name")?;
        for phase in [Phase::Dispatched, Phase::Completed] {
            task.status = Some(status(phase)?);
            task = tasks.replace_status(&name, &PostParams::default(), &task).await?;
        }
        anyhow::Ok(())
    };
    let begin = Instant::now();
    stream::iter(created)
        .map(write)
        .buffer_unordered(WRITERS)
        .try_collect::<()>()
        .await?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

/// About as large as the operator's.
fn status(phase: Phase) -> Result<TaskStatus> {
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "Placed", "message": "attempt 1 on bench-0",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({
        "phase": phase, "attempt": 1, "observedGeneration": 1, "proplet": "bench-0",
        "dispatch": {"propletId": "bench-0", "journal": "journal", "time": "2026-01-01T00:00:00Z"},
        "conditions": [condition("Resolved"), condition("Scheduled")],
    });
    Ok(serde_json::from_value(status)?)
}

/// Heartbeats of that many proplets, one each ten seconds, for half a minute.
async fn many_proplets(table: &mut Table, count: usize) -> Result<()> {
    let world = World::kubernetes().await?;
    let mut operator = world.start_operator().await?;
    let create = |number: usize| {
        let world = &world;
        async move { world.create_proplet(&format!("bench-{number}"), json!({})).await }
    };
    stream::iter(0..count)
        .map(create)
        .buffer_unordered(WRITERS)
        .try_collect::<()>()
        .await?;
    // A session ends when nobody takes its events.
    let (publisher, _events) = session(&world.broker, "bench-fleet", vec![]).await?;
    let mut sequence = 0;
    // The first of each is written into its Proplet's status.
    beat(&publisher, count, &mut sequence).await?;
    let ready = wait_for("all proplets to be ready", Duration::from_secs(600), async || {
        let listed = world.proplets().await?.list(&ListParams::default()).await?;
        let is_told = |proplet: &&propeller_crd::Proplet| {
            let status = proplet.status.as_ref();
            status.is_some_and(|status| is_true(&status.conditions, PropletStatus::READY))
        };
        let told = listed.items.iter().filter(is_told).count();
        ensure!(told == count, "{told} of {count}");
        Ok(listed.metadata.resource_version)
    });
    // It goes on beating meanwhile, or those that were ready would not be any more.
    let keep = async {
        loop {
            beat(&publisher, count, &mut sequence).await?;
        }
    };
    let version = tokio::select! {
        version = ready => version?,
        ended = keep => return ended,
    };
    let (cpu, begin) = (cpu_seconds(operator.process()?)?, Instant::now());
    for _ in 0..3 {
        beat(&publisher, count, &mut sequence).await?;
    }
    let share = (cpu_seconds(operator.process()?)? - cpu) / begin.elapsed().as_secs_f64();
    let after = world.proplets().await?.list(&ListParams::default()).await?;
    let changed =
        |proplet: &&propeller_crd::Proplet| newer(proplet.metadata.resource_version.as_deref(), version.as_deref());
    let writes = after.items.iter().filter(changed).count();
    let beats = count * 3;
    table.add(
        format!("{count} proplets' heartbeats: share of a processor"),
        "%",
        vec![share * 100.0],
    );
    table.add(
        format!("{count} proplets' heartbeats: the operator"),
        "MiB",
        vec![resident(operator.process()?)?],
    );
    table.add(format!("status writes for {beats} heartbeats"), "", vec![writes as f64]);
    Ok(())
}

fn newer(version: Option<&str>, than: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    number(version) > number(than)
}

/// One heartbeat of each, spread over ten seconds.
async fn beat(publisher: &Publisher, count: usize, sequence: &mut u64) -> Result<()> {
    *sequence += 1;
    let base = Base::new("default", "main")?;
    let mut ticks = interval(Duration::from_millis(100));
    for chunk in (0..count).collect::<Vec<_>>().chunks(count.div_ceil(100).max(1)) {
        ticks.tick().await;
        for number in chunk {
            let id = format!("bench-{number}").parse()?;
            let payload = encode(&alive("journal".parse()?, *sequence, 16)?)?;
            publisher
                .publish(publication(base.topic(Channel::Alive, &id), payload))
                .await?;
        }
    }
    Ok(())
}

/// A proplet that completes whatever it is given, at once.
struct Puppet {
    stop: CancellationToken,
    acks: watch::Receiver<usize>,
}

impl Puppet {
    async fn start(world: &World, tasks: usize) -> Result<Self> {
        let base = Base::new("default", "main")?;
        let id: propeller_api::PropletId = "bench-0".parse()?;
        let filters = [Channel::Start, Channel::Ack].map(|channel| base.topic(channel, &id));
        let (publisher, mut events) = session(&world.broker, "bench-0", filters.into()).await?;
        let journal: JournalId = "journal".parse()?;
        let stop = CancellationToken::new();
        let (stopped, alive_topic) = (stop.clone(), base.topic(Channel::Alive, &id));
        let results = base.topic(Channel::Results, &id);
        let (acked, acks) = watch::channel(0);
        tokio::spawn(async move {
            let mut sequence = 0;
            let mut beats = interval(Duration::from_secs(1));
            loop {
                sequence += 1;
                let event = tokio::select! {
                    () = stopped.cancelled() => return anyhow::Ok(()),
                    _ = beats.tick() => None,
                    event = events.next() => event,
                };
                let Some(Event::Message { payload, .. }) = event else {
                    let payload = encode(&alive(journal.clone(), sequence, u32::try_from(tasks)?)?)?;
                    publisher.publish(publication(alive_topic.clone(), payload)).await?;
                    continue;
                };
                let Ok(start) = decode::<Start>(&payload) else {
                    let _: Ack = decode(&payload)?;
                    acked.send_modify(|acked| *acked += 1);
                    continue;
                };
                let report = Report {
                    sender: sender(journal.clone(), sequence)?,
                    controller: start.controller,
                    attempt: start.attempt,
                    stage: Stage::Finished {
                        outcome: Outcome::Completed {
                            results: Some(json!(42)),
                            usage: Default::default(),
                        },
                    },
                };
                publisher
                    .publish(publication(results.clone(), encode(&report)?))
                    .await?;
            }
        });
        Ok(Self { stop, acks })
    }

    /// An outcome is acknowledged once it is in the status.
    async fn wait_for_acks(&self, count: usize) -> Result<()> {
        let limit = Duration::from_millis(100) * u32::try_from(count)? + PATIENCE;
        let mut acks = self.acks.clone();
        let all = timeout(limit, acks.wait_for(|acked| *acked >= count)).await;
        let acked = *self.acks.borrow();
        all.with_context(|| format!("{acked} of {count} in {limit:?}"))??;
        Ok(())
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn sender(journal: JournalId, sequence: u64) -> Result<Sender> {
    let boot = "boot".parse()?;
    Ok(Sender {
        journal,
        boot,
        sequence,
    })
}

fn alive(journal: JournalId, sequence: u64, tasks: u32) -> Result<Alive> {
    let memory = Memory::from_bytes(1 << 50);
    let presence = Presence::Alive {
        interval_seconds: 20,
        capacity: Capacity {
            tasks,
            memory,
            task_memory: None,
            max_task_memory: None,
        },
        inventory: vec![],
        host: HostInfo::default(),
        labels: Default::default(),
        capabilities: requires::ALL.map(str::to_owned).into(),
        max_packet_bytes: 1 << 20,
        undecodable: 0,
        draining: false,
    };
    let sender = sender(journal, sequence)?;
    Ok(Alive { sender, presence })
}

fn publication(topic: String, payload: Vec<u8>) -> Publication {
    Publication {
        topic,
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        expiry: None,
    }
}

/// Mebibytes of memory.
fn resident(process: &Process) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Seconds of processor time so far.
fn cpu_seconds(process: &Process) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("no times")?;
    Ok((user + system) / rustix::param::clock_ticks_per_second() as f64)
}
