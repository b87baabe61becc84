//! `propeller run` with programs: their arguments, their streams, their exit codes, and what ends them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use propeller_tests::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::{Ended, Person, guest};

/// How long a program may go on after it was told to end; starting it comes on top.
const PROMPTLY: Duration = Duration::from_secs(1);

impl Person {
    /// Runs a guest as a program.
    async fn runs(&self, name: &str, rest: &[&str]) -> Result<Ended> {
        self.types(&[&["run", &guest(name).await?], rest].concat()).await
    }
}

#[tokio::test]
pub(crate) async fn echo_args_sees_arguments_and_granted_variables() -> Result<()> {
    let person = Person::new().await?;
    let check = async |rest: &[&str], expected: &str| -> Result<()> {
        assert_eq!(person.runs("echo-args", rest).await?.printed()?, expected);
        Ok(())
    };
    check(&[], "echo-args").await?;
    check(&["--", "a", "b c", "--output", "-e"], "echo-args\na\nb c\n--output\n-e").await?;
    check(&["--env", "A=b=c", "-e", "D="], "echo-args\nA=b=c\nD=").await?;
    let home = person.home().display().to_string();
    check(&["--env", "HOME", "--", "x"], &format!("echo-args\nx\nHOME={home}")).await?;

    let missing = person.runs("echo-args", &["--env", "NOBODY"]).await?;
    assert!(
        missing.failed(125)?.contains("--env NOBODY=VALUE"),
        "{}",
        missing.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_task_may_be_a_program() -> Result<()> {
    let (person, echo) = (Person::new().await?, guest("echo-args").await?);
    let task = json!({
        "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "echo"},
        "spec": {
            "image": "localhost:5000/echo:1",
            "command": {"args": ["one", "two"]},
            "grants": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        },
    });
    person.file("task.yaml", task.to_string())?;
    let line = ["run", "task.yaml", "--image", &echo];
    assert_eq!(person.types(&line).await?.printed()?, "echo-args\none\ntwo\nA=1\nB=2");
    let line = [&line, ["--env", "A=3", "--", "three"].as_slice()].concat();
    assert_eq!(person.types(&line).await?.printed()?, "echo-args\nthree\nB=2\nA=3");
    Ok(())
}

/// Rust's standard library tells WASI 0.2 success or failure only: any other code than 0 is 1. What says its code is heard,
/// as core modules do, of whose codes the last byte counts, as on Unix.
#[tokio::test]
pub(crate) async fn exit_code_is_the_programs() -> Result<()> {
    let person = Person::new().await?;
    let check = async |rest: &[&str], code: i32| -> Result<()> {
        let ended = person.runs("exit-code", rest).await?;
        assert_eq!(ended.code, Some(code), "{rest:?}\n{}", ended.stderr);
        ensure!(!ended.stderr.contains("error:"), "{}", ended.stderr);
        Ok(())
    };
    check(&["--", "0"], 0).await?;
    check(&["--", "1"], 1).await?;
    // Its main returns an error, which it prints by itself.
    check(&[], 1).await?;

    person.file("says.wasm", wat::parse_str(SAYS_42)?)?;
    assert_eq!(person.types(&["run", "says.wasm"]).await?.code, Some(42));
    for (code, seen) in [(7, 7), (0, 0), (255, 255), (258, 2)] {
        person.file("core.wasm", wat::parse_str(exits_with(code))?)?;
        assert_eq!(person.types(&["run", "core.wasm"]).await?.code, Some(seen), "{code}");
    }
    Ok(())
}

/// Everything that isn't the program's own doing has a code that says so, and a message.
#[tokio::test]
async fn what_is_not_the_programs_doing_has_other_codes() -> Result<()> {
    let person = Person::new().await?;
    let check = async |line: &[&str], code: i32, reason: &str| -> Result<()> {
        let line = [&["run", "--output", "json"], line].concat();
        let ended = person.types(&line).await?;
        assert_eq!(ended.error(code)?["reason"], reason, "{}", ended.stderr);
        Ok(())
    };
    let (cat, spins, addition) = (guest("cat").await?, guest("flood").await?, guest("addition").await?);
    check(&["missing.wasm"], 125, "ReadFailed").await?;
    check(&["nothing"], 125, "UnknownSource").await?;
    check(&[&cat, "--dir", "missing"], 125, "ReadFailed").await?;
    check(&[&addition, "--", "a"], 126, "NotAProgram").await?;
    person.file("text.wasm", "hello")?;
    check(&["text.wasm"], 126, "NotWasm").await?;
    let ended = person.types(&["run", &spins, "--timeout", "300ms"]).await?;
    assert_eq!(ended.code, Some(124), "{}", ended.stderr);
    assert!(ended.stderr.contains("`--timeout`"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
pub(crate) async fn cat_copies_its_input() -> Result<()> {
    let (person, cat) = (Person::new().await?, guest("cat").await?);
    let mut child = person.command(&["run", &cat]).stdin(Stdio::piped()).spawn()?;
    let (mut input, mut output) = (
        child.stdin.take().context("no input")?,
        child.stdout.take().context("no output")?,
    );
    let talk = async {
        // Each answer comes before the next question: nothing waits for a full buffer or for an end of line.
        for word in ["one", "two\n", "three"] {
            input.write_all(word.as_bytes()).await?;
            let mut answer = vec![0; word.len()];
            output.read_exact(&mut answer).await?;
            assert_eq!(answer, word.as_bytes());
        }
        drop(input);
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).await?;
        assert!(rest.is_empty(), "{rest:?}");
        Ok::<_, anyhow::Error>(child.wait().await?.code())
    };
    assert_eq!(timeout(PATIENCE, talk).await??, Some(0));
    Ok(())
}

/// The same with streams of WASI 0.3.
#[tokio::test]
pub(crate) async fn cat_03_copies_its_input() -> Result<()> {
    let (person, cat) = (Person::new().await?, guest("cat-03").await?);
    let mut child = person.command(&["run", &cat]).stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(b"one\ntwo").await?;
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await??;
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"one\ntwo".as_slice())
    );
    Ok(())
}

#[tokio::test]
async fn directories_are_where_they_were_granted() -> Result<()> {
    let person = Person::new().await?;
    person.file("data/a.txt", "here")?;
    let check = async |dir: &str, rest: &[&str], expected: Result<&str, i32>| -> Result<()> {
        let ended = person.runs("cat", &[&["--dir", dir, "--"], rest].concat()).await?;
        match expected {
            Ok(text) => assert_eq!(ended.printed()?, text),
            Err(code) => drop(ended.failed(code)?),
        }
        Ok(())
    };
    check("data::/d", &["/d/a.txt"], Ok("here")).await?;
    check("data", &["data/a.txt"], Ok("here")).await?;
    check("data::/d", &["data/a.txt"], Err(1)).await?;
    check("data::/d:ro", &[">/d/b.txt", "/d/a.txt"], Err(1)).await?;
    check("data::/d", &[">/d/b.txt", "/d/a.txt"], Ok("")).await?;
    assert_eq!(std::fs::read_to_string(person.home().join("data/b.txt"))?, "here");
    Ok(())
}

/// Standard error is the program's too.
#[tokio::test]
pub(crate) async fn print_lines_goes_where_it_says() -> Result<()> {
    let person = Person::new().await?;
    let ended = person.runs("print-lines", &[]).await?;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout, b"out 1\nout 2\n\xff is no character\nno end");
    assert_eq!(ended.stderr, "error 1\nerror with two parts\n");
    Ok(())
}

#[tokio::test]
pub(crate) async fn panic_shows_its_functions() -> Result<()> {
    let person = Person::new().await?;
    let text = person.runs("panic", &[]).await?;
    let text = text.failed(134)?;
    assert!(text.contains("index out of bounds"), "the program's own words: {text}");
    let line = |name: &str| {
        text.lines()
            .position(|line| line.contains(name))
            .context(name.to_owned())
    };
    ensure!(
        line("panic::fall_over_the_edge")? < line("panic::step_on_the_edge")?,
        "innermost first: {text}"
    );
    let error = person.runs("panic", &["--output", "json"]).await?;
    let error = error.error(134)?;
    assert_eq!(error["reason"], "Trap");
    ensure!(
        error["backtrace"].as_array().is_some_and(|lines| lines.len() < 33),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn figures_are_told_in_json() -> Result<()> {
    let person = Person::new().await?;
    let figures = |told: &Value| -> Result<Value> {
        let figures = &told["figures"];
        let wall = figures["wallMillis"].as_f64().context("no wall time")?;
        let cpu = figures["cpuMillis"].as_f64().context("no processor time")?;
        ensure!(0.0 < cpu && cpu <= wall * 1.5 + 10.0, "{figures}");
        ensure!(figures["peakMemoryBytes"].as_u64() > Some(65_536), "{figures}");
        Ok(json!([figures["bytesIn"], figures["bytesOut"]]))
    };
    let told = |ended: &Ended| -> Result<Value> {
        let last = ended.stderr.lines().last().context("nothing on standard error")?;
        serde_json::from_str(last).with_context(|| last.to_owned())
    };

    let ended = person
        .runs("echo-args", &["--output", "json", "--", "four", "five"])
        .await?;
    assert_eq!(ended.stdout, b"echo-args\nfour\nfive\n");
    assert_eq!(told(&ended)?["exitCode"], 0);
    assert_eq!(figures(&told(&ended)?)?, json!([9 + 4 + 4, 20]));

    let ended = person.runs("panic", &["--output", "json"]).await?;
    figures(&told(&ended)?)?;
    let ended = person.runs("hoard", &["--output", "json", "hoard(1)"]).await?.json()?;
    assert_eq!(ended["result"], 1);
    assert_eq!(figures(&ended)?, json!([3, 1]));
    let ended = person.runs("spin", &["--output", "json", "--timeout", "300ms"]).await?;
    let spun = told(&ended)?["figures"]["cpuMillis"]
        .as_f64()
        .context("no processor time")?;
    ensure!(spun > 20.0, "{spun}");
    Ok(())
}

/// Each of them in its own way: reading what never comes, printing what nobody reads, printing what somebody reads, and on Ctrl-C.
#[tokio::test]
pub(crate) async fn flood_and_others_end_whatever_they_do() -> Result<()> {
    let person = Person::new().await?;
    let limit = ["--timeout", "500ms"];
    let check = async |name: &str, read: bool| -> Result<()> {
        let guest = guest(name).await?;
        let line = [&["run", &guest], limit.as_slice()].concat();
        let mut child = person
            .command(&line)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let _input = child.stdin.take();
        let mut output = child.stdout.take().context("no output")?;
        let begun = Instant::now();
        let drained = async {
            if read {
                tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
            }
            child.wait().await
        };
        let status = timeout(PATIENCE, drained).await??;
        assert_eq!(status.code(), Some(124), "{name}");
        // Starting and compiling comes before the clock of the run begins.
        ensure!(begun.elapsed() < 10 * PROMPTLY, "{name} took {:?}", begun.elapsed());
        Ok(())
    };
    check("cat", false).await?;
    check("cat-03", false).await?;
    check("flood", false).await?;
    check("flood", true).await
}

#[tokio::test]
async fn ctrl_c_ends_a_program() -> Result<()> {
    let (person, cat) = (Person::new().await?, guest("cat").await?);
    let mut child = person.command(&["run", &cat]).stdin(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    let mut output = BufReader::new(child.stdout.take().context("no output")?).lines();
    let interrupted = async {
        // It runs once it answers.
        input.write_all(b"ready\n").await?;
        assert_eq!(output.next_line().await?.as_deref(), Some("ready"));
        let id = Pid::from_raw(child.id().context("it ended")?.cast_signed()).context("no id")?;
        let begun = Instant::now();
        kill_process(id, Signal::INT)?;
        let status = child.wait().await?;
        ensure!(begun.elapsed() < PROMPTLY, "it took {:?}", begun.elapsed());
        Ok(status.code())
    };
    assert_eq!(timeout(PATIENCE, interrupted).await??, Some(130));
    Ok(())
}

/// A program for preview 1.
fn exits_with(code: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// A program that exits with `exit-with-code`, which WASI 0.2 has since 0.2.12.
const SAYS_42: &str = r#"(component
    (import "wasi:cli/exit@0.2.12" (instance $exit
        (export "exit-with-code" (func (param "status-code" u8)))))
    (core func $exit (canon lower (func $exit "exit-with-code")))
    (core module $guest
        (import "host" "exit" (func $exit (param i32)))
        (func (export "run") (result i32) (call $exit (i32.const 42)) (i32.const 0)))
    (core instance $guest (instantiate $guest (with "host" (instance (export "exit" (func $exit))))))
    (func $run (result (result)) (canon lift (core func $guest "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.12" (instance $run)))"#;
