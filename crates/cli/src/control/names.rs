//! Completions that know the names: what a shell offers behind `propeller get task `.
//!
//! A shell asks by running this program with the line so far. It is a person who waits, between two keys: whatever doesn't answer at once offers
//! nothing, and nothing is said of why.

use std::{env, ffi::OsStr, time::Duration};

use clap_complete::CompletionCandidate;
use rustls::crypto::ring;
use serde_json::Value;
use tokio::{runtime, time::timeout};

use super::{
    kind::{Kind, name},
    server::{Query, Server},
};
use crate::{args::ServerArgs, settings::Environment};

/// How long a person waits for a list.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A kind, then names of it; or `KIND/NAME`.
pub fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return vec![] };
    let line = line();
    if let Some((kind, _)) = current.split_once('/') {
        return offer(Kind::named(kind), &line, &format!("{kind}/"), current);
    }
    // The first word is the verb, and the last one what is being typed.
    let earlier = line.split_last().map_or(&[][..], |(_, earlier)| earlier).iter().skip(1);
    let mut kinds = earlier.filter_map(|word| Kind::named(word));
    match kinds.next() {
        Some(kind) => offer(Some(kind), &line, "", current),
        None => {
            let kinds = Kind::ALL.map(|kind| kind.plural().to_owned());
            candidates(kinds.into_iter(), current)
        }
    }
}

/// Names of tasks.
pub fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(Some(Kind::Task), &line(), "", &current.to_string_lossy())
}

/// Names of proplets.
pub fn proplets(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(Some(Kind::Proplet), &line(), "", &current.to_string_lossy())
}

/// The line that is completed: the shell hands it over behind `--`, after this program's name.
fn line() -> Vec<String> {
    let words = env::args_os().skip_while(|word| word != "--").skip(2);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

fn offer(kind: Option<Kind>, line: &[String], prefix: &str, current: &str) -> Vec<CompletionCandidate> {
    let names = kind.and_then(|kind| list(kind, server_args(line))).unwrap_or_default();
    candidates(names.into_iter().map(|name| format!("{prefix}{name}")), current)
}

fn candidates(words: impl Iterator<Item = String>, current: &str) -> Vec<CompletionCandidate> {
    words
        .filter(|word| word.starts_with(current))
        .map(CompletionCandidate::new)
        .collect()
}

fn list(kind: Kind, args: ServerArgs) -> Option<Vec<String>> {
    // Only fails if there is a provider already.
    let _ = ring::default_provider().install_default();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async {
        let asked = async {
            let server = Server::find(&args, &Environment::read()).await.ok()?;
            server.list(kind, &Query::default()).await.ok()
        };
        timeout(PATIENCE, asked).await.ok()?
    });
    runtime.shutdown_background();
    let list: Value = answer?;
    Some(
        list["items"]
            .as_array()?
            .iter()
            .map(|object| name(object).to_owned())
            .collect(),
    )
}

/// The control plane that a line means. It isn't complete, so clap wouldn't read it.
fn server_args(line: &[String]) -> ServerArgs {
    let value = |long: &str, short: &str| {
        let apart = line
            .windows(2)
            .find(|pair| pair[0] == long || (!short.is_empty() && pair[0] == short));
        let joined = line.iter().find_map(|word| word.strip_prefix(long)?.strip_prefix('='));
        apart.map(|pair| pair[1].as_str()).or(joined).map(str::to_owned)
    };
    ServerArgs {
        namespace: value("--namespace", "-n"),
        server: value("--server", ""),
        token_file: value("--token-file", "").map(Into::into),
        kube: line.iter().any(|word| word == "--kube"),
        context: value("--context", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_of_a_line_is_found() {
        let line = "get -n lab --kube --context=c --server http://a:1 --token-file t tasks ad";
        let line: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let args = server_args(&line);
        assert_eq!(
            (args.namespace.as_deref(), args.context.as_deref(), args.kube),
            (Some("lab"), Some("c"), true)
        );
        assert_eq!(
            (args.server.as_deref(), args.token_file),
            (Some("http://a:1"), Some("t".into()))
        );
        assert!(!server_args(&line[..1]).kube);
    }
}
