//! Waiting for a condition, with a deadline: what tests do instead of sleeping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long to wait for what takes seconds at most. Only a failure ever takes this long, so it allows for a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Short against what is waited for, long against what a check costs.
const INTERVAL: Duration = Duration::from_millis(25);

/// Checks again and again until `check` gives a value, which is returned.
///
/// An error of `check` means "not yet", and says what it saw instead: when the deadline passes, the last one is what the failure tells, behind `what`
/// was waited for. `what` completes the sentence "waited for …".
///
/// # Errors
/// When `limit` has passed. A check that hangs is cut off then too.
///
/// ```
/// # use propeller_tests::{PATIENCE, wait_for};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut seen = 0;
/// let third = wait_for("the third one", PATIENCE, async || {
///     seen += 1;
///     anyhow::ensure!(seen == 3, "this is number {seen}");
///     Ok(seen)
/// });
/// assert_eq!(third.await.unwrap(), 3);
/// # });
/// ```
pub async fn wait_for<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = String::from("the first check hasn't come back");
    // A check that answers at once is never cut off, so the time is looked at as well.
    while Instant::now() < deadline {
        match tokio::time::timeout_at(deadline.into(), check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = format!("{state:#}"),
            Err(_) => break,
        }
        tokio::time::sleep(INTERVAL).await;
    }
    bail!("waited for {what}, in vain for {limit:?}; last seen: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_in_vain_ends_and_tells_what_was_seen() {
        let limit = Duration::from_millis(100);
        let waits = wait_for("rain", limit, async || bail!("the sun") as Result<()>);
        let error = tokio::time::timeout(PATIENCE, waits).await.unwrap().unwrap_err();
        assert!(
            error.to_string().contains("waited for rain") && error.to_string().contains("the sun"),
            "{error}"
        );

        let hangs = wait_for("an answer", limit, async || std::future::pending::<Result<()>>().await);
        assert!(tokio::time::timeout(PATIENCE, hangs).await.unwrap().is_err());
    }
}
