//! `propeller apply`: what files say becomes so.

use serde_json::Value;

use super::{
    ControlError,
    kind::{name, text},
    manifest::{self, Manifest},
    merge,
    server::{Server, together},
};
use crate::{args::Apply, failure::Failure, output::Output};

/// Tries to change what others change as well.
const TRIES: usize = 5;

/// Reads all, then sends one after the other. What was done before a failure was told.
pub async fn apply(args: &Apply, server: &Server, output: &Output) -> Result<(), Failure> {
    let manifests = manifest::read(&args.files, &server.namespace, server.namespace_is_given)?;
    let mut objects = vec![];
    for manifest in &manifests {
        let (done, object) = one(server, manifest, args.dry_run).await?;
        let dry = if args.dry_run { " (dry run)" } else { "" };
        output.line(&format!("{}/{} {done}{dry}", manifest.kind, name(&object)))?;
        objects.push(object);
    }
    output.document(&together(objects))
}

/// What was done, and what is there now, or would be.
async fn one(server: &Server, manifest: &Manifest, dry: bool) -> Result<(&'static str, Value), ControlError> {
    let Manifest { kind, object: wanted } = manifest;
    let (namespace, name) = (text(wanted, "/metadata/namespace"), name(wanted));
    for _ in 0..TRIES {
        let done = match server.look(*kind, namespace, name).await? {
            None if dry => return Ok(("created", merge::annotated(wanted))),
            None => server
                .create(*kind, &merge::annotated(wanted))
                .await
                .map(|made| ("created", made)),
            Some(live) => {
                let merged = merge::applied(&live, wanted);
                if merged == live {
                    return Ok(("unchanged", live));
                }
                if dry {
                    return Ok(("configured", merged));
                }
                let changed = server.replace(*kind, &merged).await;
                changed.map(|changed| (verb(&live, &changed), changed))
            }
        };
        match done {
            // Somebody else made, changed or deleted it meanwhile.
            Err(error) if matches!(error.code(), Some(404 | 409)) => tracing::debug!(%error, "looking again"),
            done => return done,
        }
    }
    Err(ControlError::Contended {
        kind: *kind,
        name: name.to_owned(),
    })
}

/// The API may find that nothing changed: it keeps 85.0 as 85. And the note of what was applied is none of people's business.
fn verb(before: &Value, after: &Value) -> &'static str {
    let version = "/metadata/resourceVersion";
    let same = |pointer: &str| before.pointer(pointer) == after.pointer(pointer);
    if same(version) || (same("/spec") && same("/metadata/labels") && noted(before)) && same_notes(before, after) {
        "unchanged"
    } else {
        "configured"
    }
}

fn noted(object: &Value) -> bool {
    object
        .pointer("/metadata/annotations")
        .is_some_and(|notes| notes.get(merge::LAST_APPLIED).is_some())
}

fn same_notes(before: &Value, after: &Value) -> bool {
    let notes = |object: &Value| {
        let mut notes = object.pointer("/metadata/annotations").cloned().unwrap_or_default();
        if let Some(notes) = notes.as_object_mut() {
            notes.remove(merge::LAST_APPLIED);
        }
        notes
    };
    notes(before) == notes(after)
}
