//! Opens a directory that a task asks for, below one that the policy allows.
//!
//! The path is resolved once, with its links, and must lead below the root. Then it is walked again from the root, one name at a time and
//! through no link, so whoever exchanges a directory for a link in between gains nothing. What is held afterwards is the open directory, not
//! its path. Inside of it WASI keeps the guest: neither `..` nor a link leads out.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use propeller_api::Directory;
use rustix::fs::{Mode, OFlags, open, openat};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::{Root, refused::Problem};

/// Only a place in the tree: nothing can be read through it, so names on the way need no permission but to pass.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Gives a guest the directory, if the policy allows it.
pub(super) fn grant(wasi: &mut WasiCtxBuilder, asked: &Directory, roots: &[Root]) -> Result<(), Problem> {
    let path = Path::new(&asked.host_path);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain {
        return Err(Problem::Path);
    }
    let directory = open_below_any(path, asked.read_only, roots)?;
    let perms = if asked.read_only {
        FsPerms::ReadOnly
    } else {
        FsPerms::ReadWrite
    };
    // WASI takes a path. This one is that of the open directory, whatever is at the path of old by now.
    let held = format!("/proc/self/fd/{}", directory.as_raw_fd());
    wasi.preopened_dir(held, &asked.guest_path, perms)
        .map(|_| ())
        .map_err(|error| Problem::Open(io::Error::other(error.root_cause().to_string())))
}

/// What isn't below a root as it is written is refused before the disk is asked: otherwise the answer would tell what is there.
fn open_below_any(path: &Path, read_only: bool, roots: &[Root]) -> Result<OwnedFd, Problem> {
    let not_allowed = || Problem::NotBelowRoot(roots.to_vec());
    let fits = |root: &&Root| path.starts_with(&root.path) && (read_only || !root.read_only);
    let roots: Vec<&Root> = roots.iter().filter(fits).collect();
    if roots.is_empty() {
        return Err(not_allowed());
    }
    let resolved = fs::canonicalize(path).map_err(Problem::Open)?;
    let below = roots.iter().find_map(|root| {
        let root = fs::canonicalize(&root.path).ok()?;
        let rest = resolved.strip_prefix(&root).ok()?.to_owned();
        Some((root, rest))
    });
    let (root, rest) = below.ok_or_else(not_allowed)?;
    open_below(&root, rest).map_err(|errno| Problem::Open(errno.into()))
}

/// `rest` is resolved, so every part of it is a name. One that has become a link since isn't followed.
fn open_below(root: &Path, rest: PathBuf) -> rustix::io::Result<OwnedFd> {
    let root = open(root, PLACE, Mode::empty())?;
    rest.iter().try_fold(root, |place, name| {
        openat(place, name, PLACE | OFlags::NOFOLLOW, Mode::empty())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_that_appears_after_the_check_is_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(scratch.path().join("outside/b")).unwrap();
        assert!(open_below(&root, "a/b".into()).is_ok());
        fs::remove_dir_all(root.join("a")).unwrap();
        symlink("../outside", root.join("a")).unwrap();
        assert!(open_below(&root, "a/b".into()).is_err(), "in the middle");
        assert!(open_below(&root, "a".into()).is_err(), "at the end");
    }
}
