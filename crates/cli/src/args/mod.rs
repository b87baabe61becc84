//! The command line: flags and their help. What they mean together is for the commands.

mod control;
mod proplet;
mod template;
mod up;
mod values;

use std::{ffi::OsStr, net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use propeller_api::Memory;
use propeller_types::FunctionRef;

pub use control::{Apply, Cordon, Delete, Describe, Drain, Get, Logs, RemoteArgs, Rerun, ServerArgs, Wait, Wanted};
pub use proplet::{AddProplet, OtherBroker, PropletCommand, PropletVerb, RemoveProplet};
pub use template::{Build, Language, New};
pub use up::{ComponentArgs, MqttArgs, PropletArgs, Up};
pub use values::{KeyValue, Timeout};

use crate::{exit, grants::GrantArgs};

/// Run WebAssembly components here, and as Tasks on proplets.
#[derive(Debug, Parser)]
#[command(name = "propeller", version, after_help = exit::help(), max_term_width = 120)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How results and errors are written: `json` is one document on one line; `wide`, `yaml` and `name` are for `get`
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Show no progress, and no warnings
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log what happens to standard error; twice or three times for more
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
}

/// How results and errors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; a call's result is WAVE
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs; resources as the API has them
    Json,
    /// A table with more columns
    Wide,
    /// Resources as YAML
    Yaml,
    /// Names of resources
    Name,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a component as a program or call a function of it, here and in the sandbox that a proplet has
    Run(Run),
    /// Serve HTTP with a component until Ctrl-C
    Serve(Serve),
    /// Show what a component imports and exports, and a Task to start from
    Inspect(Inspect),
    /// Publish a component in an OCI registry
    Push(Push),
    /// Get a component from an OCI registry
    Pull(Pull),
    /// Begin a component from a template
    New(New),
    /// Build the component of a directory with its language's tools
    Build(Build),
    /// Start a whole Propeller here: control plane, broker, registry, a proplet and a web page
    Up(Box<Up>),
    /// Make what files say of Tasks and Proplets so
    Apply(Apply),
    /// Show tasks or proplets
    Get(Get),
    /// Tell all that is known of a task or proplet
    Describe(Describe),
    /// Show what a task wrote
    Logs(Logs),
    /// Wait until something holds of a task or proplet
    Wait(Wait),
    /// Delete tasks or proplets
    Delete(Delete),
    /// Keep new tasks away from a proplet
    Cordon(Cordon),
    /// Let tasks come to a proplet again
    Uncordon(Cordon),
    /// Cordon a proplet, and wait until it has nothing to do
    Drain(Drain),
    /// Let devices in, and out
    Proplet(PropletCommand),
    /// Run a task once more, as a new Task
    Rerun(Rerun),
    /// Print a script that completes commands, flags and names in a shell
    #[command(after_help = "\
The script asks this program while you type, so it knows the names of tasks and proplets.

Examples:
  source <(propeller completions bash)
  propeller completions fish >~/.config/fish/completions/propeller.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `propeller run`.
#[derive(Debug, Args)]
#[command(after_help = "\
A component that is a program (it exports wasi:cli/run) runs as one unless a call is named: standard input, output and error are propeller's \
own, and so is its exit code. Of a call, the result goes to standard output, and what the component writes to standard error.

With `--output json`, a call's result is `{\"result\": …, \"figures\": {…}}` on standard output, a program's exit code \
`{\"exitCode\": …, \"figures\": {…}}` on the last line of standard error, and a failure `{\"error\": {…}, \"figures\": {…}}` there too. \
Figures are wallMillis, cpuMillis, peakMemoryBytes, bytesIn and bytesOut.

Examples:
  propeller run program.wasm --env LANG --dir ./data::/data:ro -- first second
  propeller run addition.wasm 'add(20, 22)'
  propeller run localhost:5000/examples/addition:1.0.0 --function add --args '[20, 22]'
  propeller run task.yaml --image addition.wasm

With `--on` or `--selector` it runs on a proplet: a Task is made, waited for, shown as a run here would be, and deleted. Ctrl-C cancels it. Then the component is a reference, which is read here too, for its types; and `--dir` names directories of the proplet.

  propeller run --on edge-1 registry.example/addition:1.0.0 'add(20, 22)'
  propeller run --selector site=lab,gpu task.yaml --timeout 5m")]
pub struct Run {
    /// Component to run: a file, a reference (registry/repository:tag), or a Task (.yaml) that names image and what to run
    #[arg(value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub source: String,
    /// Call as WAVE text: 'add(20, 22)'. May be left out if the component has one function only, without parameters
    #[arg(conflicts_with_all = ["function", "args", "program_args"])]
    pub call: Option<String>,
    /// Function to call: `add`, or `propeller:examples/math@1.0.0#add` where several interfaces have one
    #[arg(long, short, conflicts_with = "program_args")]
    pub function: Option<FunctionRef>,
    /// Arguments as JSON: a list by position or an object by name
    #[arg(long, short, value_name = "JSON", conflicts_with = "program_args")]
    pub args: Option<String>,
    /// Arguments of a program
    #[arg(last = true, value_name = "ARGUMENT")]
    pub program_args: Vec<String>,
    /// Component to run in place of the one that the Task names
    #[arg(long, value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub image: Option<String>,
    /// Bound over all memory of the component, such as 64Mi [default: the Task's, else 256Mi]
    #[arg(long)]
    pub memory: Option<Memory>,
    /// How long it may take, such as 30s or 5m [default: the Task's, else for ever]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Timeout>,
    /// What it may reach.
    #[command(flatten)]
    pub grants: GrantArgs,
    /// Where it runs.
    #[command(flatten)]
    pub remote: Box<RemoteArgs>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `propeller serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
The URL is the first line of standard error. Each request gets an instance of its own; one that traps is answered with 500, and the next \
one is served. Ctrl-C and SIGTERM let requests finish that are under way; a second one doesn't.

Example:
  propeller serve service.wasm --addr 127.0.0.1:8080 --allow-http api.example.com")]
pub struct Serve {
    /// Component to serve with: a file, a reference (registry/repository:tag), or a Task (.yaml) with a service
    #[arg(value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub source: String,
    /// Address to listen on; port 0 is one that is free [default: 127.0.0.1, and the Task's port or 8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub addr: Option<SocketAddr>,
    /// Component to serve with in place of the one that the Task names
    #[arg(long, value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub image: Option<String>,
    /// Bound over all memory of the service, its requests together, such as 64Mi [default: the Task's, else 256Mi]
    #[arg(long)]
    pub memory: Option<Memory>,
    /// How long one request may take, its response's body included
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub request_timeout: Timeout,
    /// How many requests are served at the same time; others wait
    #[arg(long, value_name = "NUMBER", default_value = "64")]
    pub max_requests: NonZeroU32,
    /// What it may reach.
    #[command(flatten)]
    pub grants: GrantArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `propeller inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Component to look at: a file, or a reference (registry/repository:tag)
    #[arg(value_name = "COMPONENT", value_hint = ValueHint::FilePath)]
    pub source: String,
    /// Print nothing but the Task to start from
    #[arg(long)]
    pub task: bool,
    /// Function that the Task calls [default: the first one that can be called]
    #[arg(long, short)]
    pub function: Option<FunctionRef>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `propeller push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Component to publish
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Where to: registry/repository:tag
    pub reference: String,
    /// Annotation of the artifact; may be given several times
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    pub annotations: Vec<KeyValue>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `propeller pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// What to get: registry/repository:tag, or registry/repository@sha256:… to be sure what comes
    pub reference: String,
    /// File to write, `-` for standard output [default: the repository's last part and .wasm]
    #[arg(long = "to", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// How registries are reached. Credentials come from the configuration, else from Docker's.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Registry options")]
pub struct RegistryArgs {
    /// Configuration file with mirrors, CAs and credentials [default: ~/.config/propeller/config.toml if there is one]
    #[arg(long, value_name = "FILE", env = "PROPELLER_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Where artifacts are kept [default: ~/.cache/propeller]
    #[arg(long, value_name = "DIR", env = "PROPELLER_CACHE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// Speak HTTP without TLS to the registry; on loopback that is the default
    #[arg(long)]
    pub plain_http: bool,
}

/// Whether JSON was asked for on a command line that can't be read: its error is JSON nevertheless.
pub fn asks_for_json(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    let args: Vec<_> = args.into_iter().collect();
    let is = |arg: &_, text: &str| AsRef::<OsStr>::as_ref(arg) == text;
    let apart = args
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if (is(a, "--output") || is(a, "-o")) && is(b, "json")));
    let joined = ["--output=json", "-ojson", "-o=json"];
    apart || args.iter().any(|arg| joined.iter().any(|text| is(arg, text)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        assert!(
            help.contains("  0  done") && help.contains("130  interrupted") && help.contains("of a program: 137"),
            "{help}"
        );
    }

    #[test]
    fn command_lines_are_read_or_refused() {
        let check = |line: &str, refused: Option<&str>| {
            let parsed = Cli::try_parse_from(std::iter::once("propeller").chain(line.split_whitespace()));
            match (parsed, refused) {
                (Ok(_), None) => {}
                (Err(error), Some(words)) if error.to_string().contains(words) => {}
                (parsed, _) => panic!("{line}: {parsed:?}, expected {refused:?}"),
            }
        };
        check("run a.wasm f()", None);
        check("run a.wasm --function f --args [1]", None);
        check("run a.wasm -f a:b/c@1.0.0#f -a {}", None);
        check("run task.yaml --image a.wasm --memory 64Mi --timeout 30s", None);
        check(
            "run a.wasm --env A=b -e C --dir .::/d:ro --allow-http a.b --allow-net a.b:1 -- a --b",
            None,
        );
        check("serve a.wasm --addr 127.0.0.1:0 --env A=b --max-requests 3", None);
        check("--output json run a.wasm", None);
        check("run a.wasm --output json -vv", None);
        check("inspect a.wasm --task --function f", None);
        check("push a.wasm localhost:5000/a:1 --annotation a=b --annotation c=", None);
        check("pull localhost:5000/a:1 --to - --force --plain-http -o json", None);
        check("run --on edge-1 localhost:5000/a:1 f() --keep -n lab --kube", None);
        check("run -l site=lab localhost:5000/a:1 f()", None);
        check("completions zsh", None);
        check("new my-component --lang python", None);
        check("build", None);
        check("build somewhere", None);
        check("apply -f a.yaml -f b/ -f - --dry-run -n lab --kube --context c", None);
        check("get tasks -o wide -l a=b --field-selector c=d -A -w --no-headers", None);
        check("get t a b -o yaml --server http://a:1 --token-file t", None);
        check("describe task/a proplet/b", None);
        check("wait task a --for=condition=Finished --timeout 5m", None);
        check("delete tasks --all", None);
        check("delete -f a.yaml --ignore-not-found", None);
        check("cordon a b", None);
        check("uncordon a", None);
        check("drain a --evict --timeout 1h", None);
        check("rerun a --name b", None);
        check("proplet add edge-1 -l a=b --to f --replace -n lab", None);
        check(
            "proplet add edge-1 --kube --broker mqtts://a --ca c --mosquitto d",
            None,
        );
        check("proplet remove edge-1 --mosquitto d", None);
        check("logs a -f --tail 3 --timestamps -n lab", None);
        check(
            "up --no-proplet --listen 127.0.0.1:0 --mqtt mqtt://a --registry b:5000 --state-dir c --repair",
            None,
        );
        check(
            "up --mqtt-listen 0.0.0.0:1883 --registry-listen 0.0.0.0:5000 --proplet-config a.toml",
            None,
        );

        check("", Some("Usage:"));
        check("walk a.wasm", Some("unrecognized subcommand"));
        check("run", Some("<COMPONENT>"));
        check("run a.wasm f() --function f", Some("cannot be used with"));
        check("run a.wasm f() --args []", Some("cannot be used with"));
        check("run a.wasm f() -- a", Some("cannot be used with"));
        check("run a.wasm --function f -- a", Some("cannot be used with"));
        check("run a.wasm --allow-http http://a", Some("no HTTP host"));
        check("serve a.wasm --addr here", Some("invalid socket address"));
        check("serve a.wasm f()", Some("unexpected argument"));
        check("run a.wasm --function f(", Some("not a function's name"));
        check("run a.wasm --memory lots", Some("64Mi"));
        check("run a.wasm --timeout 30", Some("30s"));
        check("run a.wasm --timeout 0s", Some("30s"));
        check("run a.wasm --timeout=-1s", Some("30s"));
        check("run a.wasm --output xml", Some("text, json"));
        check("run --on edge-1 --selector a=b a:1", Some("cannot be used with"));
        check("run --selector (a) a:1", Some("site=lab"));
        check("new", Some("<NAME>"));
        check("new My_Component", Some("such as my-component"));
        check("new a-1", Some("such as my-component"));
        check("new a --lang cobol", Some("rust, javascript, python"));
        check("apply", Some("--filename <FILE>"));
        check("get", Some("<KIND"));
        check("get tasks --kube --server http://a", Some("cannot be used with"));
        check("get tasks --context c", Some("--kube"));
        check("wait task/a", Some("--for <WHAT>"));
        check("wait task/a --for=done", Some("condition=Finished"));
        check("delete", Some("<KIND"));
        check("delete task a -f a.yaml", Some("cannot be used with"));
        check("delete tasks --all -l a=b", Some("cannot be used with"));
        check("run a.wasm -v --quiet", Some("cannot be used with"));
        check(
            "up --mqtt mqtt://a --mqtt-listen 127.0.0.1:0",
            Some("cannot be used with"),
        );
        check("proplet add Edge", Some("not a proplet id"));
        check("proplet add edge-1 --kube", Some("--broker <URL>"));
        check("proplet add edge-1 --mosquitto d", Some("--broker <URL>"));
        check("up --host a", Some("--mqtts-listen"));
        check("up --mqtt-username a", Some("--mqtt <URL>"));
        check("up --no-proplet --proplet-config a", Some("cannot be used with"));
        check("push a.wasm", Some("<REFERENCE>"));
        check("push a.wasm localhost:5000/a:1 --annotation a", Some("KEY=VALUE"));
    }

    #[test]
    fn json_is_recognised_on_a_broken_command_line() {
        let check = |line: &str, expected| assert_eq!(asks_for_json(line.split(' ')), expected, "{line}");
        check("run --output json --nonsense", true);
        check("--output=json run", true);
        check("run --output text json", false);
        check("run", false);
    }
}
