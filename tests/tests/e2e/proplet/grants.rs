//! What a task asks and the proplet's policy refuses.

use anyhow::{Result, ensure};
use propeller_protocol::{Ack, Channel, Outcome, Refusal, Stage, Start, Verdict, requires};
use propeller_tests::{PATIENCE, wait_for};
use serde_json::json;

use super::site::{READY, Site, ack};

#[tokio::test]
async fn a_grant_that_the_policy_refuses_rejects_the_start_and_stays_refused() -> Result<()> {
    let site = Site::new().await?;
    let program = site.proplet(&[]).await?;
    let config = |policy: &str| program.file("proplet.toml", policy);
    let file = config("[policy]\nhttp = [\"*.lab\"]\n")?;
    let mut proplet = site.proplet(&[]).await?.arg("--config").arg(&file).start(READY).await?;
    let addition = site.push("addition").await?;
    let start = async |task: &str, grants| -> Result<_> {
        let mut start = site.addition(task, &addition).await?;
        start.requires = vec![requires::GRANTS.to_owned()];
        start.grants = Some(serde_json::from_value(grants)?);
        Ok(start)
    };
    let granted = start(
        "granted",
        json!({"http": ["api.lab"], "env": [{"name": "A", "value": "b"}]}),
    )
    .await?;
    site.say(Channel::Start, &granted).await?;
    let outcome = site.wait_for_outcome(&granted).await?;
    ensure!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");

    let refused = start("refused", json!({"http": ["api.lab", "metadata.google.internal"]})).await?;
    site.say(Channel::Start, &refused).await?;
    site.wait_for_rejection(&refused, Refusal::NotGranted).await?;
    let named = |stage: &Stage| matches!(stage, Stage::Rejected { rejection, .. } if rejection.message.contains("grants.http[1]"));
    site.wait_for_stage(&refused, "the grant by name", named).await?;

    // A policy that changed doesn't change an answer that was given.
    config("[policy]\nhttp = \"any\"\n")?;
    proplet.restart().await?;
    let known = site.reports(&refused).len();
    site.say(Channel::Start, &refused).await?;
    let again = async || {
        let reports = site.reports(&refused);
        ensure!(reports.len() > known, "{reports:?}");
        Ok(reports)
    };
    let reports = wait_for("an answer", PATIENCE, again).await?;
    ensure!(
        reports.iter().all(|stage| matches!(stage, Stage::Rejected { .. })),
        "{reports:?}"
    );
    Ok(())
}

/// What a task keeps is for its attempts, so it stays until there can be no other one.
#[tokio::test]
async fn a_bucket_goes_with_its_task() -> Result<()> {
    let site = Site::new().await?;
    let config = site.proplet(&[]).await?;
    let config = config.file("proplet.toml", "[policy]\nkeyvalue = true\n")?;
    let _proplet = site
        .proplet(&[])
        .await?
        .arg("--config")
        .arg(config)
        .start(READY)
        .await?;
    let keep = site.push("keep").await?;
    let mut first = site.call("counter", &keep, "count", json!(["own"])).await?;
    first.requires = vec![requires::GRANTS.to_owned()];
    first.grants = Some(serde_json::from_value(
        json!({"keyvalue": [{"bucket": "own", "scope": "Task"}]}),
    )?);
    let mut attempt = 0;
    // One more attempt, and what becomes of its outcome.
    let mut next = async |bucket: &str, verdict: Verdict| -> Result<Outcome> {
        attempt += 1;
        let mut start = first.clone();
        start.attempt.attempt = attempt;
        if let propeller_api::Work::Call(call) = &mut start.work {
            call.args = json!([bucket]);
        }
        run(&site, &start, verdict).await
    };
    let counted = |outcome: Outcome, expected: u32| {
        ensure!(
            matches!(&outcome, Outcome::Completed { results, .. } if *results == Some(json!(expected))),
            "{expected}: {outcome:?}"
        );
        Ok(())
    };
    counted(next("own", Verdict::Superseded).await?, 1)?;
    counted(next("own", Verdict::Superseded).await?, 2)?;
    let failed = next("other", Verdict::Recorded).await?;
    ensure!(matches!(failed, Outcome::Failed { .. }), "{failed:?}");
    counted(next("own", Verdict::Recorded).await?, 3)?;
    // The proplet's loop doesn't wait for the disk.
    wait_for("an empty bucket, as the task has completed", PATIENCE, async || {
        counted(next("own", Verdict::Superseded).await?, 1)
    })
    .await?;
    next("other", Verdict::Discarded).await?;
    wait_for("an empty bucket, as the task is gone", PATIENCE, async || {
        counted(next("own", Verdict::Superseded).await?, 1)
    })
    .await
}

async fn run(site: &Site, start: &Start, verdict: Verdict) -> Result<Outcome> {
    site.say(Channel::Start, start).await?;
    let outcome = site.wait_for_outcome(start).await?;
    let ack = Ack { verdict, ..ack(start) };
    site.say(Channel::Ack, &ack).await?;
    Ok(outcome)
}
