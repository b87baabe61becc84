//! `propeller delete`.

use serde_json::Value;

use super::{
    ControlError,
    kind::{Kind, Target, name, text},
    manifest,
    server::{Query, Server, together},
};
use crate::{args::Delete, failure::Failure, output::Output};

/// One object to delete. What was selected, and not named, is meant by its uid: another one of that name isn't.
struct Doomed {
    kind: Kind,
    namespace: String,
    name: String,
    uid: Option<String>,
}

/// Deletes what is named, selected or in files.
pub async fn delete(args: &Delete, server: &Server, output: &Output) -> Result<(), Failure> {
    let doomed = if args.files.is_empty() {
        meant(args, server).await?
    } else {
        in_files(args, server)?
    };
    if doomed.is_empty() {
        output.note("there is nothing to delete");
    }
    let mut answers = vec![];
    for one in &doomed {
        let Doomed {
            kind,
            namespace,
            name,
            uid,
        } = one;
        match server.delete(*kind, namespace, name, uid.as_deref()).await? {
            Some(answer) => {
                output.line(&format!("{kind}/{name} deleted"))?;
                answers.push(answer);
            }
            None if args.ignore_not_found || uid.is_some() => {}
            None => {
                let (kind, name, namespace) = (*kind, name.clone(), namespace.clone());
                return Err(ControlError::NotFound { kind, name, namespace }.into());
            }
        }
    }
    output.document(&together(answers))
}

async fn meant(args: &Delete, server: &Server) -> Result<Vec<Doomed>, Failure> {
    let Target { kind, names } = Target::read(&args.what)?;
    let selects = args.selector.is_some() || args.all;
    if names.is_empty() != selects {
        let words = format!(
            "say which {}: name them, select them with `-l`, or take `--all` of the namespace",
            kind.plural()
        );
        return Err(ControlError::Target(words).into());
    }
    if !selects {
        let named = names.into_iter().map(|name| Doomed {
            kind,
            namespace: server.namespace.clone(),
            name,
            uid: None,
        });
        return Ok(named.collect());
    }
    let query = Query {
        labels: args.selector.clone(),
        ..Query::default()
    };
    let list = server.list(kind, &query).await?;
    let items = list["items"].as_array().into_iter().flatten();
    let selected = items.map(|object: &Value| Doomed {
        kind,
        namespace: server.namespace.clone(),
        name: name(object).to_owned(),
        uid: Some(text(object, "/metadata/uid").to_owned()),
    });
    Ok(selected.collect())
}

fn in_files(args: &Delete, server: &Server) -> Result<Vec<Doomed>, Failure> {
    let manifests = manifest::read(&args.files, &server.namespace, server.namespace_is_given)?;
    let doomed = manifests.into_iter().map(|manifest| Doomed {
        kind: manifest.kind,
        namespace: text(&manifest.object, "/metadata/namespace").to_owned(),
        name: name(&manifest.object).to_owned(),
        uid: None,
    });
    Ok(doomed.collect())
}
