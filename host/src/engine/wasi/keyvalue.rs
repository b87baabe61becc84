//! `wasi:keyvalue`: the buckets that were granted.
//!
//! The disk is waited for on threads that may wait, not on those of guests.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};

use crate::engine::{
    Granted,
    keyvalue::{Bucket, BucketError, PAGE},
    memory::Account,
    state::State,
    traffic::Traffic,
};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/keyvalue",
        world: "imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::engine::keyvalue::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => super::Error },
    });
}

use bindings::wasi::keyvalue::{atomics, batch, store};

pub(in crate::engine) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<State, Buckets>(linker, view)?;
    atomics::add_to_linker::<State, Buckets>(linker, view)?;
    batch::add_to_linker::<State, Buckets>(linker, view)
}

/// What an operation ends with instead of a value.
pub enum Error {
    /// The bucket isn't granted.
    Denied,
    /// What the guest is told.
    Told(String),
    /// What ends the guest.
    Trap(wasmtime::Error),
}

impl From<BucketError> for Error {
    /// A guest learns that the file fails, and not where it is.
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::Memory => Self::Trap(wasmtime::Error::new(error)),
            BucketError::File(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a task's bucket can't be used"
                );
                Self::Told("the host can't read or write the bucket".to_owned())
            }
            refused => Self::Told(refused.to_string()),
        }
    }
}

impl From<ResourceTableError> for Error {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

struct Buckets;

impl HasData for Buckets {
    type Data<'a> = View<'a>;
}

/// The part of a run's state that buckets need.
struct View<'a> {
    granted: &'a Granted,
    handles: &'a mut ResourceTable,
    memory: &'a Account,
    traffic: &'a Traffic,
}

fn view(state: &mut State) -> View<'_> {
    View {
        granted: state.wasi.granted(),
        handles: &mut state.handles,
        memory: state.memory.account(),
        traffic: &state.traffic,
    }
}

impl View<'_> {
    /// Does something with a bucket, on a thread that may wait.
    async fn with<T: Send + 'static>(
        &mut self,
        bucket: &Resource<Bucket>,
        operation: impl FnOnce(Bucket) -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, Error> {
        let bucket = self.handles.get(bucket)?.clone();
        let done = tokio::task::spawn_blocking(move || operation(bucket)).await;
        Ok(done.map_err(|failure| Error::Trap(wasmtime::Error::new(failure)))??)
    }

    async fn get_values(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let memory = self.memory.clone();
        let found = self.with(bucket, move |bucket| bucket.get(&keys, &memory)).await?;
        let bytes = found.values.iter().flatten().map(Vec::len).sum();
        self.traffic.gave(bytes);
        Ok(found.values)
    }

    async fn set_values(&mut self, bucket: &Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let bytes = entries.iter().map(|(_, value)| value.len()).sum();
        self.with(bucket, move |bucket| bucket.set(&entries)).await?;
        self.traffic.took(bytes);
        Ok(())
    }
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Error> {
        let bucket = self.granted.bucket(&identifier).ok_or(Error::Denied)?.clone();
        Ok(self.handles.push(bucket)?)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<store::Error> {
        match error {
            Error::Denied => Ok(store::Error::AccessDenied),
            Error::Told(text) => Ok(store::Error::Other(text)),
            Error::Trap(trap) => Err(trap),
        }
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Error> {
        let values = self.get_values(&bucket, vec![key]).await?;
        Ok(values.into_iter().next().flatten())
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.set_values(&bucket, vec![(key, value)]).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Error> {
        self.with(&bucket, move |bucket| bucket.delete(&[key])).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Error> {
        self.with(&bucket, move |bucket| bucket.exists(&key)).await
    }

    /// The cursor is how many keys came before.
    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Result<store::KeyResponse, Error> {
        let cursor = cursor.unwrap_or(0);
        let skipped = usize::try_from(cursor).unwrap_or(usize::MAX);
        let (keys, more) = self.with(&bucket, move |bucket| bucket.keys(skipped)).await?;
        Ok(store::KeyResponse {
            keys,
            cursor: more.then(|| cursor.saturating_add(PAGE as u64)),
        })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.handles.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Error> {
        self.with(&bucket, move |bucket| bucket.increment(&key, delta)).await
    }
}

impl batch::Host for View<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Error> {
        let values = self.get_values(&bucket, keys.clone()).await?;
        let pairs = keys.into_iter().zip(values);
        Ok(pairs.map(|(key, value)| value.map(|value| (key, value))).collect())
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        self.set_values(&bucket, entries).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Error> {
        self.with(&bucket, move |bucket| bucket.delete(&keys)).await
    }
}
