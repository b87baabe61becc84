//! The real proplet between a real broker and a real registry. The test plays the control plane: it says and hears what the protocol has, and nothing
//! else of Propeller runs.

mod endpoints;
mod grants;

mod pressure;
mod programs;
mod queue;
pub(crate) mod services;
mod site;
mod stops;
mod traces;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use propeller_api::{Call, Digest, Memory, Work};
use propeller_protocol::{Alive, Channel, HeldState, Metrics, Outcome, Presence, Refusal, Stage, Start, encode};
use propeller_tests::{Mosquitto, PATIENCE, Program, mosquitto, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};
use site::{ID, READY, Site, ack, stop};

#[tokio::test]
async fn a_task_runs_and_its_result_is_told_until_it_is_acknowledged() -> Result<()> {
    let site = Site::new().await?;
    let proplet = site.start(&[]).await?;
    let addition = site.push("addition").await?;
    let start = site.addition("one", &addition).await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_stage(&start, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    let finished = site.wait_for_outcome(&start).await?;
    let Outcome::Completed { results, usage } = finished else {
        bail!("{finished:?}")
    };
    assert_eq!(results, Some(json!(42)));
    assert!(usage.peak_memory_bytes > 0, "{usage:?}");
    // `[20, 22]` without spaces, and `42`.
    assert_eq!((usage.bytes_in, usage.bytes_out), (7, 2), "{usage:?}");
    site.wait_for_inventory("the finished attempt", |held| {
        held.iter().any(|held| held.state == HeldState::Finished)
    })
    .await?;

    site.say(Channel::Ack, &ack(&start)).await?;
    site.wait_for_inventory("an empty inventory", |held| held.is_empty())
        .await?;
    // The same start again is answered from the journal, and runs nothing.
    site.say(Channel::Start, &start).await?;
    site.wait_for_rejection(&start, Refusal::Superseded).await?;
    assert_eq!(proplet.log().matches(" accepted ").count(), 1, "{}", proplet.log());
    Ok(())
}

#[tokio::test]
async fn a_start_that_comes_twice_runs_once() -> Result<()> {
    let site = Site::new().await?;
    let proplet = site.start(&[]).await?;
    let start = site.addition("one", &site.push("addition").await?).await?;
    for _ in 0..3 {
        site.say(Channel::Start, &start).await?;
    }
    site.wait_for_outcome(&start).await?;
    let answers = async || {
        let answers = site.reports(&start).len();
        ensure!(answers >= 4, "{answers} answers");
        Ok(())
    };
    wait_for("an answer to each, and the outcome", PATIENCE, answers).await?;
    assert_eq!(proplet.log().matches(" accepted ").count(), 1, "{}", proplet.log());
    Ok(())
}

#[tokio::test]
async fn a_spinning_guest_is_stopped_within_a_second_and_heartbeats_go_on() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let start = site
        .call("spinner", &site.push("spin").await?, "spin", json!([]))
        .await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_inventory("the running attempt", |held| {
        held.iter().any(|held| held.state == HeldState::Running)
    })
    .await?;

    let begin = Instant::now();
    site.say(Channel::Stop, &stop(&start)).await?;
    let failure = site.wait_for_failure(&start).await?;
    assert_eq!(failure.reason, "Cancelled");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());

    // A stop that overtakes its start still wins.
    let late = site.call("late", &site.push("spin").await?, "spin", json!([])).await?;
    site.say(Channel::Stop, &stop(&late)).await?;
    site.say(Channel::Start, &late).await?;
    site.wait_for_rejection(&late, Refusal::Superseded).await
}

#[tokio::test]
async fn limits_and_mistakes_end_an_attempt_with_a_reason() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&["--task-max-memory", "64Mi"]).await?;
    let check =
        async |name: &str, change: &dyn Fn(&mut Start), start: Start, reason: &str, message: &str| -> Result<()> {
            let mut start = start;
            change(&mut start);
            site.say(Channel::Start, &start).await?;
            let failure = site.wait_for_failure(&start).await.with_context(|| name.to_owned())?;
            assert_eq!(failure.reason, reason, "{name}: {}", failure.message);
            assert!(failure.message.contains(message), "{name}: {}", failure.message);
            Ok(())
        };
    let spin = site
        .call("deadline", &site.push("spin").await?, "spin", json!([]))
        .await?;
    check(
        "deadline",
        &|start| start.limits.deadline_seconds = Some(1),
        spin,
        "DeadlineExceeded",
        "raise activeDeadlineSeconds",
    )
    .await?;
    // The report has the guest's functions.
    let trap = site.call("trap", &site.push("trap").await?, "trap", json!([])).await?;
    check("trap", &|_| {}, trap, "Trap", "fall_over_the_edge").await?;
    let addition = site.push("addition").await?;
    let start = site.addition("function", &addition).await?;
    check(
        "function",
        &|start| call_of(start).function = "multiply".into(),
        start,
        "UnknownExport",
        "multiply",
    )
    .await?;
    let start = site.addition("args", &addition).await?;
    check(
        "args",
        &|start| call_of(start).args = json!([1, "two"]),
        start,
        "WrongArgumentType",
        "two",
    )
    .await?;
    let start = site.addition("component", &addition).await?;
    let other: Digest = format!("sha256:{}", "0".repeat(64)).parse()?;
    check(
        "component",
        &|start| start.component = other.clone(),
        start,
        "DigestMismatch",
        "not what was asked for",
    )
    .await?;
    // What the cache has is never looked for, so this takes a component that wasn't fetched yet.
    let start = site
        .call("image", &site.push("typed").await?, "odometer", json!([1, 1]))
        .await?;
    let elsewhere = |start: &mut Start| start.image = start.image.replace("typed", "nowhere");
    check("image", &elsewhere, start, "NotFound", "nowhere").await?;
    let hoard = site
        .call("memory", &site.push("hoard").await?, "hoard", json!([1024]))
        .await?;
    let little = |start: &mut Start| start.limits.memory = Some(Memory::from_bytes(32 << 20));
    check("memory", &little, hoard, "OutOfMemory", "raise resources.memory").await?;
    let mut start = site.addition("greedy", &addition).await?;
    start.limits.memory = Some(Memory::from_bytes(1 << 40));
    site.say(Channel::Start, &start).await?;
    site.wait_for_rejection(&start, Refusal::TooLarge).await
}

#[tokio::test]
async fn messages_that_mean_nothing_change_nothing() -> Result<()> {
    let site = Site::new().await?;
    let proplet = site.start(&[]).await?;
    let start = site.addition("good", &site.push("addition").await?).await?;
    let mut malformed: Value = serde_json::from_slice(&encode(&start)?)?;
    malformed["call"] = json!("add(20, 22)");
    let topic = |channel| site.base.topic(channel, &site.id);
    site.spy.publish(&topic(Channel::Start), malformed.to_string()).await?;
    site.wait_for_rejection(&start, Refusal::Malformed).await?;
    for channel in [Channel::Start, Channel::Stop, Channel::Ack] {
        for payload in ["", "{", "null", "\u{0}"] {
            site.spy.publish(&topic(channel), payload).await?;
        }
    }
    site.wait_for_alive("thirteen undecodable messages", |alive| match &alive.presence {
        Presence::Alive {
            undecodable: 13,
            inventory,
            ..
        } => inventory.is_empty(),
        _ => false,
    })
    .await?;
    assert_eq!(
        proplet.log().matches("can't be read; more of this topic").count(),
        3,
        "{}",
        proplet.log()
    );

    let next = site.addition("next", &site.push("addition").await?).await?;
    site.say(Channel::Start, &next).await?;
    site.wait_for_outcome(&next).await?;
    Ok(())
}

#[tokio::test]
async fn a_start_for_another_journal_is_refused() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let mut start = site.addition("one", &site.push("addition").await?).await?;
    start.journal = "another".parse()?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_rejection(&start, Refusal::WrongJournal).await
}

#[tokio::test]
async fn a_killed_proplet_tells_what_was_interrupted_until_it_is_acknowledged() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&[]).await?;
    let first = site.alive().await?;
    let start = site
        .call("spinner", &site.push("spin").await?, "spin", json!([]))
        .await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_stage(&start, "accepted", |stage| *stage == Stage::Accepted)
        .await?;

    proplet.kill()?;
    site.wait_for_alive("the will of that boot", |alive| {
        alive.presence == Presence::Offline && alive.sender.boot == first.sender.boot
    })
    .await?;
    proplet.start_again().await?;
    let failure = site.wait_for_failure(&start).await?;
    assert_eq!(failure.reason, "Interrupted");
    let second = site
        .wait_for_alive("another boot", |alive| alive.sender.boot != first.sender.boot)
        .await?;
    assert_eq!(second.sender.journal, first.sender.journal);

    // Not acknowledged, so it is told again by the next boot, and no more once it is.
    let told = site.outcomes(&start);
    proplet.restart().await?;
    let again = async || {
        ensure!(site.outcomes(&start) > told, "it isn't");
        Ok(())
    };
    wait_for("the outcome again", PATIENCE, again).await?;
    site.say(Channel::Ack, &ack(&start)).await?;
    site.wait_for_inventory("an empty inventory", |held| held.is_empty())
        .await?;
    Ok(())
}

#[tokio::test]
async fn asked_to_end_a_proplet_lets_tasks_finish_and_takes_no_more() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--drain-seconds", "60"]).await?;
    let sleep = site.push("sleep").await?;
    let running = site.call("sleeper", &sleep, "sleep", json!(["2000"])).await?;
    site.say(Channel::Start, &running).await?;
    site.wait_for_stage(&running, "accepted", |stage| *stage == Stage::Accepted)
        .await?;

    proplet.process()?.signal(Signal::TERM)?;
    site.wait_for_alive("draining", |alive| {
        matches!(alive.presence, Presence::Alive { draining: true, .. })
    })
    .await?;
    let late = site.call("late", &sleep, "sleep", json!(["1"])).await?;
    site.say(Channel::Start, &late).await?;
    site.wait_for_rejection(&late, Refusal::Draining).await?;
    let status = proplet.process()?.wait_for_end(PATIENCE).await?;
    assert!(status.success(), "{status}");
    let outcome = site.wait_for_outcome(&running).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    site.wait_for_alive("the goodbye", |alive| alive.presence == Presence::Offline)
        .await?;
    let last = site.heard::<Alive>(Channel::Alive).pop().context("it said something")?;
    assert_eq!(last.presence, Presence::Offline);
    Ok(())
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_interrupted() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--drain-seconds", "0"]).await?;
    let start = site
        .call("spinner", &site.push("spin").await?, "spin", json!([]))
        .await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_stage(&start, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    let status = proplet.process()?.terminate().await?;
    assert!(status.success(), "{status}");
    assert_eq!(site.wait_for_failure(&start).await?.reason, "Interrupted");
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--drain-seconds", "600"]).await?;
    let start = site
        .call("spinner", &site.push("spin").await?, "spin", json!([]))
        .await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_stage(&start, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    let process = proplet.process()?;
    process.signal(Signal::INT)?;
    process
        .wait_for_log("sign of draining", |line| line.contains("draining").then_some(()))
        .await?;
    process.signal(Signal::INT)?;
    assert_eq!(process.wait_for_end(PATIENCE).await?.code(), Some(130));
    Ok(())
}

#[tokio::test]
async fn a_broker_that_comes_back_finds_it_working() -> Result<()> {
    let mut site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let addition = site.push("addition").await?;
    let running = site
        .call("sleeper", &site.push("sleep").await?, "sleep", json!(["1500"]))
        .await?;
    site.say(Channel::Start, &running).await?;
    site.wait_for_stage(&running, "accepted", |stage| *stage == Stage::Accepted)
        .await?;

    site.broker.kill()?;
    site.broker.start_again().await?;
    site.spy.wait_for_subscriptions(2).await?;
    site.wait_for_outcome(&running).await?;
    let start = site.addition("after", &addition).await?;
    // The broker has lost all sessions: a start is heard once the proplet has subscribed again, which is before it is present again.
    site.wait_for_presence_after(site.presences()).await?;
    let figures = site
        .heard::<Metrics>(Channel::Metrics)
        .pop()
        .context("no figures")?
        .figures;
    assert_eq!(figures["proplet_attempts_accepted_total"], 1, "{figures:?}");
    site.say(Channel::Start, &start).await?;
    site.wait_for_outcome(&start).await?;
    Ok(())
}

#[tokio::test]
async fn a_cached_component_needs_no_registry() -> Result<()> {
    let mut site = Site::new().await?;
    let mut proplet = site.start(&[]).await?;
    let addition = site.push("addition").await?;
    let first = site.addition("first", &addition).await?;
    site.say(Channel::Start, &first).await?;
    site.wait_for_outcome(&first).await?;
    site.registry.stop().await?;
    proplet.restart().await?;
    let second = site.addition("second", &addition).await?;
    site.say(Channel::Start, &second).await?;
    let outcome = site.wait_for_outcome(&second).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn a_mirror_stands_in_for_a_registry_that_cannot_be_reached() -> Result<()> {
    let site = Site::new().await?;
    let config = format!(
        "[registries.\"registry.invalid:5000\"]\nmirrors = [\"{mirror}\"]\n\n[registries.\"{mirror}\"]\nplain-http = true\n",
        mirror = site.registry.addr()
    );
    let program = site.proplet(&[]).await?;
    let path = program.file("proplet.toml", config)?;
    let _proplet = program.arg("--config").arg(path).start(READY).await?;
    let mut start = site.addition("mirrored", &site.push("addition").await?).await?;
    start.image = start
        .image
        .replace(&site.registry.addr().to_string(), "registry.invalid:5000");
    site.say(Channel::Start, &start).await?;
    let outcome = site.wait_for_outcome(&start).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn settings_come_from_file_environment_and_flags_in_that_order() -> Result<()> {
    let broker = Mosquitto::start(mosquitto::Access::Accounts {
        control: ("control", "c"),
        proplets: &[(ID, "password")],
    })
    .await?;
    let program = Program::new("proplet").await?;
    let file = "id = \"from-file\"\nlabels = { site = \"lab\" }\n[mqtt]\nbroker = \"mqtt://127.0.0.1:1\"\ndomain = \"of-file\"\nchannel = \"of-file\"\n";
    let file = program.file("proplet.toml", file)?;
    let state = program.folder().join("state");
    let mut proplet = program
        .env("PROPLET_CONFIG", file)
        .env("PROPLET_ID", "from-environment")
        .env("PROPLET_STATE_DIR", state)
        .env("PROPLET_MQTT_BROKER", format!("mqtt://{}", broker.addr()))
        .env("PROPLET_MQTT_CHANNEL", "of-environment")
        .env("PROPLET_MQTT_PASSWORD", "password")
        .env("PROPLET_TYPO", "1")
        .args(["--id", ID])
        .start(READY)
        .await?;
    let log = proplet.log();
    assert!(
        log.contains("base=m/of-file/c/of-environment") && log.contains(&format!("id={ID}")),
        "{log}"
    );
    assert!(log.contains("PROPLET_TYPO") && !log.contains("=password"), "{log}");
    let status = proplet.process()?.terminate().await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_or_a_journal_in_use_ends_it_before_it_begins() -> Result<()> {
    let site = Site::new().await?;
    let check = async |program: Program, code: i32, message: &str| -> Result<()> {
        let error = program.start(READY).await.err().context("it started")?;
        let text = format!("{error:#}");
        ensure!(
            text.ends_with(&format!("exit status: {code}")) && text.contains(message),
            "{text}"
        );
        Ok(())
    };
    let program = site.proplet(&[]).await?;
    let file = program.file("proplet.toml", "[mqtt]\nbrokr = \"mqtt://localhost\"\n")?;
    check(
        program.arg("--config").arg(file),
        2,
        "proplet.toml:2: unknown field `brokr`",
    )
    .await?;
    check(
        site.proplet(&["--mqtt-password", "secret"]).await?,
        2,
        "unexpected argument '--mqtt-password'",
    )
    .await?;

    let program = site.proplet(&[]).await?;
    let state = program.folder().join("state");
    let _first = program.start(READY).await?;
    check(
        site.proplet(&["--state-dir", &state.display().to_string()]).await?,
        1,
        "in use by another process",
    )
    .await?;
    Ok(())
}

fn call_of(start: &mut Start) -> &mut Call {
    match &mut start.work {
        Work::Call(call) => call,
        other => panic!("not a call: {other:?}"),
    }
}
