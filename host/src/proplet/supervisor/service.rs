//! A service is kept up: what fails to begin, or dies, is started again on the same port, later and later.

use std::{
    future::Future,
    mem,
    net::{IpAddr, SocketAddr, TcpListener},
    num::NonZeroU16,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use propeller_delivery::ledger::Started;
use propeller_protocol::AttemptRef;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    engine::{Figures, InvokeError, Outcome, Prepared, Sandbox, Served, Service, ServiceEvent, ServiceLimits},
    proplet::{
        chain::chain,
        config::ServiceSettings,
        metrics::Metrics,
        outcome::{Run, RunError},
    },
};

/// For requests that are under way when the service is stopped. It leaves time within the second in which everything that is stopped ends.
const DRAIN: Duration = Duration::from_millis(300);
/// Between restarts, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A service that was up for so long is as good as new.
const PROVEN: Duration = Duration::from_secs(60);
/// Between lines about requests that failed.
const QUIET: Duration = Duration::from_secs(10);
/// Events that wait to be logged.
const EVENTS: usize = 16;

/// A service and whom to tell of it.
pub(super) struct Keep {
    pub(super) attempt: AttemptRef,
    pub(super) prepared: Prepared,
    pub(super) sandbox: Sandbox,
    pub(super) settings: ServiceSettings,
    pub(super) begun: mpsc::UnboundedSender<super::Begun>,
    pub(super) metrics: Metrics,
}

/// What can be started again and again.
trait Serve: Send {
    /// Serves until it is cancelled, which is no failure, or fails.
    fn serve(&mut self) -> impl Future<Output = Result<Served, RunError>> + Send;

    /// It failed, and is served again after a pause.
    fn failed(&mut self, error: &RunError, pause: Duration);

    /// The pause is over.
    fn restarted(&mut self);
}

impl Keep {
    /// Serves on that port, or else on one that is free, until it is cancelled.
    pub(super) async fn up(self, port: Option<NonZeroU16>) -> Run {
        let address = SocketAddr::new(self.settings.address, port.map_or(0, NonZeroU16::get));
        let (listener, address) = match listen(address) {
            Ok(listening) => listening,
            Err(error) => return Run::failed(error),
        };
        let cancel = self.sandbox.cancel.clone();
        let mut kept = Kept {
            keep: self,
            address,
            first: Some(listener),
            figures: Figures::default(),
        };
        let error = keep(&mut kept, cancel.cancelled()).await;
        Run {
            result: Err(error),
            figures: kept.figures,
        }
    }

    async fn once(&self, listener: TcpListener) -> Outcome<Served> {
        let (events, mut heard) = mpsc::channel(EVENTS);
        let limits = ServiceLimits {
            drain: DRAIN,
            ..ServiceLimits::default()
        };
        let sandbox = self.sandbox.clone();
        let serving = self.prepared.serve(Service {
            listener,
            limits,
            sandbox,
            events,
        });
        tokio::pin!(serving);
        let mut complaints = Complaints::default();
        loop {
            tokio::select! {
                outcome = &mut serving => return outcome,
                Some(event) = heard.recv() => self.note(event, &mut complaints),
            }
        }
    }

    /// Where it listens now, or why it doesn't.
    fn tell(&self, listens: Result<String, String>) {
        let (address, problem) = match listens {
            Ok(address) => (Some(address), None),
            Err(problem) => (None, Some(problem)),
        };
        // If the receiver is gone, so is the proplet.
        let _ = self.begun.send((self.attempt.clone(), Started { address, problem }));
    }

    fn note(&self, event: ServiceEvent, complaints: &mut Complaints) {
        let (task, attempt) = (&self.attempt.task, self.attempt.attempt);
        match event {
            ServiceEvent::Ready(address) => {
                let url = url(&self.settings.host, address.port());
                tracing::info!(%task, attempt, url, "the service listens");
                self.tell(Ok(url));
            }
            ServiceEvent::Failed(error) => {
                let (reason, backtrace) = (error.reason(), error.backtrace().join("\n"));
                match complaints.next() {
                    Some(unsaid) => {
                        tracing::info!(%task, attempt, reason, %error, unsaid, backtrace, "a request failed; more are logged at debug level for a while");
                    }
                    None => tracing::debug!(%task, attempt, reason, %error, backtrace, "a request failed"),
                }
            }
        }
    }
}

/// One line says what is wrong with requests; a thousand more of them would only fill the disk, whoever sends them.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// How many haven't been said since the last that was, if it's time for another.
    fn next(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < QUIET) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(mem::take(&mut self.unsaid))
    }
}

/// A service over all its restarts.
struct Kept {
    keep: Keep,
    /// The one that was told: others keep reaching the service after a restart.
    address: SocketAddr,
    /// Bound already, for the first time.
    first: Option<TcpListener>,
    /// All restarts are one attempt.
    figures: Figures,
}

impl Serve for Kept {
    async fn serve(&mut self) -> Result<Served, RunError> {
        let listener = match self.first.take() {
            Some(listener) => listener,
            None => listen(self.address)?.0,
        };
        let Outcome { result, figures } = self.keep.once(listener).await;
        add(&mut self.figures, &figures);
        Ok(result?)
    }

    fn failed(&mut self, error: &RunError, pause: Duration) {
        let (attempt, error) = (&self.keep.attempt, chain(error));
        tracing::warn!(task = %attempt.task, attempt = attempt.attempt, error, ?pause, "a service failed, and is started again");
        self.keep.tell(Err(error));
    }

    fn restarted(&mut self) {
        self.keep.metrics.restarted();
    }
}

/// Starts again what fails, until it is cancelled or there is no use in it.
async fn keep(service: &mut impl Serve, cancelled: impl Future<Output = ()> + Send) -> RunError {
    let mut pauses = pauses();
    tokio::pin!(cancelled);
    loop {
        let begin = Instant::now();
        let error = match service.serve().await {
            // It ends by itself when it is cancelled.
            Ok(Served { .. }) => return RunError::Stopped,
            Err(error) if is_final(&error) => return error,
            Err(error) => error,
        };
        if begin.elapsed() >= PROVEN {
            pauses = self::pauses();
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        service.failed(&error, pause);
        tokio::select! {
            biased;
            () = &mut cancelled => return RunError::Stopped,
            () = sleep(pause) => service.restarted(),
        }
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    builder.build()
}

/// Whether it would fail again the same way, however often it's tried.
fn is_final(error: &RunError) -> bool {
    matches!(error, RunError::Invoke(InvokeError::NotAService))
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn url(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
        _ => format!("http://{host}:{port}"),
    }
}

fn add(sum: &mut Figures, run: &Figures) {
    sum.wall += run.wall;
    sum.cpu += run.cpu;
    sum.peak_memory = sum.peak_memory.max(run.peak_memory);
    sum.bytes_in += run.bytes_in;
    sum.bytes_out += run.bytes_out;
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn trap() -> RunError {
        RunError::Invoke(InvokeError::Trap {
            message: "unreachable".into(),
            backtrace: vec![],
        })
    }

    /// Traps each time, the tenth time after a while, and ends in the end.
    struct Fragile {
        born: Instant,
        begins: Vec<Duration>,
        restarts: usize,
        error: fn() -> RunError,
    }

    impl Fragile {
        fn new(error: fn() -> RunError) -> Self {
            Self {
                born: Instant::now(),
                begins: vec![],
                restarts: 0,
                error,
            }
        }
    }

    impl Serve for Fragile {
        async fn serve(&mut self) -> Result<Served, RunError> {
            self.begins.push(self.born.elapsed());
            if self.begins.len() == 10 {
                sleep(PROVEN).await;
            }
            match self.begins.len() {
                ..12 => Err((self.error)()),
                _ => Ok(Served::default()),
            }
        }

        fn failed(&mut self, _: &RunError, _: Duration) {}

        fn restarted(&mut self) {
            self.restarts += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_dies_is_started_again_later_and_later_and_soon_once_it_was_up() {
        let mut service = Fragile::new(trap);
        let end = keep(&mut service, pending()).await;
        assert!(matches!(end, RunError::Stopped), "{end}");
        let begins = service.begins;
        assert_eq!((begins.len(), service.restarts), (12, 11));
        // Jitter adds up to a pause of the same length.
        let pauses: Vec<_> = begins
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect();
        let expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 61.0, 2.0];
        for (pause, least) in pauses.iter().zip(expected) {
            assert!((least..=2.0 * least + 1.0).contains(pause), "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_a_pause_and_what_is_no_service_is_not_tried_again() {
        let stop = sleep(Duration::from_secs(100));
        let begin = Instant::now();
        let end = keep(&mut Fragile::new(trap), stop).await;
        assert!(matches!(end, RunError::Stopped), "{end}");
        assert_eq!(begin.elapsed().as_secs(), 100);

        let end = keep(&mut Fragile::new(|| InvokeError::NotAService.into()), pending()).await;
        assert!(matches!(end, RunError::Invoke(InvokeError::NotAService)), "{end}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failures_is_a_line_now_and_then() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.next(), Some(0));
        for _ in 0..1000 {
            assert_eq!(complaints.next(), None);
        }
        sleep(QUIET).await;
        assert_eq!((complaints.next(), complaints.next()), (Some(1000), None));
    }

    #[test]
    fn a_url_holds_any_address() {
        assert_eq!(url("edge-1.lab", 80), "http://edge-1.lab:80");
        assert_eq!(url("::1", 80), "http://[::1]:80");
        assert_eq!(url("10.0.0.7", 80), "http://10.0.0.7:80");
    }
}
