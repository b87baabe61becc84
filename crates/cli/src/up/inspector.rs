//! Looks at components for the API, as `propeller inspect` does.

use std::sync::Arc;

use propeller_artifact::{Error as ArtifactError, Reference};
use propeller_control::error::chain;
use propeller_standalone::api::{Inspector, Uninspected};
use serde_json::Value;

use crate::{args::RegistryArgs, component::Access, failure::Failure, inspect, settings::Environment, source::Source};

/// Looks at components with what the environment says of registries.
pub fn inspector(environment: Arc<Environment>, args: RegistryArgs) -> Inspector {
    let args = Arc::new(args);
    Arc::new(move |image| {
        let (environment, args) = (Arc::clone(&environment), Arc::clone(&args));
        Box::pin(async move { look(&environment, &args, &image).await })
    })
}

/// Only references: whoever may ask has no right to files here.
async fn look(environment: &Environment, args: &RegistryArgs, image: &str) -> Result<Value, Uninspected> {
    let reference = image
        .parse::<Reference>()
        .map_err(|invalid| Uninspected::Invalid(invalid.to_string()))?;
    let access = Access {
        environment,
        args,
        bars: false,
    };
    let inspected = inspect::look(&Source::Reference(reference), None, &access).await;
    let inspected = inspected.map_err(|failure| uninspected(&failure))?;
    Ok(serde_json::to_value(inspected).unwrap_or_default())
}

fn uninspected(failure: &Failure) -> Uninspected {
    let message = chain(failure);
    match failure {
        Failure::Artifact(ArtifactError::InvalidReference(_)) => Uninspected::Invalid(message),
        Failure::Artifact(ArtifactError::NotFound { .. }) => Uninspected::Missing(message),
        _ => Uninspected::Unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    use propeller_embed::registry::{Registry, RegistryConfig};
    use rustls::crypto::ring;

    use super::*;

    #[tokio::test]
    async fn what_is_wrong_missing_and_out_of_reach_is_told_apart() {
        let _ = ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(RegistryConfig::new(folder.path().join("registry"))).unwrap();
        let environment = Environment {
            cache_home: Some(folder.path().join("cache")),
            ..Environment::default()
        };
        let inspector = inspector(Arc::new(environment), RegistryArgs::default());
        let check = async |image: &str, expected: &str, words: &str| {
            let (kind, message) = match inspector(image.to_owned()).await.unwrap_err() {
                Uninspected::Invalid(message) => ("invalid", message),
                Uninspected::Missing(message) => ("missing", message),
                Uninspected::Unavailable(message) => ("unavailable", message),
            };
            assert_eq!(kind, expected, "{image}: {message}");
            assert!(message.contains(words) && !message.contains("file"), "{message}");
        };
        check("nonsense", "invalid", "it names no registry").await;
        check("a b", "invalid", "expected registry/repository:tag").await;
        let none = format!("{}/lab/none:1", registry.address());
        check(&none, "missing", "push it first").await;
        check("127.0.0.1:1/lab/none:1", "unavailable", "can't be reached").await;
    }
}
