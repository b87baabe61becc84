//! `propeller build`: a component from the directory of its sources, by its language's own tools.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    args::{Build, Language},
    component::path_text,
    failure::Failure,
    settings::read_file,
};

const RUST_TARGET: &str = "wasm32-wasip2";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing says which language it is.
    #[error("{} has no Cargo.toml, package.json or requirements.txt: name a component's directory, or begin one with `propeller new`", .0.display())]
    UnknownLanguage(PathBuf),
    /// What has to be there isn't.
    #[error("{tool} is missing: {install}")]
    NoTool { tool: String, install: String },
    /// It can't be started.
    #[error("can't run {program}")]
    Start { program: String, source: io::Error },
    /// It says why itself.
    #[error("{program} failed: {status}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
    },
    /// A crate that makes a program or several components, or none.
    #[error(
        "cargo built {found} components: name the directory of one crate that has `crate-type = [\"cdylib\"]`, or a program"
    )]
    NotOne { found: usize },
}

impl BuildError {
    /// A stable label in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownLanguage(_) => "UnknownLanguage",
            Self::NoTool { .. } => "ToolMissing",
            Self::Start { .. } | Self::Failed { .. } | Self::NotOne { .. } => "BuildFailed",
        }
    }
}

/// Where the component is.
#[derive(Debug, Serialize)]
pub struct Built {
    #[serde(serialize_with = "path_text")]
    file: PathBuf,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)
    }
}

/// Builds it. What the tools say goes to standard error.
pub fn build(args: &Build) -> Result<Built, Failure> {
    let directory = args.directory.as_path();
    let file = match language(directory)? {
        Language::Rust => rust(directory)?,
        Language::Javascript => javascript(directory)?,
        Language::Python => python(directory)?,
    };
    Ok(Built { file })
}

fn language(directory: &Path) -> Result<Language, BuildError> {
    let marks = [
        ("Cargo.toml", Language::Rust),
        ("package.json", Language::Javascript),
        ("requirements.txt", Language::Python),
    ];
    let found = marks.into_iter().find(|(mark, _)| directory.join(mark).is_file());
    found
        .map(|(_, language)| language)
        .ok_or_else(|| BuildError::UnknownLanguage(directory.to_owned()))
}

fn rust(directory: &Path) -> Result<PathBuf, BuildError> {
    let install = "install Rust from https://rustup.rs";
    let library = ["--print", "target-libdir", "--target", RUST_TARGET];
    let rustc = output(
        Command::new("rustc")
            .args(library)
            .current_dir(directory)
            .stderr(Stdio::null()),
        "rustc",
        install,
    )?;
    if !Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        let (tool, install) = (
            format!("Rust's target {RUST_TARGET}"),
            format!("rustup target add {RUST_TARGET}"),
        );
        return Err(BuildError::NoTool { tool, install });
    }
    let line = [
        "build",
        "--release",
        "--target",
        RUST_TARGET,
        "--message-format",
        "json-render-diagnostics",
    ];
    let built = output(
        Command::new("cargo").args(line).current_dir(directory),
        "cargo",
        install,
    )?;
    succeeded("cargo build", built.status)?;
    let mut components = components(&built.stdout);
    match components.pop() {
        Some(only) if components.is_empty() => Ok(only),
        last => Err(BuildError::NotOne {
            found: components.len() + usize::from(last.is_some()),
        }),
    }
}

/// The components among what cargo says it made.
fn components(messages: &[u8]) -> Vec<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let files = messages.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect()
}

fn javascript(directory: &Path) -> Result<PathBuf, Failure> {
    let tool = directory.join("node_modules/.bin/componentize-qjs");
    present(&tool, directory, "npm install")?;
    let package: Value = serde_json::from_slice(&read_file(&directory.join("package.json"))?).unwrap_or_default();
    let main = package["main"].as_str().unwrap_or("component.js");
    let file = target(directory, package["name"].as_str())?;
    let mut command = command(&tool, directory)?;
    command
        .args(["--wit", "wit", "--js", main, "--opt-size", "--output"])
        .arg(&file);
    run(command, "componentize-qjs")?;
    Ok(directory.join(file))
}

fn python(directory: &Path) -> Result<PathBuf, Failure> {
    let tool = directory.join(".venv/bin/componentize-py");
    let install = "python3 -m venv .venv && .venv/bin/pip install --requirement requirements.txt";
    present(&tool, directory, install)?;
    let file = target(directory, None)?;
    let mut command = command(&tool, directory)?;
    let line = [
        "--wit-path",
        "wit",
        "componentize",
        "--stub-wasi",
        "component",
        "--output",
    ];
    command.args(line).arg(&file);
    run(command, "componentize-py")?;
    Ok(directory.join(file))
}

fn present(tool: &Path, directory: &Path, install: &str) -> Result<(), BuildError> {
    if tool.is_file() {
        return Ok(());
    }
    let there = match directory.to_str() {
        Some(".") => String::new(),
        _ => format!("cd {} && ", directory.display()),
    };
    Err(BuildError::NoTool {
        tool: tool.display().to_string(),
        install: format!("{there}{install}"),
    })
}

/// Below the directory, by the component's name, which is the directory's if nothing else says it.
fn target(directory: &Path, name: Option<&str>) -> Result<PathBuf, Failure> {
    let failed = |source| Failure::WriteFile {
        path: directory.join("target"),
        source,
    };
    let own = directory.canonicalize().map_err(failed)?;
    let own = own.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name
        .map(str::to_owned)
        .or(own)
        .unwrap_or_else(|| "component".to_owned());
    std::fs::create_dir_all(directory.join("target")).map_err(failed)?;
    Ok(Path::new("target").join(format!("{}.wasm", name.replace('/', "-"))))
}

/// A tool that is started in the directory needs a path that is right there.
fn command(tool: &Path, directory: &Path) -> Result<Command, Failure> {
    let tool = std::path::absolute(tool).map_err(|source| Failure::ReadFile {
        path: tool.to_owned(),
        source,
    })?;
    let mut command = Command::new(tool);
    command.current_dir(directory);
    Ok(command)
}

/// Standard output is for the component's place, so the tool's goes beside it.
fn run(mut command: Command, program: &str) -> Result<(), BuildError> {
    let done = output(command.stdin(Stdio::null()), program, "install it again")?;
    // Where standard error is gone, there is nobody to tell.
    let _ = io::stderr().write_all(&done.stdout);
    succeeded(program, done.status)
}

fn output(command: &mut Command, program: &str, install: &str) -> Result<Output, BuildError> {
    let done = command
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output);
    done.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BuildError::NoTool {
            tool: program.to_owned(),
            install: install.to_owned(),
        },
        _ => BuildError::Start {
            program: program.to_owned(),
            source,
        },
    })
}

fn succeeded(program: &str, status: std::process::ExitStatus) -> Result<(), BuildError> {
    if status.success() {
        return Ok(());
    }
    let program = program.to_owned();
    Err(BuildError::Failed { program, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_seen_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let unknown = language(folder.path()).unwrap_err();
        assert!(unknown.to_string().contains("`propeller new`"), "{unknown}");
        for (file, expected) in [
            ("requirements.txt", Language::Python),
            ("package.json", Language::Javascript),
            ("Cargo.toml", Language::Rust),
        ] {
            std::fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(language(folder.path()).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn a_missing_tool_gives_the_command_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        for (file, install) in [
            ("requirements.txt", "python3 -m venv .venv"),
            ("package.json", "npm install"),
        ] {
            std::fs::write(folder.path().join(file), "{}").unwrap();
            let args = Build {
                directory: folder.path().to_owned(),
            };
            let missing = build(&args).unwrap_err();
            assert_eq!(missing.reason(), "ToolMissing");
            assert!(
                missing.to_string().contains(&format!("cd {path} && {install}")),
                "{missing}"
            );
        }
    }

    #[test]
    fn components_are_found_among_the_messages() {
        let messages = br#"{"reason": "compiler-artifact", "filenames": ["/t/libdep.rlib"]}
{"reason": "compiler-artifact", "filenames": ["/t/a.wasm"]}
{"reason": "build-finished"}
"#;
        assert_eq!(components(messages), [PathBuf::from("/t/a.wasm")]);
    }
}
