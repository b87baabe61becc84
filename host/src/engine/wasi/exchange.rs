//! One request and its response, over a connection of their own. HTTP/1.1, which every server speaks.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures::{FutureExt, future::FusedFuture};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep, timeout},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, io::TokioIo};

use super::{connect::connect, http::Target};
use crate::engine::{grants::Means, memory::Reservation, traffic::Traffic};

/// Connections that one run has at a time. Each is a file descriptor, of which the host has a limited number for all its tasks.
pub(super) const CONNECTIONS: usize = 64;

/// What hyper may hold of what was received and not yet taken by the guest, and of what is to be sent.
const BUFFER: usize = 64 << 10;

/// What the host holds for a connection: both of hyper's buffers, both of TLS, and a chunk of each body.
pub(super) const CONNECTION_BYTES: usize = 4 * BUFFER;

/// To resolve, connect and agree on keys, if the guest doesn't say.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// A request that may be sent. What it reserves is given back when its connection ends.
pub(super) struct Exchange {
    pub(super) means: Means,
    pub(super) target: Target,
    pub(super) options: RequestOptions,
    pub(super) traffic: Traffic,
    pub(super) turn: OwnedSemaphorePermit,
    pub(super) buffers: Reservation,
}

impl Exchange {
    /// The response, and what moves its body and the rest of the request's. All of it is dropped with the run, so its deadline is
    /// the last word on every time limit here.
    pub(super) async fn send(
        self,
        request: Request<WasiBody>,
    ) -> Result<(Response<WasiBody>, impl Future<Output = Result<(), Error>> + Send), Error> {
        let patience = self.options.connect_timeout.unwrap_or(CONNECT_PATIENCE);
        let target = &self.target;
        let stream = connect(&self.means, target.bare_host(), target.port, target.tls, patience).await?;
        let handshake = Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(|error| from_hyper(&error))?;
        let mut connection = connection.fuse();
        let mut response = Box::pin(self.respond(sender, request));
        let response = tokio::select! {
            response = &mut response => response?,
            _ = &mut connection => response.await?,
        };
        let held = (self.turn, self.buffers);
        let io = async move {
            if !connection.is_terminated() {
                // What goes wrong here goes wrong for the bodies, too, and is told there.
                let _ = connection.await;
            }
            drop(held);
            Ok(())
        };
        Ok((response, io))
    }

    /// Waits for the head of the response. Somebody else drives the connection.
    fn respond(
        &self,
        mut sender: SendRequest<Counted>,
        request: Request<WasiBody>,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let (traffic, options) = (self.traffic.clone(), self.options);
        async move {
            let request = in_origin_form(request)?.map(|body| Counted {
                body,
                traffic: traffic.clone(),
            });
            let response = sender.send_request(request);
            let response = match options.first_byte_timeout {
                Some(patience) => timeout(patience, response)
                    .await
                    .map_err(|_| Error::ConnectionReadTimeout)?,
                None => response.await,
            };
            let received = |body| Received {
                body,
                traffic,
                patience: options.between_bytes_timeout,
                silence: None,
            };
            let response = response.map_err(|error| from_hyper(&error))?;
            Ok(response.map(|body| received(body).boxed_unsync()))
        }
    }
}

/// The guest's URI names scheme and host, as one does to a proxy; a server is told path and query.
fn in_origin_form(mut request: Request<WasiBody>) -> Result<Request<WasiBody>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok(request)
}

/// What an error of hyper's means to a guest.
pub(super) fn from_hyper(error: &hyper::Error) -> Error {
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else {
        Error::HttpProtocolError
    }
}

/// The body of a request, counted as it leaves.
struct Counted {
    body: WasiBody,
    traffic: Traffic,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.traffic.took(length(&frame));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, counted as it arrives, and ended if it stops arriving.
struct Received {
    body: Incoming,
    traffic: Traffic,
    patience: Option<Duration>,
    /// Runs while nothing arrives.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.silence = None;
            let frame = frame.map(|frame| frame.map_err(|error| from_hyper(&error)));
            self.traffic.gave(length(&frame));
            return Poll::Ready(frame);
        }
        let Some(patience) = self.patience else {
            return Poll::Pending;
        };
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn length(frame: &Option<Result<Frame<Bytes>, Error>>) -> usize {
    let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
    data.map_or(0, Buf::remaining)
}
