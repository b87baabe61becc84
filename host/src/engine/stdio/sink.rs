//! A standard stream of a guest that is taken as lines.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::{Lines, Stream, split::Splitter};
use crate::engine::traffic::Traffic;

/// How much a guest may write at once. It's only what one call copies: a sink always has room.
const WRITE_BYTES: usize = 64 << 10;

/// Takes bytes at once, whatever becomes of them. Clones are the same stream: a guest may ask for its standard output many times.
#[derive(Clone)]
pub(super) struct Sink {
    splitter: Arc<Mutex<Splitter>>,
    traffic: Traffic,
}

impl Sink {
    pub(super) fn new(lines: &Lines, stream: Stream, traffic: &Traffic) -> Self {
        Self {
            splitter: Arc::new(Mutex::new(Splitter::new(lines.clone(), stream))),
            traffic: traffic.clone(),
        }
    }

    fn take(&self, bytes: &[u8]) {
        self.traffic.took(bytes.len());
        // A panic elsewhere leaves at worst a line cut in two.
        let mut splitter = self.splitter.lock().unwrap_or_else(PoisonError::into_inner);
        splitter.take(bytes);
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = bytes.get(..WRITE_BYTES).unwrap_or(bytes);
        self.take(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
