//! Passwords, of which only hashes are kept.

use std::{fmt, str::FromStr};

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{PasswordHash as Parsed, SaltString},
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::AccountError;

const LONGEST: usize = 1024;

/// A password's Argon2id hash with its salt and parameters, in the PHC form that other software reads too.
///
/// What has the hash can try passwords at its leisure, so `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Hashes a password, which takes some 20 ms and 19 MiB. The parameters are those that OWASP names as the least.
    ///
    /// # Errors
    ///
    /// When the password is empty or too long.
    pub fn of(password: &SecretString) -> Result<Self, AccountError> {
        let password = password.expose_secret().as_bytes();
        if !(1..=LONGEST).contains(&password.len()) {
            return Err(AccountError::Password);
        }
        let salt = SaltString::encode_b64(Uuid::new_v4().as_bytes()).map_err(|_| AccountError::Password)?;
        let hash = Argon2::default().hash_password(password, &salt);
        Ok(Self(hash.map_err(|_| AccountError::Password)?.to_string()))
    }

    /// The hash as text, for whoever keeps it: [`FromStr`] reads it back.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Takes as long as [`of`](Self::of).
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let parsed = Parsed::new(&self.0);
        parsed.is_ok_and(|hash| password.len() <= LONGEST && Argon2::default().verify_password(password, &hash).is_ok())
    }
}

impl FromStr for PasswordHash {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        match Parsed::new(text) {
            Ok(parsed) if parsed.algorithm.as_str().starts_with("argon2") && parsed.hash.is_some() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(AccountError::Hash),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password_also_after_it_was_stored() {
        let hash = PasswordHash::of(&"open sesame".into()).unwrap();
        let stored: PasswordHash = hash.expose().parse().unwrap();
        assert!(stored.is_of(b"open sesame"));
        assert!(!stored.is_of(b"open sesam") && !stored.is_of(b""));
        let again = PasswordHash::of(&"open sesame".into()).unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_repeated() {
        for text in [
            "open sesame",
            "",
            "$argon2id$v=19",
            "$2b$04$propellerpropellerpr.eE9yW3z6",
            "$scrypt$ln=1$YWFhYWFhYWE$YWFhYWFhYWFhYWE",
        ] {
            let error = text.parse::<PasswordHash>().unwrap_err();
            assert_eq!(error, AccountError::Hash, "{text}");
            assert!(!error.to_string().contains("sesame"));
        }
        let hash = PasswordHash::of(&"open sesame".into()).unwrap();
        assert!(!format!("{hash:?}").contains("argon2"));
        assert_eq!(PasswordHash::of(&"".into()), Err(AccountError::Password));
    }
}
