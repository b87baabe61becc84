//! A component as an HTTP service: `wasi:http/incoming-handler` of 0.2, or `wasi:http/handler` of 0.3.
//!
//! ```text
//!  listener ──► connection ──► request ──► its own instance: store, memory bound, deadline ──► response
//!   bounded      bounded head    bounded     traps? 500, told as an event; the next request is served
//!   in number    and body        in number
//! ```
//!
//! Every request gets a fresh instance. That takes microseconds, and so no request sees what another one left behind, and a trap ends
//! one request only. Everything runs on the engine's threads: a handler that spins gives way every few milliseconds, to other
//! requests too.
//!
//! All instances and connections of a service share one bound on memory, so that it takes no more than was set aside for it. A service has
//! fewer turns where its instances are large, or take many slots of the pool: a request that waits is better off than one whose instance finds
//! nothing left, and so are the other runs.
//!
//! A service fails as a whole if an instance can't even be made when it begins, or if its listener dies. Whoever runs it may start
//! it again, later and later. Requests that trap are not such a reason, however many: else anybody who knows one could take the
//! service from everybody.

mod answer;
mod body;
mod connection;
mod instance;
mod stall;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Figures, Life, Outcome};
use crate::engine::{
    InvokeError, Prepared, Sandbox,
    memory::{Account, Reservation},
    traffic::Traffic,
};

/// After the operating system refused a connection, mostly because the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// In a row; then the listener is taken for dead.
const ACCEPT_FAILURES: u32 = 100;

/// What an instance may need at least, as a multiple of what it begins with: guests allocate before they do anything.
const GROWTH: u64 = 2;
/// Of a service's memory, what its connections may take is one part in so many.
const FOR_CONNECTIONS: usize = 8;

/// A service to run.
#[derive(Debug)]
pub struct Service {
    /// Bound already, so that its address is known and taken.
    pub listener: TcpListener,
    /// What clients may use.
    pub limits: ServiceLimits,
    /// The walls around it. The deadline is that of the whole service, and so is the memory. Cancelling begins the drain.
    pub sandbox: Sandbox,
    /// Is told what happens while it serves. What there's no room for isn't told; [`Served`] counts all of it.
    pub events: mpsc::Sender<ServiceEvent>,
}

/// Bounds of what clients of a service may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceLimits {
    /// How long one request may take: waiting for its turn, and then again until its response's last byte. Answered with 503 and 504.
    pub request: Duration,
    /// Requests at the same moment, each with an instance. Others wait.
    pub requests: NonZeroUsize,
    /// Connections at the same moment. Others wait in the listener's queue.
    pub connections: NonZeroUsize,
    /// Bytes of a request's head; up to twice as many if they arrive at once. Answered with 431.
    pub head: usize,
    /// Bytes of a request's body. Answered with 413 if it's announced, else the guest's reading fails.
    pub body: u64,
    /// How long a client may take to send a request's head, to send the next one on the same connection, and to read any of its response.
    pub idle: Duration,
    /// How long requests that are under way may go on when the service is to end.
    pub drain: Duration,
}

impl Default for ServiceLimits {
    /// 30 s and 16 MiB for a request, 64 of them at the same moment and 256 connections. A drain that leaves time within the second in
    /// which everything that's stopped has to end.
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            requests: const { NonZeroUsize::new(64).unwrap() },
            connections: const { NonZeroUsize::new(256).unwrap() },
            head: 64 << 10,
            body: 16 << 20,
            idle: Duration::from_secs(30),
            drain: Duration::from_millis(500),
        }
    }
}

/// What happens while a service runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceEvent {
    /// An instance could be made, and connections are accepted on this address.
    Ready(SocketAddr),
    /// A request's instance failed, and the request with it: a trap, too much memory or time.
    Failed(InvokeError),
}

/// What a service did, once it has ended because it was to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests that got an instance.
    pub requests: u64,
    /// Those of them whose instance failed.
    pub failed: u64,
}

/// What all connections and requests of a service share.
struct Shared {
    prepared: Prepared,
    limits: ServiceLimits,
    /// The walls of each instance: its deadline is the request's, and cancelling it is the end of the drain.
    sandbox: Sandbox,
    /// What all instances and connections hold.
    memory: Account,
    turns: Arc<Semaphore>,
    events: mpsc::Sender<ServiceEvent>,
    tracker: TaskTracker,
    /// Connections are to close once they have nothing under way.
    draining: CancellationToken,
    requests: AtomicU64,
    failed: AtomicU64,
    /// Bodies of requests and responses.
    traffic: Traffic,
    /// Sums over the instances that have ended.
    figures: Mutex<Figures>,
}

impl Prepared {
    /// Serves HTTP on the engine's threads until it's cancelled, which is no failure, or its deadline; and then until requests that are under way
    /// have ended or had their time to. Dropping the future ends it at once.
    pub async fn serve(&self, service: Service) -> Outcome<Served> {
        self.drive(run(self.clone(), service)).await
    }
}

async fn run(prepared: Prepared, service: Service) -> Outcome<Served> {
    let begun = Instant::now();
    let cancel = service.sandbox.cancel.clone();
    let deadline = service.sandbox.limits.deadline;
    let shared = Arc::new(Shared::new(prepared, &service));
    // Whatever ends this function also ends the instances that it started.
    let _end = shared.sandbox.cancel.clone().drop_guard();
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Ok(()),
        () = tokio::time::sleep(deadline) => Err(InvokeError::DeadlineExceeded { deadline }),
        failure = listen(&shared, service.listener) => Err(failure),
    };
    // The listener is closed by now, and no connection takes another request.
    shared.drain().await;
    Outcome {
        result: result.map(|()| shared.served()),
        figures: shared.figures(begun),
    }
}

/// Goes on until something is wrong.
async fn listen(shared: &Arc<Shared>, listener: TcpListener) -> InvokeError {
    match instance::probe(shared).await {
        Ok(bytes) => shared.make_room_for_each(bytes),
        Err(failure) => return failure,
    }
    match accept(shared, listener).await {
        Ok(never) => match never {},
        Err(error) => InvokeError::host(format!("the listener failed: {error}")),
    }
}

async fn accept(shared: &Arc<Shared>, listener: TcpListener) -> io::Result<std::convert::Infallible> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    shared.tell(ServiceEvent::Ready(listener.local_addr()?));
    let connections = Arc::new(Semaphore::new(shared.connections()));
    let mut failures = 0;
    loop {
        // Nobody closes the semaphore.
        let slot = connections.clone().acquire_owned().await.ok();
        let buffers = shared.buffers().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                failures = 0;
                let serving = connection::serve(shared.clone(), stream);
                shared.tracker.spawn(async move {
                    serving.await;
                    drop((slot, buffers));
                });
            }
            Err(error) if failures == ACCEPT_FAILURES => return Err(error),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    fn new(prepared: Prepared, service: &Service) -> Self {
        let mut sandbox = service.sandbox.clone();
        sandbox.limits.deadline = service.limits.request;
        sandbox.cancel = CancellationToken::new();
        Self {
            prepared,
            limits: service.limits,
            sandbox,
            memory: Account::new(service.sandbox.limits.memory, None),
            turns: Arc::new(Semaphore::new(service.limits.requests.get())),
            events: service.events.clone(),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            traffic: Traffic::default(),
            figures: Mutex::default(),
        }
    }

    /// Takes turns away until instances of so many bytes, and what they need soon, can all be there at once, and leave the other runs their slots
    /// of the pool.
    fn make_room_for_each(&self, bytes: u64) {
        let fits = self.sandbox.limits.memory / bytes.saturating_mul(GROWTH).max(1);
        let fits = fits.min(self.prepared.at_once().into());
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).max(1);
        self.turns
            .forget_permits(self.limits.requests.get().saturating_sub(fits));
    }

    /// How many there can be at a time.
    fn connections(&self) -> usize {
        let memory = usize::try_from(self.sandbox.limits.memory).unwrap_or(usize::MAX);
        let fits = memory / FOR_CONNECTIONS / self.connection_bytes();
        fits.clamp(1, self.limits.connections.get())
    }

    /// What hyper may hold of what was received, and of what is to be sent.
    fn connection_bytes(&self) -> usize {
        self.limits.head.max(connection::LEAST_HEAD).saturating_mul(2)
    }

    /// Memory for a connection. Where instances hold all of it, the next client waits until one of them has ended.
    async fn buffers(&self) -> Reservation {
        loop {
            match self.memory.reserve(self.connection_bytes()) {
                Some(buffers) => return buffers,
                None => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn tell(&self, event: ServiceEvent) {
        // Whoever is behind knows by the count in the end.
        let _ = self.events.try_send(event);
    }

    /// One instance has used so much in all.
    fn count(&self, figures: &Figures) {
        let mut sum = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        sum.add(figures);
    }

    /// One instance has ended.
    fn ended(&self, result: &Result<(), InvokeError>) {
        match result {
            // The drain has ended.
            Ok(()) | Err(InvokeError::Cancelled) => {}
            Err(failure) => {
                self.failed.fetch_add(1, Relaxed);
                self.tell(ServiceEvent::Failed(failure.clone()));
            }
        }
    }

    async fn drain(&self) {
        self.draining.cancel();
        self.tracker.close();
        let drained = tokio::time::timeout(self.limits.drain, self.tracker.wait()).await;
        self.sandbox.cancel.cancel();
        if drained.is_err() {
            self.tracker.wait().await;
        }
    }

    fn served(&self) -> Served {
        Served {
            requests: self.requests.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    fn figures(&self, begun: Instant) -> Figures {
        let sum = *self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes_in, bytes_out) = self.traffic.sums();
        Figures {
            wall: begun.elapsed(),
            bytes_in: sum.bytes_in + bytes_in,
            bytes_out: sum.bytes_out + bytes_out,
            peak_memory: self.memory.peak(),
            ..sum
        }
    }
}

impl Figures {
    /// One more instance of a service, whose memory is counted elsewhere.
    fn add(&mut self, instance: &Self) {
        self.cpu += instance.cpu;
        self.bytes_in += instance.bytes_in;
        self.bytes_out += instance.bytes_out;
    }
}
