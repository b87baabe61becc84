//! Bodies on their way in and out: counted, bounded, and tied to the instance that reads or writes them.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::engine::{InvokeError, traffic::Traffic};

/// A request's body for a guest, of at most so many bytes.
pub(super) fn request(body: Incoming, limit: u64, traffic: Traffic) -> WasiBody {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let counted = body.map_frame(move |frame: Frame<Bytes>| {
        traffic.gave(frame.data_ref().map_or(0, Bytes::len));
        frame
    });
    let bounded = Limited::new(counted, limit);
    bounded
        .map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => Error::HttpRequestBodySize(None),
            false => Error::HttpProtocolError,
        })
        .boxed_unsync()
}

/// The instance that makes a response.
pub(super) struct Maker {
    pub(super) task: AbortOnDropHandle<Result<(), InvokeError>>,
    /// Set before anything of a failed instance is dropped. Its body would look complete otherwise.
    pub(super) failed: Arc<AtomicBool>,
}

/// A response's body. When the client goes away before its end, the instance that makes it ends as well; behind its end the instance may
/// go on, as long as a request may take.
pub(super) struct ResponseBody {
    body: WasiBody,
    maker: Option<Maker>,
    traffic: Traffic,
}

impl ResponseBody {
    pub(super) fn new(body: WasiBody, maker: Maker, traffic: Traffic) -> Self {
        let mut this = Self {
            body,
            maker: Some(maker),
            traffic,
        };
        // Nobody asks an empty body for its frames.
        this.let_go_at_end();
        this
    }

    fn let_go_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        if let Some(maker) = self.maker.take() {
            drop(maker.task.detach());
        }
    }

    fn has_failed(&self) -> bool {
        self.maker.as_ref().is_some_and(|maker| maker.failed.load(Acquire))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(cx);
        match &poll {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                self.traffic.took(frame.data_ref().map_or(0, Bytes::len));
                self.let_go_at_end();
            }
            // The connection ends in the middle of the response then, which clients notice.
            Poll::Ready(None) if self.has_failed() => return Poll::Ready(Some(Err(Error::HttpProtocolError))),
            Poll::Ready(Some(Err(_)) | None) => self.let_go(),
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
