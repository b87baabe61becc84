//! How people name a function.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::clip;

/// Names longer than this aren't looked at. WIT names are words; this leaves room for a package, an interface and a
/// version.
const MAX_LENGTH: usize = 512;

/// A function as people name it: `add`, or `propeller:examples/math@1.0.0#add` with the interface that exports it.
///
/// The version may be left out. Whether there is such a function, and only one, is for
/// [`Contract::find`](crate::Contract::find). The qualified form is the one of the [canonical ABI's export
/// names](https://github.com/WebAssembly/component-model/blob/main/design/mvp/BuildTargets.md).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionRef {
    interface: Option<String>,
    name: String,
}

/// The text isn't a function's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a function's name: write it as `add` or as `propeller:examples/math@1.0.0#add`")]
pub struct InvalidFunctionRef(String);

impl FunctionRef {
    pub(crate) fn new(interface: Option<&str>, name: &str) -> Self {
        Self {
            interface: interface.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The interface before the `#`, with or without its version.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The function's own name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for FunctionRef {
    type Err = InvalidFunctionRef;

    fn from_str(text: &str) -> Result<Self, InvalidFunctionRef> {
        let (interface, name) = match text.rsplit_once('#') {
            Some((interface, name)) => (Some(interface), name),
            None => (None, text),
        };
        if text.len() <= MAX_LENGTH && is_function(name) && interface.is_none_or(is_interface) {
            Ok(Self::new(interface, name))
        } else {
            Err(InvalidFunctionRef(clip(text)))
        }
    }
}

/// A kebab-case word, or a resource's function such as `[method]blob.read`, which can be named though not called.
fn is_function(name: &str) -> bool {
    let plain = name
        .strip_prefix('[')
        .and_then(|name| name.split_once(']'))
        .map_or(name, |(_, name)| name);
    is_word(plain, ".")
}

/// `namespace:package/interface@version`, or the plain word of an instance that has no package.
fn is_interface(interface: &str) -> bool {
    let (name, version) = interface.split_once('@').unwrap_or((interface, "0"));
    let version_fits = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    is_word(name, ":/") && version_fits
}

fn is_word(word: &str, also: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || also.contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(fits)
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl TryFrom<String> for FunctionRef {
    type Error = InvalidFunctionRef;

    fn try_from(text: String) -> Result<Self, InvalidFunctionRef> {
        text.parse()
    }
}

impl From<FunctionRef> for String {
    fn from(function: FunctionRef) -> String {
        function.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for text in [
            "add",
            "add-2-B",
            "propeller:examples/math@1.0.0#add",
            "a:b/c#d",
            "math#add",
            "a:b/c@0.2.0-rc.1+x#d",
            "[method]blob.read",
        ] {
            let function: FunctionRef = text.parse().unwrap();
            assert_eq!(function.to_string(), text);
            assert_eq!(serde_json::to_value(&function).unwrap(), text);
        }
        let function: FunctionRef = "propeller:examples/math@1.0.0#add".parse().unwrap();
        assert_eq!(
            (function.interface(), function.name()),
            (Some("propeller:examples/math@1.0.0"), "add")
        );
    }

    #[test]
    fn other_text_is_refused() {
        let long = "a".repeat(100_000);
        for text in [
            "",
            "#",
            "add#",
            "#add",
            "a b",
            "add(",
            "1add",
            "a@1",
            "a:b/c@#d",
            "a:b/c@1 #d",
            "é",
            "[method]",
            &long,
        ] {
            let error = text.parse::<FunctionRef>().unwrap_err().to_string();
            assert!(error.contains("write it as `add`") && error.len() < 250, "{error}");
        }
        assert!(serde_json::from_str::<FunctionRef>("\"a b\"").is_err());
    }
}
