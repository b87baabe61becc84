//! How long a peer's words may be that are kept: what it says of itself for as long as it is known, and the names of tasks as long as there is
//! anything to remember of them. A message that says more isn't valid.

use propeller_api::{HostInfo, Labels};
use serde::{Deserialize, Deserializer, de::Error};

/// Words and labels that a proplet may have of each.
const MAX_ENTRIES: usize = 64;
/// Bytes of a word.
const MAX_WORD: usize = 64;
/// Bytes of a [label's key](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/): a DNS name, a slash and a name.
const MAX_KEY: usize = 253 + 1 + 63;
/// Bytes of a label's value.
const MAX_VALUE: usize = 63;

pub(crate) fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    let labels = Labels::deserialize(deserializer)?;
    entries("labels", labels.len())?;
    for (key, value) in &labels {
        bytes("the key of a label", key, MAX_KEY)?;
        bytes("the value of a label", value, MAX_VALUE)?;
    }
    Ok(labels)
}

pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    entries("words", words.len())?;
    for word in &words {
        bytes("a word", word, MAX_WORD)?;
    }
    Ok(words)
}

pub(crate) fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostInfo, D::Error> {
    let host = HostInfo::deserialize(deserializer)?;
    bytes("version", &host.version, MAX_WORD)?;
    bytes("os", &host.os, MAX_WORD)?;
    bytes("arch", &host.arch, MAX_WORD)?;
    Ok(host)
}

pub(crate) fn namespace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "namespace", 63)
}

pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "name", 253)
}

pub(crate) fn uid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "uid", 128)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D, what: &str, most: usize) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    bytes(what, &text, most)?;
    Ok(text)
}

fn entries<E: Error>(what: &str, count: usize) -> Result<(), E> {
    if count > MAX_ENTRIES {
        return Err(E::custom(format_args!("{count} {what}, more than {MAX_ENTRIES}")));
    }
    Ok(())
}

fn bytes<E: Error>(what: &str, text: &str, most: usize) -> Result<(), E> {
    if text.len() > most {
        return Err(E::custom(format_args!(
            "{what} has {} bytes, more than {most}",
            text.len()
        )));
    }
    Ok(())
}
