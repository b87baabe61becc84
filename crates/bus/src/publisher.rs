//! The way in: what our process wants to publish.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::Publication;

/// What the outbox holds at most, in KiB: a broker that is away for a while must not take all memory of a small device.
const OUTBOX_KIB: u32 = 16 << 10;

/// Offered publications on their way to the socket. One is dropped when a connection is this far behind.
const OFFERS: usize = 256;

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the MQTT session is closed")]
pub struct Closed;

/// Publishes. Clones share one outbox.
#[derive(Debug, Clone)]
pub struct Publisher {
    room: Arc<Semaphore>,
    offers: Arc<Semaphore>,
    /// One queue for both, so that what is said first is heard first: a late heartbeat mustn't undo a goodbye. Room bounds it.
    queue: mpsc::UnboundedSender<Input>,
    connected: Arc<AtomicBool>,
    stop: CancellationToken,
}

/// What comes from publishers.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the outbox.
    Queued(Entry),
    /// For the moment.
    Offered(Publication, OwnedSemaphorePermit),
}

/// A publication in the outbox.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) publication: Publication,
    pub(crate) since: Instant,
    /// Given back when the entry is dropped, so that "all room is there" means "the outbox is empty".
    pub(crate) _room: OwnedSemaphorePermit,
}

/// The session's ends of a [`Publisher`].
pub(crate) struct Inputs {
    pub(crate) queue: mpsc::UnboundedReceiver<Input>,
    pub(crate) connected: Arc<AtomicBool>,
    room: Arc<Semaphore>,
}

pub(crate) fn channel(stop: CancellationToken) -> (Publisher, Inputs) {
    let (queue, queued) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(OUTBOX_KIB as usize));
    let connected = Arc::default();
    let inputs = Inputs {
        queue: queued,
        connected: Arc::clone(&connected),
        room: Arc::clone(&room),
    };
    let publisher = Publisher {
        room,
        offers: Arc::new(Semaphore::new(OFFERS)),
        queue,
        connected,
        stop,
    };
    (publisher, inputs)
}

impl Drop for Inputs {
    /// Whoever waits for room learns that there will be none.
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Publisher {
    /// Puts a publication into the outbox, and waits while that is full. It is published in the order of these calls, now or when the
    /// broker is back.
    ///
    /// A publication that no broker can take, for its size or its topic, is logged and dropped.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub async fn publish(&self, publication: Publication) -> Result<(), Closed> {
        let room = Arc::clone(&self.room);
        let room = room.acquire_many_owned(kib(&publication)).await.map_err(|_| Closed)?;
        self.enqueue(publication, room)
    }

    /// Like [`publish`](Self::publish), without waiting: `false` says that the outbox is full, and nothing was done.
    ///
    /// # Errors
    ///
    /// When the session has ended.
    pub fn try_publish(&self, publication: Publication) -> Result<bool, Closed> {
        match Arc::clone(&self.room).try_acquire_many_owned(kib(&publication)) {
            Ok(room) => self.enqueue(publication, room).map(|()| true),
            Err(TryAcquireError::NoPermits) => Ok(false),
            Err(TryAcquireError::Closed) => Err(Closed),
        }
    }

    /// Publishes what is only of use now, without the outbox: heartbeats, logs, figures. `false` says that it was dropped, because there is
    /// no connection or it is far behind. Sent as QoS 0, whatever the publication says.
    pub fn offer(&self, publication: Publication) -> bool {
        let room = Arc::clone(&self.offers).try_acquire_owned();
        match room {
            Ok(room) if self.connected.load(Ordering::Relaxed) => {
                self.queue.send(Input::Offered(publication, room)).is_ok()
            }
            _ => false,
        }
    }

    /// Whether nothing waits in the outbox.
    pub fn is_empty(&self) -> bool {
        self.room.available_permits() == OUTBOX_KIB as usize
    }

    /// Waits until the broker has acknowledged all that is in the outbox. That may be never, so give it a deadline. What is published
    /// meanwhile waits for its turn.
    ///
    /// # Errors
    ///
    /// When the session ends before.
    pub async fn flush(&self) -> Result<(), Closed> {
        self.room.acquire_many(OUTBOX_KIB).await.map(drop).map_err(|_| Closed)
    }

    /// Ends the session: says goodbye if there is a connection, so that the broker drops the will, and forgets what is in the outbox.
    pub async fn close(&self) {
        self.stop.cancel();
        self.queue.closed().await;
    }

    fn enqueue(&self, publication: Publication, room: OwnedSemaphorePermit) -> Result<(), Closed> {
        let entry = Entry {
            publication,
            since: Instant::now(),
            _room: room,
        };
        self.queue.send(Input::Queued(entry)).map_err(|_| Closed)
    }
}

/// The room that a publication takes. One that is larger than the outbox gets all of it.
fn kib(publication: &Publication) -> u32 {
    let bytes = publication.topic.len() + publication.payload.len();
    u32::try_from(bytes / 1024 + 1).unwrap_or(OUTBOX_KIB).min(OUTBOX_KIB)
}
