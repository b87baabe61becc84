//! An API server that answers 409, 410, 429 and 500, is slow, or isn't there for a while: a proxy before the real one.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use kube::Client;
use propeller_tests::{World, world::OPERATOR_READY};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::operator::call;

struct Proxy {
    client: Client,
    /// Answers that are given in place of what status writes would get.
    answers: Vec<StatusCode>,
    given: AtomicU32,
    /// Watches end with "too old a resource version", once each time that this is set.
    expire_watches: AtomicBool,
    /// Nobody is answered.
    is_away: AtomicBool,
    slowness: Duration,
}

async fn serve(proxy: Arc<Proxy>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(pass).with_state(proxy);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    if proxy.is_away.load(Ordering::Relaxed) {
        // As a load balancer says it.
        return failure(StatusCode::BAD_GATEWAY);
    }
    let is_write = request.method() == Method::PUT && request.uri().path().contains("/tasks/");
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
    if is_write {
        let given = proxy.given.fetch_add(1, Ordering::Relaxed);
        if let Some(status) = proxy.answers.get(given as usize) {
            return failure(*status);
        }
        sleep(proxy.slowness).await;
    }
    if is_watch && proxy.expire_watches.swap(false, Ordering::Relaxed) {
        return failure(StatusCode::GONE);
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::HOST);
    let Ok(body) = to_bytes(body, 1 << 20).await else {
        return failure(StatusCode::BAD_REQUEST);
    };
    let request = http::Request::from_parts(parts, body.to_vec().into());
    match proxy.client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// As an API server says it.
fn failure(status: StatusCode) -> Response {
    let reason = match status {
        StatusCode::CONFLICT => "Conflict",
        StatusCode::GONE => "Expired",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "code": status.as_u16(), "message": "made up",
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
    (status, headers, body.to_string()).into_response()
}

#[tokio::test]
async fn an_unruly_api_server_loses_no_task() -> Result<()> {
    let world = World::kubernetes().await?;
    let codes = [409, 429, 500, 503, 409].map(StatusCode::from_u16);
    let proxy = Arc::new(Proxy {
        client: world.client().await?,
        answers: codes.into_iter().collect::<Result<_, _>>()?,
        given: AtomicU32::new(0),
        expire_watches: AtomicBool::new(true),
        is_away: AtomicBool::new(true),
        slowness: Duration::from_millis(300),
    });
    let address = serve(proxy.clone()).await?;
    let mut kubeconfig: Value = serde_saphyr::from_str(&std::fs::read_to_string(world.cluster()?.kubeconfig())?)?;
    kubeconfig["clusters"][0]["cluster"] = json!({"server": format!("http://{address}")});
    let operator = world.operator().await?;
    let kubeconfig = operator.file("kubeconfig", kubeconfig.to_string())?;
    // An operator that comes before the API server waits for it.
    let mut operator = operator
        .env("KUBECONFIG", kubeconfig)
        .start("waiting for the API server")
        .await?;
    proxy.is_away.store(false, Ordering::Relaxed);
    let ready = |line: &str| line.contains(OPERATOR_READY).then_some(());
    operator
        .process()?
        .wait_for_log("line that says that it is ready", ready)
        .await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("addition").await?;

    for number in 0..5 {
        let task = call(&image, "add", json!([number, 1]));
        world.create_task(&format!("task-{number}"), task).await?;
    }
    for number in 0..5 {
        assert_eq!(world.results(&format!("task-{number}")).await?, json!(number + 1));
    }
    ensure!(proxy.given.load(Ordering::Relaxed) > 5, "nothing was refused");

    // Away for a minute, in which a task is made: it's found when the server is back, by a listing anew. Nobody else took the lease, so the
    // operator leads on.
    proxy.is_away.store(true, Ordering::Relaxed);
    world.create_task("later", call(&image, "add", json!([20, 22]))).await?;
    sleep(Duration::from_secs(60)).await;
    proxy.expire_watches.store(true, Ordering::Relaxed);
    proxy.is_away.store(false, Ordering::Relaxed);
    assert_eq!(world.results("later").await?, json!(42));
    let ended = operator.process()?.ended()?;
    ensure!(ended.is_none(), "{}", operator.log());
    Ok(())
}
