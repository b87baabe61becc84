//! `propeller inspect`, `completions` and `--help`: what is shown, to people and to programs.

use std::process::Stdio;

use anyhow::{Context, Result};
use propeller_artifact::digest_of;
use propeller_tests::PATIENCE;
use propeller_types::Contract;
use serde_json::json;
use tokio::time::timeout;

use super::{Ended, Person, guest};

#[tokio::test]
async fn a_file_is_inspected() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    let bytes = std::fs::read(&addition)?;
    let (digest, size, contract) = (digest_of(&bytes), bytes.len(), Contract::read(&bytes)?);

    let text = person.types(&["inspect", &addition]).await?;
    let head = format!("file       {addition}\ncomponent  {digest}\nsize       ");
    let text = text.printed()?;
    assert!(
        text.starts_with(&head) && text.contains(&format!(" ({size} bytes)\n\nworld root {{\n")),
        "{text}"
    );
    for import in contract.import_names() {
        assert!(text.contains(&format!("\n  import {import};\n")), "{text}");
    }
    let rest = format!(
        "  export propeller:examples/math@1.0.0 {{\n    add: func(a: s32, b: s32) -> s32;\n  }}\n}}\n\n\
         # A Task to start from; --task prints nothing else.\n\
         # Publish the component first: propeller push {addition} localhost:5000/addition:latest\n{TASK}"
    );
    assert!(text.ends_with(rest.trim_end()), "{text}");

    let shown = person
        .types(&["inspect", &addition, "--output", "json"])
        .await?
        .json()?;
    assert_eq!(
        (&shown["file"], &shown["component"], &shown["size"]),
        (&json!(addition), &json!(digest), &json!(size))
    );
    assert_eq!(shown["exports"], json!(contract.exports));
    assert_eq!(shown["imports"], json!(contract.imports));
    assert_eq!(
        shown["task"]["spec"]["call"],
        json!({"function": "add", "args": {"a": 0, "b": 0}})
    );
    Ok(())
}

const TASK: &str = "\
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata:
  name: addition
spec:
  image: localhost:5000/addition:latest
  call:
    function: add
    args:
      a: 0
      b: 0
  resources:
    memory: 64Mi
  activeDeadlineSeconds: 30
";

/// Every function of the example gets a Task that runs.
#[tokio::test]
async fn the_task_to_start_from_can_be_run() -> Result<()> {
    let (person, addition, typed) = (Person::new().await?, guest("addition").await?, guest("typed").await?);
    let task = person.types(&["inspect", &addition, "--task"]).await?;
    assert_eq!(task.printed()?, TASK.trim_end());
    let check = async |component: &str, function: &str, expected: Result<&str, &str>| -> Result<()> {
        let task = person
            .types(&["inspect", component, "--task", "--function", function])
            .await?;
        person.file("task.yaml", task.printed()?)?;
        let ended = person.types(&["run", "task.yaml", "--image", component]).await?;
        match expected {
            Ok(printed) => assert_eq!(ended.printed()?, printed),
            Err(words) => assert!(ended.failed(10)?.contains(words)),
        }
        Ok(())
    };
    check(&addition, "add", Ok("0")).await?;
    check(&typed, "nearest", Ok("none")).await?;
    check(&typed, "odometer", Ok("0")).await?;
    check(&typed, "beacon", Ok("[0, 0]")).await?;
    check(&typed, "plan", Err("no-stops")).await?;
    check(&typed, "parse-point", Err("has no comma")).await
}

#[tokio::test]
async fn completions_ask_the_program() -> Result<()> {
    let person = Person::new().await?;
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = person.types(&["completions", shell]).await?;
        // The shell asks the program what may follow.
        assert!(script.printed()?.contains("COMPLETE"), "{shell}");
    }
    Ok(())
}

#[tokio::test]
async fn help_lists_the_exit_codes() -> Result<()> {
    let person = Person::new().await?;
    let help = person.types(&["--help"]).await?;
    for words in [
        "run",
        "inspect",
        "push",
        "pull",
        "completions",
        "Exit codes:",
        "130  interrupted",
    ] {
        assert!(help.printed()?.contains(words), "{words}");
    }
    assert_eq!(
        person.types(&["--version"]).await?.printed()?,
        format!("propeller {}", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}

#[tokio::test]
async fn a_command_line_that_cannot_be_read_is_an_error_in_either_form() -> Result<()> {
    let person = Person::new().await?;
    let text = person.types(&["inspect", "--nonsense"]).await?;
    assert!(text.failed(2)?.contains("'--nonsense'"));
    let error = person
        .types(&["--output", "json", "inspect", "--nonsense"])
        .await?
        .error(2)?;
    assert_eq!(
        error,
        json!({"reason": "Usage", "message": "unexpected argument '--nonsense' found", "causes": []})
    );
    Ok(())
}

/// As `propeller inspect … | head -n 0`.
#[tokio::test]
async fn a_reader_that_has_read_enough_is_no_failure() -> Result<()> {
    let (person, addition) = (Person::new().await?, guest("addition").await?);
    for args in [
        &["inspect", &addition][..],
        &["completions", "bash"],
        &["--help"],
        &["run", &addition, "add(1, 2)"],
    ] {
        let mut child = person.command(args).stderr(Stdio::piped()).spawn()?;
        drop(child.stdout.take().context("no standard output")?);
        let ended = Ended::new(args, timeout(PATIENCE, child.wait_with_output()).await??);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    Ok(())
}
