//! Beginning and building components: flags and their help.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum, ValueHint};

/// `propeller new`.
#[derive(Debug, Args)]
#[command(after_help = "\
The directory has a contract, wit/component.wit, and a component that fulfils it. Rust needs wit-bindgen, which cargo gets; JavaScript and Python \
need componentize-qjs and componentize-py, and `propeller build` says how to install what is missing.

Example:
  propeller new greeter --lang rust && cd greeter && propeller run $(propeller build) 'greet(\"you\")'")]
pub struct New {
    /// Name of the component, and of the directory that is made
    pub name: Name,
    /// What to write it in
    #[arg(long = "lang", value_enum, value_name = "LANGUAGE", default_value = "rust")]
    pub language: Language,
}

/// `propeller build`.
#[derive(Debug, Args)]
#[command(after_help = "\
Cargo.toml is Rust, built with cargo for wasm32-wasip2; package.json is JavaScript, built with the componentize-qjs of its node_modules; \
requirements.txt is Python, built with the componentize-py of its .venv. Where the component is, is the only line on standard output.")]
pub struct Build {
    /// The component's directory
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// What components are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust
    Rust,
    /// JavaScript
    #[value(alias = "js")]
    Javascript,
    /// Python
    #[value(alias = "py")]
    Python,
}

/// A name that crates, packages and WIT take: words of lowercase letters and digits, each beginning with a letter, with `-` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

/// Names that Cargo refuses as names of packages, since they are
/// [keywords](https://doc.rust-lang.org/reference/keywords.html) or crates of its own, and the keywords of
/// [WIT](https://component-model.bytecodealliance.org/design/wit.html).
const RESERVED: &str = "\
    abstract alloc as async await become bool borrow box break char const constructor continue core crate deps do \
    dyn else enum error-context examples export extern f32 f64 false final flags fn for from func future gen if \
    impl import in include incremental interface let list loop macro map match mod move mut option override own \
    package priv proc pub record ref resource result return s16 s32 s64 s8 self static std stream string struct \
    super test trait true try tuple type typeof u16 u32 u64 u8 union unsafe unsized use variant virtual where \
    while with world yield";

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if RESERVED.split_whitespace().any(|word| word == text) {
            Err("this name means something else in Rust or WIT: choose another, such as my-component")
        } else if text.len() <= 63 && text.split('-').all(word) {
            Ok(Self(text.to_owned()))
        } else {
            Err("write words of lowercase letters and digits with `-` between them, such as my-component")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_nothing_else() {
        for taken in ["fn", "world", "self", "error-context", "My", "a_b", "-a", ""] {
            assert!(taken.parse::<Name>().is_err(), "{taken}");
        }
        for free in ["a", "greeter", "my-world", "v2"] {
            assert!(free.parse::<Name>().is_ok(), "{free}");
        }
    }
}
