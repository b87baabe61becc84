//! Names that cross every boundary, parsed once.
//!
//! Each is a newtype with its own error, and goes through serde by its text, so a value that exists is a value that is valid.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Whether the text is a [DNS label](https://www.rfc-editor.org/rfc/rfc1123#section-2.1) as Kubernetes has it, as every namespace is: 1 to 63 of
/// a-z, 0-9 and -, starting and ending with a letter or digit.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// Whether the text is a [DNS subdomain](https://www.rfc-editor.org/rfc/rfc1123#section-2.1) as Kubernetes has it, as every name of a Task or
/// Proplet is: parts as of a label, with dots between them, 253 characters in all.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let alphabet = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.bytes().all(alphabet) && !text.starts_with('-') && !text.ends_with('-')
}

/// The SHA-256 digest of a blob as OCI writes it: `sha256:` and 64 lowercase hex digits.
///
/// Other algorithms of the [OCI image spec](https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests) are refused:
/// registries serve SHA-256 for everything that we read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The text isn't a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: expected `sha256:` and 64 lowercase hex digits")]
pub struct InvalidDigest(String);

impl Digest {
    const PREFIX: &str = "sha256:";

    /// The digest that a SHA-256 sum stands for.
    pub fn from_sha256(sum: [u8; 32]) -> Self {
        use fmt::Write;
        let mut text = String::with_capacity(Self::PREFIX.len() + 64);
        text.push_str(Self::PREFIX);
        for byte in sum {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The 64 hex digits, without the algorithm: a file name for the blob.
    pub fn hex(&self) -> &str {
        &self.0[Self::PREFIX.len()..]
    }

    /// The whole text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix(Self::PREFIX).unwrap_or_default();
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() == 64 && is_hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDigest(text.to_owned()))
        }
    }
}

/// The identity of a proplet: MQTT client id, user name and last topic level in one. `[a-z0-9-]{1,63}`.
///
/// The alphabet is that of a DNS label ([RFC 1123](https://www.rfc-editor.org/rfc/rfc1123#section-2.1)) so that it is also a valid name of a
/// Kubernetes object when it neither starts nor ends with a dash, and it holds nothing that means something in an MQTT topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PropletId(String);

/// The text can't be a proplet's identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a proplet id: expected 1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit")]
pub struct InvalidPropletId(String);

impl PropletId {
    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PropletId {
    type Err = InvalidPropletId;

    fn from_str(text: &str) -> Result<Self, InvalidPropletId> {
        if is_dns_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPropletId(text.to_owned()))
        }
    }
}

/// One journal on one proplet's disk, made with it. A start names the journal that it is meant for, so a cloned or re-imaged device refuses
/// what was meant for the other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JournalId(String);

/// The text can't be a journal's identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a journal id: expected 1 to 128 visible ASCII characters")]
pub struct InvalidJournalId(String);

impl JournalId {
    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JournalId {
    type Err = InvalidJournalId;

    fn from_str(text: &str) -> Result<Self, InvalidJournalId> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidJournalId(text.chars().take(128).collect()))
        }
    }
}

/// Text newtypes print as their text, and serde reads them through `FromStr`.
macro_rules! text {
    ($($name:ident: $error:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}

text!(Digest: InvalidDigest, PropletId: InvalidPropletId, JournalId: InvalidJournalId);

/// In a schema each is a string; what it must look like is checked by whoever reads it.
#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    macro_rules! string {
        ($($name:ident),*) => {$(
            impl JsonSchema for super::$name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({"type": "string"})
                }
            }
        )*};
    }

    string!(Digest, PropletId, JournalId);
}

#[cfg(test)]
mod tests {
    use super::{Digest, JournalId, PropletId, is_dns_label, is_dns_subdomain};

    #[test]
    fn digests() {
        let hex = "0123456789abcdef".repeat(4);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(
            (digest.hex(), digest.to_string()),
            (hex.as_str(), format!("sha256:{hex}"))
        );
        assert_eq!(Digest::from_sha256([0xab; 32]).hex(), "ab".repeat(32));
        for text in [
            "",
            "sha256:",
            &hex,
            &format!("sha512:{hex}"),
            &format!("sha256:{}", hex.to_uppercase()),
            "sha256:zz",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_resources() {
        let is_name = |text: &str| (is_dns_label(text), is_dns_subdomain(text));
        for text in ["lab", "kube-system", "x1", "0"] {
            assert_eq!(is_name(text), (true, true), "{text}");
        }
        for text in ["a.b", &"x".repeat(64)] {
            assert_eq!(is_name(text), (false, true), "{text}");
        }
        for text in [
            "",
            "a/b",
            "..",
            "a..b",
            ".a",
            "a?b",
            "?watch=1",
            "A",
            "a b",
            "-a",
            "a-",
            &"x".repeat(254),
        ] {
            assert_eq!(is_name(text), (false, false), "{text}");
        }
    }

    #[test]
    fn proplet_ids() {
        for text in ["a", "edge-1", "0", &"x".repeat(63)] {
            assert_eq!(text.parse::<PropletId>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "a-", "Edge", "a/b", "a+", "#", "a.b", "ü", &"x".repeat(64)] {
            assert!(text.parse::<PropletId>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<PropletId>("\"a/b\"").is_err());
    }

    #[test]
    fn journal_ids() {
        assert!("0f9c".parse::<JournalId>().is_ok());
        for text in ["", "a b", "a\n", &"x".repeat(129)] {
            assert!(text.parse::<JournalId>().is_err(), "{text}");
        }
    }
}
