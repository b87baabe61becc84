//! Configuration files of all our programs: TOML, with errors that name the file and the line.
//!
//! Which keys there are is said by the type that is read. Let it deny unknown fields: a key that isn't known is most likely misspelt, and would
//! otherwise be a setting without effect. Flags and the environment go over the file; that is each program's own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// The configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It isn't TOML, or has keys or values that mean nothing. The line itself isn't repeated: under a key that isn't known somebody may have
    /// put a secret.
    #[error("{}:{line}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// What the file says.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| FileError::Parse {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(&text, span.start)),
        problem: error.message().to_owned(),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        port: u16,
    }

    #[test]
    fn errors_name_the_line_and_do_not_repeat_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let check = |text: &str, expected: &str| {
            fs::write(&path, text).unwrap();
            let error = read::<File>(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        };
        check("port = 1\npasword = 'secret'", ":2: unknown field `pasword`");
        check("port = 'many'", ":1: invalid type");
        check("\n\nport =", ":3: ");
        fs::write(&path, "port = 80").unwrap();
        assert_eq!(read::<File>(&path).unwrap().port, 80);
        assert!(matches!(
            read::<File>(&folder.path().join("none")),
            Err(FileError::Read { .. })
        ));
    }
}
