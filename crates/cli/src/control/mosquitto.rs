//! The files that say to Mosquitto who may connect, and what they may do: its
//! [password file](https://mosquitto.org/man/mosquitto_passwd-1.html) and its
//! [ACL file](https://mosquitto.org/man/mosquitto-conf-5.html).

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    num::NonZeroU32,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use propeller_embed::broker::{PROPLET_HEARS, PROPLET_PUBLISHES};
use ring::pbkdf2::{PBKDF2_HMAC_SHA512, derive};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::private::Private;

/// The control plane's user name, which the rules let do everything. No device can have it.
pub const CONTROL: &str = "control";

const PASSWORDS: &str = "passwords";
const ACL: &str = "acl";
const LOCK: &str = ".propeller.lock";

/// As `mosquitto_passwd` has it. Our secrets can't be guessed, however fast somebody tries.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(101).unwrap();

/// Whether Mosquitto knows somebody of that name.
pub fn knows(directory: &Path, name: &str) -> io::Result<bool> {
    Ok(passwords(directory)?.iter().any(|line| is_of(line, name)))
}

/// Lets somebody in by that name and password, and writes the rules if there are none. Not if somebody has that name who isn't to be replaced.
pub fn add(directory: &Path, name: &str, password: &SecretString, replaces: bool) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let _alone = lock(directory)?;
    let mut lines = passwords(directory)?;
    if !replaces && lines.iter().any(|line| is_of(line, name)) {
        return Ok(false);
    }
    lines.retain(|line| !is_of(line, name));
    lines.push(format!("{name}:{}", hash(password)));
    write(directory, &lines)?;
    let rules = directory.join(ACL);
    if !rules.exists() {
        Private::begin(&rules)?.write(acl().as_bytes())?;
    }
    Ok(true)
}

/// Lets nobody in by that name. Whether somebody was.
pub fn remove(directory: &Path, name: &str) -> io::Result<bool> {
    if !directory.exists() {
        return Ok(false);
    }
    let _alone = lock(directory)?;
    let mut lines = passwords(directory)?;
    let before = lines.len();
    lines.retain(|line| !is_of(line, name));
    if lines.len() < before {
        write(directory, &lines)?;
    }
    Ok(lines.len() < before)
}

/// Whoever changes the files at the same time waits for this to be dropped.
fn lock(directory: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(directory.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

fn passwords(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(directory.join(PASSWORDS)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error),
    }
}

fn write(directory: &Path, lines: &[String]) -> io::Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Private::begin(&directory.join(PASSWORDS))?
        .like_before()?
        .write(text.as_bytes())
}

fn is_of(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(user, _)| user == name)
}

/// PBKDF2 with SHA-512, which Mosquitto 2 writes itself.
fn hash(password: &SecretString) -> String {
    let salt = &Uuid::new_v4().into_bytes()[..12];
    let mut hash = [0; 64];
    derive(
        PBKDF2_HMAC_SHA512,
        ITERATIONS,
        salt,
        password.expose_secret().as_bytes(),
        &mut hash,
    );
    let [salt, hash] = [salt, &hash].map(|bytes| BASE64_STANDARD.encode(bytes));
    format!("$7${ITERATIONS}${salt}${hash}")
}

/// A user in Mosquitto's rules is everybody until the first `user`, and `%u` is who asks.
fn acl() -> String {
    let mut text = "# Each proplet to the topics that end in its own name.\n".to_owned();
    for pattern in PROPLET_PUBLISHES {
        text.push_str(&format!("pattern write {pattern}\n"));
    }
    for pattern in PROPLET_HEARS {
        text.push_str(&format!("pattern read {pattern}\n"));
    }
    text.push_str("\n# The control plane.\nuser control\ntopic readwrite m/#\n");
    text
}
