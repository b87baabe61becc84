//! Where resources are: in memory for who reads, in one SQLite file for the next start.
//!
//! ```text
//!  create, edit, status, delete ──► queue ──► writer: check ──► commit, synced ──► memory, changes ──► answer
//!                                             (a thread)        (for many at once)       ▲
//!                                                                        list, get, watch┘
//! ```
//!
//! One thread writes, so conditions are checked against what is there and not against what somebody read. What waits while it syncs is
//! committed together. Nobody sees what isn't on disk yet.

mod changes;
mod database;
mod error;
mod resource;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
};

use propeller_api::NamespacedName;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    changes::Changes,
    database::{Contents, Database},
    writer::{Request, Writer},
};
pub use self::{
    changes::{Change, Forgotten},
    database::{Repaired, repair},
    error::{OpenError, Refusal},
    resource::{Kind, Resource, Unreadable},
};

/// Requests that wait for the writer. Who asks then waits for a place.
const QUEUE: usize = 1_024;

/// A write. Its conditions are in it: a uid and a resource version that are there must be those of the resource.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Makes a resource. What the store decides (uid, version, time, status) isn't taken from it.
    Create(Resource),
    /// Gives a resource another spec, labels and annotations.
    Edit(Resource),
    /// Gives a resource another status.
    Status(Resource),
    /// Takes a resource away.
    Delete {
        /// Of that kind,
        kind: Kind,
        /// of that name,
        key: NamespacedName,
        /// with that uid,
        uid: Option<String>,
        /// in that version.
        version: Option<String>,
    },
}

/// The resources. Clones share them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    newest: watch::Receiver<u64>,
}

struct Shared {
    controller: String,
    state: RwLock<State>,
}

struct State {
    version: u64,
    resources: BTreeMap<(Kind, NamespacedName), Arc<Resource>>,
    changes: Changes,
}

impl Store {
    /// Opens the file, or makes it. Nobody else may have it open.
    ///
    /// # Errors
    ///
    /// When it can't be used, is damaged, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (database, contents) = Database::open(path)?;
        Self::start(database, contents)
    }

    fn start(database: Database, contents: Contents) -> Result<Self, OpenError> {
        let resources = contents.resources.into_iter();
        let state = State {
            version: contents.version,
            resources: resources
                .map(|resource| ((resource.kind(), resource.key()), Arc::new(resource)))
                .collect(),
            changes: Changes::since(contents.version),
        };
        let shared = Arc::new(Shared {
            controller: contents.controller,
            state: RwLock::new(state),
        });
        let (requests, queue) = mpsc::channel(QUEUE);
        let (sender, newest) = watch::channel(contents.version);
        let writer = Writer::new(database, Arc::clone(&shared), sender);
        thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            requests,
            newest,
        })
    }

    /// Who this control plane is, for as long as the file lives.
    pub fn controller(&self) -> &str {
        &self.shared.controller
    }

    /// The resource as it is now.
    pub fn get(&self, kind: Kind, key: &NamespacedName) -> Option<Arc<Resource>> {
        self.shared.read().resources.get(&(kind, key.clone())).cloned()
    }

    /// Everything of a kind by namespace and name, and the version from which changes follow.
    pub fn list(&self, kind: Kind) -> (u64, Vec<Arc<Resource>>) {
        let (version, mut resources) = self.all();
        resources.retain(|resource| resource.kind() == kind);
        (version, resources)
    }

    /// Everything, kind by kind, and the version from which changes follow.
    pub fn all(&self) -> (u64, Vec<Arc<Resource>>) {
        let state = self.shared.read();
        (state.version, state.resources.values().cloned().collect())
    }

    /// What changed after that version.
    ///
    /// # Errors
    ///
    /// [`Forgotten`], when it is too long ago.
    pub fn changes(&self, version: u64) -> Result<Vec<Change>, Forgotten> {
        let state = self.shared.read();
        // A version that was never made is of a state that is no more.
        match version > state.version {
            true => Err(Forgotten),
            false => state.changes.after(version),
        }
    }

    /// The newest version, and each that comes.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// Writes. When this returns, it is on disk. Returns the resource as it is, or of a deletion as it was.
    ///
    /// # Errors
    ///
    /// [`Refusal`], and then nothing has changed.
    pub async fn write(&self, operation: Operation) -> Result<Arc<Resource>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = Request { operation, answer };
        self.requests.send(request).await.map_err(|_| Refusal::Stopping)?;
        answered.await.map_err(|_| Refusal::Stopping)?
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
