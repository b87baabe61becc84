//! `propeller run`: calls, their results, and whose failure it is when there is none.

use std::process::Stdio;

use anyhow::{Context, Result};
use propeller_tests::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use super::{Ended, Person, guest, repository};

#[tokio::test]
async fn a_call_prints_its_result() -> Result<()> {
    let (person, addition, typed) = (Person::new().await?, guest("addition").await?, guest("typed").await?);
    let check = async |component: &str, call: &[&str], wave: &str, json: Value| -> Result<()> {
        let line = [&["run", component], call].concat();
        assert_eq!(person.types(&line).await?.printed()?, wave);
        let line = [&["--output", "json"], line.as_slice()].concat();
        assert_eq!(person.types(&line).await?.json()?["result"], json);
        Ok(())
    };
    check(&addition, &["add(20, 22)"], "42", json!(42)).await?;
    check(
        &addition,
        &["propeller:examples/math@1.0.0#add(20, 22)"],
        "42",
        json!(42),
    )
    .await?;
    check(&addition, &["--function", "add", "--args", "[20, 22]"], "42", json!(42)).await?;
    check(
        &addition,
        &["--function", "add", "--args", r#"{"b": 22, "a": -20}"#],
        "2",
        json!(2),
    )
    .await?;
    // The only function there is needs no name.
    check(&addition, &["--args", "[20, 22]"], "42", json!(42)).await?;
    check(
        &typed,
        &[r#"parse-point("3.5,-2")"#],
        "{x: 3.5, y: -2}",
        json!({"x": 3.5, "y": -2.0}),
    )
    .await?;
    check(
        &typed,
        &["odometer(9007199254740993, -1)"],
        "9007199254740992",
        json!("9007199254740992"),
    )
    .await?;
    check(&typed, &["nearest({x: 0, y: 0}, [])"], "none", Value::Null).await?;
    check(
        &typed,
        &["--function", "beacon", "--args", r#"{"boxes": 3, "urgent": true}"#],
        "[128, 3]",
        json!([128, 3]),
    )
    .await
}

#[tokio::test]
async fn a_task_is_run_as_its_file_says() -> Result<()> {
    let (person, addition, typed) = (Person::new().await?, guest("addition").await?, guest("typed").await?);
    let task = repository("examples/addition/task.yaml")?;
    assert_eq!(
        person.types(&["run", &task, "--image", &addition]).await?.printed()?,
        "42"
    );
    assert_eq!(
        person
            .types(&["run", &task, "--image", &addition, "--args", "[1, 2]"])
            .await?
            .printed()?,
        "3"
    );

    let task = repository("examples/typed/task.yaml")?;
    let round = person
        .types(&["run", &task, "--image", &typed, "--output", "json"])
        .await?
        .json()?;
    let legs = json!([{"to": "A1", "metres": 6.0}, {"to": "C7", "metres": 36.5}, {"to": "start", "metres": 42.5}]);
    assert_eq!(
        round["result"],
        json!({"legs": legs, "metres": 85.0, "duration": 42500, "done": 1_767_225_642_500_u64})
    );
    Ok(())
}

#[tokio::test]
async fn an_err_result_is_a_failure_with_its_value() -> Result<()> {
    let (person, typed) = (Person::new().await?, guest("typed").await?);
    let task = repository("examples/typed/task-err.yaml")?;
    let value = r#"{"overloaded":{"boxes":40,"capacity":10}}"#;
    let text = person.types(&["run", &task, "--image", &typed]).await?;
    assert_eq!(
        text.failed(10)?,
        format!("error: the function returned an error: {value}\n")
    );

    let error = person
        .types(&["run", &task, "--image", &typed, "--output", "json"])
        .await?
        .error(10)?;
    assert_eq!(
        error,
        json!({
            "reason": "ErrResult",
            "message": format!("the function returned an error: {value}"),
            "causes": [],
            "value": {"overloaded": {"boxes": 40, "capacity": 10}},
        })
    );
    Ok(())
}

/// Each of the guest's own ends has a code from 10 on; what was wrong before it ran has a lower one.
#[tokio::test]
async fn every_failure_has_its_reason_and_exit_code() -> Result<()> {
    let person = Person::new().await?;
    let check = async |name: &str, call: &[&str], code: i32, reason: &str, words: &str| -> Result<()> {
        let component = guest(name).await?;
        let line = [&["run", &component, "--output", "json"], call].concat();
        let error = person.types(&line).await?.error(code)?;
        assert_eq!(error["reason"], reason, "{error}");
        assert!(
            error["message"].as_str().is_some_and(|message| message.contains(words)),
            "{error}"
        );
        Ok(())
    };
    check("trap", &["trap()"], 11, "Trap", "unreachable").await?;
    check("hoard", &["hoard(64)", "--memory", "16Mi"], 11, "OutOfMemory", "16Mi").await?;
    check("spin", &["--timeout", "200ms"], 12, "DeadlineExceeded", "0.2 s").await?;

    check("greedy", &["enrich(1)"], 4, "UnknownImport", "philosophers-stone").await?;

    check(
        "addition",
        &["subtract(2, 1)"],
        5,
        "UnknownExport",
        "propeller:examples/math@1.0.0#add",
    )
    .await?;
    check("addition", &["ad(2, 1)"], 5, "UnknownExport", "did you mean").await?;
    check(
        "ambiguous",
        &["greet()"],
        5,
        "AmbiguousExport",
        "propeller:guests/german@1.0.0#greet",
    )
    .await?;
    check("addition", &["add(20)"], 5, "TooFewArguments", "b").await?;
    check("addition", &[], 5, "TooFewArguments", "a").await?;
    check(
        "typed",
        &[],
        5,
        "FunctionRequired",
        "odometer: func(reading: u64, metres: s64) -> u64",
    )
    .await?;
    check("addition", &["add(20, \"22\")"], 5, "WrongArgumentType", "args[1]").await?;
    check(
        "addition",
        &["--args", r#"{"a": 20, "b": "22"}"#],
        5,
        "WrongArgumentType",
        "args.b",
    )
    .await?;
    check("addition", &["add(20, 22"], 5, "InvalidCall", "column").await?;
    check("addition", &["--args", "20, 22"], 5, "InvalidCall", "[20, 22]").await?;

    check("addition", &["--memory", "lots"], 2, "Usage", "64Mi").await
}

#[tokio::test]
async fn what_is_not_a_component_is_refused() -> Result<()> {
    let person = Person::new().await?;
    person.file("core.wasm", b"\0asm\x01\0\0\0")?;
    person.file("text.wasm", "hello")?;
    person.file("half.yaml", "apiVersion: propeller.dev/v1alpha1\nkind: Task\n")?;
    let check = async |file: &str, code: i32, reason: &str, words: &str| -> Result<()> {
        let ended = person.types(&["run", file, "f()"]).await?;
        let text = ended.failed(code)?;
        assert!(text.starts_with("error: ") && text.contains(words), "{text}");
        let error = person
            .types(&["run", file, "f()", "--output", "json"])
            .await?
            .error(code)?;
        assert_eq!(error["reason"], reason, "{error}");
        Ok(())
    };
    check("core.wasm", 4, "CoreModule", "wasm32-wasip2").await?;
    check("text.wasm", 4, "NotWasm", "`text.wasm` is not a component").await?;
    check("half.yaml", 2, "InvalidTask", "missing field `metadata`").await?;
    check("missing.wasm", 1, "ReadFailed", "No such file").await?;
    check(
        "missing",
        2,
        "UnknownSource",
        "there is no file `missing`, and it is not a reference either",
    )
    .await
}

/// What the guest prints must not get between a result and its reader.
#[tokio::test]
async fn a_guests_own_output_goes_to_standard_error() -> Result<()> {
    let person = Person::new().await?;
    let prints = person.file("prints.wasm", wat::parse_str(PRINTS)?)?;
    let prints = prints.to_str().context("a path that isn't Unicode")?;
    let ended = person.types(&["run", prints]).await?;
    assert_eq!((ended.printed()?, ended.stderr.as_str()), ("7", "hello\n"));
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_a_call() -> Result<()> {
    let (person, spin) = (Person::new().await?, guest("spin").await?);
    let mut child = person.command(&["run", &spin, "-vv"]).stdout(Stdio::null()).spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let interrupted = async {
        while let Some(line) = log.next_line().await? {
            if line.contains("compiled") {
                kill_process(
                    Pid::from_raw(child.id().context("it ended")?.cast_signed()).context("no id")?,
                    Signal::INT,
                )?;
            } else if line.contains("interrupted") {
                break;
            }
        }
        Ok::<_, anyhow::Error>(child.wait().await?.code())
    };
    assert_eq!(timeout(PATIENCE, interrupted).await??, Some(130));
    Ok(())
}

/// Memories are made on demand then, by code that a child compiled which has as few addresses.
#[tokio::test]
async fn few_addresses_are_enough() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    for _ in 0..2 {
        let args = ["run", &addition, "add(20, 22)", "-v"];
        let output = timeout(PATIENCE, person.confined(&args).output()).await??;
        let ended = Ended::new(&args, output);
        assert_eq!(ended.printed()?, "42");
        assert!(ended.stderr.contains("made on demand"), "{}", ended.stderr);
    }
    let hoard = guest("hoard").await?;
    let args = ["run", &hoard, "hoard(1024)", "--memory", "32Mi"];
    let output = timeout(PATIENCE, person.confined(&args).output()).await??;
    let ended = Ended::new(&args, output);
    assert!(ended.failed(11)?.contains("memory"), "{}", ended.stderr);
    Ok(())
}

/// A guest that nobody reads from waits in the kernel, where no deadline reaches it; and what is said of its end finds no room either.
#[tokio::test]
async fn a_call_whose_output_nobody_reads_ends() -> Result<()> {
    let write = "(call $write (call $get-stdout) (i32.const 0) (i32.const 6) (i32.const 16))";
    // One stream: more of them would end it for want of handles.
    let again = write.replace("(call $get-stdout)", "(local.get $stream)");
    let floods = PRINTS.replace(
        &format!("(result i32)\n            {write}"),
        &format!(
            "(result i32) (local $stream i32) (local.set $stream (call $get-stdout)) (loop $again {again} (br $again))"
        ),
    );
    assert_ne!(floods, PRINTS);
    let person = Person::new().await?;
    let floods = person.file("floods.wasm", wat::parse_str(floods)?)?;
    let floods = floods.to_str().context("a path that isn't Unicode")?;
    let mut child = person.command(&["run", floods, "f()", "--timeout", "500ms"]).spawn()?;
    let _unread = child.stderr.take();
    assert_eq!(timeout(PATIENCE, child.wait()).await??.code(), Some(12));
    Ok(())
}

/// Writes a line to its standard output, through the interfaces that every toolchain uses, and returns 7.
const PRINTS: &str = r#"(component
    (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
    (alias export $error "error" (type $error-type))
    (import "wasi:io/streams@0.2.0" (instance $streams
        (alias outer 1 $error-type (type $outer-error))
        (export "error" (type $error (eq $outer-error)))
        (export "output-stream" (type $stream (sub resource)))
        (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $failure)))
        (export "[method]output-stream.blocking-write-and-flush" (func
            (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
    (alias export $streams "output-stream" (type $stream-type))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $stream-type (type $outer-stream))
        (export "output-stream" (type $stream (eq $outer-stream)))
        (export "get-stdout" (func (result (own $stream))))))
    (core module $memory (memory (export "memory") 1) (data (i32.const 0) "hello\n"))
    (core instance $memory (instantiate $memory))
    (core func $get-stdout (canon lower (func $stdout "get-stdout")))
    (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory (core memory $memory "memory"))))
    (core module $guest
        (import "host" "get-stdout" (func $get-stdout (result i32)))
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (func (export "f") (result i32)
            (call $write (call $get-stdout) (i32.const 0) (i32.const 6) (i32.const 16))
            (i32.const 7)))
    (core instance $guest (instantiate $guest (with "host" (instance
        (export "get-stdout" (func $get-stdout))
        (export "write" (func $write))))))
    (func (export "f") (result u32) (canon lift (core func $guest "f"))))"#;
