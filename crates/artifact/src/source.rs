//! One repository at one host, and the four things that it is asked.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::HeaderValue;
use oci_client::{
    RegistryOperation,
    errors::OciDistributionError,
    manifest::{
        IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    },
    secrets::RegistryAuth,
};
use propeller_api::Digest;

use crate::{digest::Hasher, error::Error, layout::Blob, progress::Progress, translate::Asked};

/// Bytes handed to the network at a time in a push, and so the steps in which its progress is told.
const PUSH_STEP: usize = 64 * 1024;

#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) host: String,
    pub(crate) client: oci_client::Client,
    pub(crate) auth: RegistryAuth,
    pub(crate) reference: oci_client::Reference,
}

impl Source {
    /// The manifest's bytes. oci-client has compared them with the reference's digest and the one that the registry names.
    pub(crate) async fn manifest(self) -> Result<Bytes, Error> {
        const ACCEPTED: &[&str] = &[
            OCI_IMAGE_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ];
        let answer = self
            .client
            .pull_manifest_raw(&self.reference, &self.auth, ACCEPTED)
            .await;
        let (bytes, _) = self.explained(answer, RegistryOperation::Pull).await?;
        Ok(bytes)
    }

    /// The blob's bytes, verified. No more of them are taken than its descriptor gives.
    ///
    /// Only the digest is handed to oci-client: with the whole descriptor it would also ask the addresses in `urls`, which
    /// whoever wrote the manifest chose.
    pub(crate) async fn blob(self, blob: Blob, progress: Progress) -> Result<Bytes, Error> {
        let answer = self
            .client
            .pull_blob_stream(&self.reference, blob.digest.as_str())
            .await;
        let mut stream = self.explained(answer, RegistryOperation::Pull).await?.stream;
        let (mut hasher, mut bytes) = (Hasher::default(), BytesMut::new());
        progress.at(0, blob.size);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.asked().interrupted(error))?;
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
