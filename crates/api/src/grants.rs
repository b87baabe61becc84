//! What a task asks to reach beyond its own memory. Nothing is granted unless it is asked for here and the proplet's policy allows it.

use std::{collections::BTreeMap, fmt, net::IpAddr, num::NonZeroU16, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What a task asks to reach. `propeller run` takes the same as flags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// Environment variables. The proplet's own environment is never passed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 256)))]
    pub env: Vec<EnvVar>,
    /// Directories of the proplet's machine, each below a root that its policy allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub directories: Vec<Directory>,
    /// Hosts that may be asked over HTTP: `api.example.com`, `*.example.com`, `10.0.0.7:8080`. Without a port, 80 and 443.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub http: Vec<HttpTarget>,
    /// Where sockets may connect to: `db.example.com:5432`, `10.0.0.0/8:5432`, `10.0.0.7:*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub net: Vec<NetTarget>,
    /// What `wasi:config` answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Buckets that `wasi:keyvalue` opens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 16)))]
    pub keyvalue: Vec<Bucket>,
}

/// One environment variable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Without `=`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 256)))]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 32768)))]
    pub value: String,
}

/// Values of environment variables are secrets often enough to keep them out of logs.
impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// Absolute path on the proplet's machine.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 4096)))]
    pub host_path: String,
    /// Where the component sees it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 4096)))]
    pub guest_path: String,
    /// Whether nothing in it can be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// One bucket of `wasi:keyvalue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// The identifier that the component opens it by.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63)))]
    pub bucket: String,
    /// Who else sees it.
    #[serde(default)]
    pub scope: BucketScope,
}

/// Who sees a bucket. Either lasts on its proplet until the proplet's state is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BucketScope {
    /// This task alone, all of its attempts on this proplet.
    #[default]
    Task,
    /// Every task of the namespace on this proplet.
    Namespace,
}

/// A host as people name it: a name, `*.` and a name, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this name, in lower case.
    Name(String),
    /// Every name below this one, but not this one.
    Below(String),
    /// Exactly this address.
    Address(IpAddr),
}

/// What outgoing HTTP may reach: a host, and a port if it isn't HTTP's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpTarget {
    /// The host.
    pub host: HostPattern,
    /// 80 and 443 if there is none.
    pub port: Option<NonZeroU16>,
}

/// Where sockets may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetTarget {
    /// Which hosts.
    pub host: NetHost,
    /// Any if there is none.
    pub port: Option<NonZeroU16>,
}

/// Hosts of a [`NetTarget`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NetHost {
    /// A name, in lower case, and what it resolves to.
    Name(String),
    /// A network in CIDR form, or one address of it.
    Network(IpNet),
}

/// The text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {problem}")]
pub struct InvalidTarget {
    text: String,
    what: &'static str,
    problem: &'static str,
}

impl HostPattern {
    /// Whether a host, as a URL names it, is meant.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::Name(name) => *name == host,
            Self::Below(parent) => host
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Address(address) => unbracketed(&host).parse() == Ok(*address),
        }
    }
}

impl HttpTarget {
    /// Whether a request to that host and port is meant.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let port_fits = match self.port {
            Some(granted) => granted.get() == port,
            None => matches!(port, 80 | 443),
        };
        port_fits && self.host.matches(host)
    }
}

impl FromStr for HttpTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| InvalidTarget {
            text: text.to_owned(),
            what: "HTTP host",
            problem,
        };
        let (host, port) = split_port(text);
        let port = port.map(str::parse).transpose().map_err(|_| invalid(PORT))?;
        let host = if let Ok(address) = unbracketed(host).parse() {
            HostPattern::Address(address)
        } else if let Some(parent) = host.strip_prefix("*.") {
            HostPattern::Below(name(parent).ok_or(invalid(HTTP_HOST))?)
        } else {
            HostPattern::Name(name(host).ok_or(invalid(HTTP_HOST))?)
        };
        Ok(Self { host, port })
    }
}

impl FromStr for NetTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |problem| InvalidTarget {
            text: text.to_owned(),
            what: "network target",
            problem,
        };
        let (host, port) = text.rsplit_once(':').ok_or(invalid(NET_HOST))?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().map_err(|_| invalid(PORT))?),
        };
        let host = match unbracketed(host) {
            bare if bare.parse::<IpNet>().is_ok() => {
                bare.parse().map(NetHost::Network).map_err(|_| invalid(NET_HOST))?
            }
            bare => match bare.parse::<IpAddr>() {
                Ok(address) => NetHost::Network(address.into()),
                Err(_) => NetHost::Name(name(bare).ok_or(invalid(NET_HOST))?),
            },
        };
        Ok(Self { host, port })
    }
}

const PORT: &str = "a port is a number from 1 to 65535";
const HTTP_HOST: &str =
    "write a name, `*.` and a name, or an address, and a port if it isn't 80 or 443, such as api.example.com:8443";
const NET_HOST: &str =
    "write a name, an address or a network, and a port or `*`, such as 10.0.0.0/8:5432 or [fd00::1]:53";

/// An IPv6 address in brackets may be followed by a port; one without can't be.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

/// A name as the domain name system has it ([RFC 1123](https://www.rfc-editor.org/rfc/rfc1123#section-2.1)), in lower case. One that ends in a
/// number is meant for an address, and is none ([URL Standard](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let inner = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let fits =
        text.len() <= 253 && text.split('.').all(is_label) && !text.split('.').next_back().is_some_and(is_number);
    fits.then(|| text.to_ascii_lowercase())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for NetTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            NetHost::Name(name) => f.write_str(name)?,
            NetHost::Network(network) if network.prefix_len() < network.max_prefix_len() => {
                bracketed(f, network, network.addr())?
            }
            NetHost::Network(network) => bracketed(f, &network.addr(), network.addr())?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

fn bracketed(f: &mut fmt::Formatter<'_>, shown: &dyn fmt::Display, address: IpAddr) -> fmt::Result {
    match address {
        IpAddr::V4(_) => shown.fmt(f),
        IpAddr::V6(_) => write!(f, "[{shown}]"),
    }
}

/// Both targets are text wherever they are written.
macro_rules! as_text {
    ($($target:ty),*) => {$(
        impl Serialize for $target {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $target {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $target {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($target).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": 300})
            }
        }
    )*};
}

as_text!(HttpTarget, NetTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_targets_are_read_and_written() {
        let check = |text: &str, shown: Option<&str>| {
            let read = text.parse::<HttpTarget>().ok().map(|target| target.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        };
        check("api.example.com", Some("api.example.com"));
        check("API.Example.com.:8080", Some("api.example.com:8080"));
        check("*.example.com", Some("*.example.com"));
        check("10.0.0.7:8080", Some("10.0.0.7:8080"));
        check("[::1]:8080", Some("[::1]:8080"));
        check("::1", Some("[::1]"));
        check("localhost", Some("localhost"));
        for wrong in [
            "",
            "*",
            "*.",
            "a:0",
            "a:x",
            "a:",
            "a b",
            "http://a",
            "10.0.0.256",
            "a..b",
            "a/b",
            "-a.b",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn http_targets_match_hosts_and_ports() {
        let check = |target: &str, host: &str, port: u16, expected: bool| {
            let target: HttpTarget = target.parse().unwrap();
            assert_eq!(target.matches(host, port), expected, "{target} {host} {port}");
        };
        check("example.com", "Example.com", 443, true);
        check("example.com", "example.com.", 80, true);
        check("example.com", "example.com", 8080, false);
        check("example.com:8080", "example.com", 8080, true);
        check("example.com", "a.example.com", 443, false);
        check("*.example.com", "a.b.example.com", 443, true);
        check("*.example.com", "example.com", 443, false);
        check("*.example.com", "badexample.com", 443, false);
        check("[::1]:80", "[::1]", 80, true);
        check("[::1]:80", "[0:0:0:0:0:0:0:1]", 80, true);
    }

    #[test]
    fn network_targets_are_read_and_written() {
        let check = |text: &str, shown: Option<&str>| {
            let read = text.parse::<NetTarget>().ok().map(|target| target.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        };
        check("db.example.com:5432", Some("db.example.com:5432"));
        check("10.0.0.0/8:5432", Some("10.0.0.0/8:5432"));
        check("10.0.0.7:*", Some("10.0.0.7:*"));
        check("[fd00::/8]:53", Some("[fd00::/8]:53"));
        check("[::1]:53", Some("[::1]:53"));
        for wrong in ["", "db", "10.0.0.0/33:1", "10.0.0.1:0", "10.0.0.1:70000", "*:80", ":80"] {
            check(wrong, None);
        }
    }

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let grants: Grants = serde_json::from_str(r#"{"env": [{"name": "TOKEN", "value": "hunter2"}]}"#).unwrap();
        assert!(!format!("{grants:?}").contains("hunter2"));
    }
}
