//! The verbs that speak to a control plane: their flags and help.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use propeller_api::{LabelSelector, Phase, is_dns_label};

use crate::{args::Timeout, control::names};

/// Which control plane, and which namespace in it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Control plane options")]
pub struct ServerArgs {
    /// Namespace [default: `default`, or that of the kubeconfig's context]
    #[arg(long, short, value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,
    /// URL of a control plane [default: PROPELLER_SERVER, else what `propeller up` started here]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File with the control plane's token [default: the token is in PROPELLER_TOKEN]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Speak to the Kubernetes cluster of KUBECONFIG (~/.kube/config) instead
    #[arg(long, conflicts_with_all = ["server", "token_file"])]
    pub kube: bool,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", requires = "kube")]
    pub context: Option<String>,
}

fn namespace(text: &str) -> Result<String, &'static str> {
    match is_dns_label(text) {
        true => Ok(text.to_owned()),
        false => Err("a namespace has 1 to 63 of a-z, 0-9 and -"),
    }
}

/// `propeller apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is read and checked before anything is sent. Then each resource is created, changed to be what the file says, or left as it is. A field \
that was in the file when it was last applied, and no longer is, is removed; fields that never were in it are left alone. What was applied is \
noted where `kubectl apply` notes it, so the two can take turns.

Examples:
  propeller apply -f task.yaml
  propeller apply -f fleet/ -f - --dry-run <tasks.yaml")]
pub struct Apply {
    /// File with Tasks and Proplets, as YAML or JSON; a directory's files (.yaml, .yml, .json); `-` for standard input
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true, value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where to.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propeller get tasks
  propeller get proplets -o wide
  propeller get task addition -o yaml
  propeller get t -l site=lab -A --watch")]
pub struct Get {
    /// What to get: `tasks` (t) or `proplets` (p) and perhaps names, or KIND/NAME
    #[arg(value_name = "KIND [NAME]", required = true, add = ArgValueCompleter::new(names::targets))]
    pub what: Vec<String>,
    /// Then go on, and show each change
    #[arg(long, short)]
    pub watch: bool,
    /// Show no headings
    #[arg(long)]
    pub no_headers: bool,
    /// Which of all.
    #[command(flatten)]
    pub select: Select,
    /// From all namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Where from.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which resources of a kind.
#[derive(Debug, Clone, Default, Args)]
pub struct Select {
    /// Only those with these labels: site=lab, site!=lab, 'site in (lab,roof)', gpu
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only those with these fields: metadata.name=addition
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
}

/// `propeller describe`.
#[derive(Debug, Args)]
pub struct Describe {
    /// What to describe: `task NAME…`, `proplet NAME…`, or KIND/NAME
    #[arg(value_name = "KIND NAME", required = true, add = ArgValueCompleter::new(names::targets))]
    pub what: Vec<String>,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
The condition Finished holds for every end of a task. What a task that has ended can't become any more is told at once, with exit code 8; what \
isn't so in time, with exit code 7.

Examples:
  propeller wait task/addition --for=condition=Finished
  propeller wait task/addition --for=phase=Completed --timeout 5m
  propeller wait task/web --for=condition=Ready
  propeller wait proplet/edge-1 --for=delete")]
pub struct Wait {
    /// What to wait for: `task NAME…`, `proplet NAME…`, or KIND/NAME
    #[arg(value_name = "KIND/NAME", required = true, add = ArgValueCompleter::new(names::targets))]
    pub what: Vec<String>,
    /// What is to hold: condition=TYPE, condition=TYPE=STATUS, phase=PHASE, or delete
    #[arg(long = "for", value_name = "WHAT")]
    pub wanted: Wanted,
    /// How long to wait, such as 30s or 5m
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: Timeout,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller delete`.
#[derive(Debug, Args)]
#[command(after_help = "\
A task that runs is stopped.

Examples:
  propeller delete task addition
  propeller delete -f task.yaml
  propeller delete tasks -l site=lab
  propeller delete tasks --all")]
pub struct Delete {
    /// What to delete: `task NAME…`, `proplet NAME…`, KIND/NAME, or a kind with `-l` or `--all`
    #[arg(value_name = "KIND [NAME]", required_unless_present = "files", add = ArgValueCompleter::new(names::targets))]
    pub what: Vec<String>,
    /// File, directory or `-` that names what to delete, as for `apply`
    #[arg(long = "filename", short = 'f', value_name = "FILE", conflicts_with_all = ["what", "selector", "all"], value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Those with these labels: site=lab
    #[arg(long, short = 'l', value_name = "SELECTOR", conflicts_with = "all")]
    pub selector: Option<String>,
    /// All of the kind, in the namespace
    #[arg(long)]
    pub all: bool,
    /// What isn't there is no failure
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller cordon` and `propeller uncordon`.
#[derive(Debug, Args)]
pub struct Cordon {
    /// Names of Proplets
    #[arg(value_name = "PROPLET", required = true, add = ArgValueCompleter::new(names::proplets))]
    pub proplets: Vec<String>,
    /// Where they are.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller drain`.
#[derive(Debug, Args)]
#[command(after_help = "\
The proplet is cordoned, and stays so: `propeller uncordon` lets tasks come again. Calls and programs there end by themselves and are waited for. \
Services don't: with `--evict` each is stopped there and placed on another proplet; without, drain says which there are and ends with exit code 7.")]
pub struct Drain {
    /// Name of the Proplet
    #[arg(value_name = "PROPLET", add = ArgValueCompleter::new(names::proplets))]
    pub proplet: String,
    /// Move services elsewhere: each is suspended, and resumed when it has stopped
    #[arg(long)]
    pub evict: bool,
    /// How long to wait, such as 30s or 1h [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Timeout>,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller rerun`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tasks are like Jobs: what has ended stays as it is. This makes another Task of the same spec and labels; `suspend` and `cancel` aren't copied.")]
pub struct Rerun {
    /// Name of the Task
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(names::tasks))]
    pub task: String,
    /// Name of the new one [default: the old one's with five characters behind it]
    #[arg(long)]
    pub name: Option<String>,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `propeller logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
What a task wrote to its standard output goes to standard output, and what it wrote to standard error to standard error. The control plane keeps the \
newest lines of each task until the Task is deleted. With `--output json` each line is an object with time, attempt, stream and line.

Examples:
  propeller logs addition
  propeller logs task/web -f --tail 20 --timestamps")]
pub struct Logs {
    /// Name of the Task, or task/NAME
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(names::tasks))]
    pub task: String,
    /// Go on with each line as it comes, until the task has ended
    #[arg(long, short)]
    pub follow: bool,
    /// No more than so many of the lines that are there
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Show when each line came
    #[arg(long)]
    pub timestamps: bool,
    /// Where it is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Where `propeller run` runs, if not here.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "On a proplet")]
pub struct RemoteArgs {
    /// Run on this Proplet, as a Task that is deleted afterwards
    #[arg(long, value_name = "PROPLET", conflicts_with = "selector", add = ArgValueCompleter::new(names::proplets))]
    pub on: Option<String>,
    /// Run on a Proplet with these labels: site=lab,gpu
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<LabelSelector>,
    /// Leave the Task there
    #[arg(long)]
    pub keep: bool,
    /// Which control plane.
    #[command(flatten)]
    pub server: ServerArgs,
}

impl RemoteArgs {
    /// Whether it isn't to run here.
    pub fn is_asked(&self) -> bool {
        self.on.is_some() || self.selector.is_some()
    }

    /// A flag that means nothing for a run here.
    pub fn stray(&self) -> Option<&'static str> {
        let ServerArgs {
            namespace,
            server,
            token_file,
            kube,
            context: _,
        } = &self.server;
        let flags = [
            (self.keep, "--keep"),
            (namespace.is_some(), "--namespace"),
            (server.is_some(), "--server"),
            (token_file.is_some(), "--token-file"),
            (*kube, "--kube"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

/// What `wait` waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A condition with a status.
    Condition {
        /// Its type, such as `Finished`.
        type_: String,
        /// `True`, unless another is said.
        status: String,
    },
    /// A task's phase.
    Phase(String),
    /// That it's gone.
    Delete,
}

impl FromStr for Wanted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.split('=').collect();
        match parts.as_slice() {
            ["delete"] => Ok(Self::Delete),
            ["phase", phase] => {
                let mut phases = Phase::ALL.into_iter().map(|phase| format!("{phase:?}"));
                let phase = phases.find(|known| known.eq_ignore_ascii_case(phase));
                phase
                    .map(Self::Phase)
                    .ok_or("a task is Pending, Dispatched, Running, Completed, Failed or Cancelled")
            }
            ["condition", type_] if !type_.is_empty() => Ok(Self::Condition {
                type_: (*type_).to_owned(),
                status: "True".to_owned(),
            }),
            ["condition", type_, status] if !type_.is_empty() && !status.is_empty() => Ok(Self::Condition {
                type_: (*type_).to_owned(),
                status: (*status).to_owned(),
            }),
            _ => Err("write condition=Finished, condition=Ready=False, phase=Completed or delete"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition { type_, status } if status == "True" => write!(f, "condition {type_}"),
            Self::Condition { type_, status } => write!(f, "condition {type_}={status}"),
            Self::Phase(phase) => write!(f, "phase {phase}"),
            Self::Delete => f.write_str("deletion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_wait_for_is_read_or_refused() {
        let check = |text: &str, expected: Option<&str>| {
            let wanted = text.parse::<Wanted>().map(|wanted| wanted.to_string());
            assert_eq!(wanted.as_deref().ok(), expected, "{text}");
        };
        check("condition=Finished", Some("condition Finished"));
        check("condition=Ready=False", Some("condition Ready=False"));
        check("phase=Completed", Some("phase Completed"));
        check("delete", Some("deletion"));
        for text in [
            "",
            "condition",
            "condition=",
            "condition=Ready=",
            "jsonpath={.a}=b",
            "deleted",
        ] {
            check(text, None);
        }
    }
}
