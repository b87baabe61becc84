//! Whom the API server vouches for: whose certificate opens, and which headers name the user then.
//!
//! The cluster says both in a ConfigMap, which the API server keeps up to date. Until it was read nobody gets in.

use std::{collections::BTreeMap, fs, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use axum::http::{HeaderMap, HeaderName};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use percent_encoding::percent_decode_str;
use rcgen::generate_simple_self_signed;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{sync::watch, time::interval};

use super::tls;
use crate::settings;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// Between two looks at the files of the certificate, which may be renewed.
const RENEWED: Duration = Duration::from_secs(60);

/// What gets in, and as whom.
pub(super) struct Door {
    pub(super) front: Front,
    pub(super) tls: Arc<ServerConfig>,
}

/// The API server's front proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Whose certificates of theirs count, by common name; empty is all.
    pub(super) names: Vec<String>,
    user: Vec<HeaderName>,
    uid: Vec<HeaderName>,
    group: Vec<HeaderName>,
    extra: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// Who we say that we are.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: Option<settings::Identity>,
}

/// Keeps the door as the cluster and the certificate's files want it, for ever.
pub(super) async fn watch(client: Client, mut identity: Identity, opened: watch::Sender<Option<Arc<Door>>>) {
    let maps = Api::<ConfigMap>::namespaced(client, NAMESPACE);
    let mut changes = pin!(watch_object(maps, NAME).default_backoff());
    let mut renewed = interval(RENEWED);
    let mut known = None;
    let mut is_told = false;
    loop {
        tokio::select! {
            Some(change) = changes.next() => match change.map_err(Into::into).and_then(|map| Front::read(map.as_ref())) {
                Ok(front) => known = Some(front),
                // What was known stays: an API server that is away changes nothing.
                Err(error) => {
                    if !is_told {
                        tell(&error);
                    }
                    is_told = true;
                    continue;
                }
            },
            _ = renewed.tick() => match identity.renew() {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    tracing::warn!(error = AsRef::<dyn std::error::Error>::as_ref(&error), "the renewed certificate for lines of tasks can't be used");
                    continue;
                }
            },
        }
        let Some(front) = known.clone() else { continue };
        match tls::config(&front, &identity) {
            Ok(tls) => {
                is_told = false;
                opened.send_replace(Some(Arc::new(Door { front, tls })));
                tracing::info!("lines of tasks are open to the API server");
            }
            Err(error) => tell(&error),
        }
    }
}

fn tell(error: &anyhow::Error) {
    tracing::warn!(
        error = AsRef::<dyn std::error::Error>::as_ref(error),
        "what the API server shows of itself isn't known, so that nobody can ask for lines of tasks: see that operator/rbac.yaml is applied, and that \
         the API server has an aggregation layer"
    );
}

impl Front {
    /// What the cluster's ConfigMap says.
    fn read(map: Option<&ConfigMap>) -> Result<Self> {
        let data = map.and_then(|map| map.data.as_ref());
        let data = data.with_context(|| format!("there is no ConfigMap {NAMESPACE}/{NAME}"))?;
        let list = |key: &str| -> Result<Vec<String>> {
            let text = data.get(key).map_or("[]", String::as_str);
            serde_json::from_str(text).with_context(|| format!("{key} isn't a list"))
        };
        let headers = |key: &str| -> Result<Vec<HeaderName>> {
            let names = list(key)?;
            let names = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
            names
                .collect::<Result<_, _>>()
                .with_context(|| format!("{key} has what is no header"))
        };
        let key = "requestheader-client-ca-file";
        let pem = data.get(key).with_context(|| format!("it has no {key}"))?;
        let authorities = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let front = Self {
            authorities: authorities.map_err(|error| anyhow!("{key}: {error}"))?,
            names: list("requestheader-allowed-names")?,
            user: headers("requestheader-username-headers")?,
            uid: headers("requestheader-uid-headers")?,
            group: headers("requestheader-group-headers")?,
            extra: list("requestheader-extra-headers-prefix")?,
        };
        ensure!(!front.authorities.is_empty(), "{key} has no certificate");
        ensure!(!front.user.is_empty(), "requestheader-username-headers is empty");
        Ok(front)
    }

    /// Who asks, by the headers of somebody with the certificate.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let first = |names: &[HeaderName]| {
            let values = names.iter().filter_map(|name| text(headers.get(name)?));
            values.into_iter().find(|value| !value.is_empty())
        };
        let groups = self.group.iter().flat_map(|name| headers.get_all(name));
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in headers {
            let key = self.extra.iter().find_map(|prefix| extra_key(name, prefix));
            if let (Some(key), Some(value)) = (key, text(value)) {
                extra.entry(key).or_default().push(value);
            }
        }
        Some(User {
            name: first(&self.user)?,
            uid: first(&self.uid),
            groups: groups.filter_map(text).collect(),
            extra,
        })
    }
}

fn text(value: &axum::http::HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

/// Names of headers are in lower case here, and so are keys. What no header may have in its name is escaped in it.
fn extra_key(name: &HeaderName, prefix: &str) -> Option<String> {
    let key = name.as_str().strip_prefix(&prefix.to_ascii_lowercase())?;
    let key = percent_decode_str(key).decode_utf8().ok()?;
    Some(key.into_owned()).filter(|key| !key.is_empty())
}

impl Identity {
    /// That of the files, or one that is made now for the Service of that namespace.
    pub(super) fn new(files: Option<settings::Identity>, namespace: &str) -> Result<Self> {
        if let Some(files) = files {
            let (chain, key) = read(&files)?;
            return Ok(Self {
                chain,
                key,
                files: Some(files),
            });
        }
        let names = [format!("{}.{namespace}.svc", super::route::SERVICE)];
        let made =
            generate_simple_self_signed(names).context("no certificate can be made to serve lines of tasks with")?;
        Ok(Self {
            chain: vec![made.cert.der().clone()],
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| anyhow!(error))?,
            files: None,
        })
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// Reads the files again. Returns whether they have changed.
    fn renew(&mut self) -> Result<bool> {
        let Some(files) = &self.files else { return Ok(false) };
        let (chain, key) = read(files)?;
        // The two are written one after the other, so either may be the newer one.
        let is_new = chain != self.chain || key.secret_der() != self.key.secret_der();
        (self.chain, self.key) = (chain, key);
        Ok(is_new)
    }
}

fn read(files: &settings::Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let settings::Identity { certificate, key } = files;
    let pem =
        fs::read(certificate).with_context(|| format!("cannot read logs.certificate {}", certificate.display()))?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow!("logs.certificate {}: {error}", certificate.display()))?;
    if chain.is_empty() {
        bail!("logs.certificate {} has no certificate", certificate.display());
    }
    let pem = fs::read(key).with_context(|| format!("cannot read logs.key {}", key.display()))?;
    // Its error could have a part of the file in it.
    let key =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| anyhow!("logs.key {} has no private key", key.display()))?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;
    use serde_json::json;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        let data = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ConfigMap {
            data: Some(data.collect()),
            ..ConfigMap::default()
        }
    }

    fn pem() -> String {
        generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem()
    }

    fn front() -> Front {
        let map = map(&[
            ("requestheader-client-ca-file", &pem()),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ]);
        Front::read(Some(&map)).unwrap()
    }

    #[test]
    fn the_user_is_in_the_headers_that_the_cluster_names() {
        let mut headers = HeaderMap::new();
        assert_eq!(front().user(&headers), None);
        for (name, value) in [
            ("X-Remote-User", "ann"),
            ("X-Remote-Group", "lab"),
            ("X-Remote-Group", "system:authenticated"),
            ("X-Remote-Extra-Scopes", "read"),
            ("X-Remote-Extra-Acme.com%2fproject", "roof"),
            ("X-Remote-Extra-", "nothing"),
            ("X-Else-User", "bob"),
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let user = front().user(&headers).unwrap();
        assert_eq!(user.name, "ann");
        assert_eq!(user.groups, ["lab", "system:authenticated"]);
        assert_eq!(
            json!(user.extra),
            json!({"scopes": ["read"], "acme.com/project": ["roof"]})
        );
    }

    #[test]
    fn what_the_cluster_does_not_say_opens_nothing() {
        let check = |map: Option<&ConfigMap>, expected: &str| {
            let error = format!("{:#}", Front::read(map).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        let user = ("requestheader-username-headers", r#"["X-Remote-User"]"#);
        check(None, "there is no ConfigMap");
        check(Some(&map(&[user])), "no requestheader-client-ca-file");
        check(
            Some(&map(&[user, ("requestheader-client-ca-file", "")])),
            "has no certificate",
        );
        check(
            Some(&map(&[("requestheader-client-ca-file", &pem())])),
            "requestheader-username-headers is empty",
        );
        check(
            Some(&map(&[
                user,
                ("requestheader-allowed-names", "front"),
                ("requestheader-client-ca-file", &pem()),
            ])),
            "requestheader-allowed-names isn't a list",
        );
    }

    #[test]
    fn a_pair_of_files_is_read_again_when_it_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let files = settings::Identity {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
        };
        let write = || {
            let made = generate_simple_self_signed(["x".to_owned()]).unwrap();
            fs::write(&files.certificate, made.cert.pem()).unwrap();
            fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        };
        assert!(Identity::new(Some(files.clone()), "lab").is_err());
        write();
        let mut identity = Identity::new(Some(files.clone()), "lab").unwrap();
        let chain = identity.chain();
        assert!(!identity.renew().unwrap());
        write();
        assert!(identity.renew().unwrap());
        assert_ne!(identity.chain(), chain);
        fs::write(&files.key, "no key").unwrap();
        assert!(identity.renew().is_err());
    }
}
