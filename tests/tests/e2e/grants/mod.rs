//! What a task can reach, and what it can't: real guests in the host's engine, with real grants, files and servers.

pub(crate) mod http;
pub(crate) mod keyvalue;
pub(crate) mod memory;
pub(crate) mod sockets;

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
};

use anyhow::{Context, Result};
use futures::{FutureExt, future::BoxFuture};
use propeller_api::{Directory, EnvVar, Grants};
use propeller_host::engine::{
    Engine, EngineConfig, Granted, Invocation, InvokeError, Limits, Means, Outcome, Policy, Prepared, Resolver,
    Returned, Sandbox, Stdio, TaskContext, Trust,
};
use propeller_tests::{PATIENCE, cargo, scratch};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Bytes that a guest may have, unless a test says otherwise.
const MEMORY: u64 = 16 << 20;

#[tokio::test]
pub(crate) async fn env_is_what_was_granted() -> Result<()> {
    let env = Guest::load("env").await?;
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let grants = Grants {
        env: vec![variable("SITE", "lab"), variable("EMPTY", "")],
        ..Grants::default()
    };
    let seen = env.call("variables", json!([]), &grants).await?;
    assert_eq!(seen, json!([["SITE", "lab"], ["EMPTY", ""]]));
    assert_eq!(env.call("variables", json!([]), &Grants::default()).await?, json!([]));
    Ok(())
}

#[tokio::test]
pub(crate) async fn config_is_what_was_granted() -> Result<()> {
    let config = Guest::load("config").await?;
    let grants = Grants {
        config: [("site".to_owned(), "lab".to_owned())].into(),
        ..Grants::default()
    };
    assert_eq!(config.call("get", json!(["site"]), &grants).await?, json!("lab"));
    assert_eq!(config.call("get", json!(["other"]), &grants).await?, json!(null));
    assert_eq!(config.call("count", json!([]), &grants).await?, json!(1));
    assert_eq!(config.call("count", json!([]), &Grants::default()).await?, json!(0));
    Ok(())
}

#[tokio::test]
pub(crate) async fn files_are_below_what_was_granted() -> Result<()> {
    let files = Guest::load("files").await?;
    let scratch = scratch::folder("grants")?;
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("read/inner"))?;
    fs::create_dir(at("write"))?;
    fs::write(at("read/inner/note"), "hello")?;
    fs::write(at("secret"), "secret")?;
    symlink(at("secret"), at("read/absolute"))?;
    symlink("../secret", at("read/relative"))?;
    symlink("inner/note", at("read/inside"))?;
    let grants = Grants {
        directories: vec![
            directory(&at("read"), "/read", true),
            directory(&at("write"), "/write", false),
        ],
        ..Grants::default()
    };
    let check = async |function: &str, args: Value, expected: Result<Value, &str>| -> Result<()> {
        let result = files.try_call(function, args.clone(), &grants).await?;
        assert_eq!(result, expected.map_err(|kind| json!(kind)), "{function} {args}");
        Ok(())
    };
    check("read-file", json!(["/read/inner/note"]), Ok(json!("hello"))).await?;
    check("read-file", json!(["/read/inside"]), Ok(json!("hello"))).await?;
    check("write-file", json!(["/write/new", "text"]), Ok(json!(null))).await?;
    assert_eq!(fs::read_to_string(at("write/new"))?, "text");

    check("read-file", json!(["/read/../secret"]), Err("permission denied")).await?;
    check("read-file", json!(["/read/absolute"]), Err("permission denied")).await?;
    check("read-file", json!(["/read/relative"]), Err("permission denied")).await?;
    check("write-file", json!(["/read/new", "text"]), Err("permission denied")).await?;
    check(
        "write-file",
        json!(["/read/inner/note", "text"]),
        Err("permission denied"),
    )
    .await?;
    check(
        "link-file",
        json!(["/read/inner/note", "/write/note"]),
        Err("permission denied"),
    )
    .await?;
    check("write-file", json!(["/new", "text"]), Err("entity not found")).await?;
    assert_eq!(fs::read_to_string(at("read/inner/note"))?, "hello");
    assert!(!at("read/new").exists() && !at("new").exists());
    Ok(())
}

#[tokio::test]
pub(crate) async fn mark_leaves_a_mark_each_time() -> Result<()> {
    let mark = Guest::load("mark").await?;
    let scratch = scratch::folder("marks")?;
    let grants = Grants {
        directories: vec![directory(scratch.path(), "/marks", false)],
        ..Grants::default()
    };
    let check = async |name: &str, ending: &str, expected: Result<&str, &str>| -> Result<()> {
        let result = mark
            .try_call("mark", json!(["/marks", name, 1, ending]), &grants)
            .await?;
        let expected = expected.map(|name| json!(name)).map_err(|name| json!(name));
        assert_eq!(result, expected, "{name} {ending}");
        Ok(())
    };
    check("one", "value", Ok("one")).await?;
    check("one", "error", Err("one")).await?;
    check("two", "error-at-first", Err("two")).await?;
    check("two", "error-at-first", Ok("two")).await?;
    let trapped = mark
        .try_call("mark", json!(["/marks", "three", 1, "trap"]), &grants)
        .await;
    assert!(trapped.is_err(), "{trapped:?}");
    for (name, marks) in [("one", 2), ("two", 2), ("three", 1)] {
        assert_eq!(fs::read(scratch.path().join(name))?.len(), marks, "{name}");
    }
    Ok(())
}

/// What was opened is what was checked, whatever is at its path when the guest runs.
#[tokio::test]
async fn a_directory_that_is_exchanged_after_the_check_changes_nothing() -> Result<()> {
    let files = Guest::load("files").await?;
    let scratch = scratch::folder("grants")?;
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("root/data"))?;
    fs::write(at("root/data/note"), "hello")?;
    fs::create_dir(at("outside"))?;
    fs::write(at("outside/note"), "secret")?;
    let grants = Grants {
        directories: vec![directory(&at("root/data"), "/data", true)],
        ..Grants::default()
    };
    let granted = files.grant(&grants)?;
    fs::rename(at("root/data"), at("root/moved"))?;
    symlink(at("outside"), at("root/data"))?;
    let outcome = files.run("read-file", json!(["/data/note"]), granted).await?;
    assert_eq!(outcome.result?.json(), Some(&json!("hello")));
    Ok(())
}

/// WASI 0.3 has the same walls.
#[tokio::test]
pub(crate) async fn reach_03_reaches_what_was_granted() -> Result<()> {
    let port = http::echo().await?.port();
    let host = format!("localhost:{port}");
    let names = Names::of(&[("localhost", &["127.0.0.1"]), ("evil.example", &["169.254.169.254"])]);
    let reach = Guest::load("reach-03").await?.with_names(&names);
    let check = async |granted: Grants, function: &str, args: Value, expected: Result<Value, &str>| -> Result<()> {
        let result = reach.try_call(function, args.clone(), &granted).await?;
        assert_eq!(
            result,
            expected.map_err(|code| json!(code)),
            "{function} {args} {granted:?}"
        );
        Ok(())
    };
    let http = |host: &str| Grants {
        http: vec![host.parse().expect("as the test has it")],
        ..Grants::default()
    };
    let net = |target: &str| Grants {
        net: vec![target.parse().expect("as the test has it")],
        ..Grants::default()
    };
    let nothing = Grants::default;
    check(http(&host), "fetch", json!([host, "/"]), Ok(json!(""))).await?;
    check(
        nothing(),
        "fetch",
        json!([host, "/"]),
        Err("ErrorCode::HttpRequestDenied"),
    )
    .await?;
    let evil = json!(["evil.example", "/"]);
    check(
        http("evil.example"),
        "fetch",
        evil,
        Err("ErrorCode::DestinationIpProhibited"),
    )
    .await?;

    check(
        net("localhost:*"),
        "addresses",
        json!(["localhost"]),
        Ok(json!(["127.0.0.1"])),
    )
    .await?;
    check(
        net("evil.example:*"),
        "addresses",
        json!(["evil.example"]),
        Err("ErrorCode::AccessDenied"),
    )
    .await?;
    check(
        nothing(),
        "addresses",
        json!(["localhost"]),
        Err("ErrorCode::AccessDenied"),
    )
    .await?;

    check(
        net(&format!("127.0.0.1:{port}")),
        "connect-to",
        json!([port]),
        Ok(json!(null)),
    )
    .await?;
    check(
        net("127.0.0.1:1"),
        "connect-to",
        json!([port]),
        Err("ErrorCode::AccessDenied"),
    )
    .await?;
    check(nothing(), "connect-to", json!([port]), Err("ErrorCode::AccessDenied")).await?;
    Ok(())
}

fn directory(host: &Path, guest: &str, read_only: bool) -> Directory {
    Directory {
        host_path: host.display().to_string(),
        guest_path: guest.to_owned(),
        read_only,
    }
}

/// One guest, ready to be called with grants that the user gives himself.
struct Guest {
    prepared: Prepared,
    means: Means,
}

impl Guest {
    async fn load(name: &str) -> Result<Self> {
        static ENGINE: LazyLock<Engine> =
            LazyLock::new(|| Engine::new(EngineConfig::default()).expect("as the test has it"));
        let bytes = tokio::fs::read(cargo::guest(name).await?).await?;
        let digest = propeller_artifact::digest_of(&bytes);
        Ok(Self {
            prepared: ENGINE.prepare(&digest, bytes).await?,
            means: Means::system(),
        })
    }

    /// With a resolver of the test's own.
    fn with_names(mut self, names: &Names) -> Self {
        self.means.resolver = Arc::new(names.clone());
        self
    }

    fn with_trust(mut self, trust: Trust) -> Self {
        self.means.trust = trust;
        self
    }

    async fn run(&self, function: &str, args: Value, grants: Granted) -> Result<Outcome<Returned>> {
        Ok(self.prepared.invoke(invocation(function, args, grants)?).await)
    }

    fn grant(&self, grants: &Grants) -> Result<Granted> {
        checked(grants, &Policy::anything(), &self.means)
    }

    /// The value, or the `err` that the guest returned.
    async fn try_call(&self, function: &str, args: Value, grants: &Grants) -> Result<Result<Value, Value>> {
        let outcome = self.run(function, args, self.grant(grants)?).await?;
        match outcome.result {
            Ok(returned) => Ok(Ok(returned.json().cloned().unwrap_or_default())),
            Err(InvokeError::ErrResult { value }) => Ok(Err(value.unwrap_or_default())),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn call(&self, function: &str, args: Value, grants: &Grants) -> Result<Value> {
        let result = self.try_call(function, args, grants).await?;
        result.map_err(|value| anyhow::anyhow!("{function} returned the error {value}"))
    }
}

fn checked(grants: &Grants, policy: &Policy, means: &Means) -> Result<Granted> {
    Ok(Granted::check(grants, policy, &task(), means)?)
}

fn task() -> TaskContext {
    TaskContext {
        namespace: "lab".to_owned(),
        name: "probe".to_owned(),
        uid: "0c7e-11".to_owned(),
        attempt: 1,
    }
}

fn invocation(function: &str, args: Value, grants: Granted) -> Result<Invocation> {
    Ok(Invocation {
        function: function.parse()?,
        args,
        sandbox: Sandbox {
            limits: Limits {
                memory: MEMORY,
                deadline: PATIENCE,
                result: Limits::DEFAULT_RESULT_BYTES,
            },
            task: task().into(),
            grants,
            stdio: Stdio::Discard,
            cancel: CancellationToken::new(),
        },
    })
}

/// Names as the test wants them: each lookup gives the next of its answers, and the last one from then on.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>>);

impl Names {
    fn of(answers: &[(&str, &[&str])]) -> Self {
        let names = Self::default();
        for (name, addresses) in answers {
            names.then(name, addresses);
        }
        names
    }

    /// One more answer for the name.
    fn then(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("as the test has it"))
            .collect();
        self.0
            .lock()
            .expect("as the test has it")
            .entry(name.to_owned())
            .or_default()
            .push(addresses);
    }

    fn next(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().expect("as the test has it");
        let answers = names
            .get_mut(name)
            .with_context(|| format!("nobody should ask for {name}"))
            .map_err(io::Error::other)?;
        match answers.len() {
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.remove(0)),
        }
    }
}

impl Resolver for Names {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = self.next(name);
        async move { answer }.boxed()
    }
}
