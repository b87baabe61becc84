//! `propeller push`: a file into a registry, if it is a component.

use std::fmt;

use propeller_api::Digest;
use propeller_artifact::{ComponentInfo, Error, Publication, Reference};
use serde::Serialize;

use crate::{
    args::Push,
    component::{Access, Component, Location},
    failure::Failure,
    progress::Transfer,
};

/// What a registry holds now.
#[derive(Debug, Serialize)]
pub struct Pushed {
    #[serde(flatten)]
    location: Location,
    /// Digest of the component itself.
    component: Digest,
    /// Of the component, in bytes.
    size: u64,
}

/// Publishes a component. Pushing the same one again changes nothing.
pub async fn push(args: &Push, access: &Access<'_>) -> Result<Pushed, Failure> {
    let reference: Reference = args.reference.parse().map_err(Error::from)?;
    let component = Component::read(&args.file)?;
    let client = access.environment.client(access.args, &reference)?;
    let transfer = Transfer::new("pushing", access.bars);
    let publication = publication(component, args);
    let pushed = client.push(&reference, &publication, &transfer.progress()).await?;
    Ok(Pushed {
        location: Location::new(pushed.reference, pushed.manifest),
        component: pushed.component,
        size: pushed.size,
    })
}

/// No time is written, so that the same component has the same digest wherever and whenever it is pushed.
fn publication(component: Component, args: &Push) -> Publication {
    let Component { bytes, contract, .. } = component;
    let annotations = args
        .annotations
        .iter()
        .map(|annotation| (annotation.key.clone(), annotation.value.clone()));
    Publication {
        component: bytes,
        info: ComponentInfo {
            imports: contract.import_names().map(str::to_owned).collect(),
            exports: contract.export_names().map(str::to_owned).collect(),
            target: None,
        },
        author: None,
        created: None,
        annotations: annotations.collect(),
    }
}

/// The pinned reference alone, for the next command or a Task.
impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.pinned.fmt(f)
    }
}
