//! Everything that ends a command, with the reason that programs read and the exit code that scripts branch on.

use std::{io, net::SocketAddr, path::PathBuf};

use propeller_api::Invalid;
use propeller_artifact::{Error as ArtifactError, InvalidReference, InvalidSetting};
use propeller_host::engine::{EngineError, Figures, InvokeError, PrepareError, Refused};
use propeller_types::{ArgsError, FindError, InvalidFunctionRef, ReadError};
use serde_json::Value;

use crate::{
    build::BuildError,
    control::{ControlError, ManifestError, TaskFailure},
    exit::{Exit, Ran},
    up::UpError,
};

/// What is known of a run by the time it ends. Ctrl-C may be that time.
#[derive(Debug)]
pub struct Known {
    /// What was to be run.
    pub ran: Ran,
    /// What it used, if it began.
    pub figures: Option<Figures>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            ran: Ran::NoProgram,
            figures: None,
        }
    }
}

/// Why a command didn't do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Clap refused the command line; these are its words.
    #[error("{0}")]
    CommandLine(String),
    /// Neither a file nor a reference.
    #[error("there is no file `{text}`, and it is not a reference either")]
    UnknownSource { text: String, source: InvalidReference },
    /// Only a Task names a component that can be replaced.
    #[error(
        "`--image` replaces the component that a Task names, and `{0}` is not a Task: name the component there instead"
    )]
    ImageWithoutTask(String),
    /// A file that was named can't be read.
    #[error("can't read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    /// A file can't be written.
    #[error("can't write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    /// A file would be lost.
    #[error("{} exists: name another file with `--to`, or replace it with `--force`", .0.display())]
    FileExists(PathBuf),
    /// Neither a flag nor the environment says where files belong.
    #[error("nobody says where to keep artifacts: set HOME, XDG_CACHE_HOME or `--cache`")]
    NoCacheDirectory,
    /// The configuration isn't TOML, or has what it can't have.
    #[error("can't understand the configuration {}", path.display())]
    ParseConfig {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    /// A table of a registry doesn't make sense.
    #[error("can't use the configuration {}", path.display())]
    InvalidConfig { path: PathBuf, source: InvalidSetting },
    /// The file isn't a Task.
    #[error("can't read a Task from {}", path.display())]
    ParseTask {
        path: PathBuf,
        source: Box<serde_saphyr::Error>,
    },
    /// The Task breaks a rule of its schema.
    #[error("the Task in {} is invalid", path.display())]
    InvalidTask { path: PathBuf, source: Invalid },
    /// The bytes aren't a component.
    #[error("`{name}` is not a component")]
    NotAComponent { name: String, source: ReadError },
    /// `--args` isn't JSON.
    #[error(
        "can't read `--args` as JSON: write a list by position, '[20, 22]', or an object by name, '{{\"a\": 20, \"b\": 22}}'"
    )]
    ParseArgs(#[source] serde_json::Error),
    /// No function was named, and there isn't exactly one.
    #[error("say which function to call:{0}")]
    FunctionRequired(String),
    /// A variable to inherit that isn't there.
    #[error("there is no environment variable `{0}` to pass on: set it, or write `--env {0}=VALUE`")]
    NoVariable(String),
    /// What the flags or the Task grant can't be had.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A grant is text.
    #[error("the path {} isn't Unicode, and can't be granted", .0.display())]
    NotUnicode(PathBuf),
    /// A proplet has other working directories.
    #[error("`--dir {}`: on a proplet, name a directory in full, such as /srv/data::/data", .0.display())]
    RelativeDirectory(PathBuf),
    /// A proplet has no files of ours.
    #[error(
        "{} is a file here, and a proplet gets components from registries: `propeller push {} REFERENCE`, and run the reference", .0.display(), .0.display()
    )]
    NotInARegistry(PathBuf),
    /// A Task that ran on a proplet has failed.
    #[error(transparent)]
    Task(#[from] TaskFailure),
    /// It was to be run, and it can only serve.
    #[error("the component serves HTTP: `propeller serve` does it here, and a Task with `service` on a proplet")]
    OnlyServes,
    /// A Task asks for something else than the command line.
    #[error("the Task {task}, and the command line asks for {asked}")]
    OtherWork {
        /// What the Task does, as in `calls add`.
        task: String,
        /// As in `a program's arguments`.
        asked: &'static str,
    },
    /// The address is taken, or not ours.
    #[error("can't listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    /// There is nothing that a Task could call.
    #[error("the component exports no function that a Task can call")]
    NothingToCall,
    /// The name of a Task's function.
    #[error(transparent)]
    FunctionName(#[from] InvalidFunctionRef),
    /// The function isn't there, or the name means several.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The arguments don't fit the function.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// A registry or the cache.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// No engine on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// This host can't run the component.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The call returned no value.
    #[error(transparent)]
    Invoke(#[from] InvokeError),
    /// The result can't be told.
    #[error("can't write to standard output")]
    Print(#[source] io::Error),
    /// The operating system gives no event loop.
    #[error("can't start")]
    Start(#[source] io::Error),
    /// A control plane didn't do what it was asked for.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A file with resources can't be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Nothing that is there is overwritten.
    #[error("{} exists: choose another name, or remove it", .0.display())]
    DirectoryExists(PathBuf),
    /// There is no component.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// `propeller up` doesn't start, or doesn't go on.
    #[error(transparent)]
    Up(#[from] UpError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// A stable label in CamelCase, the same that a Task's condition would have.
    pub fn reason(&self) -> &str {
        match self {
            Self::CommandLine(_)
            | Self::ImageWithoutTask(_)
            | Self::NoVariable(_)
            | Self::NotUnicode(_)
            | Self::RelativeDirectory(_)
            | Self::NotInARegistry(_)
            | Self::OtherWork { .. } => "Usage",
            Self::Task(failure) => failure.reason(),
            Self::UnknownSource { .. } => "UnknownSource",
            Self::ReadFile { .. } => "ReadFailed",
            Self::WriteFile { .. } | Self::Print(_) => "WriteFailed",
            Self::FileExists(_) | Self::DirectoryExists(_) => "FileExists",
            Self::Build(error) => error.reason(),
            Self::NoCacheDirectory | Self::ParseConfig { .. } | Self::InvalidConfig { .. } => "InvalidSettings",
            Self::ParseTask { .. } | Self::InvalidTask { .. } => "InvalidTask",
            Self::NotAComponent { source, .. } => source.reason(),
            Self::ParseArgs(_) | Self::FunctionName(_) => "InvalidCall",
            Self::FunctionRequired(_) => "FunctionRequired",
            Self::NothingToCall => "NothingToCall",
            Self::OnlyServes => "OnlyServes",
            Self::Refused(error) => error.reason(),
            Self::Listen { .. } => "ListenFailed",
            Self::Find(error) => error.reason(),
            Self::Args(error) => error.reason(),
            Self::Artifact(error) => error.reason(),
            Self::Engine(_) | Self::Start(_) => "HostFailure",
            Self::Prepare(error) => error.reason(),
            Self::Invoke(error) => error.reason(),
            Self::Control(error) => error.reason(),
            Self::Manifest(error) => error.reason(),
            Self::Up(error) => error.reason(),
            Self::Interrupted => "Interrupted",
        }
    }

    /// The exit code that says whose failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::CommandLine(_)
            | Self::UnknownSource { .. }
            | Self::ImageWithoutTask(_)
            | Self::NoVariable(_)
            | Self::NotUnicode(_)
            | Self::OtherWork { .. }
            | Self::RelativeDirectory(_)
            | Self::NotInARegistry(_)
            | Self::Refused(_)
            | Self::FileExists(_)
            | Self::DirectoryExists(_)
            | Self::Build(BuildError::UnknownLanguage(_))
            | Self::NoCacheDirectory
            | Self::ParseConfig { .. }
            | Self::InvalidConfig { .. }
            | Self::ParseTask { .. }
            | Self::InvalidTask { .. } => Exit::Usage,
            Self::ReadFile { .. }
            | Self::WriteFile { .. }
            | Self::Print(_)
            | Self::Build(_)
            | Self::Engine(_)
            | Self::Start(_)
            | Self::Listen { .. } => Exit::Failed,
            Self::NotAComponent { .. } => Exit::Component,
            Self::ParseArgs(_)
            | Self::FunctionRequired(_)
            | Self::NothingToCall
            | Self::OnlyServes
            | Self::FunctionName(_)
            | Self::Find(_)
            | Self::Args(_) => Exit::Call,
            Self::Artifact(error) => artifact_exit(error),
            Self::Prepare(PrepareError::Host { .. }) => Exit::Failed,
            Self::Prepare(_) => Exit::Component,
            Self::Invoke(error) => invoke_exit(error),
            Self::Task(failure) => failure.exit(),
            Self::Control(error) => error.exit(),
            Self::Manifest(error) => error.exit(),
            Self::Up(error) => error.exit(),
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The value of an `err` result.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Invoke(InvokeError::ErrResult { value }) => value.as_ref(),
            _ => None,
        }
    }

    /// Where the component was when it trapped.
    pub fn backtrace(&self) -> &[String] {
        match self {
            Self::Invoke(InvokeError::Trap { backtrace, .. }) => backtrace,
            _ => &[],
        }
    }

    /// The flag that stands for the Task's field that the message names.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Invoke(InvokeError::OutOfMemory { .. }) => {
                Some("on the command line, `--memory` sets resources.memory")
            }
            Self::Invoke(InvokeError::DeadlineExceeded { .. }) => {
                Some("`--timeout` gives it more time, and activeDeadlineSeconds in a Task")
            }
            _ => None,
        }
    }
}

fn artifact_exit(error: &ArtifactError) -> Exit {
    match error {
        ArtifactError::InvalidReference(_) | ArtifactError::InvalidSettings { .. } => Exit::Usage,
        ArtifactError::UnsupportedArtifact { .. } | ArtifactError::NotWasm { .. } => Exit::Component,
        ArtifactError::CacheFailed { .. } => Exit::Failed,
        ArtifactError::RegistryUnreachable { .. }
        | ArtifactError::Unauthorized { .. }
        | ArtifactError::CredentialsFailed { .. }
        | ArtifactError::NotFound { .. }
        | ArtifactError::RateLimited { .. }
        | ArtifactError::RegistryFailed { .. }
        | ArtifactError::TooLarge { .. }
        | ArtifactError::DigestMismatch { .. } => Exit::Registry,
    }
}

fn invoke_exit(error: &InvokeError) -> Exit {
    match error {
        InvokeError::Find(_) | InvokeError::Args(_) => Exit::Call,
        InvokeError::ErrResult { .. } => Exit::ErrResult,
        InvokeError::NotACommand | InvokeError::NotAService => Exit::Call,
        InvokeError::Trap { .. } | InvokeError::Exited { .. } | InvokeError::ResultTooLarge { .. } => Exit::Trapped,
        InvokeError::OutOfMemory { .. } | InvokeError::Crowded { .. } => Exit::OutOfMemory,
        InvokeError::DeadlineExceeded { .. } => Exit::Deadline,
        InvokeError::Cancelled => Exit::Interrupted,
        InvokeError::Busy { .. } | InvokeError::Host { .. } => Exit::Failed,
    }
}
