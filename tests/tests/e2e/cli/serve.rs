//! `propeller serve`: what clients get, what happens to a request whose instance fails, and how it ends.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use propeller_tests::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::{Person, guest};

/// A service, and what it says.
struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: String,
    _person: Person,
}

impl Serving {
    async fn new(name: &str, flags: &[&str]) -> Result<Self> {
        Self::of(name, flags, Person::command).await
    }

    async fn of(name: &str, flags: &[&str], command: fn(&Person, &[&str]) -> Command) -> Result<Self> {
        let (person, guest) = (Person::new().await?, guest(name).await?);
        let line = [&["serve", &guest, "--addr", "127.0.0.1:0"], flags].concat();
        let mut child = command(&person, &line).stdout(Stdio::null()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        let first = timeout(PATIENCE, log.next_line()).await??.context("it says nothing")?;
        let address = first.strip_prefix("http://").with_context(|| first.clone())?.to_owned();
        Ok(Self {
            child,
            log,
            address,
            _person: person,
        })
    }

    /// One request on a connection of its own: everything that comes back.
    async fn ask(&self, request: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut response)).await??;
        Ok(String::from_utf8_lossy(&response).into_owned())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab.example\r\nConnection: close\r\n\r\n");
        self.ask(&request).await
    }

    async fn status(&self, path: &str) -> Result<u16> {
        let response = self.get(path).await?;
        let status = response.split(' ').nth(1).with_context(|| response.clone())?;
        Ok(status.parse()?)
    }

    /// Waits for a line of its log that has all of these words.
    async fn says(&mut self, words: &[&str]) -> Result<String> {
        let found = async {
            while let Some(line) = self.log.next_line().await? {
                if words.iter().all(|word| line.contains(word)) {
                    return Ok(line);
                }
            }
            anyhow::bail!("it never says {words:?}")
        };
        timeout(PATIENCE, found).await?
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("it ended")?.cast_signed();
        Ok(kill_process(Pid::from_raw(id).context("no id")?, signal)?)
    }

    async fn end(mut self) -> Result<ExitStatus> {
        Ok(timeout(PATIENCE, self.child.wait()).await??)
    }
}

/// The end of a response in chunks.
const LAST_CHUNK: &str = "\r\n0\r\n\r\n";

#[tokio::test]
pub(crate) async fn http_hello_is_served_by_a_fresh_instance_each_time() -> Result<()> {
    let serving = Serving::new("http-hello", &[]).await?;
    for path in ["/a?b=c", "/d"] {
        let response = serving.get(path).await?;
        ensure!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        ensure!(
            response.contains(&format!("hello lab.example{path}, request 1\n")),
            "{response}"
        );
    }
    // Both on one connection.
    let two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let response = serving.ask(two).await?;
    ensure!(
        response.contains("hello a/1, request 1") && response.contains("hello a/2, request 1"),
        "{response}"
    );

    let body = "all work and no play ".repeat(10_000);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = serving.ask(&request).await?;
    let letters = |text: &str| text.matches("play").count();
    ensure!(
        letters(&response) > 9_900 && response.ends_with(LAST_CHUNK),
        "{} letters",
        letters(&response)
    );

    serving.signal(Signal::TERM)?;
    assert_eq!(serving.end().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
pub(crate) async fn http_both_worlds_serves_as_0_3() -> Result<()> {
    let service = Serving::new("http-both-worlds", &[]).await?;
    let response = service.get("/").await?;
    ensure!(response.contains("served by 0.3"), "{response}");
    Ok(())
}

#[tokio::test]
pub(crate) async fn http_hello_03_is_served() -> Result<()> {
    let mut serving = Serving::new("http-hello-03", &[]).await?;
    for _ in 0..2 {
        let response = serving.get("/a?b=c").await?;
        ensure!(
            response.contains("hello lab.example/a?b=c\n") && response.ends_with(LAST_CHUNK),
            "{response}"
        );
        assert_eq!(serving.status("/trap").await?, 500);
        serving.says(&["a request failed", "unreachable"]).await?;
    }
    let echo = serving
        .ask("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nping")
        .await?;
    ensure!(echo.contains("ping"), "{echo}");
    serving.signal(Signal::INT)?;
    assert_eq!(serving.end().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
pub(crate) async fn http_fail_ends_one_request_and_no_other() -> Result<()> {
    let flags = ["--memory", "16Mi", "--request-timeout", "500ms", "--max-requests", "4"];
    let mut serving = Serving::new("http-fail", &flags).await?;
    let check = async |serving: &mut Serving, path: &str, status: u16, reason: &str| -> Result<()> {
        assert_eq!(serving.status(path).await?, status, "{path}");
        serving.says(&["a request failed", reason]).await?;
        assert_eq!(serving.status("/fine").await?, 200, "after {path}");
        Ok(())
    };
    assert_eq!(serving.status("/trap").await?, 500);
    serving.says(&["a request failed", "Trap"]).await?;
    serving.says(&["fall_over_the_edge"]).await?;
    check(&mut serving, "/spin", 504, "DeadlineExceeded").await?;
    check(&mut serving, "/hoard", 500, "OutOfMemory").await?;
    check(&mut serving, "/exit", 500, "Exited").await?;
    assert_eq!(serving.status("/silent").await?, 500);
    // What looks like a response must not look like a complete one.
    let half = serving.get("/half").await?;
    ensure!(!half.ends_with(LAST_CHUNK), "{half}");
    ensure!(serving.get("/whole").await?.ends_with(LAST_CHUNK));
    Ok(())
}

#[tokio::test]
async fn requests_are_bounded() -> Result<()> {
    let serving = Serving::new("http-hello", &[]).await?;
    let check = async |request: &str, status: &str| -> Result<()> {
        let response = serving.ask(request).await?;
        ensure!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        Ok(())
    };
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n",
        "413",
    )
    .await?;
    check("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400").await?;
    // One that goes on: what has arrived is too much already.
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nLong: {}", "x".repeat(100_000));
    check(&long, "431").await
}

/// More requests spin than there are threads, and others are served; the service ends on the second signal, whatever it does.
#[tokio::test]
async fn requests_that_spin_hold_up_nobody() -> Result<()> {
    let serving = Serving::new("http-fail", &["--request-timeout", "60s"]).await?;
    let mut spinning = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(&serving.address).await?;
        stream.write_all(b"GET /spin HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        spinning.push(stream);
    }
    assert_eq!(serving.status("/fine").await?, 200);
    serving.signal(Signal::INT)?;
    // It drains now, and its listener is gone.
    propeller_tests::wait_for("the listener's end", PATIENCE, async || {
        ensure!(TcpStream::connect(&serving.address).await.is_err(), "it accepts");
        Ok(())
    })
    .await?;
    let begun = Instant::now();
    serving.signal(Signal::INT)?;
    assert_eq!(serving.end().await?.code(), Some(130));
    ensure!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn what_cannot_serve_is_refused() -> Result<()> {
    let person = Person::new().await?;
    let check = async |line: &[&str], code: i32, reason: &str| -> Result<()> {
        let line = [&["--output", "json"], line].concat();
        let ended = person.types(&line).await?;
        assert_eq!(ended.error(code)?["reason"], reason);
        Ok(())
    };
    let (addition, hello) = (guest("addition").await?, guest("http-hello").await?);
    check(&["serve", &addition], 5, "NotAService").await?;
    check(&["run", &hello], 5, "OnlyServes").await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    check(&["serve", &hello, "--addr", &address], 1, "ListenFailed").await
}

/// What it has to make do with isn't said before the URL.
#[tokio::test]
async fn few_addresses_are_enough_to_serve() -> Result<()> {
    let server = Serving::of("http-hello", &[], Person::confined).await?;
    assert_eq!(server.status("/").await?, 200);
    server.signal(Signal::INT)?;
    assert!(server.end().await?.success());
    Ok(())
}
