//! What the derived schemas can't say by themselves.
//!
//! CEL has the parsers of addresses and networks that patterns can't be; what they take is what [`crate::HttpTarget`] and
//! [`crate::NetTarget`] take, which the table of cases in tests/ holds against a real API server.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A port without leading zeros, as a pattern.
macro_rules! port {
    () => {
        "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    };
}

/// A name as the domain name system has it, but for its length and that its last label isn't a number.
macro_rules! name {
    () => {
        "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?([.][A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*[.]?"
    };
}

/// The rest of what a name is, in CEL.
macro_rules! is_no_number {
    () => {
        " && !self.matches('(^|[.])[0-9]+[.]?(:.*)?$') && self.split(':')[0].size() <= 253"
    };
}

const HTTP_TARGET: &str = concat!(
    "isIP(self) || (self.matches('^[0-9.]+:",
    port!(),
    "$') && isIP(self.split(':')[0])) || (self.matches('^\\\\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\\\\](:",
    port!(),
    ")?$') && isIP(self.substring(1, self.indexOf(']')))) || (self.matches('^([*][.])?",
    name!(),
    "(:",
    port!(),
    ")?$')",
    is_no_number!(),
    ")",
);

const NET_TARGET: &str = concat!(
    "(self.matches('^[0-9./]+:([*]|",
    port!(),
    ")$') && (isIP(self.split(':')[0]) || isCIDR(self.split(':')[0]))) || ",
    "(self.matches('^\\\\[[0-9A-Fa-f.]*:[0-9A-Fa-f:./]*\\\\]:([*]|",
    port!(),
    ")$') && (isIP(self.substring(1, self.indexOf(']'))) || isCIDR(self.substring(1, self.indexOf(']'))))) || ",
    "(self.matches('^",
    name!(),
    ":([*]|",
    port!(),
    ")$')",
    is_no_number!(),
    ")",
);

const PATH: &str = "self.startsWith('/') && (self == '/' || !self.endsWith('/')) && !self.contains('//') \
                    && !self.contains('\\u0000') && !self.matches('/[.][.]?(/|$)')";

/// Any JSON at all: arguments and results are typed by the component, which the schema can't know.
pub(crate) fn any_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// What `wasi:config` answers. What the keys are is a rule of the whole, since a schema has no word for keys.
pub(crate) fn config(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": {"type": "string", "maxLength": 32_768},
    })
}

/// A path in its one way of writing, so that equal paths are equal text.
pub(crate) fn path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 4096,
        "x-kubernetes-validations": [{"rule": PATH, "message": crate::validate::PATH}],
    })
}

pub(crate) fn http_target() -> Schema {
    target(HTTP_TARGET, crate::target::HTTP_HOST)
}

pub(crate) fn net_target() -> Schema {
    target(NET_TARGET, crate::target::NET_HOST)
}

fn target(rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 300,
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}
