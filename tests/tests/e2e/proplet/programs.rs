//! Programs: what they write, and how they end.

use anyhow::{Result, ensure};
use propeller_protocol::{Channel, Logs, Outcome, Start, Stream};
use propeller_tests::{PATIENCE, wait_for};
use serde_json::json;

use super::site::Site;

/// All lines of a task, by stream.
fn lines(site: &Site, start: &Start, stream: Stream) -> Vec<String> {
    let logs = site.heard::<Logs>(Channel::Logs).into_iter();
    let own = logs.filter(|logs| logs.attempt == start.attempt && logs.stream == stream);
    own.flat_map(|logs| logs.lines).collect()
}

#[tokio::test]
async fn lines_of_both_streams_are_told() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let start = site.command("printer", &site.push("print-lines").await?, &[]).await?;
    site.say(Channel::Start, &start).await?;
    site.wait_for_outcome(&start).await?;
    wait_for("the lines", PATIENCE, async || {
        let (out, err) = (
            lines(&site, &start, Stream::Stdout),
            lines(&site, &start, Stream::Stderr),
        );
        ensure!(
            out == ["out 1", "out 2", "\u{fffd} is no character", "no end"],
            "{out:?}"
        );
        ensure!(err == ["error 1", "error with two parts"], "{err:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_flood_is_cut_with_a_marker_and_holds_up_nothing() -> Result<()> {
    let site = Site::new().await?;
    let flags = ["--task-log-bytes-per-second", "16Ki", "--task-log-bytes", "256Ki"];
    let _proplet = site.start(&flags).await?;
    let flood = site.command("flood", &site.push("flood").await?, &["200000"]).await?;
    let forever = site.command("forever", &site.push("flood").await?, &[]).await?;
    site.say(Channel::Start, &forever).await?;
    site.say(Channel::Start, &flood).await?;
    site.wait_for_outcome(&flood).await?;
    wait_for("a marker", PATIENCE, async || {
        let lines = lines(&site, &flood, Stream::Stdout);
        let bytes: usize = lines.iter().map(String::len).sum();
        ensure!(bytes < 256 << 10, "{bytes} bytes");
        let last = lines.last().map(String::as_str).unwrap_or_default();
        ensure!(
            last.contains("bytes dropped: more than"),
            "{} lines, and then {last}",
            lines.len()
        );
        Ok(())
    })
    .await?;
    // A result isn't held up by lines.
    let addition = site.addition("beside", &site.push("addition").await?).await?;
    site.say(Channel::Start, &addition).await?;
    site.wait_for_outcome(&addition).await.map(drop)
}

#[tokio::test]
async fn a_programs_exit_code_is_its_outcome() -> Result<()> {
    let site = Site::new().await?;
    let _proplet = site.start(&[]).await?;
    let guest = site.push("exit-code").await?;
    let good = site.command("good", &guest, &["0"]).await?;
    site.say(Channel::Start, &good).await?;
    let outcome = site.wait_for_outcome(&good).await?;
    ensure!(
        matches!(outcome, Outcome::Completed { results: None, .. }),
        "{outcome:?}"
    );
    // WASI 0.2 knows success and failure, and no numbers.
    let bad = site.command("bad", &guest, &["7"]).await?;
    site.say(Channel::Start, &bad).await?;
    let failure = site.wait_for_failure(&bad).await?;
    assert_eq!(
        (failure.reason.as_str(), failure.error),
        ("Exited", Some(json!({"exitCode": 1})))
    );
    Ok(())
}
