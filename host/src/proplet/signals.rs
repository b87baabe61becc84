//! SIGTERM and SIGINT, and the one that would end the process where writing a file should fail.

use std::io;

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Something to receive once per signal. Must be called inside a Tokio runtime.
pub fn signals() -> io::Result<mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A limit on the size of files is to the journal what a full disk is: a write that fails.
    let mut too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = too_large.recv() => continue,
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
