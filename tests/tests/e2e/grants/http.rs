//! Outgoing HTTP.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use axum::Router;
use http::{StatusCode, header};
use propeller_api::Grants;
use propeller_host::engine::{InvokeError, Trust};
use propeller_tests::PATIENCE;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Guest, Names, invocation};

#[tokio::test]
pub(crate) async fn fetch_reaches_what_was_granted() -> Result<()> {
    let fetch = Guest::load("fetch").await?;
    let port = echo().await?.port();
    let check = async |granted: &[String], host: &str, expected: Result<&str, &str>| -> Result<()> {
        let result = post(&fetch, granted, host, "hello").await?;
        let expected = expected.map(|text| json!(text)).map_err(|code| json!(code));
        assert_eq!(result, expected, "{granted:?} {host}");
        Ok(())
    };
    let denied = Err("ErrorCode::HttpRequestDenied");
    let name = format!("localhost:{port}");
    let address = format!("127.0.0.1:{port}");
    check(std::slice::from_ref(&name), &name, Ok("hello")).await?;
    check(std::slice::from_ref(&name), &format!("LocalHost.:{port}"), Ok("hello")).await?;
    check(std::slice::from_ref(&address), &address, Ok("hello")).await?;

    check(&[], &name, denied).await?;
    check(&["localhost".to_owned()], &name, denied).await?;
    check(std::slice::from_ref(&name), "localhost:1", denied).await?;
    check(std::slice::from_ref(&name), &address, denied).await?;
    check(std::slice::from_ref(&address), &name, denied).await?;
    check(
        std::slice::from_ref(&name),
        &format!("{name}@{address}"),
        Err("ErrorCode::HttpRequestUriInvalid"),
    )
    .await?;
    Ok(())
}

/// A granted name that leads to this machine, or to where the machine's credentials are, leads nowhere.
#[tokio::test]
async fn no_name_leads_to_loopback_or_a_metadata_service() -> Result<()> {
    let port = echo().await?.port();
    let check = async |addresses: &[&str], expected: &str| -> Result<()> {
        let names = Names::of(&[("evil.example", addresses)]);
        let fetch = Guest::load("fetch").await?.with_names(&names);
        let host = format!("evil.example:{port}");
        let result = post(&fetch, std::slice::from_ref(&host), &host, "hello").await?;
        assert_eq!(result, Err(json!(expected)), "{addresses:?}");
        Ok(())
    };
    let prohibited = "ErrorCode::DestinationIpProhibited";
    for address in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
        "255.255.255.255",
    ] {
        check(&[address], prohibited).await?;
    }
    check(&["169.254.169.254", "127.0.0.1"], prohibited).await?;
    check(&[], "ErrorCode::DestinationNotFound").await?;
    Ok(())
}

/// The name's owner answers the first lookup with what passes, and every later one with loopback. There is no later one.
#[tokio::test]
async fn a_name_is_resolved_once_for_a_request() -> Result<()> {
    let port = echo().await?.port();
    // Nobody is there (RFC 5737).
    let names = Names::of(&[("rebound.example", &["192.0.2.1"]), ("rebound.example", &["127.0.0.1"])]);
    let fetch = Guest::load("fetch").await?.with_names(&names);
    let host = format!("rebound.example:{port}");
    let mut invocation = invocation(
        "post",
        json!(["http", host, "/", "hello"]),
        fetch.grant(&to(std::slice::from_ref(&host)))?,
    )?;
    invocation.sandbox.limits.deadline = Duration::from_millis(500);
    let result = fetch.prepared.invoke(invocation).await.result;
    assert!(
        !matches!(&result, Ok(returned) if returned.json() == Some(&json!("hello"))),
        "it reached loopback"
    );
    Ok(())
}

/// Where a redirect leads is for the guest to ask, and then it's a request of its own.
#[tokio::test]
async fn the_host_follows_no_redirect() -> Result<()> {
    let fetch = Guest::load("fetch").await?;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let target = format!("http://{}/", elsewhere.local_addr()?);
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status)?;
        let answer = (status, [(header::LOCATION, target.clone())], "it is elsewhere");
        let host = serve(Router::new().fallback(async move || answer)).await?.to_string();
        let answer = post(&fetch, std::slice::from_ref(&host), &host, "hello").await?;
        assert_eq!(answer, Ok(json!("it is elsewhere")), "{status}");
    }
    // A std listener says at once whether anybody came.
    let nobody = elsewhere.into_std()?.accept().map_err(|error| error.kind());
    assert_eq!(nobody.err(), Some(ErrorKind::WouldBlock), "somebody came");
    Ok(())
}

/// Toolchains import what a program doesn't use.
#[tokio::test]
async fn an_import_needs_no_grant_until_it_is_used() -> Result<()> {
    let fetch = Guest::load("fetch").await?;
    let mut imports = fetch.prepared.contract().import_names();
    assert!(imports.any(|name| name.starts_with("wasi:http/outgoing-handler@0.2.")));
    let nothing = Grants::default();
    assert_eq!(fetch.call("shout", json!(["hello"]), &nothing).await?, json!("HELLO"));
    Ok(())
}

/// A server that takes the request and never answers holds the guest until its deadline, and its connection no longer.
#[tokio::test]
async fn a_silent_server_holds_a_guest_until_its_deadline() -> Result<()> {
    let fetch = Guest::load("fetch").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let host = listener.local_addr()?.to_string();
    let grants = fetch.grant(&to(std::slice::from_ref(&host)))?;
    let mut invocation = invocation("post", json!(["http", host, "/", "hello"]), grants)?;
    let deadline = Duration::from_millis(300);
    invocation.sandbox.limits.deadline = deadline;
    let server = async {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        // Ends when the other side closes.
        timeout(PATIENCE, stream.read_to_end(&mut request)).await??;
        anyhow::Ok(request.len())
    };
    let (outcome, received) = tokio::join!(fetch.prepared.invoke(invocation), server);
    assert_eq!(outcome.result, Err(InvokeError::DeadlineExceeded { deadline }));
    assert!(received? > 0);
    Ok(())
}

#[tokio::test]
async fn https_trusts_whom_the_host_trusts() -> Result<()> {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let certificate = key.cert.der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private)?;
    let host = format!("localhost:{}", tls_server(config).await?.port());
    let args = json!(["https", host, "/", "hello"]);
    let grants = to(std::slice::from_ref(&host));

    let trusting = Guest::load("fetch").await?.with_trust(Trust::only(vec![certificate]));
    let result = trusting.try_call("post", args.clone(), &grants).await?;
    assert_eq!(result, Ok(json!("over TLS")));

    let wary = Guest::load("fetch").await?.with_trust(Trust::only(Vec::new()));
    let result = wary.try_call("post", args, &grants).await?;
    assert_eq!(result, Err(json!("ErrorCode::TlsCertificateError")));
    Ok(())
}

/// Bodies of some megabytes go through the host's buffers of some kilobytes, and are counted.
#[tokio::test]
async fn bodies_are_streamed() -> Result<()> {
    let fetch = Guest::load("fetch").await?;
    let server = Router::new().fallback(async |body: String| body.len().to_string());
    let host = serve(server).await?.to_string();
    let text = "x".repeat(3 << 20);
    let mut invocation = invocation(
        "post",
        json!(["http", host, "/", text]),
        fetch.grant(&to(std::slice::from_ref(&host)))?,
    )?;
    invocation.sandbox.limits.memory = 64 << 20;
    let outcome = fetch.prepared.invoke(invocation).await;
    let sent = text.len() as u64;
    assert_eq!(outcome.result?.json(), Some(&json!(sent.to_string())));
    let counted = outcome.figures.bytes_out;
    assert!((sent..sent + 1024).contains(&counted), "{counted}");
    Ok(())
}

async fn post(fetch: &Guest, granted: &[String], host: &str, text: &str) -> Result<Result<Value, Value>> {
    fetch
        .try_call("post", json!(["http", host, "/", text]), &to(granted))
        .await
}

fn to(hosts: &[String]) -> Grants {
    Grants {
        http: hosts
            .iter()
            .map(|host| host.parse().expect("as the test has it"))
            .collect(),
        ..Grants::default()
    }
}

/// A server that answers with what it is sent.
pub(super) async fn echo() -> Result<SocketAddr> {
    serve(Router::new().fallback(async |body: String| body)).await
}

async fn serve(router: Router) -> Result<SocketAddr> {
    let router = router.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn tls_server(config: ServerConfig) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nover TLS";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Ok(address)
}
