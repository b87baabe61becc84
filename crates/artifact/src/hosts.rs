//! The registry hosts that we talk to, and which of them to ask for a reference.
//!
//! Each host has an HTTP client of its own with its own certificate authorities, so that credentials of one can't reach another. It is opened when it
//! is first needed, and forgotten when the host refuses us: the next attempt reads the credentials anew, which may have been rotated.

use std::{collections::HashMap, fs, path::PathBuf, sync::Mutex, time::Duration};

use oci_client::{
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};

use crate::{
    credentials,
    error::Error,
    get::Getter,
    reference::Reference,
    settings::{Registries, Registry, canonical},
    source::Source,
};

const USER_AGENT: &str = concat!("propeller/", env!("CARGO_PKG_VERSION"));

pub(crate) struct Hosts {
    registries: Registries,
    docker_config: Option<PathBuf>,
    connect: Duration,
    idle: Duration,
    opened: Mutex<HashMap<String, Opened>>,
}

#[derive(Clone)]
struct Opened {
    client: oci_client::Client,
    auth: RegistryAuth,
    getter: Getter,
}

/// Where a reference is looked for.
pub(crate) struct Places {
    /// Asked first, in this order.
    pub(crate) mirrors: Vec<Place>,
    /// The reference's own registry.
    pub(crate) home: Place,
}

/// A repository at one host.
pub(crate) struct Place {
    pub(crate) host: String,
    reference: oci_client::Reference,
}

impl Hosts {
    /// Fails where the settings of a registry can't work, so that a start-up ends there and not the first pull.
    pub(crate) fn new(
        registries: Registries,
        docker_config: Option<PathBuf>,
        connect: Duration,
        idle: Duration,
    ) -> Result<Self, Error> {
        check_tls()?;
        let hosts = Self {
            registries,
            docker_config,
            connect,
            idle,
            opened: Mutex::default(),
        };
        for host in hosts.registries.hosts() {
            open(host, &hosts.registries.of(host), connect, idle)?;
        }
        Ok(hosts)
    }

    /// Where a pull asks.
    pub(crate) fn for_pull(&self, reference: &Reference) -> Places {
        let mirrors = self
            .registries
            .of(reference.registry())
            .mirrors
            .into_iter()
            .map(|mirror| {
                let repository = match mirror.prefix {
                    Some(prefix) => format!("{prefix}/{}", reference.repository()),
                    None => reference.repository().to_owned(),
                };
                Place {
                    reference: reference.at(mirror.host.clone(), repository),
                    host: mirror.host,
                }
            });
        Places {
            mirrors: mirrors.collect(),
            ..self.for_push(reference)
        }
    }

    /// Where a push goes: never to a mirror.
    pub(crate) fn for_push(&self, reference: &Reference) -> Places {
        let host = canonical(reference.registry());
        let home = Place {
            reference: reference.at(host.clone(), reference.repository().to_owned()),
            host,
        };
        Places {
            mirrors: Vec::new(),
            home,
        }
    }

    /// A way to ask there, with the credentials of that host.
    pub(crate) async fn source(&self, place: &Place) -> Result<Source, Error> {
        let opened = self.opened().get(&place.host).cloned();
        let opened = match opened {
            Some(opened) => opened,
            None => self.open(&place.host).await?,
        };
        // oci-client attaches to a request only what was stored for its registry before.
        opened
            .client
            .store_auth_if_needed(place.reference.resolve_registry(), &opened.auth)
            .await;
        Ok(Source {
            host: place.host.clone(),
            client: opened.client,
            auth: opened.auth,
            getter: opened.getter,
            reference: place.reference.clone(),
        })
    }

    /// Drops what is known about a host, its credentials before all.
    pub(crate) fn forget(&self, host: &str) {
        self.opened().remove(host);
    }

    /// Two callers may both open a host; the later one's stays, and either works.
    async fn open(&self, host: &str) -> Result<Opened, Error> {
        let (settings, docker_config) = (self.registries.of(host), self.docker_config.clone());
        let (name, connect, idle) = (host.to_owned(), self.connect, self.idle);
        let work = move || -> Result<Opened, Error> {
            let auth = credentials::of(&name, settings.login.as_ref(), docker_config.as_deref())?;
            let (client, getter) = open(&name, &settings, connect, idle)?;
            Ok(Opened { client, auth, getter })
        };
        let opened = tokio::task::spawn_blocking(work).await.map_err(invalid(host))??;
        self.opened().insert(host.to_owned(), opened.clone());
        Ok(opened)
    }

    /// The map holds no half-done state, so a panic elsewhere doesn't spoil it.
    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<String, Opened>> {
        self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What writes there, and what reads. `try_from`, because `new` answers a certificate that it can't read by trusting the defaults.
fn open(
    host: &str,
    settings: &Registry,
    connect: Duration,
    idle: Duration,
) -> Result<(oci_client::Client, Getter), Error> {
    let (protocol, scheme) = match settings.is_plain_http(host) {
        true => (ClientProtocol::Http, "http"),
        false => (ClientProtocol::Https, "https"),
    };
    let mut config = ClientConfig {
        protocol,
        // The only way to push that reports what a registry gets wrong as an error in every case.
        use_monolithic_push: true,
        connect_timeout: Some(connect),
        read_timeout: Some(idle),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    };
    let mut http = reqwest::Client::builder()
        .connect_timeout(connect)
        .read_timeout(idle)
        .user_agent(USER_AGENT);
    if let Some(path) = &settings.ca {
        let certificate = certificates(host, path)?;
        http = http.tls_certs_merge([reqwest::Certificate::from_pem(&certificate.data).map_err(invalid(host))?]);
        config.extra_root_certificates = vec![certificate];
    }
    let getter = Getter::new(http.build().map_err(invalid(host))?, scheme);
    Ok((oci_client::Client::try_from(config).map_err(invalid(host))?, getter))
}

/// A PEM file without certificates would add nothing, in silence.
fn certificates(host: &str, path: &PathBuf) -> Result<Certificate, Error> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let in_file = |problem: String| invalid(host)(std::io::Error::other(format!("ca {}: {problem}", path.display())));
    let data = fs::read(path).map_err(|error| in_file(error.to_string()))?;
    if !data.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(in_file("no PEM certificate in it".into()));
    }
    Ok(Certificate {
        encoding: CertificateEncoding::Pem,
        data,
    })
}

/// oci-client builds a default HTTP client along with each configured one and panics if it can't, so what that needs is checked before.
fn check_tls() -> Result<(), Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(invalid("*")(
            "the program installed no TLS provider (rustls::crypto::CryptoProvider)",
        ));
    }
    reqwest::Client::builder().build().map(drop).map_err(invalid("*"))
}

fn invalid<E: Into<Box<dyn std::error::Error + Send + Sync>>>(host: &str) -> impl FnOnce(E) -> Error {
    let registry = host.to_owned();
    move |source| Error::InvalidSettings {
        registry,
        source: source.into(),
    }
}
