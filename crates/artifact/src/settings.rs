//! What a person configures about registries: one table per registry host, the same in every binary's file.
//!
//! ```toml
//! [registries."docker.io"]
//! mirrors = ["mirror.lab:5000", "harbor.lab/docker-hub"]
//!
//! [registries."mirror.lab:5000"]
//! ca = "/etc/propeller/lab-ca.pem"
//! username = "edge-1"
//! password-file = "/run/secrets/mirror"
//! ```

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, str::FromStr};

use serde::Deserialize;

/// The settings of all registries by host. A host without a table is reached over HTTPS with the system's certificate authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Registry>")]
pub struct Registries(BTreeMap<String, Registry>);

/// How one registry host is reached. As a mirror, a host uses its own table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RegistryTable")]
pub struct Registry {
    /// Asked in this order before the registry itself, for pulls only.
    pub mirrors: Vec<Mirror>,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether the registry speaks HTTP without TLS. Where nothing is said, only loopback hosts do.
    pub plain_http: Option<bool>,
    /// Who we are there. Where nothing is said, Docker's configuration file is asked.
    pub login: Option<Login>,
}

/// A user name, and the file that holds its password. A line break at the file's end isn't part of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name, not secret.
    pub username: String,
    /// Read whenever credentials are needed anew, so that a rotated password needs no restart.
    pub password_file: PathBuf,
}

/// A host that serves the same artifacts, below a path of its own if one is given: `mirror.lab:5000`, `harbor.lab/docker-hub`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mirror {
    pub(crate) host: String,
    pub(crate) prefix: Option<String>,
}

/// A setting of a registry doesn't make sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidSetting {
    text: String,
    expected: &'static str,
}

impl InvalidSetting {
    fn new(text: impl Into<String>, expected: &'static str) -> Self {
        Self {
            text: text.into(),
            expected,
        }
    }
}

impl Registries {
    /// The settings of a host, the defaults if it has no table.
    pub(crate) fn of(&self, host: &str) -> Registry {
        self.0.get(&canonical(host)).cloned().unwrap_or_default()
    }

    /// Every host that has a table.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl TryFrom<BTreeMap<String, Registry>> for Registries {
    type Error = InvalidSetting;

    fn try_from(tables: BTreeMap<String, Registry>) -> Result<Self, InvalidSetting> {
        let named = tables.into_iter().map(|(host, table)| match is_host(&host) {
            true => Ok((canonical(&host), table)),
            false => Err(InvalidSetting::new(
                host,
                "a registry host, like `ghcr.io` or `localhost:5000`",
            )),
        });
        named.collect::<Result<_, _>>().map(Self)
    }
}

impl From<Registries> for BTreeMap<String, Registry> {
    fn from(registries: Registries) -> Self {
        registries.0
    }
}

impl Registry {
    /// Whether requests to `host` go out without TLS.
    pub(crate) fn is_plain_http(&self, host: &str) -> bool {
        self.plain_http.unwrap_or_else(|| is_loopback(host))
    }
}

impl FromStr for Mirror {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix.to_owned())),
            None => (text, None),
        };
        if !is_host(host) || prefix.as_ref().is_some_and(|prefix| !is_path(prefix)) {
            return Err(InvalidSetting::new(
                text,
                "a mirror, like `mirror.lab:5000` or `harbor.lab/docker-hub`",
            ));
        }
        Ok(Self {
            host: canonical(host),
            prefix,
        })
    }
}

impl TryFrom<String> for Mirror {
    type Error = InvalidSetting;

    fn try_from(text: String) -> Result<Self, InvalidSetting> {
        text.parse()
    }
}

/// The table as it is written. User name and password file only make sense together, which [`Login`] says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RegistryTable {
    #[serde(default)]
    mirrors: Vec<Mirror>,
    ca: Option<PathBuf>,
    plain_http: Option<bool>,
    username: Option<String>,
    password_file: Option<PathBuf>,
}

impl TryFrom<RegistryTable> for Registry {
    type Error = InvalidSetting;

    fn try_from(table: RegistryTable) -> Result<Self, InvalidSetting> {
        let login = match (table.username, table.password_file) {
            (Some(username), Some(password_file)) => Some(Login {
                username,
                password_file,
            }),
            (None, None) => None,
            (Some(_), None) => return Err(InvalidSetting::new("username", "complete without `password-file`")),
            (None, Some(_)) => return Err(InvalidSetting::new("password-file", "complete without `username`")),
        };
        Ok(Self {
            mirrors: table.mirrors,
            ca: table.ca,
            plain_http: table.plain_http,
            login,
        })
    }
}

/// One spelling per registry: hosts are case-insensitive, and Docker Hub has three names.
pub(crate) fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => host,
    }
}

fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    text.split('/')
        .all(|part| !part.is_empty() && part.bytes().all(allowed) && part.trim_matches('.') == part)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        #[serde(default)]
        registries: Registries,
    }

    #[test]
    fn tables_are_read() {
        let file: File = toml::from_str(
            r#"
            [registries."index.docker.io"]
            mirrors = ["mirror.lab:5000", "harbor.lab/docker-hub"]
            [registries."Mirror.lab:5000"]
            ca = "/ca.pem"
            plain-http = false
            username = "edge-1"
            password-file = "/run/secrets/mirror"
            "#,
        )
        .unwrap();
        let mirrors = file.registries.of("docker.io").mirrors;
        assert_eq!(
            mirrors[0],
            Mirror {
                host: "mirror.lab:5000".into(),
                prefix: None
            }
        );
        assert_eq!(
            mirrors[1],
            Mirror {
                host: "harbor.lab".into(),
                prefix: Some("docker-hub".into())
            }
        );
        let mirror = file.registries.of("mirror.lab:5000");
        assert_eq!(mirror.login.unwrap().username, "edge-1");
        assert_eq!((mirror.ca, mirror.plain_http), (Some("/ca.pem".into()), Some(false)));
        assert_eq!(file.registries.of("ghcr.io"), Registry::default());
        assert_eq!(toml::from_str::<File>("").unwrap().registries, Registries::default());
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, expected: &str| {
            let error = toml::from_str::<File>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("[registries.\"https://ghcr.io\"]", "not a registry host");
        check("[registries.\"ghcr.io/you\"]", "not a registry host");
        check("[registries.\"ghcr.io\"]\nusername = \"x\"", "password-file");
        check("[registries.\"ghcr.io\"]\npassword-file = \"x\"", "username");
        check("[registries.\"ghcr.io\"]\ninsecure = true", "unknown field `insecure`");
        check("[registries.\"ghcr.io\"]\nmirrors = [\"http://a.lab\"]", "not a mirror");
        check("[registries.\"ghcr.io\"]\nmirrors = [\"a.lab/../x\"]", "not a mirror");
    }

    #[test]
    fn only_loopback_speaks_plain_http_unasked() {
        let check = |host: &str, expected: bool| {
            assert_eq!(Registry::default().is_plain_http(host), expected, "{host}");
        };
        check("localhost", true);
        check("localhost:5000", true);
        check("127.0.0.1:5000", true);
        check("127.8.8.8", true);
        check("[::1]:5000", true);
        check("ghcr.io", false);
        check("10.0.0.1:5000", false);
        check("localhost.example.com:5000", false);
        assert!(
            Registry {
                plain_http: Some(true),
                ..Registry::default()
            }
            .is_plain_http("10.0.0.1:5000")
        );
        assert!(
            !Registry {
                plain_http: Some(false),
                ..Registry::default()
            }
            .is_plain_http("localhost:5000")
        );
    }
}
