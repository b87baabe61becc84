//! What a proplet takes at once, and what waits for room.

use anyhow::{Result, ensure};
use propeller_api::Memory;
use propeller_protocol::{Channel, Held, HeldState, Outcome, Refusal, Stage};
use propeller_tests::{PATIENCE, wait_for};
use rustix::process::Signal;

use super::site::{Site, ack, stop};

fn states(held: &[Held]) -> Vec<(&str, HeldState)> {
    let mut states: Vec<_> = held
        .iter()
        .map(|held| (held.attempt.task.name.as_str(), held.state))
        .collect();
    states.sort_by_key(|(name, _)| *name);
    states
}

#[tokio::test]
async fn what_has_no_room_waits_and_what_has_none_to_wait_is_refused() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&["--capacity-tasks", "1", "--capacity-queue", "1"]).await?;
    let sleep = site.push("sleep").await?;
    let first = site.sleep("first", &sleep, 60_000).await?;
    let second = site.sleep("second", &sleep, 1).await?;
    let third = site.sleep("third", &sleep, 1).await?;
    site.say(Channel::Start, &first).await?;
    site.say(Channel::Start, &second).await?;
    site.wait_for_stage(&second, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    site.say(Channel::Start, &third).await?;
    site.wait_for_rejection(&third, Refusal::Busy).await?;
    let expected = [("first", HeldState::Running), ("second", HeldState::Queued)];
    site.wait_for_inventory("one that runs and one that waits", |held| states(held) == expected)
        .await?;
    ensure!(site.outcomes(&second) == 0, "it ran though there was no room");

    site.say(Channel::Stop, &stop(&first)).await?;
    let outcome = site.wait_for_outcome(&second).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    let began = site.reports(&second).contains(&Stage::Started {
        address: None,
        problem: None,
    });
    ensure!(began, "that it ran wasn't told: {:?}", site.reports(&second));
    Ok(())
}

#[tokio::test]
async fn memory_is_shared_by_what_runs() -> Result<()> {
    let site = Site::new().await?;
    let flags = [
        "--capacity-tasks",
        "8",
        "--capacity-memory",
        "128Mi",
        "--task-memory",
        "32Mi",
    ];
    let _proplet = site.start(&flags).await?;
    let sleep = site.push("sleep").await?;
    let mut large = site.sleep("large", &sleep, 60_000).await?;
    large.limits.memory = Some(Memory::from_bytes(128 << 20));
    site.say(Channel::Start, &large).await?;
    let small = site.sleep("small", &sleep, 1).await?;
    site.say(Channel::Start, &small).await?;
    let expected = [("large", HeldState::Running), ("small", HeldState::Queued)];
    site.wait_for_inventory("a small one that waits for memory", |held| states(held) == expected)
        .await?;
    site.say(Channel::Stop, &stop(&large)).await?;
    site.wait_for_outcome(&small).await.map(drop)
}

#[tokio::test]
async fn a_deadline_counts_from_the_accept() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&["--capacity-tasks", "1"]).await?;
    let sleep = site.push("sleep").await?;
    site.say(Channel::Start, &site.sleep("first", &sleep, 60_000).await?)
        .await?;
    let mut second = site.sleep("second", &sleep, 1).await?;
    second.limits.deadline_seconds = Some(1);
    site.say(Channel::Start, &second).await?;
    let failure = site.wait_for_failure(&second).await?;
    assert_eq!(failure.reason, "DeadlineExceeded");
    ensure!(failure.message.contains("waited for room"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn what_waits_is_given_back_when_the_proplet_ends_or_dies() -> Result<()> {
    let site = Site::new().await?;
    let mut proplet = site.start(&["--capacity-tasks", "1", "--drain-seconds", "60"]).await?;
    let sleep = site.push("sleep").await?;
    let (first, second) = (
        site.sleep("first", &sleep, 60_000).await?,
        site.sleep("second", &sleep, 1).await?,
    );
    site.say(Channel::Start, &first).await?;
    site.say(Channel::Start, &second).await?;
    site.wait_for_stage(&second, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    proplet.kill()?;
    proplet.start_again().await?;
    for start in [&first, &second] {
        assert_eq!(site.wait_for_failure(start).await?.reason, "Interrupted");
        site.say(Channel::Ack, &ack(start)).await?;
    }
    site.wait_for_inventory("nothing", |held| held.is_empty()).await?;

    let (third, fourth) = (
        site.sleep("third", &sleep, 2000).await?,
        site.sleep("fourth", &sleep, 1).await?,
    );
    site.say(Channel::Start, &third).await?;
    site.say(Channel::Start, &fourth).await?;
    site.wait_for_stage(&fourth, "accepted", |stage| *stage == Stage::Accepted)
        .await?;
    proplet.process()?.signal(Signal::TERM)?;
    assert_eq!(site.wait_for_failure(&fourth).await?.reason, "Interrupted");
    ensure!(site.outcomes(&third) == 0, "what waits is given back at once");
    let status = proplet.process()?.wait_for_end(PATIENCE).await?;
    ensure!(status.success(), "{status}");
    let finished = async || {
        ensure!(site.outcomes(&third) > 0, "not yet");
        Ok(())
    };
    wait_for("the end of what ran", PATIENCE, finished).await
}
