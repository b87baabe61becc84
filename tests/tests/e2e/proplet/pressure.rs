//! Guests that take all the processors there are.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use propeller_protocol::{Channel, HeldState, Outcome};
use propeller_tests::{PATIENCE, wait_for};
use serde_json::json;

use super::site::{Site, stop};

/// Between heartbeats, as the site sets it.
const INTERVAL: Duration = Duration::from_secs(1);
/// From a stop to the end's report.
const PROMPTLY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn spinning_guests_hold_up_neither_heartbeats_nor_stops_nor_other_tasks() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site
        .start(&["--engine-guest-threads", "2", "--capacity-tasks", "8"])
        .await?;
    let spin = site.push("spin").await?;
    let mut spinners = vec![];
    for number in 0..4 {
        let spinner = site
            .call(&format!("spinner-{number}"), &spin, "spin", json!([]))
            .await?;
        site.say(Channel::Start, &spinner).await?;
        spinners.push(spinner);
    }
    site.wait_for_inventory("four that run", |held| {
        held.iter().filter(|held| held.state == HeldState::Running).count() == 4
    })
    .await?;

    for _ in 0..5 {
        let (known, begin) = (site.presences(), Instant::now());
        wait_for("a heartbeat", PATIENCE, async || {
            ensure!(site.presences() > known, "not yet");
            Ok(())
        })
        .await?;
        ensure!(
            begin.elapsed() < 2 * INTERVAL,
            "{:?} without a heartbeat",
            begin.elapsed()
        );
    }

    let addition = site.addition("beside", &site.push("addition").await?).await?;
    site.say(Channel::Start, &addition).await?;
    let outcome = site.wait_for_outcome(&addition).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    for spinner in &spinners {
        let begin = Instant::now();
        site.say(Channel::Stop, &stop(spinner)).await?;
        let Outcome::Failed { failure, usage } = site.wait_for_outcome(spinner).await? else {
            bail!("it has no end")
        };
        assert_eq!(failure.reason, "Cancelled");
        ensure!(
            0 < usage.cpu_millis && usage.cpu_millis <= usage.wall_millis,
            "{usage:?}"
        );
        ensure!(begin.elapsed() < PROMPTLY, "{:?}", begin.elapsed());
    }
    Ok(())
}
