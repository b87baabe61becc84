//! What a task asks and the proplet's policy refuses.

use anyhow::{Result, ensure};
use propeller_protocol::{Channel, Outcome, Refusal, Stage, requires};
use serde_json::json;

use super::site::{READY, Site};

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
    let named =
        |stage: &Stage| matches!(stage, Stage::Rejected { rejection } if rejection.message.contains("grants.http[1]"));
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
    let reports = propeller_tests::wait_for("an answer", propeller_tests::PATIENCE, again).await?;
    ensure!(
        reports.iter().all(|stage| matches!(stage, Stage::Rejected { .. })),
        "{reports:?}"
    );
    Ok(())
}
