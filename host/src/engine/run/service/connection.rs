//! One connection: requests one after the other.

use std::{pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{Shared, answer::answer, stall::Stalling};

/// Header lines of one request.
const HEADERS: usize = 128;
/// What hyper needs at least.
pub(super) const LEAST_HEAD: usize = 8 << 10;

/// Serves it until the client ends it, or is too slow; and in a drain until the request that is under way has its response.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    // Only a delay if it fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(shared.clone(), request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.idle)
        .max_headers(HEADERS)
        .max_buf_size(shared.limits.head.max(LEAST_HEAD))
        .serve_connection(TokioIo::new(Stalling::new(stream, shared.limits.idle)), service);
    let mut serving = pin!(serving);
    // Errors are the client's, and it has seen them.
    tokio::select! {
        _ = &mut serving => return,
        () = shared.draining.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = shared.sandbox.cancel.cancelled() => {}
    }
}
