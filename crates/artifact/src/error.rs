//! What can go wrong between a reference and its component's bytes, said so that a person knows what to change.

use std::{fmt, io, path::PathBuf};

use crate::reference::InvalidReference;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an artifact couldn't be resolved, fetched or published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reference doesn't name an artifact in the form that the operation needs.
    #[error(transparent)]
    InvalidReference(#[from] InvalidReference),

    /// The configuration of a registry, or of TLS as a whole, can't be used. [`Client::new`](crate::Client::new) finds this out.
    #[error("the settings of registry `{registry}` can't be used")]
    InvalidSettings {
        /// Host of the registry, `*` when it's about all of them.
        registry: String,
        /// What is wrong with them.
        source: Cause,
    },

    /// No conversation with the registry came about, or it broke off.
    #[error("registry `{registry}` can't be reached: {obstacle}")]
    RegistryUnreachable {
        /// Host of the registry or mirror.
        registry: String,
        /// Where it got stuck.
        obstacle: Obstacle,
        /// What the network said.
        source: Cause,
    },

    /// The registry wants other credentials, or any. Registries also answer this for repositories that don't exist.
    #[error(
        "registry `{registry}` refuses access: log in with `docker login {registry}`, or set `username` and `password-file` in \
         [registries.\"{registry}\"]; it may also be that the repository doesn't exist"
    )]
    Unauthorized {
        /// Host of the registry or mirror.
        registry: String,
        /// What the registry said.
        source: Cause,
    },

    /// Credentials are configured for the registry, but couldn't be read.
    #[error("the credentials for registry `{registry}` can't be read from {origin}")]
    CredentialsFailed {
        /// Host of the registry or mirror.
        registry: String,
        /// The file, or the credential helper.
        origin: String,
        /// What is wrong there.
        source: Cause,
    },

    /// The registry has no such repository, tag or blob.
    #[error("`{reference}` is not in registry `{registry}`: check repository and tag, or push it first")]
    NotFound {
        /// What was asked for.
        reference: String,
        /// Host of the registry or mirror.
        registry: String,
        /// What the registry said.
        source: Cause,
    },

    /// The registry wants fewer requests, also after the retries.
    #[error("registry `{registry}` limits our requests: try again later, log in, or configure a mirror")]
    RateLimited {
        /// Host of the registry or mirror.
        registry: String,
        /// What the registry said.
        source: Cause,
    },

    /// The registry answered something that isn't one of the above.
    #[error("registry `{registry}` failed{}", status.map(|status| format!(" with HTTP status {status}")).unwrap_or_default())]
    RegistryFailed {
        /// Host of the registry or mirror.
        registry: String,
        /// HTTP status, where that was the problem.
        status: Option<u16>,
        /// What the registry said.
        source: Cause,
    },

    /// It is an artifact, but none of the layouts that hold one component.
    #[error("`{reference}` can't be used as a component: {problem}")]
    UnsupportedArtifact {
        /// The artifact.
        reference: String,
        /// What its manifest lacks, or has too much.
        problem: String,
    },

    /// The bytes aren't WebAssembly, whatever the manifest says.
    #[error("`{reference}` is not WebAssembly: it seems to be {found}")]
    NotWasm {
        /// The artifact.
        reference: String,
        /// What the bytes look like.
        found: &'static str,
    },

    /// Larger than this process is configured to take.
    #[error("`{reference}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The artifact.
        reference: String,
        /// Bytes that it has, or claims to have.
        size: u64,
        /// Bytes that are allowed.
        limit: u64,
    },

    /// The registry, or something between, changed the bytes; or a start names a component that isn't its artifact's.
    #[error("what came for `{reference}` is not what was asked for: expected {expected}, got {found}")]
    DigestMismatch {
        /// The artifact.
        reference: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },

    /// The cache on disk can't be used.
    #[error("the artifact cache can't {action} {}", path.display())]
    CacheFailed {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where the way to a registry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name has no address.
    Dns,
    /// Nothing accepts connections there.
    Connect,
    /// TLS failed: an unknown certificate authority, another host's certificate, or no TLS at all.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection ended in the middle.
    Broken,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "DNS doesn't know that name; check the reference",
            Self::Connect => "no connection; check host and port, and that the registry runs",
            Self::Tls => "TLS failed; its table in [registries] can name the certificate authority (`ca`) or say `plain-http = true`",
            Self::Timeout => "no answer in time",
            Self::Broken => "the connection broke off",
        })
    }
}

impl Error {
    /// A stable CamelCase label for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidReference(_) => "InvalidReference",
            Self::InvalidSettings { .. } => "InvalidSettings",
            Self::RegistryUnreachable { .. } => "RegistryUnreachable",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::CredentialsFailed { .. } => "CredentialsFailed",
            Self::NotFound { .. } => "NotFound",
            Self::RateLimited { .. } => "RateLimited",
            Self::RegistryFailed { .. } => "RegistryFailed",
            Self::UnsupportedArtifact { .. } => "UnsupportedArtifact",
            Self::NotWasm { .. } => "NotWasm",
            Self::TooLarge { .. } => "TooLarge",
            Self::DigestMismatch { .. } => "DigestMismatch",
            Self::CacheFailed { .. } => "CacheFailed",
        }
    }

    /// Whether the same reference may work later although nobody changes it: the registry's state, its credentials or the network can.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RegistryUnreachable { .. }
            | Self::Unauthorized { .. }
            | Self::CredentialsFailed { .. }
            | Self::NotFound { .. }
            | Self::RateLimited { .. }
            | Self::DigestMismatch { .. }
            | Self::CacheFailed { .. } => true,
            Self::RegistryFailed { status, .. } => status.is_some_and(|status| status >= 500),
            Self::InvalidReference(_)
            | Self::InvalidSettings { .. }
            | Self::UnsupportedArtifact { .. }
            | Self::NotWasm { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    pub(crate) fn mismatch(reference: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        let (reference, expected, found) = (reference.to_string(), expected.to_string(), found.to_string());
        Self::DigestMismatch {
            reference,
            expected,
            found,
        }
    }

    pub(crate) fn not_wasm(reference: impl ToString, found: &'static str) -> Self {
        let reference = reference.to_string();
        Self::NotWasm { reference, found }
    }

    /// For `map_err`.
    pub(crate) fn unsupported(reference: impl ToString) -> impl FnOnce(String) -> Self {
        let reference = reference.to_string();
        move |problem| Self::UnsupportedArtifact { reference, problem }
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::RegistryUnreachable { .. })
    }

    /// Whether the next seconds may bring another answer, so that trying again within the same operation makes sense.
    pub(crate) fn is_momentary(&self) -> bool {
        match self {
            Self::RateLimited { .. } => true,
            Self::RegistryFailed { status, .. } => status.is_some_and(|status| status >= 500),
            Self::RegistryUnreachable { obstacle, .. } => {
                matches!(obstacle, Obstacle::Connect | Obstacle::Timeout | Obstacle::Broken)
            }
            _ => false,
        }
    }
}
