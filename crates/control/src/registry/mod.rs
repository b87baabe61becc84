//! Resolving against OCI registries: the reference becomes a digest, the component's types are read, and what is to run is checked
//! against them.
//!
//! A thousand tasks of one reference ask the registry once in a while, and read the component once. Nothing is compiled or run here, and
//! what costs processor time runs off the threads that serve everything else.

mod work;

use std::{error::Error, sync::Arc, time::Duration};

use moka::future::Cache;
use propeller_api::{Digest, Work};
use propeller_artifact::{Client, Progress, Reference, Resolved as Artifact};
use propeller_delivery::plan::Resolved;
use propeller_types::Contract;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    brain::{Resolver, Trouble},
    error::chain,
};

/// For how long a tag is taken to mean what it just meant.
const TAG_LIFETIME: Duration = Duration::from_secs(5);
/// References whose meaning is remembered for that long.
const TAGS: u64 = 1_024;
/// Components whose types are remembered. They take some kilobytes each.
const CONTRACTS: u64 = 512;
/// Downloads at a time: each may hold a whole component in memory.
const DOWNLOADS: usize = 4;

/// Resolves through a [`Client`].
pub struct RegistryResolver {
    client: Client,
    tags: Cache<Reference, Artifact>,
    contracts: Cache<Digest, Arc<Contract>>,
    downloads: Semaphore,
}

impl RegistryResolver {
    /// A resolver that has resolved nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            tags: Cache::builder().max_capacity(TAGS).time_to_live(TAG_LIFETIME).build(),
            contracts: Cache::new(CONTRACTS),
            downloads: Semaphore::new(DOWNLOADS),
        }
    }

    async fn look_up(&self, reference: &Reference) -> Result<Artifact, Trouble> {
        let look_up = async { self.client.resolve(reference).await.map_err(from_artifact) };
        let found = self.tags.try_get_with(reference.clone(), look_up).await;
        found.map_err(|shared| Trouble::clone(&shared))
    }

    async fn contract(&self, artifact: &Artifact) -> Result<Arc<Contract>, Trouble> {
        let read = async {
            let _permit = self.downloads.acquire().await;
            let fetched = self.client.fetch(artifact, &Progress::none()).await;
            let bytes = fetched.map_err(from_artifact)?.bytes;
            let read = spawn_blocking(move || Contract::read(&bytes)).await.map_err(internal)?;
            let contract = read.map_err(|error| permanent(error.reason(), &error))?;
            Ok(Arc::new(contract))
        };
        let contract = self.contracts.try_get_with(artifact.component.clone(), read).await;
        contract.map_err(|shared: Arc<Trouble>| Trouble::clone(&shared))
    }
}

impl Resolver for RegistryResolver {
    async fn resolve(&self, image: &str, work: &Work) -> Result<Resolved, Trouble> {
        let reference = image.parse::<Reference>();
        let reference = reference.map_err(|error| from_artifact(error.into()))?;
        if let Work::Call(call) = work {
            work::function(call)?;
        }
        let artifact = self.look_up(&reference).await?;
        let contract = self.contract(&artifact).await?;
        let work = work.clone();
        let checked = spawn_blocking(move || work::check(&contract, &work));
        checked.await.map_err(internal)??;
        Ok(Resolved {
            image: artifact.pinned().to_string(),
            component: artifact.component,
        })
    }
}

fn from_artifact(error: propeller_artifact::Error) -> Trouble {
    Trouble {
        is_transient: error.is_transient(),
        ..permanent(error.reason(), &error)
    }
}

/// Only a defect of ours comes here, so it may be gone with the next version.
fn internal(error: tokio::task::JoinError) -> Trouble {
    Trouble {
        is_transient: true,
        ..permanent("InternalError", &error)
    }
}

fn permanent(reason: &str, error: &dyn Error) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        // Errors of the network can be long, and a status is read by people.
        message: chain(error).chars().take(1024).collect(),
        is_transient: false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{Router, extract::State, http::Uri, response::IntoResponse};
    use futures::future::join_all;
    use propeller_api::Call;
    use propeller_artifact::{ClientConfig, Patience, digest_of};
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;

    fn resolver() -> (RegistryResolver, TempDir) {
        // The first of all tests wins; it is the same for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cache = tempfile::tempdir().unwrap();
        let patience = Patience {
            tries: 1,
            ..Patience::default()
        };
        let config = ClientConfig {
            patience,
            ..ClientConfig::new(cache.path())
        };
        (RegistryResolver::new(Client::new(config).unwrap()), cache)
    }

    fn call(function: &str) -> Work {
        Work::Call(Call {
            function: function.to_owned(),
            args: json!([]),
        })
    }

    #[tokio::test]
    async fn what_is_wrong_has_a_reason() {
        let (resolver, _cache) = resolver();
        let check = async |image: &str, function: &str, reason: &str, is_transient: bool| {
            let trouble = resolver.resolve(image, &call(function)).await.unwrap_err();
            assert_eq!(
                (trouble.reason.as_str(), trouble.is_transient),
                (reason, is_transient),
                "{trouble:?}"
            );
        };
        check("addition", "add", "InvalidReference", false).await;
        check("localhost:1/a:1", "a b", "InvalidFunction", false).await;
        check("localhost:1/a:1", "add", "RegistryUnreachable", true).await;
    }

    type Asked = Arc<Mutex<Vec<String>>>;

    /// Serves one component under every name, and notes what is asked for.
    async fn serve(State((component, asked)): State<(Vec<u8>, Asked)>, uri: Uri) -> impl IntoResponse {
        let path = uri.path().to_owned();
        let is_blob = path.contains("/blobs/");
        asked.lock().unwrap().push(path);
        if is_blob {
            return component.into_response();
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
            "layers": [{"mediaType": "application/wasm", "digest": digest_of(&component), "size": component.len()}],
        });
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        ([("content-type", media_type)], manifest.to_string()).into_response()
    }

    #[tokio::test]
    async fn many_tasks_of_one_reference_ask_the_registry_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let image = format!("{}/a:1", listener.local_addr().unwrap());
        let asked = Asked::default();
        let router = Router::new().fallback(serve);
        let router = router.with_state((wat::parse_str("(component)").unwrap(), asked.clone()));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let (resolver, _cache) = resolver();
        let call = call("add");
        let troubles = join_all((0..100).map(|_| resolver.resolve(&image, &call))).await;
        assert!(
            troubles
                .iter()
                .all(|trouble| trouble.as_ref().unwrap_err().reason == "UnknownExport"),
            "{troubles:?}"
        );
        let asked = asked.lock().unwrap();
        let count = |part: &str| asked.iter().filter(|path| path.contains(part)).count();
        assert_eq!((count("/manifests/"), count("/blobs/")), (1, 1), "{asked:?}");
    }
}
