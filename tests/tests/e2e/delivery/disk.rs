//! A disk that takes no more.

use anyhow::{Context, Result};
use propeller_api::{Phase, TaskStatus};
use propeller_tests::{World, world::PROPLET_READY};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::operator::call;

on_both_shells!(a_full_disk_refuses_starts_and_holds_up_no_outcome,);

async fn a_full_disk_refuses_starts_and_holds_up_no_outcome(world: World) -> Result<()> {
    let _control = world.start_control().await?;
    world.create_proplet("edge-1", json!({})).await?;
    let mut proplet = world.proplet("edge-1").await?.start(PROPLET_READY).await?;
    let add = call(&world.push("addition").await?, "add", json!([20, 22]));
    let sleep = call(&world.push("sleep").await?, "sleep", json!([5_000]));
    world.create_task("before", add.clone()).await?;
    world.results("before").await?;
    world.create_task("sleep", sleep).await?;
    let running = |status: &TaskStatus| status.phase == Phase::Running;
    world.wait_for_task("sleep", "to run", running).await?;

    let pid = Pid::from_raw(proplet.process()?.id().try_into()?).context("a process id")?;
    let limit = |current| Rlimit { current, maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit(Some(4096)))?;
    world.create_task("refused", add.clone()).await?;
    let refused = |status: &TaskStatus| status.refusals.iter().any(|refusal| refusal.reason == "JournalFailed");
    world.wait_for_task("refused", "to be refused", refused).await?;
    let slept = world.finished("sleep").await?;
    assert_eq!(slept.phase, Phase::Completed, "{slept:#?}");

    // There is room again.
    prlimit(Some(pid), Resource::Fsize, limit(None))?;
    assert_eq!(world.results("refused").await?, json!(42));
    world.create_task("after", add).await?;
    assert_eq!(world.results("after").await?, json!(42));
    Ok(())
}
