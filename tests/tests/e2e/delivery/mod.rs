//! What a Task says of failures, time and order, on a real API server with real proplets.

mod broker;
mod disk;
mod unruly;

use anyhow::{Result, ensure};
use propeller_api::{Phase, is_true, types};
use propeller_tests::{World, world::PROPLET_READY};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::operator::{call, with};

on_both_shells!(
    what_was_interrupted_is_tried_elsewhere,
    the_policy_and_the_limit_decide_what_is_tried_again,
    a_task_is_suspended_resumed_and_cancelled,
    the_higher_priority_goes_first,
    an_attempt_that_nobody_hears_of_ends_with_its_lease,
);

async fn what_was_interrupted_is_tried_elsewhere(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let mut first = world.start_proplet("edge-1", json!({})).await?;
    let sleep = call(&world.push("sleep").await?, "sleep", json!([8_000]));
    world.create_task("sleep", sleep).await?;
    let running = |status: &propeller_api::TaskStatus| status.phase == Phase::Running;
    world.wait_for_task("sleep", "to run", running).await?;

    let _second = world.start_proplet("edge-2", json!({})).await?;
    first.kill()?;
    first.start_again().await?;
    let failed = world.wait_for_reason("sleep", types::SCHEDULED, "Interrupted").await?;
    ensure!(failed.message.contains("restarted"), "{failed:?}");
    let status = world.finished("sleep").await?;
    let (phase, attempt, failures) = (status.phase, status.attempt, status.failures);
    assert_eq!((phase, attempt, failures), (Phase::Completed, 2, 1), "{status:#?}");
    assert_eq!(status.proplet.as_deref(), Some("edge-2"), "where it wasn't tried");
    Ok(())
}

async fn the_policy_and_the_limit_decide_what_is_tried_again(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let trap = call(&world.push("trap").await?, "trap", json!([]));
    let retried = with(trap.clone(), "retryPolicy", json!({"retryOn": ["Trap"]}));
    world.create_task("once", trap).await?;
    world
        .create_task("twice", with(retried, "backoffLimit", json!(1)))
        .await?;
    let once = world.finished("once").await?;
    assert_eq!((once.phase, once.attempt, once.failures), (Phase::Failed, 1, 1));
    let twice = world.finished("twice").await?;
    assert_eq!((twice.phase, twice.attempt, twice.failures), (Phase::Failed, 2, 2));
    let finished = world.wait_for_reason("twice", types::FINISHED, "Trap").await?;
    ensure!(
        finished.message.ends_with("(and backoffLimit: 1 is reached)"),
        "{finished:?}"
    );
    Ok(())
}

async fn a_task_is_suspended_resumed_and_cancelled(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let spin = call(&world.push("spin").await?, "spin", json!([]));
    world.create_task("spin", with(spin, "suspend", json!(true))).await?;
    world.wait_for_reason("spin", types::SCHEDULED, "Suspended").await?;

    let running = |status: &propeller_api::TaskStatus| status.phase == Phase::Running;
    world.edit_task("spin", json!({"suspend": false})).await?;
    world.wait_for_task("spin", "to run", running).await?;
    world.edit_task("spin", json!({"suspend": true})).await?;
    let pending = |status: &propeller_api::TaskStatus| status.phase == Phase::Pending;
    let status = world.wait_for_task("spin", "to be stopped", pending).await?;
    assert_eq!((status.attempt, status.failures), (1, 0));
    world.edit_task("spin", json!({"suspend": false})).await?;
    let status = world.wait_for_task("spin", "to run again", running).await?;
    assert_eq!(status.attempt, 2);

    world.edit_task("spin", json!({"cancel": true})).await?;
    let status = world.finished("spin").await?;
    assert_eq!(status.phase, Phase::Cancelled);
    let back = world.edit_task("spin", json!({"cancel": false})).await;
    ensure!(back.is_err_and(|error| format!("{error:#}").contains("stays cancelled")));
    Ok(())
}

/// The one that waits is placed when there is a place, the higher priority first.
async fn the_higher_priority_goes_first(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    let image = world.push("addition").await?;
    for (name, priority) in [("low", 0), ("high", 5), ("middle", 1)] {
        let task = with(call(&image, "add", json!([1, 2])), "priority", json!(priority));
        world.create_task(name, task).await?;
        world.wait_for_reason(name, types::SCHEDULED, "Unschedulable").await?;
    }
    world.create_proplet("edge-1", json!({})).await?;
    let proplet = world
        .proplet("edge-1")
        .await?
        .args(["--capacity-tasks", "1", "--capacity-queue", "0"]);
    let spy = world.spy().await?;
    let _proplet = proplet.start(PROPLET_READY).await?;
    for name in ["low", "high", "middle"] {
        world.results(name).await?;
    }
    let mut order = Vec::new();
    for message in spy.messages() {
        if message.topic.ends_with("/control/manager/start/edge-1") {
            let start: Value = serde_json::from_slice(&message.payload)?;
            order.push(start["task"]["name"].clone());
        }
    }
    order.dedup();
    assert_eq!(order, ["high", "middle", "low"]);
    Ok(())
}

/// A proplet that isn't heard by its control plane ends what has a lease by itself.
async fn an_attempt_that_nobody_hears_of_ends_with_its_lease(world: World) -> Result<()> {
    let mut control = world.start_control().await?;
    let mut proplet = world.start_proplet("edge-1", json!({})).await?;
    let spin = call(&world.push("spin").await?, "spin", json!([]));
    let spin = with(with(spin, "onDisconnect", json!("Stop")), "backoffLimit", json!(0));
    world.create_task("spin", spin).await?;
    let running = |status: &propeller_api::TaskStatus| is_true(&status.conditions, types::STARTED);
    world.wait_for_task("spin", "to run", running).await?;

    // It goes on for as long as it is heard.
    let log = proplet.log();
    ensure!(!log.contains("LeaseExpired"), "{log}");
    control.process()?.signal(Signal::STOP)?;
    let expired = |line: &str| line.contains("LeaseExpired").then_some(());
    proplet
        .process()?
        .wait_for_log("line that says LeaseExpired", expired)
        .await?;
    control.process()?.signal(Signal::CONT)?;
    // It may have lost its lease meanwhile, and gone; then it is another one that hears of it.
    control.kill()?;
    control.start_again().await?;
    let status = world.finished("spin").await?;
    assert_eq!((status.phase, status.attempt), (Phase::Failed, 1), "{status:#?}");
    world.wait_for_reason("spin", types::FINISHED, "LeaseExpired").await?;
    Ok(())
}
