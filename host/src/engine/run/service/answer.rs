//! From a request to its response, whatever the guest does.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::Bytes;
use futures::channel::oneshot;
use http::{
    Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::WasiBody;

use super::{
    Shared,
    body::{self, Maker, ResponseBody},
    instance,
};
use crate::engine::InvokeError;

/// A guest's body, or a line of ours.
type AnyBody = Either<ResponseBody, Full<Bytes>>;

/// Answers a request, if need be with what went wrong. Never says why: that's for whoever runs the service, not for its clients.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    let answered = match accept(&shared, request) {
        Ok(request) => respond(&shared, request).await,
        Err(status) => Err(status),
    };
    Ok(answered.unwrap_or_else(plain))
}

/// A request as guests get it: with an authority, and a body that has an end.
fn accept(shared: &Shared, request: Request<Incoming>) -> Result<Request<WasiBody>, StatusCode> {
    if request.body().size_hint().lower() > shared.limits.body {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (mut parts, body) = request.into_parts();
    parts.uri = absolute(&parts).ok_or(StatusCode::BAD_REQUEST)?;
    let body = body::request(body, shared.limits.body, shared.traffic.clone());
    Ok(Request::from_parts(parts, body))
}

/// HTTP/1.1 names the host in a header (RFC 9112, section 3.2); both generations of `wasi:http` have it apart from the path.
fn absolute(parts: &http::request::Parts) -> Option<Uri> {
    let host = || Authority::try_from(parts.headers.get(header::HOST)?.as_bytes()).ok();
    let authority = parts.uri.authority().cloned().or_else(host)?;
    let path = parts.uri.path_and_query().cloned();
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()
        .ok()
}

async fn respond(shared: &Arc<Shared>, request: Request<WasiBody>) -> Result<Response<AnyBody>, StatusCode> {
    let turn = tokio::time::timeout(shared.limits.request, shared.turns.clone().acquire_owned()).await;
    // The semaphore is never closed.
    let turn = turn.ok().and_then(Result::ok).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let (reply, response) = oneshot::channel();
    let failed = Arc::new(AtomicBool::new(false));
    let living = instance::serve(shared.clone(), request, reply, turn, failed.clone());
    let task = AbortOnDropHandle::new(shared.tracker.spawn(living));
    let maker = Maker { task, failed };
    match response.await {
        Ok(Ok(response)) => {
            Ok(response.map(|body| Either::Left(ResponseBody::new(body, maker, shared.traffic.clone()))))
        }
        // The guest says that it can't make a response.
        Ok(Err(_)) => Err(StatusCode::INTERNAL_SERVER_ERROR),
        Err(oneshot::Canceled) => Err(status_of(maker).await),
    }
}

/// Why there is no response.
async fn status_of(maker: Maker) -> StatusCode {
    match maker.task.await {
        Ok(Err(InvokeError::DeadlineExceeded { .. })) => StatusCode::GATEWAY_TIMEOUT,
        Ok(Err(InvokeError::Cancelled | InvokeError::Crowded { .. })) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn plain(status: StatusCode) -> Response<AnyBody> {
    let mut response = Response::new(Either::Right(Full::from(format!("{status}\n"))));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
