//! Why a control plane didn't do what it was asked for.

use std::{error::Error, fmt, path::PathBuf, time::Duration};

use http::uri::InvalidUri;
use kube::{config::KubeconfigError, core::Status};

use super::kind::Kind;
use crate::exit::Exit;

/// A control plane, as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A standalone one, by its URL.
    Standalone(String),
    /// A cluster, by its URL.
    Cluster(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standalone(url) => write!(f, "the control plane at {url}"),
            Self::Cluster(url) => write!(f, "the cluster at {url}"),
        }
    }
}

impl Place {
    fn is_it_up(&self) -> &'static str {
        match self {
            Self::Standalone(_) => {
                "start it with `propeller up`, name another with `--server`, or use a cluster with `--kube`"
            }
            Self::Cluster(_) => "check the kubeconfig's server, or choose another `--context`",
        }
    }

    fn who_are_you(&self) -> &'static str {
        match self {
            Self::Standalone(_) => "set PROPELLER_TOKEN, or name the file that has its token with `--token-file`",
            Self::Cluster(_) => "check the kubeconfig's user",
        }
    }
}

/// Why a control plane didn't do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing names one.
    #[error(
        "no control plane is known here: start one with `propeller up`, name one with `--server URL`, or use a cluster with `--kube`"
    )]
    Nowhere,
    /// What `propeller up` left behind can't be used.
    #[error(
        "can't read where `propeller up` listens from {}: run `propeller up` again, or name a control plane with `--server URL`", path.display()
    )]
    ServerFile {
        path: PathBuf,
        source: Box<dyn Error + Send + Sync>,
    },
    /// Not an address.
    #[error("`{url}` is not the URL of a control plane: write http://HOST:PORT or https://HOST:PORT")]
    InvalidUrl { url: String, source: Option<InvalidUri> },
    /// A token with characters that no header can have.
    #[error("the token isn't one line of text: {0}")]
    InvalidToken(&'static str),
    /// The kubeconfig can't be read, or has no such context.
    #[error("can't use the kubeconfig: set KUBECONFIG, or name a context that it has with `--context`")]
    Kubeconfig(#[source] KubeconfigError),
    /// No answer.
    #[error("can't reach {place}: {}", place.is_it_up())]
    Unreachable {
        place: Place,
        source: Box<dyn Error + Send + Sync>,
    },
    /// 401.
    #[error("{place} doesn't know who asks: {}", place.who_are_you())]
    Unauthorized { place: Place },
    /// 404 for the kind.
    #[error(
        "{place} doesn't know Tasks and Proplets: install the CRDs, `kubectl apply -f operator/crds`, or check the URL"
    )]
    NoKinds { place: Place },
    /// 404 for the API that has lines of tasks.
    #[error(
        "{place} has no API for what tasks wrote: `kubectl apply -f operator/logs.yaml` makes that of the operator known to it"
    )]
    NoLogs { place: Place },
    /// The API server reaches nobody who serves it.
    #[error(
        "{place} reaches no operator that has what tasks wrote: `kubectl get apiservice v1alpha1.{}` says why, and docs/kubernetes.md what the \
         operator needs",
        propeller_api::LOGS_GROUP
    )]
    LogsUnreachable { place: Place, source: Box<kube::Error> },
    /// Another refusal of the API.
    #[error("can't {doing}: {}", status.message)]
    Refused { doing: String, status: Box<Status> },
    /// An answer that can't be understood.
    #[error("can't {doing}: {place} gave an answer that can't be understood")]
    Answer {
        doing: String,
        place: Place,
        source: Box<kube::Error>,
    },
    /// There is none of that name.
    #[error("there is no {kind} `{name}` in namespace {namespace}: `propeller get {} -n {namespace}` lists them", kind.plural())]
    NotFound {
        kind: Kind,
        name: String,
        namespace: String,
    },
    /// What a device needs would be lost.
    #[error("{} exists: name another file with `--to`, or make other credentials and replace it with `--replace`", .0.display())]
    JoinFileExists(PathBuf),
    /// What is in it may be needed.
    #[error("the Secret {0} is there, and isn't one of Propeller's: delete it, or choose another name for the proplet")]
    OthersSecret(String),
    /// It would be the control plane.
    #[error(
        "`{}` is the control plane's own name at the broker, which may do everything there: choose another for the device",
        super::mosquitto::CONTROL
    )]
    ControlsName,
    /// They would be worth nothing.
    #[error("`{0}` has credentials already: replace them with `--replace`, and its device needs the new file")]
    HasCredentials(String),
    /// What is told of a device makes no sense.
    #[error("what the device needs can't be written: {0}")]
    NoJoin(String),
    /// Words that name no resource.
    #[error("{0}")]
    Target(String),
    /// Edits of others came first, again and again.
    #[error("{kind} `{name}` is changed by somebody else all the time: try again")]
    Contended { kind: Kind, name: String },
    /// It didn't come in time.
    #[error("{what} isn't there after {} s: {state}", limit.as_secs_f64())]
    TimedOut {
        /// What was waited for, as in `condition Finished of task/a`.
        what: String,
        limit: Duration,
        /// What is so instead.
        state: String,
    },
    /// It can't come any more.
    #[error("{what} can't come any more: {state}")]
    Hopeless {
        what: String,
        /// What is so instead.
        state: String,
    },
    /// Services don't end by themselves.
    #[error(
        "{proplet} is cordoned and has services that don't end by themselves: {services}; move them with `propeller drain {proplet} --evict`, or delete them"
    )]
    Services { proplet: String, services: String },
}

impl ControlError {
    /// What an error of the client means.
    pub fn of(doing: impl Into<String>, place: &Place, error: kube::Error) -> Self {
        let (doing, place) = (doing.into(), place.clone());
        let unreachable = |source| Self::Unreachable {
            place: place.clone(),
            source,
        };
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::Unauthorized { place },
            kube::Error::Api(status) if status.code == 404 && status.reason != "NotFound" => Self::NoKinds { place },
            kube::Error::Api(status) if is_of_a_kind(&status) => Self::NoKinds { place },
            kube::Error::Api(status) => Self::Refused { doing, status },
            // Kube's own words repeat those of their cause.
            kube::Error::Service(source) => unreachable(source),
            kube::Error::HyperError(source) => unreachable(source.into()),
            kube::Error::ReadEvents(source) => unreachable(source.into()),
            error => Self::Answer {
                doing,
                place,
                source: Box::new(error),
            },
        }
    }

    /// What an error of the client means where lines of a task were asked for. What isn't a Status of the operator's is the API server's, about it.
    pub fn of_lines(doing: impl Into<String>, place: &Place, error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::of(doing, place, error);
        };
        match (place, status.code) {
            (Place::Cluster(_), 404) if is_of_a_kind(status) => Self::NoLogs { place: place.clone() },
            (Place::Cluster(_), 502..=504) if status.reason != "ServiceUnavailable" => Self::LogsUnreachable {
                place: place.clone(),
                source: Box::new(error),
            },
            _ => Self::of(doing, place, error),
        }
    }

    /// Whether another try may help, since nobody answered.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The status code that the API refused with.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            _ => None,
        }
    }

    /// A stable label in CamelCase.
    pub fn reason(&self) -> &str {
        match self {
            Self::Nowhere => "NoControlPlane",
            Self::ServerFile { .. } | Self::InvalidUrl { .. } | Self::InvalidToken(_) | Self::Kubeconfig(_) => {
                "InvalidSettings"
            }
            Self::Unreachable { .. } => "ControlPlaneUnreachable",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::NoKinds { .. } => "NoSuchKind",
            Self::NoLogs { .. } => "NoSuchApi",
            Self::LogsUnreachable { .. } => "LogsUnreachable",
            Self::Refused { status, .. } if status.reason.is_empty() => "Refused",
            Self::Refused { status, .. } => &status.reason,
            Self::Answer { .. } => "InvalidAnswer",
            Self::NotFound { .. } => "NotFound",
            Self::Target(_) => "Usage",
            Self::JoinFileExists(_) => "FileExists",
            Self::ControlsName => "Usage",
            Self::HasCredentials(_) | Self::OthersSecret(_) => "AlreadyExists",
            Self::NoJoin(_) => "InvalidAnswer",
            Self::Contended { .. } => "Conflict",
            Self::TimedOut { .. } => "TimedOut",
            Self::Hopeless { .. } => "EndedOtherwise",
            Self::Services { .. } => "ServicesRemain",
        }
    }

    /// The exit code that says whose failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::InvalidUrl { .. }
            | Self::InvalidToken(_)
            | Self::Kubeconfig(_)
            | Self::JoinFileExists(_)
            | Self::ControlsName
            | Self::Target(_) => Exit::Usage,
            Self::TimedOut { .. } | Self::Services { .. } => Exit::TimedOut,
            Self::Hopeless { .. } => Exit::Hopeless,
            Self::Nowhere
            | Self::ServerFile { .. }
            | Self::Unreachable { .. }
            | Self::Unauthorized { .. }
            | Self::NoKinds { .. }
            | Self::NoLogs { .. }
            | Self::LogsUnreachable { .. }
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::NotFound { .. }
            | Self::HasCredentials(_)
            | Self::OthersSecret(_)
            | Self::NoJoin(_)
            | Self::Contended { .. } => Exit::Control,
        }
    }
}

/// A 404 that isn't about one object: the path is unknown.
fn is_of_a_kind(status: &Status) -> bool {
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && !named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_says_of_lines_leads_somewhere() {
        let cluster = || Place::Cluster("https://c".to_owned());
        let check = |place: Place, code: u16, reason: &str, expected: &str, words: &str| {
            let status = Status::failure("said", reason).with_code(code);
            let error = ControlError::of_lines("read lines", &place, kube::Error::Api(status.boxed()));
            assert_eq!(error.reason(), expected, "{code} {reason}");
            assert!(error.to_string().contains(words), "{code} {reason}: {error}");
        };
        let text = "Failed to parse error data";
        check(cluster(), 404, text, "NoSuchApi", "kubectl apply -f operator/logs.yaml");
        check(
            cluster(),
            404,
            "NotFound",
            "NoSuchApi",
            "kubectl apply -f operator/logs.yaml",
        );
        check(
            cluster(),
            503,
            text,
            "LogsUnreachable",
            "kubectl get apiservice v1alpha1.logs.propeller.dev",
        );
        check(cluster(), 502, text, "LogsUnreachable", "docs/kubernetes.md");
        check(cluster(), 503, "ServiceUnavailable", "ServiceUnavailable", "said");
        check(cluster(), 403, "Forbidden", "Forbidden", "said");
        let standalone = Place::Standalone("http://s".to_owned());
        check(standalone, 404, text, "NoSuchKind", "check the URL");
    }
}
