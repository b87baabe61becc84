//! One repository at one host, and the four things that it is asked.

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use http::HeaderValue;
use oci_client::{
    RegistryOperation, errors::OciDistributionError, manifest::OCI_IMAGE_MEDIA_TYPE, secrets::RegistryAuth,
};
use propeller_api::Digest;
use reqwest::Response;

use crate::{
    digest::Hasher,
    error::Error,
    get::{self, Ask, Getter},
    layout::Blob,
    progress::Progress,
    translate::Asked,
};

/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// Bytes handed to the network at a time in a push, and so the steps in which its progress is told.
const PUSH_STEP: usize = 64 * 1024;

#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) host: String,
    pub(crate) client: oci_client::Client,
    pub(crate) auth: RegistryAuth,
    pub(crate) getter: Getter,
    pub(crate) reference: oci_client::Reference,
}

impl Source {
    /// The manifest's bytes, of which there are no more than `limit`. Whoever asks compares them with the digest.
    pub(crate) async fn manifest(self, limit: u64) -> Result<Bytes, Error> {
        let name = match self.reference.digest() {
            Some(digest) => digest,
            None => self.reference.tag().unwrap_or("latest"),
        };
        let mut answer = self.get(format!("manifests/{name}"), MANIFESTS).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = get::body(&mut answer, most).await;
        bytes
            .map_err(|error| self.asked().failed(error))?
            .ok_or_else(|| Error::TooLarge {
                reference: self.reference.to_string(),
                size: answer.content_length().unwrap_or_default().max(limit + 1),
                limit,
            })
    }

    async fn get(&self, path: String, accept: &'static str) -> Result<Response, Error> {
        let ask = Ask {
            reference: &self.reference,
            path,
            accept,
            auth: &self.auth,
        };
        let answer = self.getter.get(&ask).await;
        answer.map_err(|error| self.asked().failed(error))
    }

    /// The blob's bytes, verified. No more of them are taken than its descriptor gives.
    ///
    /// The addresses in its descriptor's `urls` aren't asked: whoever wrote the manifest chose them.
    pub(crate) async fn blob(self, blob: Blob, progress: Progress) -> Result<Bytes, Error> {
        let mut answer = self.get(format!("blobs/{}", blob.digest), "*/*").await?;
        let (mut hasher, mut bytes) = (Hasher::default(), BytesMut::new());
        progress.at(0, blob.size);
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.asked().failed(error.into()))?
        {
            bytes.extend_from_slice(&chunk);
            let done = bytes.len() as u64;
            if done > blob.size {
                let found = format!("more than {} bytes", blob.size);
                return Err(Error::mismatch(&self.reference, &blob.digest, found));
            }
            hasher.update(&chunk);
            progress.at(done, blob.size);
        }
        match hasher.finish() {
            digest if digest == blob.digest => Ok(bytes.freeze()),
            other => Err(Error::mismatch(&self.reference, &blob.digest, other)),
        }
    }

    /// Sends the blob, unless the repository holds it.
    pub(crate) async fn push_blob(self, digest: Digest, bytes: Bytes, progress: Progress) -> Result<(), Error> {
        let size = bytes.len() as u64;
        let held = self.client.blob_exists(&self.reference, digest.as_str()).await;
        if !self.explained(held, RegistryOperation::Pull).await? {
            let body = in_steps(bytes, progress.clone());
            let sent = self
                .client
                .push_blob_stream(&self.reference, body, digest.as_str(), Some(size))
                .await;
            self.explained(sent, RegistryOperation::Push).await?;
        }
        progress.at(size, size);
        Ok(())
    }

    /// Sends the manifest under the reference's tag.
    pub(crate) async fn push_manifest(self, bytes: Bytes) -> Result<(), Error> {
        let media_type = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let sent = self.client.push_manifest_raw(&self.reference, bytes, media_type).await;
        self.explained(sent, RegistryOperation::Push).await.map(drop)
    }

    /// oci-client goes on without a token when it couldn't get one, so a token server that is down looks like a refusal. Asking for a
    /// token by itself shows which of the two it is.
    async fn explained<T>(
        &self,
        answer: Result<T, OciDistributionError>,
        operation: RegistryOperation,
    ) -> Result<T, Error> {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => self.asked().failed(error),
        };
        if !matches!(error, Error::Unauthorized { .. }) {
            return Err(error);
        }
        match self.client.auth(&self.reference, &self.auth, operation).await {
            Ok(_) => Err(error),
            Err(cause) => Err(self.asked().failed(cause)),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            registry: &self.host,
            reference: self.reference.to_string(),
        }
    }
}

/// The network takes a step when it has sent the one before, which is what the progress shows.
fn in_steps(bytes: Bytes, progress: Progress) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send {
    let total = bytes.len() as u64;
    stream::unfold(bytes, move |mut rest| {
        progress.at(total - rest.len() as u64, total);
        let step = rest.split_to(rest.len().min(PUSH_STEP));
        std::future::ready((!step.is_empty()).then_some((Ok(step), rest)))
    })
}
