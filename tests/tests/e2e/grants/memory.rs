//! What a guest can make its host hold.

use std::{fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use propeller_api::Grants;
use propeller_host::engine::InvokeError;
use propeller_tests::PATIENCE;
use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::{Guest, MEMORY};

/// What the process needs beside: code that is touched for the first time, and names of functions for the trap's backtrace.
const OWN: u64 = 16 << 20;

/// Tells the victim what to do.
const FUNCTION: &str = "HOG_FUNCTION";

/// What the host holds for a guest is no more than the guest's own bound once more. Each in a process of its own, whose memory it then is.
#[tokio::test]
pub(crate) async fn hog_is_out_of_memory_and_the_host_is_not() -> Result<()> {
    // The victim shouldn't build it.
    Guest::load("hog").await?;
    for function in ["bodies", "fields", "timers"] {
        let mut victim = Command::new(std::env::current_exe()?);
        victim.args(["--exact", "grants::memory::victim", "--ignored", "--nocapture"]);
        victim.env(FUNCTION, function).stdin(Stdio::null()).kill_on_drop(true);
        let ended = timeout(PATIENCE, victim.output()).await??;
        let text = String::from_utf8_lossy(&ended.stdout);
        ensure!(ended.status.success(), "{function}: {text}");
        ensure!(text.contains("1 passed"), "{function}: {text}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "only for hog_is_out_of_memory_and_the_host_is_not, which runs it in a process of its own"]
async fn victim() -> Result<()> {
    let function = std::env::var(FUNCTION)?;
    let hog = Guest::load("hog").await?;
    // What is held is given back with the run, so look at the most that there was.
    fs::write("/proc/self/clear_refs", FORGET_THE_PEAK)?;
    let before = peak()?;
    let outcome = hog.run(&function, json!([]), hog.grant(&Grants::default())?).await?;
    let grown = peak()?.saturating_sub(before);
    println!("the process grew by {grown} bytes");
    let failure = outcome.result.err().context("it returned")?;
    assert_eq!(failure.reason(), "OutOfMemory", "{failure}");
    let guest = outcome.figures.peak_memory;
    assert!(
        grown < guest + MEMORY + OWN,
        "the host has {grown} bytes more, of which {guest} are the guest's"
    );
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

/// What `proc(5)` wants to hear for that.
const FORGET_THE_PEAK: &str = "5";

/// The most bytes of physical memory that this process had.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmHWM")?;
    Ok(kilobytes.parse::<u64>()? << 10)
}
