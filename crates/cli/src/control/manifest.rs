//! Files with Tasks and Proplets: read and checked before anything is sent.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use propeller_api::{Invalid, Proplet, Task};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::{Kind, name, text};
use crate::{exit::Exit, failure::Failure, settings::read_file, task::is_task};

/// What the API writes into metadata, and people don't.
const OF_THE_API: [&str; 7] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "selfLink",
];

/// A resource as somebody wrote it, with its namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub kind: Kind,
    pub object: Value,
}

/// A document that is no resource of ours, or breaks a rule.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML, and so no JSON either.
    #[error("can't read {file} as YAML or JSON")]
    Syntax {
        file: String,
        source: Box<serde_saphyr::Error>,
    },
    /// A directory without files of ours, or files without documents.
    #[error("{file} has no Tasks and Proplets: give .yaml, .yml or .json files that have some")]
    Empty { file: String },
    /// A field isn't what it has to be.
    #[error("{place}: {field}: {problem}")]
    Field {
        place: Document,
        field: String,
        problem: String,
    },
}

impl ManifestError {
    /// A stable label in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax { .. } | Self::Empty { .. } => "InvalidManifest",
            Self::Field { .. } => "InvalidSpec",
        }
    }

    /// The exit code that says whose failure it is.
    pub fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Where a resource was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    file: String,
    /// Counted from 1; nothing where the file has one only.
    number: Option<usize>,
    /// As in `Task addition`; empty as long as nobody knows.
    what: String,
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(number) = self.number {
            write!(f, ", document {number}")?;
        }
        if !self.what.is_empty() {
            write!(f, " ({})", self.what)?;
        }
        Ok(())
    }
}

/// Everything in these files, in order. What doesn't say its namespace gets `namespace`; what says another is refused if that one was `given`.
pub fn read(files: &[PathBuf], namespace: &str, given: bool) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = vec![];
    for path in files {
        for (file, bytes) in contents(path)? {
            for (place, object) in documents(&file, &bytes)? {
                manifests.push(check(place, object, namespace, given)?);
            }
        }
    }
    if manifests.is_empty() {
        let file = files
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(ManifestError::Empty { file }.into());
    }
    Ok(manifests)
}

/// Names and bytes of the files that are meant.
fn contents(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let unreadable = |source| Failure::ReadFile {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let mut bytes = vec![];
        io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(vec![("standard input".to_owned(), bytes)]);
    }
    if !path.is_dir() {
        return Ok(vec![(path.display().to_string(), read_file(path)?)]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let paths = entries.map_err(unreadable)?.into_iter().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| is_task(path) && path.is_file()).collect();
    files.sort();
    let read = |path: PathBuf| Ok((path.display().to_string(), read_file(&path)?));
    files.into_iter().map(read).collect()
}

/// The documents of a file, those of lists one by one. Empty ones don't count.
fn documents(file: &str, bytes: &[u8]) -> Result<Vec<(Document, Value)>, ManifestError> {
    let documents: Vec<Value> = serde_saphyr::from_slice_multiple(bytes).map_err(|source| ManifestError::Syntax {
        file: file.to_owned(),
        source: Box::new(source),
    })?;
    let many = documents.len() > 1;
    let mut found = vec![];
    for (index, mut object) in documents
        .into_iter()
        .enumerate()
        .filter(|(_, object)| !object.is_null())
    {
        let items = match text(&object, "/kind") {
            kind if kind.ends_with("List") => object["items"].take(),
            _ => Value::Array(vec![object]),
        };
        for object in items.as_array().into_iter().flatten() {
            let place = Document {
                file: file.to_owned(),
                number: many.then_some(index + 1),
                what: [text(object, "/kind"), name(object)].join(" ").trim().to_owned(),
            };
            found.push((place, object.clone()));
        }
    }
    Ok(found)
}

fn check(place: Document, mut object: Value, namespace: &str, given: bool) -> Result<Manifest, ManifestError> {
    let field = |field: &str, problem: String| ManifestError::Field {
        place: place.clone(),
        field: field.to_owned(),
        problem,
    };
    let kind = Kind::ALL.into_iter().find(|kind| object["kind"] == kind.kind());
    let kind = kind.ok_or_else(|| match object.get("kind") {
        Some(found) => field("kind", format!("{found} is neither Task nor Proplet")),
        None => field("kind", "is missing: Task or Proplet".to_owned()),
    })?;
    tidy(&mut object);
    let fault = match kind {
        Kind::Task => typed::<Task>(&object, Task::validate),
        Kind::Proplet => typed::<Proplet>(&object, Proplet::validate),
    };
    if let Err(invalid) = fault {
        return Err(field(&invalid.field, invalid.problem));
    }
    match text(&object, "/metadata/namespace") {
        "" => object["metadata"]["namespace"] = namespace.into(),
        own if given && own != namespace => {
            let problem = format!("is {own}, and `--namespace` says {namespace}");
            return Err(field("metadata.namespace", problem));
        }
        _ => {}
    }
    Ok(Manifest { kind, object })
}

/// Without what only the API writes, so that what `get` printed can be applied; and without nulls, which say nothing.
fn tidy(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !OF_THE_API.contains(&field.as_str()));
    }
    drop_nulls(object);
}

fn drop_nulls(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.retain(|_, value| !value.is_null());
    // Arguments are the component's own business: null is the `none` of an option.
    let rest = fields.iter_mut().filter(|(field, _)| *field != "args");
    rest.for_each(|(_, value)| drop_nulls(value));
}

fn typed<T: DeserializeOwned>(object: &Value, validate: fn(&T) -> Result<(), Invalid>) -> Result<(), Invalid> {
    let typed: T = serde_path_to_error::deserialize(object).map_err(|error| {
        let field = match error.path().to_string().as_str() {
            "." => "the document".to_owned(),
            path => path.to_owned(),
        };
        Invalid {
            field,
            problem: error.into_inner().to_string(),
        }
    })?;
    validate(&typed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TASK: &str = "apiVersion: propeller.dev/v1alpha1\nkind: Task\nmetadata: {name: a}\nspec: {image: 'r/a:1', call: {function: f, args: [null]}}\n";

    fn read_text(text: &str) -> Result<Vec<Manifest>, String> {
        let documents = documents("a.yaml", text.as_bytes()).map_err(|error| error.to_string())?;
        let checked = documents
            .into_iter()
            .map(|(place, object)| check(place, object, "lab", true));
        checked.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn documents_become_resources() {
        let proplet = r#"{"apiVersion": "propeller.dev/v1alpha1", "kind": "Proplet", "metadata": {"name": "b", "namespace": "lab", "uid": "x",
                          "labels": null}, "spec": {"connectionConfig": {"clientId": "b"}}, "status": {"conditions": []}}"#;
        let found = read_text(&format!("# nothing\n---\n{TASK}---\n{proplet}\n")).unwrap();
        assert_eq!(
            (found[0].kind, found[1].kind, found.len()),
            (Kind::Task, Kind::Proplet, 2)
        );
        assert_eq!(found[0].object["metadata"], json!({"name": "a", "namespace": "lab"}));
        assert_eq!(found[0].object["spec"]["call"]["args"], json!([null]));
        assert_eq!(found[1].object["metadata"], json!({"name": "b", "namespace": "lab"}));
        assert_eq!(found[1].object.get("status"), None);

        let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "items": [{proplet}]}}"#);
        assert_eq!(read_text(&list).unwrap(), found[1..]);
    }

    #[test]
    fn what_is_wrong_is_told_with_file_document_and_field() {
        let check = |text: &str, expected: &str| {
            let told = read_text(text).unwrap_err();
            assert!(told.starts_with(expected), "{told}\nexpected {expected}");
        };
        check("a: [", "can't read a.yaml as YAML or JSON");
        check("kind: Pod", "a.yaml (Pod): kind: \"Pod\" is neither Task nor Proplet");
        check("a: b", "a.yaml: kind: is missing");
        check("just text", "a.yaml: kind: is missing");
        for (from, to, expected) in [
            ("v1alpha1", "v9", "a): apiVersion: "),
            (
                "function: f",
                "function: ''",
                "a): spec.call.function: has 0 characters",
            ),
            ("function: f", "function: [f]", "a): spec.call.function: invalid type"),
            ("image", "imag", "a): spec.imag: unknown field"),
            ("name: a", "name: A", "A): metadata.name: "),
            ("name: a", "name: a, namespace: roof", "a): metadata.namespace: is roof"),
            ("spec:", "spek:", "a): "),
        ] {
            let text = format!("{TASK}---\n{}", TASK.replace(from, to));
            check(&text, &format!("a.yaml, document 2 (Task {expected}"));
        }
    }
}
