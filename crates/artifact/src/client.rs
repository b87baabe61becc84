//! Resolve and fetch: from a reference to bytes that are what their digest says.

use std::fmt;

use bytes::Bytes;
use oci_client::manifest::OciImageManifest;
use propeller_api::Digest;

use crate::{
    cache::Cache,
    config::ClientConfig,
    digest::digest_of,
    error::Error,
    flights::Flights,
    layout::{self, Blob, Manifest},
    network::Network,
    progress::Progress,
    reference::{InvalidReference, Reference},
    wasm,
};

/// The distribution spec asks registries to take manifests of this size, and none to take larger ones:
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests>. Configs are held to the same.
const MAX_METADATA: u64 = 4 * 1024 * 1024;

/// A reference that was looked up: what a task records and a start names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The reference as it was asked for.
    pub reference: Reference,
    /// Digest of the artifact's manifest: of the one for WebAssembly, where the reference names an index.
    pub manifest: Digest,
    /// Digest of the component itself.
    pub component: Digest,
    /// Size of the component in bytes, as its manifest gives it.
    pub size: u64,
    /// Type of the layer that holds the component.
    pub media_type: String,
    /// What the component imports, where its publisher says so. A claim that can spare a download, not a fact.
    pub imports: Option<Vec<String>>,
}

impl Resolved {
    /// The same artifact by a reference that can't move.
    pub fn pinned(&self) -> Reference {
        self.reference.pinned(&self.manifest)
    }
}

/// A component, verified against its digest.
#[derive(Clone)]
pub struct Artifact {
    /// The manifest that was resolved or asked for.
    pub manifest: Digest,
    /// Digest of `bytes`.
    pub component: Digest,
    /// A WebAssembly binary. Whether it is a component is for those who parse it.
    pub bytes: Bytes,
}

/// Fetches and publishes artifacts. One per process is enough; methods take `&self` and may run at the same time.
pub struct Client {
    pub(crate) network: Network,
    cache: Cache,
    flights: Flights,
    max_component: u64,
}

impl Client {
    /// Opens the cache and checks the settings of every registry. The program must have installed a rustls provider.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSettings`] where TLS or a registry's `ca` can't work, [`Error::CacheFailed`] where the directory can't be made.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        Ok(Self {
            network: Network::new(config.registries, config.docker_config, config.patience)?,
            cache: Cache::open(&config.cache, config.cache_size)?,
            flights: Flights::default(),
            max_component: config.max_component,
        })
    }

    /// Looks a reference up, without downloading the component. A pinned reference whose manifest is cached needs no network.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, Error> {
        self.network
            .in_time(reference, async {
                let (resolved, image) = self.look_up(reference).await?;
                let imports = self.claimed_imports(reference, &image).await;
                Ok(Resolved { imports, ..resolved })
            })
            .await
    }

    /// Gets the component of a resolved reference, from the cache if it can.
    pub async fn fetch(&self, resolved: &Resolved, progress: &Progress) -> Result<Artifact, Error> {
        self.network
            .in_time(&resolved.reference, self.component(resolved, progress))
            .await
    }

    /// Resolves and fetches.
    pub async fn pull(&self, reference: &Reference, progress: &Progress) -> Result<Artifact, Error> {
        self.network
            .in_time(reference, async {
                let (resolved, _) = self.look_up(reference).await?;
                self.component(&resolved, progress).await
            })
            .await
    }

    /// Gets a component of which both digests are known, as a proplet does. If the component is cached, not even the manifest is needed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidReference`] unless the reference is pinned; [`Error::DigestMismatch`] if its manifest names another component.
    pub async fn fetch_digest(
        &self,
        reference: &Reference,
        component: &Digest,
        progress: &Progress,
    ) -> Result<Artifact, Error> {
        let Some(manifest) = reference.digest() else {
            return Err(
                InvalidReference::new(reference, "it must be pinned, like registry/repository@sha256:…").into(),
            );
        };
        if let Some(bytes) = self.cache.get(component, self.max_component).await? {
            return artifact(reference, manifest.clone(), component.clone(), bytes);
        }
        self.network
            .in_time(reference, async {
                let (resolved, _) = self.look_up(reference).await?;
                if resolved.component != *component {
                    return Err(Error::mismatch(reference, component, &resolved.component));
                }
                self.component(&resolved, progress).await
            })
            .await
    }

    /// The reference's manifest, and what it says about the component. What the component imports isn't asked here.
    async fn look_up(&self, reference: &Reference) -> Result<(Resolved, Box<OciImageManifest>), Error> {
        let (manifest, image) = match self.manifest(reference).await? {
            (digest, Manifest::Image(image)) => (digest, image),
            (_, Manifest::Index(entry)) => match self.manifest(&reference.pinned(&entry)).await? {
                (digest, Manifest::Image(image)) => (digest, image),
                (_, Manifest::Index(_)) => {
                    return Err(Error::unsupported(reference)("it is an index of indexes".into()));
                }
            },
        };
        let layer = layout::component_layer(&image).map_err(Error::unsupported(reference))?;
        let resolved = Resolved {
            reference: reference.clone(),
            manifest,
            component: layer.digest,
            size: layer.size,
            media_type: layer.media_type,
            imports: None,
        };
        Ok((resolved, image))
    }

    /// A manifest by tag always comes from a registry, for tags move; by digest it comes from the cache if it can.
    async fn manifest(&self, reference: &Reference) -> Result<(Digest, Manifest), Error> {
        let cached = match reference.digest() {
            Some(digest) => self.cache.get(digest, MAX_METADATA).await?,
            None => None,
        };
        let bytes = match cached {
            Some(bytes) => bytes,
            None => self.download_manifest(reference).await?,
        };
        let parsed = layout::parse(&bytes).map_err(Error::unsupported(reference))?;
        Ok((digest_of(&bytes), parsed))
    }

    async fn download_manifest(&self, reference: &Reference) -> Result<Bytes, Error> {
        let places = self.network.hosts.for_pull(reference);
        let bytes = self
            .network
            .persist(&places, |source| source.manifest(MAX_METADATA))
            .await?;
        let found = digest_of(&bytes);
        if let Some(expected) = reference.digest().filter(|expected| **expected != found) {
            return Err(Error::mismatch(reference, expected, &found));
        }
        self.cache.put(&found, bytes.clone()).await?;
        Ok(bytes)
    }

    /// What the config says that the component imports. It only spares a download, so its absence is never an error.
    async fn claimed_imports(&self, reference: &Reference, image: &OciImageManifest) -> Option<Vec<String>> {
        let config = layout::component_config(image)?;
        match self.blob(reference, config, MAX_METADATA, &Progress::none()).await {
            Ok(bytes) => layout::component_info(&bytes).map(|info| info.imports),
            Err(error) => {
                tracing::debug!(%reference, %error, "the artifact's config can't be read");
                None
            }
        }
    }

    async fn component(&self, resolved: &Resolved, progress: &Progress) -> Result<Artifact, Error> {
        let blob = Blob {
            digest: resolved.component.clone(),
            size: resolved.size,
            media_type: resolved.media_type.clone(),
        };
        let bytes = self
            .blob(&resolved.reference, blob, self.max_component, progress)
            .await?;
        artifact(
            &resolved.reference,
            resolved.manifest.clone(),
            resolved.component.clone(),
            bytes,
        )
    }

    /// A blob from the cache, else from the registry into the cache. However many ask for it at once, one downloads.
    async fn blob(&self, reference: &Reference, blob: Blob, limit: u64, progress: &Progress) -> Result<Bytes, Error> {
        check_size(reference, blob.size, limit)?;
        let _flight = self.flights.join(&blob.digest).await;
        if let Some(bytes) = self.cache.get(&blob.digest, limit).await? {
            return Ok(bytes);
        }
        let places = self.network.hosts.for_pull(reference);
        let bytes = self
            .network
            .persist(&places, |source| source.blob(blob.clone(), progress.clone()))
            .await?;
        self.cache.put(&blob.digest, bytes.clone()).await?;
        Ok(bytes)
    }
}

fn check_size(reference: &Reference, size: u64, limit: u64) -> Result<(), Error> {
    let reference = reference.to_string();
    if size > limit {
        Err(Error::TooLarge { reference, size, limit })
    } else {
        Ok(())
    }
}

/// The last check of every way to a component, so that none can go round it.
fn artifact(reference: &Reference, manifest: Digest, component: Digest, bytes: Bytes) -> Result<Artifact, Error> {
    match wasm::seems_to_be(&bytes) {
        None => Ok(Artifact {
            manifest,
            component,
            bytes,
        }),
        Some(found) => Err(Error::not_wasm(reference, found)),
    }
}

/// Without the bytes, which may be many.
impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("manifest", &self.manifest)
            .field("component", &self.component)
            .field("size", &self.bytes.len())
            .finish()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
