//! `propeller serve`: HTTP with a component, in the sandbox that a proplet has, until Ctrl-C or SIGTERM.

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    time::Duration,
};

use propeller_api::Work;
use propeller_host::engine::{InvokeError, Limits, Served, Service, ServiceEvent, ServiceLimits, Stdio};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    args::Serve,
    component::Access,
    failure::{Failure, Known},
    order::{self, Order},
    runnable::Runnable,
};

/// Where nobody says another.
const PORT: u16 = 8080;

/// A person can press Ctrl-C once more.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves it. Two signals, of which the second one doesn't wait for requests that are under way.
pub async fn serve(args: &Serve, access: &Access<'_>) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let order = Order::new(&args.source, args.image.as_deref(), &mut Known::default())?;
    let address = address(args, order.work())?;
    let grants = order.grants(&args.grants)?;
    let limits = Limits {
        // A service goes on until it's stopped. What a Task says of deadlines is for whoever keeps Tasks.
        deadline: Duration::MAX,
        ..order.limits(args.memory, None)
    };
    let prepared = async {
        let component = Runnable::load(&order.source, access, args.max_requests).await?;
        if component.contract().service().is_none() {
            return Err(InvokeError::NotAService.into());
        }
        let task = order.context(component.origin());
        Ok::<_, Failure>((task, component.prepare().await?))
    };
    let (task, prepared) = tokio::select! {
        prepared = prepared => prepared?,
        () = signals.next() => return Err(Failure::Interrupted),
    };

    let listener = TcpListener::bind(address).map_err(|source| Failure::Listen { address, source })?;
    let sandbox = order::sandbox(limits, task, &grants, Stdio::Stderr, access.environment)?;
    let cancel = sandbox.cancel.clone();
    let (sender, mut events) = mpsc::channel(64);
    let serving = prepared.serve(Service {
        listener,
        limits: ServiceLimits {
            request: args.request_timeout.0,
            requests: args.max_requests.try_into().unwrap_or(NonZeroUsize::MAX),
            drain: DRAIN,
            ..ServiceLimits::default()
        },
        sandbox,
        events: sender,
    });
    let mut serving = std::pin::pin!(serving);
    loop {
        tokio::select! {
            biased;
            () = signals.next() => {
                if cancel.is_cancelled() {
                    return Err(Failure::Interrupted);
                }
                cancel.cancel();
            }
            Some(event) = events.recv() => tell(event),
            outcome = &mut serving => return ended(outcome.result),
        }
    }
}

/// The command line's, else the Task's port on loopback.
fn address(args: &Serve, work: Option<Work>) -> Result<SocketAddr, Failure> {
    let port = match work {
        None => PORT,
        Some(Work::Service(service)) => service.port.map_or(PORT, Into::into),
        Some(other) => {
            let task = other.to_string();
            let asked = "a service: use `propeller run`";
            return Err(Failure::OtherWork { task, asked });
        }
    };
    Ok(args.addr.unwrap_or((Ipv4Addr::LOCALHOST, port).into()))
}

fn tell(event: ServiceEvent) {
    match event {
        // Where standard error is gone, it serves nevertheless.
        ServiceEvent::Ready(address) => drop(writeln!(io::stderr(), "http://{address}")),
        ServiceEvent::Failed(failure) => {
            let (reason, backtrace) = (failure.reason(), backtrace(&failure));
            tracing::warn!("a request failed ({reason}): {failure}{backtrace}");
        }
    }
}

fn backtrace(failure: &InvokeError) -> String {
    match failure {
        InvokeError::Trap { backtrace, .. } => backtrace.iter().map(|line| format!("\n  {line}")).collect(),
        _ => String::new(),
    }
}

fn ended(result: Result<Served, InvokeError>) -> Result<(), Failure> {
    let Served { requests, failed } = result?;
    tracing::info!(requests, failed, "served");
    Ok(())
}

/// SIGINT and SIGTERM.
struct Signals([tokio::signal::unix::Signal; 2]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Start);
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        ]))
    }

    /// Never ends if the operating system tells of no signals any more.
    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            Some(()) = interrupt.recv() => {}
            Some(()) = terminate.recv() => {}
            else => std::future::pending().await,
        }
    }
}
