//! From oci-client's errors to ours: what matters to a person is which registry, and what to change.

use std::{error::Error as StdError, io};

use oci_client::errors::{DigestError, OciDistributionError as Oci, OciEnvelope, OciErrorCode};

use crate::error::{Error, Obstacle};

/// What was asked of whom, for the messages.
pub(crate) struct Asked<'a> {
    pub(crate) registry: &'a str,
    pub(crate) reference: String,
}

impl Asked<'_> {
    /// The error that an answer of oci-client stands for.
    pub(crate) fn failed(&self, error: Oci) -> Error {
        match error {
            Oci::RequestError(error) => match error.status() {
                Some(status) => self.status(status.as_u16(), error),
                None => self.unreachable(obstacle(&error), error),
            },
            Oci::IoError(error) => self.interrupted(error),
            Oci::ServerError { code, .. } => self.status(code, error),
            Oci::RegistryError { ref envelope, .. } => match meaning(envelope) {
                Some(status) => self.status(status, error),
                None => self.other(None, error),
            },
            Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => self.status(401, error),
            Oci::DigestError(DigestError::VerificationError { expected, actual }) => {
                Error::mismatch(&self.reference, expected, actual)
            }
            error => self.other(None, error),
        }
    }

    /// The error that ends a body in the middle.
    pub(crate) fn interrupted(&self, error: io::Error) -> Error {
        match error.downcast::<DigestError>() {
            Ok(DigestError::VerificationError { expected, actual }) => {
                Error::mismatch(&self.reference, expected, actual)
            }
            Ok(error) => self.other(None, error),
            Err(error) => self.unreachable(interruption(&error), error),
        }
    }

    pub(crate) fn unreachable(&self, obstacle: Obstacle, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::RegistryUnreachable {
            registry: self.registry.to_owned(),
            obstacle,
            source: source.into(),
        }
    }

    fn status(&self, status: u16, source: impl StdError + Send + Sync + 'static) -> Error {
        let (registry, source) = (self.registry.to_owned(), source.into());
        match status {
            401 | 403 => Error::Unauthorized { registry, source },
            404 => Error::NotFound {
                reference: self.reference.clone(),
                registry,
                source,
            },
            429 => Error::RateLimited { registry, source },
            status => Error::RegistryFailed {
                registry,
                status: Some(status),
                source,
            },
        }
    }

    fn other(&self, status: Option<u16>, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::RegistryFailed {
            registry: self.registry.to_owned(),
            status,
            source: source.into(),
        }
    }
}

/// The status that the error codes of the distribution spec belong to, for oci-client keeps only the codes.
fn meaning(envelope: &OciEnvelope) -> Option<u16> {
    envelope.errors.iter().find_map(|error| match error.code {
        OciErrorCode::Unauthorized => Some(401),
        OciErrorCode::Denied => Some(403),
        OciErrorCode::Toomanyrequests => Some(429),
        OciErrorCode::BlobUnknown
        | OciErrorCode::ManifestBlobUnknown
        | OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound => Some(404),
        _ => None,
    })
}

fn obstacle(error: &reqwest::Error) -> Obstacle {
    if error.is_dns() {
        Obstacle::Dns
    } else if chain(error).any(|cause| cause.is::<rustls::Error>()) {
        Obstacle::Tls
    } else if error.is_timeout() {
        Obstacle::Timeout
    } else if error.is_connect() {
        Obstacle::Connect
    } else {
        Obstacle::Broken
    }
}

fn interruption(error: &io::Error) -> Obstacle {
    let timeout = chain(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(reqwest::Error::is_timeout);
    if timeout { Obstacle::Timeout } else { Obstacle::Broken }
}

/// The error and its causes. An `io::Error` hides the error that it wraps from `source()`, hence the detour.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
        match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| cause(*error))
}
