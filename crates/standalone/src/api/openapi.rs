//! The API's own description: [OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0). Its schemas are those of the custom resources.

use propeller_api::{API_VERSION, GROUP, PropletSpec, PropletStatus, TaskSpec, TaskStatus, VERSION};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::store::Kind;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

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
        schemas.insert(format!("{}WatchEvent", kind.name()), watch_event(kind));
    }
    schemas.extend(generator.take_definitions(true));
    schemas.insert("Status".to_owned(), status());
    schemas.insert("DeleteOptions".to_owned(), delete_options());
    schemas.insert("LogLine".to_owned(), log_line());
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

fn watch_event(kind: Kind) -> Value {
    let event = |type_: Value, object: Value| json!({"properties": {"type": type_, "object": object}});
    let mark = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.name()},
            "metadata": {"type": "object", "properties": {"resourceVersion": {"type": "string"}}},
        },
    });
    let events = [
        event(
            json!({"enum": ["ADDED", "MODIFIED", "DELETED"]}),
            reference(kind.name()),
        ),
        event(json!({"const": "BOOKMARK"}), mark),
        event(json!({"const": "ERROR"}), reference("Status")),
    ];
    json!({
        "type": "object",
        "description": "One line of a watch, as of Kubernetes.",
        "required": ["type", "object"],
        "oneOf": events,
    })
}

fn delete_options() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "preconditions": {
                "type": "object",
                "description": "What must be so, else the answer is 409.",
                "properties": {"uid": text, "resourceVersion": text},
            },
            "dryRun": {"type": "array", "items": {"const": "All"}},
        },
    })
}

fn log_line() -> Value {
    json!({
        "type": "object",
        "required": ["time", "attempt", "stream", "line"],
        "properties": {
            "time": {"type": "string", "format": "date-time"},
            "attempt": {"type": "integer"},
            "stream": {"enum": ["stdout", "stderr"]},
            "line": {"type": "string"},
            "marker": {"type": "boolean", "description": "Whether it says that something is missing, in place of the task."},
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
        let where_ = if parameters.is_empty() { "OfAllNamespaces" } else { "" };
        let parameters: Vec<_> = parameters.iter().map(|name| in_path(name)).chain(query()).collect();
        let schema = json!({"anyOf": [reference(&format!("{name}List")), reference(&format!("{name}WatchEvent"))]});
        json!({
            "operationId": format!("list{name}{where_}"),
            "summary": "A list; with `watch=true` a stream of changes, one JSON document a line",
            "parameters": parameters,
            "responses": {
                "200": content(&format!("{name}List; with `watch=true` any number of {name}WatchEvent, each on a line"), JSON, &schema),
                "default": failure(),
            },
        })
    };
    let named = json!([in_path("namespace"), in_path("name")]);
    let all = json!({"get": lists(&[])});
    let some = json!({
        "get": lists(&["namespace"]),
        "post": {
            "operationId": format!("create{name}"), "parameters": [in_path("namespace"), dry_run()],
            "requestBody": body(JSON, &reference(name)), "responses": answers("201", name),
        },
    });
    let one = json!({
        "parameters": named,
        "get": {"operationId": format!("read{name}"), "responses": answers("200", name)},
        "put": {
            "operationId": format!("replace{name}"),
            "requestBody": body(JSON, &reference(name)), "responses": answers("200", name),
        },
        "patch": {
            "operationId": format!("patch{name}"), "summary": "A JSON merge patch (RFC 7396)",
            "requestBody": body("application/merge-patch+json", &json!({"type": "object"})), "responses": answers("200", name),
        },
        "delete": {
            "operationId": format!("delete{name}"), "parameters": [dry_run()],
            "requestBody": {"content": {JSON: {"schema": reference("DeleteOptions")}}}, "responses": answers("200", "Status"),
        },
    });
    [
        (format!("{base}/{plural}"), all),
        (format!("{base}/namespaces/{{namespace}}/{plural}"), some),
        (format!("{base}/namespaces/{{namespace}}/{plural}/{{name}}"), one),
    ]
}

fn others() -> impl Iterator<Item = (String, Value)> {
    let base = format!("/apis/{GROUP}/{VERSION}");
    let inside = format!("{base}/namespaces/{{namespace}}");
    [
        (base.clone(), kinds()),
        (format!("{base}/components"), component()),
        (format!("{inside}/tasks/{{name}}/log"), log()),
        (format!("{inside}/proplets/{{name}}/join"), join()),
        ("/api/v1/namespaces/{namespace}/events".to_owned(), events()),
    ]
    .into_iter()
    .chain(of_the_process())
}

fn kinds() -> Value {
    json!({"get": {
        "operationId": "listKinds",
        "summary": "The kinds that there are: an APIResourceList of Kubernetes' meta/v1",
        "responses": {"200": content("The kinds", JSON, &object()), "default": failure()},
    }})
}

fn component() -> Value {
    json!({"get": {
        "operationId": "inspectComponent",
        "summary": "What a component imports and exports, with a schema of each parameter's JSON, and a Task to start from",
        "parameters": [{"name": "image", "in": "query", "required": true, "schema": {"type": "string"}}],
        "responses": {"200": content("The component", JSON, &object()), "default": failure()},
    }})
}

fn log() -> Value {
    let parameters = [
        in_path("namespace"),
        in_path("name"),
        in_query(
            "follow",
            "boolean",
            "Whether to go on with lines as they come, until the task has ended",
        ),
        in_query(
            "tailLines",
            "integer",
            "Of the lines that are there, no more than so many",
        ),
    ];
    let lines = content(
        "Any number of LogLine, each on a line",
        "application/x-ndjson",
        &reference("LogLine"),
    );
    json!({"get": {
        "operationId": "readTaskLog",
        "summary": "What a task wrote, as a stream of JSON documents, one a line",
        "parameters": parameters,
        "responses": {"200": lines, "default": failure()},
    }})
}

fn join() -> Value {
    let wish = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "replace": {"type": "boolean", "description": "Whether the secret that it had is no longer one."},
            "labels": {
                "type": "object",
                "description": "For its Proplet, if that isn't there yet.",
                "additionalProperties": {"type": "string"},
            },
        },
    });
    let joined = json!({
        "type": "object",
        "required": ["id", "mqtt"],
        "properties": {"id": {"type": "string"}, "mqtt": {"type": "object"}, "registries": {"type": "object"}},
    });
    json!({"post": {
        "operationId": "joinProplet",
        "summary": "Lets a device in: makes its credentials, and its Proplet, if that isn't there yet",
        "parameters": [in_path("namespace"), in_path("name")],
        "requestBody": {"content": {JSON: {"schema": wish}}},
        "responses": {
            "201": content("What the device needs, with its secret, as `proplet --join` reads it from TOML", JSON, &joined),
            "default": failure(),
        },
    }})
}

fn events() -> Value {
    let selector = in_query(
        "fieldSelector",
        "string",
        "involvedObject.kind=, involvedObject.name=, involvedObject.uid=",
    );
    json!({"get": {
        "operationId": "listEvents",
        "summary": "What was noticed of resources: an EventList of Kubernetes' core/v1, with the newest events since the start",
        "parameters": [in_path("namespace"), selector],
        "responses": {"200": content("The events", JSON, &object()), "default": failure()},
    }})
}

/// Those that are about the process, and not about resources.
fn of_the_process() -> impl Iterator<Item = (String, Value)> {
    let text = json!({"type": "string"});
    let version = json!({"type": "object", "required": ["version"], "properties": {"version": text}});
    let figures = content(
        "The figures",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        &text,
    );
    let operation = |name: &str, summary: &str, responses: Value| json!({"operationId": name, "summary": summary, "responses": responses});
    // Nobody needs the token for it.
    let open = |mut operation: Value| {
        operation["security"] = json!([]);
        operation
    };
    [
        (
            "/openapi.json",
            operation(
                "readDescription",
                "This document",
                json!({"200": content("The document", JSON, &object()), "default": failure()}),
            ),
        ),
        (
            "/metrics",
            operation(
                "readMetrics",
                "Figures, as OpenMetrics",
                json!({"200": figures, "default": failure()}),
            ),
        ),
        (
            "/healthz",
            open(operation(
                "readHealth",
                "Whether the process answers",
                json!({"200": content("It does", TEXT, &text)}),
            )),
        ),
        (
            "/readyz",
            open(operation(
                "readReadiness",
                "Whether the control plane works",
                json!({"200": content("It does", TEXT, &text), "503": content("What is missing", TEXT, &text)}),
            )),
        ),
        (
            "/version",
            open(operation(
                "readVersion",
                "Which version it is",
                json!({"200": content("The version", JSON, &version)}),
            )),
        ),
    ]
    .into_iter()
    .map(|(path, operation)| (path.to_owned(), json!({"get": operation})))
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
    parameters
        .into_iter()
        .map(|(name, type_, description)| in_query(name, type_, description))
}

fn dry_run() -> Value {
    json!({
        "name": "dryRun", "in": "query", "description": "Nothing changes, and the answer is as if it did",
        "schema": {"const": "All"},
    })
}

fn in_query(name: &str, type_: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": type_}})
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
    json!({code: content(name, JSON, &reference(name)), "default": failure()})
}

fn failure() -> Value {
    content("Why not", JSON, &reference("Status"))
}

fn content(description: &str, type_: &str, schema: &Value) -> Value {
    json!({"description": description, "content": {type_: {"schema": schema}}})
}

fn object() -> Value {
    json!({"type": "object"})
}
