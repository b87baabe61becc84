//! Where a broker is.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// `mqtt://host[:1883]`, or `mqtts://host[:8883]` for TLS. No user name or password: an URL reaches logs and process lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BrokerUrl {
    secure: bool,
    host: String,
    port: u16,
}

/// The text isn't a broker's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBrokerUrl {
    /// Another scheme, or none.
    #[error("`{0}` is not a broker's URL: expected mqtt://host[:port] or mqtts://host[:port]")]
    Scheme(String),
    /// A user name or password. The text isn't repeated, since it holds one.
    #[error("the broker's URL holds a user name or password: configure them apart from it")]
    Credentials,
    /// The host is missing or has characters that no host has.
    #[error("`{0}` has no valid host")]
    Host(String),
    /// The port isn't a number from 1 to 65535.
    #[error("`{0}` has no valid port")]
    Port(String),
}

impl BrokerUrl {
    /// Whether the connection uses TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the default of the scheme if the text had none.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBrokerUrl> {
        if text.contains('@') {
            return Err(InvalidBrokerUrl::Credentials);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let (secure, default_port) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(InvalidBrokerUrl::Scheme(text.to_owned())),
        };
        let (host, port) = split(rest.strip_suffix('/').unwrap_or(rest));
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => Some(default_port),
        };
        Ok(Self {
            secure,
            host: host.ok_or_else(|| InvalidBrokerUrl::Host(text.to_owned()))?,
            port: port.ok_or_else(|| InvalidBrokerUrl::Port(text.to_owned()))?,
        })
    }
}

/// The host, if it is one, and the text of the port.
fn split(authority: &str) -> (Option<String>, Option<&str>) {
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let address = address.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
        let valid = address.filter(|_| rest.is_empty() || rest.starts_with(':'));
        return (valid, rest.strip_prefix(':'));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let valid = !host.is_empty() && host.bytes().all(allowed);
    (valid.then(|| host.to_owned()), port)
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl TryFrom<String> for BrokerUrl {
    type Error = InvalidBrokerUrl;

    fn try_from(text: String) -> Result<Self, InvalidBrokerUrl> {
        text.parse()
    }
}

impl From<BrokerUrl> for String {
    fn from(url: BrokerUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerUrl, InvalidBrokerUrl};

    #[test]
    fn urls_are_read_and_written_back() {
        let check = |text: &str, secure: bool, host: &str, port: u16, printed: &str| {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(
                (url.is_secure(), url.host(), url.port()),
                (secure, host, port),
                "{text}"
            );
            assert_eq!(url.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<BrokerUrl>().unwrap(), url);
        };
        check("mqtt://localhost", false, "localhost", 1883, "mqtt://localhost:1883");
        check("mqtts://mqtt.lab/", true, "mqtt.lab", 8883, "mqtts://mqtt.lab:8883");
        check(
            "mqtt://10.0.0.1:11883",
            false,
            "10.0.0.1",
            11883,
            "mqtt://10.0.0.1:11883",
        );
        check("mqtts://[::1]", true, "::1", 8883, "mqtts://[::1]:8883");
        check("mqtt://[fe80::1]:1", false, "fe80::1", 1, "mqtt://[fe80::1]:1");
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |text: &str, expected: fn(String) -> InvalidBrokerUrl| {
            assert_eq!(text.parse::<BrokerUrl>().unwrap_err(), expected(text.to_owned()));
        };
        check("", InvalidBrokerUrl::Scheme);
        check("localhost:1883", InvalidBrokerUrl::Scheme);
        check("http://localhost", InvalidBrokerUrl::Scheme);
        check("mqtt://", InvalidBrokerUrl::Host);
        check("mqtt://a b", InvalidBrokerUrl::Host);
        check("mqtt://a/topic", InvalidBrokerUrl::Host);
        check("mqtt://[::g]:1", InvalidBrokerUrl::Host);
        check("mqtt://a:", InvalidBrokerUrl::Port);
        check("mqtt://a:0", InvalidBrokerUrl::Port);
        check("mqtt://a:65536", InvalidBrokerUrl::Port);
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = "mqtt://me:secret@localhost".parse::<BrokerUrl>().unwrap_err();
        assert_eq!(error, InvalidBrokerUrl::Credentials);
        assert!(!error.to_string().contains("secret"));
    }
}
