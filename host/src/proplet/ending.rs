//! An orderly end: nothing new, patience with what runs, then an interruption, then the goodbye.

use std::time::Duration;

use propeller_bus::Qos;
use tokio::time::{Instant, timeout};

use super::{Proplet, keeper::Request};

/// For attempts to end once they are interrupted: a guest yields within milliseconds.
const INTERRUPTED: Duration = Duration::from_secs(3);
/// For the last reports, and then for the goodbye, to reach the broker.
const FLUSH: Duration = Duration::from_secs(5);

/// How far an orderly end has come.
pub(super) struct Ending {
    /// When patience ends: first with what runs, then with what was interrupted.
    pub(super) deadline: Instant,
    interrupted: bool,
    /// Nothing runs, and every outcome is in the journal.
    pub(super) idle: bool,
}

impl Proplet {
    pub(super) fn drain(&mut self) {
        let (running, patience) = (self.parts.supervisor.running(), self.parts.drain);
        tracing::info!(
            running,
            ?patience,
            "draining: nothing new is accepted, what runs may finish"
        );
        self.ending = Some(Ending {
            deadline: Instant::now() + patience,
            interrupted: false,
            idle: false,
        });
        self.parts.keeper.ask(Request::Drain);
        self.parts.supervisor.interrupt_services();
        self.ask_inventory(Qos::AtLeastOnce);
    }

    pub(super) fn time_up(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if ending.interrupted {
            // The journal has them, and the next boot says that they were interrupted.
            tracing::error!("attempts do not end, leaving them");
            ending.idle = true;
            return;
        }
        tracing::warn!(
            running = self.parts.supervisor.running(),
            "interrupting what still runs"
        );
        ending.interrupted = true;
        ending.deadline = Instant::now() + INTERRUPTED;
        self.parts.supervisor.interrupt();
    }

    pub(super) async fn say_goodbye(mut self) {
        let publisher = &self.parts.publisher;
        if self.connected {
            let goodbye = self.parts.voice.offline();
            let told = async {
                publisher.publish(goodbye).await?;
                publisher.flush().await
            };
            if timeout(FLUSH, told).await != Ok(Ok(())) {
                tracing::warn!("the broker did not take the last messages; what they tell is in the journal");
            }
        }
        publisher.close().await;
        tracing::info!("proplet ends");
    }
}
