//! Where the control plane is, who asks, and what a shell may offer.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use propeller_tests::{PATIENCE, World};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Ended, Person, verbs::Clerk};
use crate::operator::call;

#[tokio::test]
async fn who_has_no_control_plane_is_told_what_to_do() -> Result<()> {
    let person = Person::new().await?;
    let nowhere = person.types(&["get", "tasks"]).await?;
    for words in ["`propeller up`", "`--server URL`", "`--kube`"] {
        assert!(nowhere.failed(6)?.contains(words), "{}", nowhere.stderr);
    }
    // The port is nobody's, since the kernel just gave it to us.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    person.file(
        ".local/state/propeller/server.json",
        json!({"server": format!("http://{free}"), "token": "t"}).to_string(),
    )?;
    let away = person.types(&["get", "tasks"]).await?;
    assert!(
        away.failed(6)?.contains(&format!(
            "can't reach the control plane at http://{free}: start it with `propeller up`"
        )),
        "{}",
        away.stderr
    );
    let away = person
        .types(&[
            "apply",
            "-f",
            "-",
            "--server",
            &format!("http://{free}"),
            "--output",
            "json",
        ])
        .await?;
    assert_eq!(away.error(2)?["reason"], "InvalidManifest", "nothing to apply");
    let unknown = person.types(&["get", "tasks", "--kube"]).await?;
    assert!(unknown.failed(2)?.contains("KUBECONFIG"), "{}", unknown.stderr);
    Ok(())
}

/// With a URL and a token, as a standalone control plane is spoken to; here it is the API server, which another token doesn't open.
#[tokio::test]
async fn who_asks_is_known_by_a_token() -> Result<()> {
    let world = World::kubernetes().await?;
    let clerk = Clerk::new(&world).await?;
    let proxy = without_tls(&world).await?;
    let get = [
        "get",
        "proplets",
        "-o",
        "name",
        "-n",
        &world.namespace,
        "--server",
        &proxy.url,
    ];
    world.create_proplet("edge-1", json!({})).await?;
    let asks = async |token: &str| -> Result<Ended> {
        let output = clerk
            .person
            .command(&get)
            .env("PROPELLER_TOKEN", token)
            .output()
            .await?;
        Ok(Ended::new(&get, output))
    };
    assert_eq!(asks(&proxy.token).await?.printed()?, "proplet/edge-1");
    assert!(asks("another").await?.failed(6)?.contains("PROPELLER_TOKEN"));
    Ok(())
}

#[tokio::test]
async fn a_shell_completes_names() -> Result<()> {
    let world = World::kubernetes().await?;
    let clerk = Clerk::new(&world).await?;
    world
        .create_task("addition", call("r.example/a:1", "f", json!([])))
        .await?;
    world.create_proplet("edge-1", json!({})).await?;
    let offered = async |line: &[&str]| -> Result<Vec<String>> {
        let line = clerk.line(line);
        let words = [&["--", "propeller"], line.as_slice()].concat();
        let mut command = clerk.person.command(&words);
        command
            .env("KUBECONFIG", world.cluster()?.kubeconfig())
            .env("COMPLETE", "bash");
        command
            .env("_CLAP_COMPLETE_INDEX", line.len().to_string())
            .env("_CLAP_IFS", "\n");
        let ended = Ended::new(&words, timeout(PATIENCE, command.output()).await??);
        Ok(ended.printed()?.lines().map(|line| line.trim().to_owned()).collect())
    };
    assert_eq!(offered(&["get", "task", ""]).await?[..1], ["addition"]);
    assert_eq!(offered(&["describe", "task/a"]).await?, ["task/addition"]);
    assert_eq!(offered(&["cordon", "e"]).await?, ["edge-1"]);
    assert_eq!(offered(&["rerun", "add"]).await?, ["addition"]);
    let script = clerk.person.types(&["completions", "bash"]).await?;
    assert!(script.printed()?.contains("COMPLETE"), "{}", script.printed()?);
    Ok(())
}

/// The API server as a standalone control plane is reached: by HTTP, with a token.
struct Plain {
    url: String,
    token: String,
}

/// Takes TLS off the way to the API server, as long as the test runs.
async fn without_tls(world: &World) -> Result<Plain> {
    let kubeconfig: Value = serde_saphyr::from_slice(&std::fs::read(world.cluster()?.kubeconfig())?)?;
    let text = |pointer: &str| {
        kubeconfig
            .pointer(pointer)
            .and_then(Value::as_str)
            .context(pointer.to_owned())
    };
    let server = text("/clusters/0/cluster/server")?
        .strip_prefix("https://")
        .context("https")?
        .to_owned();
    let certificate = BASE64_STANDARD.decode(text("/clusters/0/cluster/certificate-authority-data")?)?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&certificate)?)?;
    // The first of all tests wins; it is the same for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let (connector, server) = (connector.clone(), server.clone());
            tokio::spawn(async move {
                let sealed = TcpStream::connect(&server).await?;
                let name = "127.0.0.1".try_into().map_err(std::io::Error::other)?;
                let mut sealed = connector.connect(name, sealed).await?;
                copy_bidirectional(&mut plain, &mut sealed).await
            });
        }
    });
    let token = text("/users/0/user/token")?.to_owned();
    Ok(Plain { url, token })
}
