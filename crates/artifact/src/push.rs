//! Publish: the CNCF layout, written exactly.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use propeller_api::Digest;

use crate::{
    client::Client,
    digest::digest_of,
    error::Error,
    layout::{CONFIG_TYPE, ComponentInfo, Config, LAYER_TYPE},
    progress::Progress,
    reference::{InvalidReference, Reference},
    wasm,
};

/// A component on its way to a registry.
///
/// The same publication has the same digests whenever and wherever it is pushed.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The component, a WebAssembly binary.
    pub component: Bytes,
    /// What it says about itself.
    pub info: ComponentInfo,
    /// Who published it.
    pub author: Option<String>,
    /// When it was made. Without it the Unix epoch is written, because `wkg` and `wash` refuse a config without a time.
    pub created: Option<Timestamp>,
    /// Annotations of the manifest; `org.opencontainers.image.*` are the names that tools know.
    pub annotations: BTreeMap<String, String>,
}

/// What a registry holds after a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The tag that it was pushed to.
    pub reference: Reference,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Digest of the component.
    pub component: Digest,
    /// Size of the component in bytes.
    pub size: u64,
}

impl Client {
    /// Publishes a component under a tag. Blobs that the repository holds aren't sent again.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidReference`] for a pinned reference: a push decides the digest. [`Error::NotWasm`] before anything is sent.
    pub async fn push(
        &self,
        reference: &Reference,
        publication: &Publication,
        progress: &Progress,
    ) -> Result<Pushed, Error> {
        if reference.digest().is_some() {
            return Err(InvalidReference::new(reference, "a push goes to a tag, not to a digest").into());
        }
        if let Some(found) = wasm::seems_to_be(&publication.component) {
            return Err(Error::not_wasm(reference, found));
        }
        self.network
            .in_time(reference, self.send(reference, publication, progress))
            .await
    }

    /// The manifest goes last, so that nobody finds one whose blobs aren't there.
    async fn send(
        &self,
        reference: &Reference,
        publication: &Publication,
        progress: &Progress,
    ) -> Result<Pushed, Error> {
        let bytes = &publication.component;
        let component = digest_of(bytes);
        let config = config(publication, &component);
        let manifest = manifest(publication, &component, &config);
        let home = self.network.hosts.for_push(reference);
        let blob = |digest: Digest, bytes: Bytes, progress: Progress| {
            self.network.persist(&home, move |source| {
                source.push_blob(digest.clone(), bytes.clone(), progress.clone())
            })
        };
        blob(component.clone(), bytes.clone(), progress.clone()).await?;
        blob(digest_of(&config), config, Progress::none()).await?;
        self.network
            .persist(&home, |source| source.push_manifest(manifest.clone()))
            .await?;
        let (reference, manifest, size) = (reference.clone(), digest_of(&manifest), bytes.len() as u64);
        Ok(Pushed {
            reference,
            manifest,
            component,
            size,
        })
    }
}

fn config(publication: &Publication, component: &Digest) -> Bytes {
    to_json(&Config {
        created: publication.created.unwrap_or(Timestamp::UNIX_EPOCH).to_string(),
        author: publication.author.as_deref(),
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [component],
        component: &publication.info,
    })
}

fn manifest(publication: &Publication, component: &Digest, config: &Bytes) -> Bytes {
    let annotations = &publication.annotations;
    to_json(&OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        config: descriptor(CONFIG_TYPE, digest_of(config), config),
        layers: vec![descriptor(LAYER_TYPE, component.clone(), &publication.component)],
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
        ..OciImageManifest::default()
    })
}

fn descriptor(media_type: &str, digest: Digest, bytes: &Bytes) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: digest.to_string(),
        size: bytes.len().try_into().unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

/// Fields in their order and maps sorted, without white space: that makes digests repeatable.
fn to_json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("structs, and maps with text for keys, have a JSON form")
        .into()
}
