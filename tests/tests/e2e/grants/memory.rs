//! What a guest can make its host hold.

use std::fs;

use anyhow::{Context, Result};
use propeller_api::Grants;
use propeller_host::engine::InvokeError;
use serde_json::json;

use super::Guest;

/// Room for what else this process does meanwhile.
const ROOM: u64 = 100 << 20;

#[tokio::test]
pub(crate) async fn hog_is_out_of_memory_and_the_host_is_not() -> Result<()> {
    let hog = Guest::load("hog").await?;
    for function in ["bodies", "fields", "timers"] {
        let before = resident()?;
        let outcome = hog.run(function, json!([]), hog.grant(&Grants::default())?).await?;
        let grown = resident()?.saturating_sub(before);
        let failure = outcome.result.err().context("it returned")?;
        assert_eq!(failure.reason(), "OutOfMemory", "{function}: {failure}");
        assert!(grown < ROOM, "{function}: the host has {grown} bytes more");
    }
    Ok(())
}

#[tokio::test]
async fn one_call_passes_no_more_than_the_host_takes() -> Result<()> {
    let hog = Guest::load("hog").await?;
    assert_eq!(
        hog.call("random-bytes", json!([65536]), &Grants::default()).await?,
        json!(65536)
    );
    let check = async |function: &str, length: u64| -> Result<()> {
        let outcome = hog
            .run(function, json!([length]), hog.grant(&Grants::default())?)
            .await?;
        let failure = outcome.result.err().context("it returned")?;
        assert!(
            matches!(failure, InvokeError::Trap { .. }),
            "{function} {length}: {failure}"
        );
        Ok(())
    };
    check("random-bytes", 65537).await?;
    check("random-bytes", 1 << 40).await?;
    check("pass-list", 8 << 20).await?;
    Ok(())
}

/// Bytes of physical memory that this process has.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? << 10)
}
