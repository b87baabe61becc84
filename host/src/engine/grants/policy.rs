//! What a proplet allows its tasks to ask for. The `[policy]` of its configuration.

use std::{fmt, marker::PhantomData, num::NonZeroU16, path::PathBuf, str::FromStr};

use propeller_api::{HostPattern, HttpTarget, Memory, NetHost, NetTarget};
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

use super::address;

/// Largest bucket where the policy doesn't say.
const BUCKET_SIZE: Memory = Memory::from_bytes(16 << 20);

/// All buckets together where the policy doesn't say.
const KEYVALUE_SIZE: Memory = Memory::from_bytes(1 << 30);

/// Ports of HTTP without and with TLS.
const HTTP_PORTS: [NonZeroU16; 2] = [NonZeroU16::new(80).unwrap(), NonZeroU16::new(443).unwrap()];

/// What a task's grants may be at most. By default a task gets what it brings itself, environment and configuration, and reaches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// Whether tasks may set environment variables. The values come from the task; the proplet's own are never passed on.
    pub env: bool,
    /// Whether tasks may set what `wasi:config` answers.
    pub config: bool,
    /// Directories that tasks may be given, or directories below them.
    pub directories: Vec<Root>,
    /// Where tasks may send HTTP requests.
    pub http: Allowed<HttpTarget>,
    /// Where tasks may connect to with sockets.
    pub net: Allowed<NetTarget>,
    /// Whether tasks may keep values on this proplet's disk with `wasi:keyvalue`.
    pub keyvalue: bool,
    /// Bytes of all keys and values of one bucket.
    pub bucket_size: Memory,
    /// Bytes of all keys and values of all buckets.
    pub keyvalue_size: Memory,
}

/// A directory of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Root {
    /// Absolute.
    pub path: PathBuf,
    /// Whether tasks may only read there.
    #[serde(default)]
    pub read_only: bool,
}

/// Which targets a policy allows. In a file it is a list, or the word `"any"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed<T> {
    /// Any, this machine itself included, if a task names it.
    Any,
    /// What one of these covers.
    Only(Vec<T>),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            env: true,
            config: true,
            directories: Vec::new(),
            http: Allowed::default(),
            net: Allowed::default(),
            keyvalue: false,
            bucket_size: BUCKET_SIZE,
            keyvalue_size: KEYVALUE_SIZE,
        }
    }
}

impl Policy {
    /// For `propeller run`, where who runs a component is who grants.
    pub fn anything() -> Self {
        Self {
            directories: vec![Root {
                path: PathBuf::from("/"),
                read_only: false,
            }],
            http: Allowed::Any,
            net: Allowed::Any,
            keyvalue: true,
            ..Self::default()
        }
    }
}

impl<T> Default for Allowed<T> {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Allowed<HttpTarget> {
    /// Whether every host and port of `asked` is allowed. Ports may be allowed by different entries.
    pub(super) fn covers(&self, asked: &HttpTarget) -> bool {
        let Self::Only(targets) = self else { return true };
        let allowed = |port: NonZeroU16| {
            let mut targets = targets.iter().filter(|target| target.matches_port(port));
            targets.any(|target| host_covers(&target.host, &asked.host))
        };
        match asked.port {
            Some(port) => allowed(port),
            None => HTTP_PORTS.into_iter().all(allowed),
        }
    }
}

impl Allowed<NetTarget> {
    /// Whether every host and port of `asked` is allowed. A name is allowed by its name only: where it leads to isn't known yet.
    pub(super) fn covers(&self, asked: &NetTarget) -> bool {
        let Self::Only(targets) = self else { return true };
        targets.iter().any(|allowed| {
            let host = match (&allowed.host, &asked.host) {
                (NetHost::Name(allowed), NetHost::Name(asked)) => allowed == asked,
                (NetHost::Network(allowed), NetHost::Network(asked)) => address::network_covers(allowed, asked),
                _ => false,
            };
            host && (allowed.port.is_none() || allowed.port == asked.port)
        })
    }
}

/// Which port an entry is for.
trait MatchesPort {
    fn matches_port(&self, port: NonZeroU16) -> bool;
}

impl MatchesPort for HttpTarget {
    fn matches_port(&self, port: NonZeroU16) -> bool {
        match self.port {
            Some(own) => own == port,
            None => HTTP_PORTS.contains(&port),
        }
    }
}

/// Whether every host that `asked` means is one that `allowed` means.
fn host_covers(allowed: &HostPattern, asked: &HostPattern) -> bool {
    match (allowed, asked) {
        (HostPattern::Below(allowed), HostPattern::Below(asked)) => {
            allowed == asked || HostPattern::Below(allowed.clone()).matches(asked)
        }
        (_, HostPattern::Name(name)) => allowed.matches(name),
        (HostPattern::Address(allowed), HostPattern::Address(asked)) => {
            address::plain(*allowed) == address::plain(*asked)
        }
        _ => false,
    }
}

/// As a message shows it: `nothing`, or the first entries.
impl<T: fmt::Display> fmt::Display for Allowed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Only(entries) => list(f, entries),
        }
    }
}

/// Entries that a message shows.
const SHOWN: usize = 8;

pub(super) fn list(f: &mut fmt::Formatter<'_>, entries: &[impl fmt::Display]) -> fmt::Result {
    if entries.is_empty() {
        return f.write_str("nothing");
    }
    for (n, entry) in entries.iter().take(SHOWN).enumerate() {
        let comma = if n > 0 { ", " } else { "" };
        write!(f, "{comma}{entry}")?;
    }
    match entries.len().checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => write!(f, " and {more} more"),
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.read_only { " (read-only)" } else { "" };
        write!(f, "{}{access}", self.path.display())
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Allowed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyOrList(PhantomData))
    }
}

/// By hand, since an untagged enum would say of a misspelt entry only that nothing fits.
struct AnyOrList<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for AnyOrList<T> {
    type Value = Allowed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or \"any\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "any" => Ok(Allowed::Any),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut allowed = Vec::new();
        while let Some(text) = entries.next_element::<String>()? {
            allowed.push(text.parse().map_err(de::Error::custom)?);
        }
        Ok(Allowed::Only(allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed<T: FromStr<Err: fmt::Debug>>(texts: &[&str]) -> Allowed<T> {
        Allowed::Only(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn what_is_asked_of_http_is_no_wider_than_what_is_allowed() {
        let check = |policy: &[&str], asked: &str, expected: bool| {
            let covers = allowed::<HttpTarget>(policy).covers(&asked.parse().unwrap());
            assert_eq!(covers, expected, "{policy:?} {asked}");
        };
        check(&[], "a.example.com", false);
        check(&["a.example.com"], "a.example.com", true);
        check(&["a.example.com"], "b.example.com", false);
        check(&["*.example.com"], "a.example.com", true);
        check(&["*.example.com"], "example.com", false);
        check(&["*.example.com"], "*.example.com", true);
        check(&["*.example.com"], "*.a.example.com", true);
        check(&["*.a.example.com"], "*.example.com", false);
        check(&["a.example.com"], "*.a.example.com", false);
        check(&["*.example.com"], "*.badexample.com", false);
        // Ports.
        check(&["a.example.com"], "a.example.com:443", true);
        check(&["a.example.com"], "a.example.com:8080", false);
        check(&["a.example.com:443"], "a.example.com", false);
        check(&["a.example.com:443", "a.example.com:80"], "a.example.com", true);
        check(&["a.example.com:8080"], "a.example.com:8080", true);
        // Addresses.
        check(&["10.0.0.7"], "10.0.0.7", true);
        check(&["10.0.0.7"], "10.0.0.8", false);
        check(&["a.example.com"], "10.0.0.7", false);
    }

    #[test]
    fn what_is_asked_of_sockets_is_no_wider_than_what_is_allowed() {
        let check = |policy: &[&str], asked: &str, expected: bool| {
            let covers = allowed::<NetTarget>(policy).covers(&asked.parse().unwrap());
            assert_eq!(covers, expected, "{policy:?} {asked}");
        };
        check(&[], "10.0.0.7:1", false);
        check(&["db.lab:5432"], "db.lab:5432", true);
        check(&["db.lab:*"], "db.lab:5432", true);
        check(&["db.lab:5432"], "db.lab:*", false);
        check(&["10.0.0.0/8:5432"], "10.1.0.0/16:5432", true);
        check(&["10.1.0.0/16:5432"], "10.0.0.0/8:5432", false);
        check(&["10.0.0.0/8:*"], "db.lab:5432", false);
        check(&["db.lab:*"], "10.0.0.7:5432", false);
        check(&["0.0.0.0/0:*"], "127.0.0.1:80", false);
    }

    #[test]
    fn a_policy_is_read_strictly() {
        let read = |text: &str| toml::from_str::<Policy>(text).map_err(|error| error.to_string());
        assert_eq!(read(""), Ok(Policy::default()));
        let policy = read(
            r#"
            env = false
            http = ["*.example.com", "10.0.0.7:8080"]
            net = "any"
            directories = [{ path = "/srv/data", read-only = true }]
            keyvalue = true
            bucket-size = "1Mi"
            "#,
        )
        .unwrap();
        assert_eq!(policy.http.to_string(), "*.example.com, 10.0.0.7:8080");
        assert_eq!(policy.net, Allowed::Any);
        assert!(policy.directories[0].read_only && policy.keyvalue && policy.config && !policy.env);
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("http = [\"http://a\"]", "`http://a` is no HTTP host");
        check("http = \"all\"", "expected a list, or \"any\"");
        check("network = []", "unknown field `network`");
        check(
            "directories = [{ path = \"/a\", readonly = true }]",
            "unknown field `readonly`",
        );
    }
}
