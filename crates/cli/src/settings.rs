//! Where files are, and how registries are reached: flags first, then the environment, then the configuration file.
//!
//! ```toml
//! [registries."registry.lab:5000"]
//! ca = "/etc/propeller/lab-ca.pem"
//! username = "me"
//! password-file = "/home/me/.config/propeller/lab-password"
//! ```
//!
//! The tables are those of a proplet's configuration; [`propeller_artifact::Registry`] says what each means.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use propeller_artifact::{Client, ClientConfig, Patience, Reference, Registries, Registry, default_docker_config};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{args::RegistryArgs, failure::Failure};

/// What the environment says about places and who asks. Read once, by `main`.
#[derive(Debug, Default)]
pub struct Environment {
    pub home: Option<PathBuf>,
    pub config_home: Option<PathBuf>,
    pub cache_home: Option<PathBuf>,
    pub state_home: Option<PathBuf>,
    pub docker_config: Option<PathBuf>,
    /// URL of a control plane.
    pub server: Option<String>,
    /// What it knows a person by.
    pub token: Option<SecretString>,
}

impl Environment {
    /// The environment of this process.
    pub fn read() -> Self {
        // The XDG Base Directory Specification has relative paths ignored, and so the empty one.
        let directory = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let text = |name| env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            home: env::home_dir(),
            config_home: directory("XDG_CONFIG_HOME"),
            cache_home: directory("XDG_CACHE_HOME"),
            state_home: directory("XDG_STATE_HOME"),
            docker_config: default_docker_config(),
            server: text("PROPELLER_SERVER"),
            token: text("PROPELLER_TOKEN").map(SecretString::from),
        }
    }

    /// Where artifacts and compiled code are kept, if anybody says so.
    pub fn cache(&self, args: &RegistryArgs) -> Option<PathBuf> {
        let default = || self.below(&self.cache_home, ".cache", "");
        args.cache.clone().or_else(default)
    }

    /// Where buckets are kept that components open, if there is a place.
    pub fn keyvalue(&self) -> Option<PathBuf> {
        self.below(&self.state_home, ".local/state", "keyvalue.redb")
    }

    /// Where `propeller up` leaves its address and its token, if there is a place.
    pub fn server_file(&self) -> Option<PathBuf> {
        self.below(&self.state_home, ".local/state", "server.json")
    }

    /// Where `propeller up` keeps its state, if there is a place.
    pub fn up(&self) -> Option<PathBuf> {
        self.below(&self.state_home, ".local/state", "up")
    }

    /// How all registries are reached.
    pub fn registries(&self, args: &RegistryArgs) -> Result<Registries, Failure> {
        self.tables(args)?.into_registries("", false)
    }

    /// A client for the registry of this reference.
    pub fn client(&self, args: &RegistryArgs, reference: &Reference) -> Result<Client, Failure> {
        let cache = self.cache(args);
        let tables = self.tables(args)?;
        Ok(Client::new(ClientConfig {
            registries: tables.into_registries(reference.registry(), args.plain_http)?,
            docker_config: self.docker_config.clone(),
            patience: patience(),
            ..ClientConfig::new(cache.ok_or(Failure::NoCacheDirectory)?)
        })?)
    }

    /// A configuration that was named must be there; the default one need not.
    fn tables(&self, args: &RegistryArgs) -> Result<Tables, Failure> {
        let default = || self.below(&self.config_home, ".config", "config.toml");
        let Some(path) = args.config.clone().or_else(default) else {
            return Ok(Tables::default());
        };
        match fs::read_to_string(&path) {
            Ok(text) => Tables::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && args.config.is_none() => Ok(Tables::default()),
            Err(source) => Err(Failure::ReadFile { path, source }),
        }
    }

    fn below(&self, base: &Option<PathBuf>, in_home: &str, name: &str) -> Option<PathBuf> {
        let base = base.clone().or_else(|| Some(self.home.as_ref()?.join(in_home)))?;
        Some(base.join("propeller").join(name))
    }
}

/// A person waits, who can see what is wrong and try again: give up sooner than a proplet does.
fn patience() -> Patience {
    Patience {
        tries: 3,
        first_delay: Duration::from_millis(250),
        ..Patience::default()
    }
}

/// The configuration file, and where it was.
#[derive(Debug, Default)]
struct Tables {
    path: PathBuf,
    registries: BTreeMap<String, Registry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    registries: BTreeMap<String, Registry>,
}

impl Tables {
    fn parse(text: &str, path: PathBuf) -> Result<Self, Failure> {
        match toml::from_str(text) {
            Ok(ConfigFile { registries }) => Ok(Self { path, registries }),
            Err(source) => {
                let source = Box::new(source);
                Err(Failure::ParseConfig { path, source })
            }
        }
    }

    /// With `--plain-http`, what the flag says about `host` counts more than its table.
    fn into_registries(mut self, host: &str, plain_http: bool) -> Result<Registries, Failure> {
        if plain_http {
            let known = self
                .registries
                .keys()
                .find(|known| known.eq_ignore_ascii_case(host))
                .cloned();
            let table = self.registries.entry(known.unwrap_or_else(|| host.to_owned()));
            table.or_default().plain_http = Some(true);
        }
        let Self { path, registries } = self;
        Registries::try_from(registries).map_err(|source| Failure::InvalidConfig { path, source })
    }
}

/// Reads a file that the person named.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::ReadFile {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> Result<Tables, Failure> {
        Tables::parse(text, "config.toml".into())
    }

    #[test]
    fn places_are_below_the_xdg_directories_or_home() {
        let environment = |config_home: Option<&str>| Environment {
            home: Some("/home/me".into()),
            config_home: config_home.map(PathBuf::from),
            ..Environment::default()
        };
        let check = |environment: &Environment, expected: &str| {
            let path = environment.below(&environment.config_home, ".config", "config.toml");
            assert_eq!(path, Some(expected.into()));
        };
        check(&environment(Some("/xdg")), "/xdg/propeller/config.toml");
        check(&environment(None), "/home/me/.config/propeller/config.toml");
        assert_eq!(Environment::default().below(&None, ".cache", ""), None);
    }

    #[test]
    fn plain_http_is_for_the_one_host() {
        let text =
            "[registries.\"Lab:5000\"]\nmirrors = [\"mirror.lab\"]\n[registries.\"ghcr.io\"]\nplain-http = false";
        let table = |host: &str, mirrors: &[&str], plain_http| {
            let registry = Registry {
                mirrors: mirrors.iter().map(|mirror| mirror.parse().unwrap()).collect(),
                plain_http,
                ..Registry::default()
            };
            (host.to_owned(), registry)
        };
        let check = |host: &str, plain_http: bool, expected: Vec<(String, Registry)>| {
            let registries = tables(text).unwrap().into_registries(host, plain_http).unwrap();
            let expected: BTreeMap<_, _> = expected.into_iter().collect();
            assert_eq!(registries, Registries::try_from(expected).unwrap());
        };
        let (lab, ghcr) = (
            |asked| table("lab:5000", &["mirror.lab"], asked),
            |asked| table("ghcr.io", &[], asked),
        );
        check("lab:5000", true, vec![lab(Some(true)), ghcr(Some(false))]);
        check("ghcr.io", true, vec![lab(None), ghcr(Some(true))]);
        check(
            "a.lab",
            true,
            vec![lab(None), ghcr(Some(false)), table("a.lab", &[], Some(true))],
        );
        check("lab:5000", false, vec![lab(None), ghcr(Some(false))]);
    }

    #[test]
    fn what_a_configuration_cannot_have_is_refused() {
        for text in [
            "registry = 1",
            "[registries.\"a\"]\ninsecure = true",
            "[registries",
            "[registries.\"a\"]\nusername = \"x\"",
        ] {
            assert_eq!(
                tables(text).map(drop).unwrap_err().reason(),
                "InvalidSettings",
                "{text}"
            );
        }
        let not_a_host = tables("[registries.\"a/b\"]").unwrap().into_registries("a", false);
        assert_eq!(not_a_host.unwrap_err().reason(), "InvalidSettings");
    }
}
