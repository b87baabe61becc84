//! The process's own streams, with what passes through them counted.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdinStream, StdoutStream},
    p2::{InputStream, OutputStream, Pollable, StreamResult},
};

use crate::engine::traffic::Traffic;

/// A stream, and what it counts into.
pub(super) struct Counted<S> {
    stream: S,
    traffic: Traffic,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, traffic: &Traffic) -> Self {
        Self {
            stream,
            traffic: traffic.clone(),
        }
    }

    fn with<T>(&self, stream: T) -> Box<Counted<T>> {
        Box::new(Counted::new(stream, &self.traffic))
    }
}

impl<S: IsTerminal> IsTerminal for Counted<S> {
    fn is_terminal(&self) -> bool {
        self.stream.is_terminal()
    }
}

impl<S: StdinStream> StdinStream for Counted<S> {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.with(Box::into_pin(self.stream.async_stream()))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        self.with(self.stream.p2_stream())
    }
}

impl<S: StdoutStream> StdoutStream for Counted<S> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        self.with(Box::into_pin(self.stream.async_stream()))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        self.with(self.stream.p2_stream())
    }
}

impl AsyncRead for Counted<Pin<Box<dyn AsyncRead + Send + Sync>>> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = self.stream.as_mut().poll_read(cx, buf);
        self.traffic.gave(buf.filled().len() - before);
        poll
    }
}

impl AsyncWrite for Counted<Pin<Box<dyn AsyncWrite + Send + Sync>>> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = self.stream.as_mut().poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            self.traffic.took(*written);
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: Pollable + ?Sized> Pollable for Counted<Box<S>> {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[async_trait]
impl InputStream for Counted<Box<dyn InputStream>> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.stream.read(size)?;
        self.traffic.gave(bytes.len());
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[async_trait]
impl OutputStream for Counted<Box<dyn OutputStream>> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.traffic.took(bytes.len());
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}
