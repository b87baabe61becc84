//! What the derived schemas can't say by themselves.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Any JSON at all: arguments and results are typed by the component, which the schema can't know.
pub(crate) fn any_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}
