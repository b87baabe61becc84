//! Ports for servers that can't choose one themselves, or that have to keep one.

use std::net::TcpListener;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below the range that the kernel gives to outgoing connections (32768 and up). In that range, a client that keeps trying a stopped server's port is
/// in the end given that very port as its own, and talks to itself.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Starts a server on a free port.
///
/// A port that was free a moment ago may be taken when the server binds it. A server says so and ends, and is started on the next one. Within this
/// process no port is chosen twice, so a server that is stopped for a while finds its own free.
pub(crate) async fn with_free<T>(mut start: impl AsyncFnMut(u16) -> Result<T>) -> Result<T> {
    loop {
        let started = start(free().context("no free port on loopback")?).await;
        match started {
            Err(error) if is_taken(&error) => {}
            done => return done,
        }
    }
}

/// A port that is free now, and that nobody else in this process gets.
pub(crate) fn free() -> Option<u16> {
    // Processes that run at the same time begin at different places.
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new((process::id().wrapping_mul(97) % u32::from(COUNT)) as u16));
    (0..COUNT)
        .map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Failures show the end of the server's log, and every server here uses the C library's or Go's words for it.
fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("address already in use")
}
