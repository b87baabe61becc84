//! Looks at components for the API, as `propeller inspect` does.

use std::sync::Arc;

use propeller_control::error::chain;
use propeller_standalone::api::{Inspector, Uninspected};
use serde_json::Value;

use crate::{args::RegistryArgs, component::Access, failure::Failure, inspect, settings::Environment, source::Source};

/// Looks at components with what the environment says of registries.
pub fn inspector(environment: Arc<Environment>, args: RegistryArgs) -> Inspector {
    let args = Arc::new(args);
    Arc::new(move |image| {
        let (environment, args) = (Arc::clone(&environment), Arc::clone(&args));
        Box::pin(async move {
            look(&environment, &args, image).await.map_err(|failure| Uninspected {
                is_invalid: matches!(failure, Failure::UnknownSource { .. }),
                message: chain(&failure),
            })
        })
    })
}

/// Only references: whoever may ask has no right to files here.
async fn look(environment: &Environment, args: &RegistryArgs, image: String) -> Result<Value, Failure> {
    let reference = image
        .parse()
        .map_err(|source| Failure::UnknownSource { text: image, source })?;
    let access = Access {
        environment,
        args,
        bars: false,
    };
    let inspected = inspect::look(&Source::Reference(reference), None, &access).await?;
    Ok(serde_json::to_value(inspected).unwrap_or_default())
}
