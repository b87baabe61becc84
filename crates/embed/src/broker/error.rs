//! Why a broker doesn't start, or an account can't be.

use std::{io, net::SocketAddr, path::PathBuf};

use rustls::pki_types::pem;

use crate::Cause;

/// The broker doesn't start, or didn't stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// There is no place for sessions and messages.
    #[error("cannot keep the broker's state in {}: it must be a directory that this user may write", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Nobody can connect.
    #[error("the broker cannot listen on {address}: stop what uses it, or choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the TLS listener can't be used.
    #[error("cannot read {what} from {}; it must be PEM", path.display())]
    Pem {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Anything else, which the broker underneath says.
    #[error("the broker does not start with its state in {}", directory.display())]
    Start {
        /// The directory.
        directory: PathBuf,
        /// What it says.
        source: Cause,
    },
    /// Something was left undone at the end: the last messages may not be on disk.
    #[error("the broker did not stop in order")]
    Stop(#[source] Cause),
}

/// An account can't be made like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name would mean something else in a topic or a file name.
    #[error("`{0}` can't be a user name: expected 1 to 64 letters, digits, `-`, `_` or `.`")]
    Name(String),
    /// The name of a proplet's account is the proplet's id.
    #[error(transparent)]
    Proplet(#[from] propeller_api::InvalidPropletId),
    /// The text isn't a hash of a password. It isn't repeated: it may be the password.
    #[error("this is no Argon2 hash of a password, which would begin with `$argon2id$`")]
    Hash,
    /// The password can't be hashed.
    #[error("the password can't be used: it must be 1 to 1024 bytes long")]
    Password,
}
