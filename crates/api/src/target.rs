//! Where a task may go over the network, as people write it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU16,
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
            Self::Address(address) => bracketed(&host).unwrap_or(&host).parse() == Ok(*address),
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
        if let Some(address) = ipv6(text) {
            // Without brackets there can't be a port.
            let host = HostPattern::Address(address.into());
            return Ok(Self { host, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if !text.ends_with(']') => (host, Some(port(digits).ok_or(invalid(PORT))?)),
            _ => (text, None),
        };
        let host = if let Some(address) = address(host) {
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
        let (host, digits) = text.rsplit_once(':').ok_or(invalid(NET_HOST))?;
        let port = match digits {
            "*" => None,
            digits => Some(port(digits).ok_or(invalid(PORT))?),
        };
        let host = match network(host) {
            Some(network) => NetHost::Network(network),
            None => NetHost::Name(name(host).ok_or(invalid(NET_HOST))?),
        };
        Ok(Self { host, port })
    }
}

const PORT: &str = "a port is a number from 1 to 65535";
pub(crate) const HTTP_HOST: &str = "write a name, `*.` and a name, or an address, and a port if it isn't 80 or 443, such as api.example.com:8443 or [fd00::1]:8080";
pub(crate) const NET_HOST: &str =
    "write a name, an address or a network, and a port or `*`, such as 10.0.0.0/8:5432 or [fd00::1]:53";

/// Digits alone: Rust would read `+80` and `080` too.
fn port(digits: &str) -> Option<NonZeroU16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// An IPv4 address, or an IPv6 address in brackets, so that what follows can only be a port.
fn address(text: &str) -> Option<IpAddr> {
    match bracketed(text) {
        Some(inner) => ipv6(inner).map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// One that stands for an IPv4 address is refused: what it means isn't the same everywhere.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse()
        .ok()
        .filter(|address: &Ipv6Addr| address.to_ipv4_mapped().is_none())
}

/// A network in CIDR form or an address, which is a network of one. Of IPv6 either is in brackets.
fn network(text: &str) -> Option<IpNet> {
    let inner = bracketed(text).unwrap_or(text);
    let Some((host, digits)) = inner.split_once('/') else {
        return address(text).map(IpNet::from);
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let length = digits.parse().ok().filter(|_| plain)?;
    let address = match inner.len() < text.len() {
        true => ipv6(host).map(IpAddr::V6),
        false => host.parse().ok().map(IpAddr::V4),
    };
    IpNet::new(address?, length).ok()
}

fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// A name as the domain name system has it ([RFC 1123](https://www.rfc-editor.org/rfc/rfc1123#section-2.1)), in lower case. One that ends in a
/// number is meant for an address, and is none ([URL Standard](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn name(text: &str) -> Option<String> {
    if text.len() > 253 {
        return None;
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let inner = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let fits = text.split('.').all(is_label) && !text.split('.').next_back().is_some_and(is_number);
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
                in_brackets(f, network, network.addr())?
            }
            NetHost::Network(network) => in_brackets(f, &network.addr(), network.addr())?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

fn in_brackets(f: &mut fmt::Formatter<'_>, shown: &dyn fmt::Display, address: IpAddr) -> fmt::Result {
    match address {
        IpAddr::V4(_) => shown.fmt(f),
        IpAddr::V6(_) => write!(f, "[{shown}]"),
    }
}

/// Both targets are text wherever they are written.
macro_rules! as_text {
    ($($target:ty: $schema:ident),*) => {$(
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
                crate::schema::$schema()
            }
        }
    )*};
}

as_text!(HttpTarget: http_target, NetTarget: net_target);

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
        check("[::1]", Some("[::1]"));
        check("localhost", Some("localhost"));
        for wrong in [
            "",
            "*",
            "*.",
            "a:0",
            "a:x",
            "a:080",
            "a:+80",
            "a:65536",
            "a:",
            "a b",
            "http://a",
            "10.0.0.256",
            "[10.0.0.7]:80",
            "[a]:80",
            "::ffff:10.0.0.7",
            "[::1",
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
        for wrong in [
            "",
            "db",
            "10.0.0.0/33:1",
            "10.0.0.0/08:1",
            "10.0.0.0/:1",
            "10.0.0.1:0",
            "10.0.0.1:70000",
            "fd00::1:53",
            "fd00::/8:53",
            "[::ffff:0:0/96]:53",
            "[db]:53",
            "*:80",
            ":80",
        ] {
            check(wrong, None);
        }
    }
}
