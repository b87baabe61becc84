//! What tasks wrote, kept by the control plane: of both shells, and on a cluster for whom its roles let read it.

use std::{fs, sync::Arc};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use propeller_api::Phase;
use propeller_tests::{Identity, PATIENCE, Service, World, wait_for, world::OPERATOR_READY};
use rcgen::generate_simple_self_signed;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::verbs::Clerk;

on_both_shells!(
    lines_of_a_task_are_there_after_its_end,
    lines_are_followed_from_before_the_first_to_the_last,
    lines_of_tasks_that_are_gone_go,
);

/// What the guest `print-lines` writes to its standard output.
const LINES: &str = "out 1\nout 2\n\u{fffd} is no character\nno end";

/// Runs the task `print`, which writes them.
async fn print(world: &World) -> Result<()> {
    let image = world.push("print-lines").await?;
    world
        .create_task("print", json!({"image": image, "command": {}}))
        .await?;
    world.finished("print").await.map(drop)
}

async fn lines_of_a_task_are_there_after_its_end(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let mut control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    print(&world).await?;

    let route = world.pass_logs_to(&mut control).await?;
    // Results don't wait for lines.
    let all = wait_for("all lines", PATIENCE, async || {
        let printed = clerk.types(&["logs", "print", "-o", "json"]).await?;
        let all = printed.printed()?.lines().map(serde_json::from_str);
        let all = all.collect::<Result<Vec<Value>, _>>()?;
        ensure!(all.len() == 6, "{all:#?}");
        Ok(all)
    })
    .await?;
    assert_eq!(clerk.types(&["logs", "task/print"]).await?.printed()?, LINES);
    let errors = all.iter().filter(|entry| entry["stream"] == "stderr");
    let errors: Vec<_> = errors.filter_map(|entry| entry["line"].as_str()).collect();
    assert_eq!(errors, ["error 1", "error with two parts"]);
    let last = clerk.types(&["logs", "print", "--tail", "1", "-o", "json"]).await?;
    assert_eq!(last.json()?, all[5]);
    // Who follows what has ended is done at once.
    assert_eq!(clerk.types(&["logs", "print", "-f"]).await?.printed()?, LINES);
    let missing = clerk.types(&["logs", "nobody"]).await?;
    assert!(
        missing.failed(6)?.contains("there is no task `nobody`"),
        "{}",
        missing.stderr
    );

    // The next one finds what the last one kept.
    drop(route);
    control.kill()?;
    control.start_again().await?;
    let _route = world.pass_logs_to(&mut control).await?;
    assert_eq!(clerk.types(&["logs", "print"]).await?.printed()?, LINES);
    Ok(())
}

async fn lines_are_followed_from_before_the_first_to_the_last(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let mut control = world.start_control().await?;
    let _route = world.pass_logs_to(&mut control).await?;
    let image = world.push("flood").await?;
    let flood = json!({"image": image, "command": {}});
    world.create_task("flood", flood).await?;
    let mut following = clerk.watches(&["logs", "flood", "--follow"])?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    following.until(&["0", "bottles"]).await?;
    following.until(&["100", "bottles"]).await?;
    let running = world.wait_for_task("flood", "to run", |status| status.phase == Phase::Running);
    running.await?;
    world.edit_task("flood", json!({"cancel": true})).await?;
    world.finished("flood").await?;
    // It doesn't only fall silent: it ends, and well.
    let end = timeout(PATIENCE, following.end()).await.context("it doesn't end")??;
    assert_eq!(end.code(), Some(0));
    Ok(())
}

async fn lines_of_tasks_that_are_gone_go(world: World) -> Result<()> {
    let clerk = Clerk::new(&world).await?;
    let mut control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    let image = world.push("print-lines").await?;
    for name in ["stays", "goes"] {
        world.create_task(name, json!({"image": image, "command": {}})).await?;
    }
    for name in ["stays", "goes"] {
        world.finished(name).await?;
    }
    let folder = world.logs(&control);
    let files = |expected: &[&str]| {
        let (folder, mut expected) = (
            folder.clone(),
            expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        );
        expected.sort();
        async move {
            wait_for("the files of lines", PATIENCE, async || {
                let names = fs::read_dir(&folder)?.map(|file| Ok(file?.file_name().into_string().unwrap_or_default()));
                let mut names = names.collect::<Result<Vec<_>>>()?;
                names.sort();
                ensure!(names == expected, "{names:?} in place of {expected:?}");
                Ok(())
            })
            .await
        }
    };
    let (stays, goes) = (file_of(&world, "stays").await?, file_of(&world, "goes").await?);
    files(&[&stays, &goes]).await?;
    world.delete_task("goes").await?;
    files(&[&stays]).await?;

    // What went while nobody looked: of a task that no listing has.
    control.kill()?;
    fs::copy(folder.join(&stays), folder.join(&goes))?;
    control.start_again().await?;
    files(&[&stays]).await?;
    let _route = world.pass_logs_to(&mut control).await?;
    assert_eq!(clerk.types(&["logs", "stays"]).await?.printed()?, LINES);
    // Another task of that name is another task.
    world
        .create_task("goes", json!({"image": image, "command": {}, "suspend": true}))
        .await?;
    assert_eq!(clerk.types(&["logs", "goes"]).await?.printed()?, "");
    Ok(())
}

async fn file_of(world: &World, name: &str) -> Result<String> {
    let uid = world.tasks().await?.get(name).await?.metadata.uid.context("no uid")?;
    Ok(format!("{uid}.log"))
}

/// Roles of the cluster decide: that for viewers has lines in it.
#[tokio::test]
async fn who_may_view_may_read_lines() -> Result<()> {
    let world = World::kubernetes().await?;
    let clerk = Clerk::new(&world).await?;
    let mut control = world.start_control().await?;
    let _proplet = world.start_proplet("edge-1", json!({})).await?;
    print(&world).await?;
    // Before the manifest is applied the command says so.
    let unknown = clerk.types(&["logs", "print"]).await?;
    let _route = world.pass_logs_to(&mut control).await?;
    // Another test may have applied it meanwhile, for its own operator.
    let told = unknown.failed(6)?;
    assert!(
        told.contains("kubectl apply -f operator/logs.yaml") || told.contains("namespace"),
        "{told}"
    );

    let cluster = world.cluster()?;
    // It puts the roles of viewers together.
    cluster.with_controller_manager().await?;
    for name in ["viewer", "stranger"] {
        let kubeconfig = account(&world, name).await?;
        clerk.person.file(&format!("{name}.json"), kubeconfig.to_string())?;
    }
    let asks = async |name: &str| {
        let mut command = clerk.command(&["logs", "print"]);
        command.env("KUBECONFIG", clerk.person.home().join(format!("{name}.json")));
        let output = timeout(PATIENCE, command.output()).await??;
        anyhow::Ok(super::Ended::new(&["logs"], output))
    };
    let refused = asks("stranger").await?;
    assert!(refused.failed(6)?.contains("forbidden"), "{}", refused.stderr);
    let binding = [
        "create",
        "rolebinding",
        "viewer",
        "--clusterrole=view",
        "--namespace",
        &world.namespace,
    ];
    let viewer = format!("--serviceaccount={}:viewer", world.namespace);
    cluster.kubectl(&[binding.as_slice(), &[&viewer]].concat()).await?;
    wait_for("the viewer's right", PATIENCE, async || {
        let read = asks("viewer").await?;
        ensure!(read.printed()? == LINES, "{:?}", read.stdout);
        Ok(())
    })
    .await?;
    assert!(asks("stranger").await?.failed(6)?.contains("forbidden"));
    Ok(())
}

/// An account of the namespace, and a kubeconfig for it.
async fn account(world: &World, name: &str) -> Result<Value> {
    let cluster = world.cluster()?;
    let accounts = Api::<ServiceAccount>::namespaced(world.client().await?, &world.namespace);
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata,
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &account).await?;
    let token = cluster
        .kubectl(&["create", "token", name, "--namespace", &world.namespace])
        .await?;
    let mut kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(cluster.kubeconfig())?)?;
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    Ok(kubeconfig)
}

/// Without the API server between them, nobody is believed: neither without its certificate, nor with one of another name or authority.
#[tokio::test]
async fn an_operator_believes_the_api_server_only() -> Result<()> {
    let world = World::kubernetes().await?;
    let (_control, door) = Door::of(&world, world.operator().await?, OPERATOR_READY).await?;
    let cluster = world.cluster()?;
    world
        .create_task("waits", json!({"image": "localhost:1/none:1", "command": {}}))
        .await?;
    account(&world, "stranger").await?;
    let path = format!(
        "/apis/logs.propeller.dev/v1alpha1/namespaces/{}/tasks/waits/log",
        world.namespace
    );
    let master = ["X-Remote-User: tests", "X-Remote-Group: system:masters"];

    let front = cluster.front_proxy("front-proxy-client")?;
    let answer = wait_for("the front proxy to be let in", PATIENCE, async || {
        door.ask(Some(&front), &path, &master).await
    });
    let answer = answer.await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let own = generate_simple_self_signed(["front-proxy-client".to_owned()])?;
    let own = Identity {
        certificate: own.cert.pem(),
        key: own.signing_key.serialize_pem(),
    };
    for stranger in [None, Some(own), Some(cluster.front_proxy("somebody-else")?)] {
        for path in [path.as_str(), "/apis"] {
            let answer = door.ask(stranger.as_ref(), path, &master).await;
            ensure!(answer.is_err(), "{stranger:?} was let in: {answer:?}");
        }
    }

    // The API server's own check isn't relied on.
    let stranger = format!("X-Remote-User: system:serviceaccount:{}:stranger", world.namespace);
    let check = async |headers: &[&str], code: u16, reason: &str| {
        let answer = door.ask(Some(&front), &path, headers).await?;
        ensure!(
            answer.starts_with(&format!("HTTP/1.1 {code}")) && answer.contains(&format!("\"reason\":\"{reason}\"")),
            "{headers:?}: {answer}"
        );
        anyhow::Ok(())
    };
    check(&[&stranger], 403, "Forbidden").await?;
    check(&[&stranger, "X-Remote-Group: system:authenticated"], 403, "Forbidden").await?;
    check(&[], 401, "Unauthorized").await?;
    Ok(())
}

/// No lines would be a lie of a replica that hears none, or that works elsewhere.
#[tokio::test]
async fn who_does_not_hear_lines_says_so() -> Result<()> {
    let world = World::kubernetes().await?;
    let (control, leader) = Door::of(&world, world.operator().await?, OPERATOR_READY).await?;
    let (_standby, standby) = Door::of(&world, world.operator().await?, "standing by").await?;
    world
        .create_task("waits", json!({"image": "localhost:1/none:1", "command": {}}))
        .await?;
    let front = world.cluster()?.front_proxy("front-proxy-client")?;
    let path = |namespace: &str| format!("/apis/logs.propeller.dev/v1alpha1/namespaces/{namespace}/tasks/waits/log");
    let master = ["X-Remote-User: tests", "X-Remote-Group: system:masters"];
    let check = async |door: &Door, namespace: &str, words: &str| {
        let ask = async || door.ask(Some(&front), &path(namespace), &master).await;
        let answer = wait_for("an answer", PATIENCE, ask).await?;
        ensure!(answer.starts_with("HTTP/1.1 503") && answer.contains(words), "{answer}");
        anyhow::Ok(())
    };
    let log = control.log();
    let identity = log.split_once("identity=\"").or_else(|| log.split_once("identity="));
    let identity = identity.context("no identity")?.1;
    let identity = identity.split(['"', '\n', ' ']).next().unwrap_or_default().to_owned();
    ensure!(identity.starts_with("propeller-operator-"), "{identity}");
    check(&standby, &world.namespace, &format!("{identity} leads")).await?;
    check(
        &leader,
        "default",
        &format!("works in namespace {} only", world.namespace),
    )
    .await
}

/// With the rights that it has in its own namespace, and what operator/logs.yaml puts there.
#[tokio::test]
async fn the_leader_has_the_service_lead_to_it() -> Result<()> {
    let world = World::kubernetes().await?;
    let cluster = world.cluster()?;
    let mut first = world.start_operator().await?;
    // Nobody else has the manifest applied meanwhile.
    let _route = world.pass_logs_to(&mut first).await?;
    first.stop().await?;
    let operator = world.operator_by(world.broker.addr(), "propeller-system").await?;
    let operator = operator.args(["--logs-address", "10.1.2.3", "--lease-name", "logs"]);
    let mut operator = operator.start(OPERATOR_READY).await?;
    let port = world.logs_port(&mut operator).await?;
    let manifest = propeller_tests::cargo::root()
        .join("operator/logs.yaml")
        .display()
        .to_string();
    for _ in 0..2 {
        wait_for("the slice to lead there", PATIENCE, async || {
            let slice = [
                "get",
                "endpointslice",
                "propeller-logs-ipv4",
                "--namespace",
                "propeller-system",
                "-o",
                "json",
            ];
            let slice: Value = serde_json::from_str(&cluster.kubectl(&slice).await?)?;
            ensure!(
                slice["endpoints"][0]["addresses"][0] == "10.1.2.3" && slice["ports"][0]["port"] == port,
                "{slice:#}"
            );
            Ok(())
        })
        .await?;
        // Who applies the manifest again takes nothing away.
        cluster.kubectl(&["apply", "--filename", &manifest]).await?;
    }
    ensure!(!operator.log().contains("forbidden"), "{}", operator.log());
    Ok(())
}

/// An operator's port for lines, past the API server.
struct Door {
    port: u16,
    roots: RootCertStore,
}

impl Door {
    /// Starts an operator with a certificate of its own.
    async fn of(world: &World, operator: propeller_tests::Program, ready: &str) -> Result<(Service, Self)> {
        let made = generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (
            operator.file("tls.crt", made.cert.pem())?,
            operator.file("tls.key", made.signing_key.serialize_pem())?,
        );
        let operator = operator
            .arg("--logs-certificate")
            .arg(certificate)
            .arg("--logs-key")
            .arg(key);
        let mut operator = operator.start(ready).await?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let port = world.logs_port(&mut operator).await?;
        Ok((operator, Self { port, roots }))
    }

    /// The answer; an error if nobody is let in.
    async fn ask(&self, identity: Option<&Identity>, path: &str, headers: &[&str]) -> Result<String> {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = config
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone());
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?,
            )?,
        };
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(!answer.is_empty(), "no answer");
        Ok(answer)
    }
}
