//! The API's own description: [OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0). Its schemas are those of the custom resources.

use propeller_api::{API_VERSION, GROUP, PropletSpec, PropletStatus, TaskSpec, TaskStatus, VERSION};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::store::Kind;

/// The document.
pub(super) fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut schemas = Map::new();
    for kind in Kind::ALL {
        let (spec, status) = parts(kind, &mut generator);
        schemas.insert(kind.name().to_owned(), resource(kind, &spec, &status));
        schemas.insert(format!("{}List", kind.name()), list(kind));
    }
    schemas.extend(generator.take_definitions(true));
    schemas.insert("Status".to_owned(), status());
    let paths: Map<String, Value> = Kind::ALL.into_iter().flat_map(paths).chain(others()).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Propeller",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tasks and Proplets, in the form of Kubernetes' API for custom resources.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    })
}

fn parts(kind: Kind, generator: &mut SchemaGenerator) -> (Value, Value) {
    let (spec, status) = match kind {
        Kind::Task => (
            generator.subschema_for::<TaskSpec>(),
            generator.subschema_for::<TaskStatus>(),
        ),
        Kind::Proplet => (
            generator.subschema_for::<PropletSpec>(),
            generator.subschema_for::<PropletStatus>(),
        ),
    };
    (spec.into(), status.into())
}

fn resource(kind: Kind, spec: &Value, status: &Value) -> Value {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.name()},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": text, "generateName": text, "namespace": text, "uid": text, "resourceVersion": text,
                    "generation": {"type": "integer"},
                    "creationTimestamp": {"type": "string", "format": "date-time"},
                    "labels": texts, "annotations": texts,
                },
            },
            "spec": spec,
            "status": status,
        },
    })
}

fn list(kind: Kind) -> Value {
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "items"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": format!("{}List", kind.name())},
            "metadata": {
                "type": "object",
                "properties": {"resourceVersion": {"type": "string"}, "continue": {"type": "string"}, "remainingItemCount": {"type": "integer"}},
            },
            "items": {"type": "array", "items": reference(kind.name())},
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What came of a request, as of Kubernetes.",
        "required": ["kind", "apiVersion", "status"],
        "properties": {
            "kind": {"const": "Status"},
            "apiVersion": {"const": "v1"},
            "status": {"enum": ["Success", "Failure"]},
            "reason": {"type": "string", "description": "One word that stays the same over versions."},
            "message": {"type": "string"},
            "code": {"type": "integer"},
            "details": {"type": "object"},
        },
    })
}

fn paths(kind: Kind) -> [(String, Value); 3] {
    let base = format!("/apis/{GROUP}/{VERSION}");
    let (plural, name) = (kind.plural(), kind.name());
    let lists = |parameters: &[&str]| {
        let parameters: Vec<_> = parameters.iter().map(|name| in_path(name)).chain(query()).collect();
        json!({
            "operationId": format!("list{name}{}", if parameters.len() > 8 { "" } else { "OfAllNamespaces" }),
            "summary": "A list; with `watch=true` a stream of changes, one JSON document a line",
            "parameters": parameters,
            "responses": answers("200", &format!("{name}List")),
        })
    };
    let named = json!([in_path("namespace"), in_path("name")]);
    let all = json!({"get": lists(&[])});
    let some = json!({
        "get": lists(&["namespace"]),
        "post": {
            "operationId": format!("create{name}"), "parameters": [in_path("namespace")],
            "requestBody": body("application/json", &reference(name)), "responses": answers("201", name),
        },
    });
    let one = json!({
        "parameters": named,
        "get": {"operationId": format!("read{name}"), "responses": answers("200", name)},
        "put": {
            "operationId": format!("replace{name}"),
            "requestBody": body("application/json", &reference(name)), "responses": answers("200", name),
        },
        "patch": {
            "operationId": format!("patch{name}"), "summary": "A JSON merge patch (RFC 7396)",
            "requestBody": body("application/merge-patch+json", &json!({"type": "object"})), "responses": answers("200", name),
        },
        "delete": {"operationId": format!("delete{name}"), "responses": answers("200", "Status")},
    });
    [
        (format!("{base}/{plural}"), all),
        (format!("{base}/namespaces/{{namespace}}/{plural}"), some),
        (format!("{base}/namespaces/{{namespace}}/{plural}/{{name}}"), one),
    ]
}

fn others() -> [(String, Value); 2] {
    let image = json!({"name": "image", "in": "query", "required": true, "schema": {"type": "string"}});
    let component = json!({"get": {
        "operationId": "inspectComponent",
        "summary": "What a component imports and exports, with a schema of each parameter's JSON, and a Task to start from",
        "parameters": [image],
        "responses": {
            "200": {"description": "The component", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": failure(),
        },
    }});
    let selector = json!({
        "name": "fieldSelector", "in": "query", "description": "involvedObject.kind=, involvedObject.name=, involvedObject.uid=",
        "schema": {"type": "string"},
    });
    let events = json!({"get": {
        "operationId": "listEvents",
        "summary": "What was noticed of resources: an EventList of Kubernetes' core/v1, with the newest events since the start",
        "parameters": [in_path("namespace"), selector],
        "responses": {
            "200": {"description": "The events", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": failure(),
        },
    }});
    [
        (format!("/apis/{GROUP}/{VERSION}/components"), component),
        ("/api/v1/namespaces/{namespace}/events".to_owned(), events),
    ]
}

fn query() -> impl Iterator<Item = Value> {
    let parameters = [
        ("labelSelector", "string", "Such as site=lab,!old"),
        (
            "fieldSelector",
            "string",
            "metadata.name=NAME, metadata.namespace=NAMESPACE",
        ),
        ("limit", "integer", "Items in this answer at most"),
        ("continue", "string", "Where the list goes on, from the answer before"),
        ("watch", "boolean", "Changes as they happen"),
        ("resourceVersion", "string", "Of a watch: changes after this one"),
        ("timeoutSeconds", "integer", "Of a watch: how long it lasts"),
        ("allowWatchBookmarks", "boolean", "Of a watch: whether silence is told"),
    ];
    parameters.into_iter().map(|(name, type_, description)| {
        json!({"name": name, "in": "query", "description": description, "schema": {"type": type_}})
    })
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn body(type_: &str, schema: &Value) -> Value {
    json!({"required": true, "content": {type_: {"schema": schema}}})
}

fn answers(code: &str, name: &str) -> Value {
    json!({
        code: {"description": name, "content": {"application/json": {"schema": reference(name)}}},
        "default": failure(),
    })
}

fn failure() -> Value {
    json!({"description": "Why not", "content": {"application/json": {"schema": reference("Status")}}})
}
