//! The directory of one `propeller up`: whose it is, its token, and what other commands find it by.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::UpError;

/// The directory, which is ours as long as this lives.
pub struct State {
    directory: PathBuf,
    lock: File,
}

impl State {
    /// Takes the directory, and makes it first if it isn't there.
    pub fn claim(directory: &Path) -> Result<Self, UpError> {
        let unusable = |source| UpError::Directory {
            path: directory.to_owned(),
            source,
        };
        private_directory(directory).map_err(unusable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without that, it is another process nevertheless.
                let _ = lock.read_to_string(&mut holder);
                return Err(UpError::InUse {
                    path: directory.to_owned(),
                    holder: if holder.is_empty() {
                        "another process".to_owned()
                    } else {
                        holder
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // The one name that all its processes have for it.
        let directory = directory.canonicalize().map_err(unusable)?;
        Ok(Self { directory, lock })
    }

    /// Tells others who has it.
    pub fn sign(&mut self, url: Option<&str>) -> Result<(), UpError> {
        let url = url.map(|url| format!(" ({url})")).unwrap_or_default();
        let text = format!("process {}{url}", process::id());
        let mut write = || {
            self.lock.set_len(0)?;
            self.lock.seek(SeekFrom::Start(0))?;
            self.lock.write_all(text.as_bytes())
        };
        write().map_err(|source| self.unusable("lock", source))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Whether there was an `up` before that came as far as to have a store: lines of tasks are kept after that is open.
    pub fn was_used(&self) -> bool {
        self.path("logs").exists()
    }

    /// The token that the API asks for, the same at every start.
    pub fn token(&self) -> Result<SecretString, UpError> {
        let path = self.path("token");
        match fs::read_to_string(&path) {
            Ok(token) if token.trim().len() >= 32 => return Ok(token.trim().into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.unusable("token", error)),
            // A start that was cut off left half of one.
            _ => {}
        }
        let token = secret();
        replace(&path, token.expose_secret().as_bytes()).map_err(|source| self.unusable("token", source))?;
        Ok(token)
    }

    fn unusable(&self, name: &str, source: io::Error) -> UpError {
        UpError::Directory {
            path: self.path(name),
            source,
        }
    }
}

/// Where other commands find this one.
#[derive(Debug)]
pub struct ServerFile {
    path: PathBuf,
    text: String,
}

/// Whom other commands find.
#[derive(Debug)]
pub enum Written {
    /// This one.
    Ours(ServerFile),
    /// One at this URL, which was there before, and still is.
    Others(String),
}

impl ServerFile {
    /// Writes it, unless another one has, and is still up.
    pub fn write(path: &Path, url: &str, state: &State) -> Result<Written, UpError> {
        if let Some(other) = living(path, &state.directory) {
            return Ok(Written::Others(other));
        }
        let token = state.token()?;
        let text = json!({"server": url, "token": token.expose_secret(), "state": state.directory}).to_string();
        let write = || {
            private_directory(path.parent().unwrap_or(Path::new("/")))?;
            replace(path, text.as_bytes())
        };
        write().map_err(|source| UpError::Directory {
            path: path.to_owned(),
            source,
        })?;
        Ok(Written::Ours(Self {
            path: path.to_owned(),
            text,
        }))
    }
}

/// The URL that is in the file, if another process has the state directory that is in it. What was killed has left its file behind, and no lock.
fn living(path: &Path, ours: &Path) -> Option<String> {
    let known: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let theirs = Path::new(known["state"].as_str()?);
    if theirs == ours {
        return None;
    }
    match File::open(theirs.join("lock")).ok()?.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(known["server"].as_str()?.to_owned()),
        _ => None,
    }
}

/// Only what it has written itself: somebody else may have replaced it.
impl Drop for ServerFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What nobody can guess: two times 122 random bits.
pub fn secret() -> SecretString {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into()
}

pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // It may have been there before, for everybody to read.
    match fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(0o700)),
    }
}

/// The whole text or none, for this user only.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name lasts when its directory is on the disk as well.
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_it_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let mut state = State::claim(&directory).unwrap();
        state.sign(Some("http://127.0.0.1:1")).unwrap();
        let error = State::claim(&directory).map(drop).unwrap_err().to_string();
        let expected = format!("process {} (http://127.0.0.1:1) has the state in", process::id());
        assert!(error.starts_with(&expected), "{error}");
        drop(state);
        State::claim(&directory).unwrap();
    }

    #[test]
    fn the_token_stays_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::claim(folder.path()).unwrap();
        let token = state.token().unwrap();
        assert_eq!(state.token().unwrap().expose_secret(), token.expose_secret());
        let mode = fs::metadata(state.path("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(state.path("token"), "cut").unwrap();
        assert_eq!(state.token().unwrap().expose_secret().len(), 64);
    }

    #[test]
    fn the_file_for_others_goes_with_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.json");
        let states = ["a", "b"].map(|name| folder.path().join(name));
        let [a, b] = states.each_ref().map(|directory| State::claim(directory).unwrap());
        let write = |url: &str, state: &State| ServerFile::write(&path, url, state).unwrap();
        let Written::Ours(ours) = write("http://a:1", &a) else {
            panic!("nobody else was there")
        };
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // One that is up stays the one that others find.
        assert!(matches!(write("http://b:1", &b), Written::Others(url) if url == "http://a:1"));
        drop(ours);
        assert!(!path.exists());

        // One that was killed has left its file. Started again elsewhere, it is found there.
        let Written::Ours(killed) = write("http://a:1", &a) else {
            panic!("the file was gone")
        };
        std::mem::forget(killed);
        let Written::Ours(again) = write("http://a:2", &a) else {
            panic!("it is the same one")
        };
        std::mem::forget(again);
        drop(a);
        let Written::Ours(second) = write("http://b:1", &b) else {
            panic!("the first one is dead")
        };
        drop(second);
        assert!(!path.exists());
    }
}
