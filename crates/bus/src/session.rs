//! Connection after connection, with pauses between.

use std::{sync::atomic::Ordering, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rumqttc::Transport;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Event, Options,
    connection::{self, End},
    events::{Delivery, Refused, Sink},
    outbox::Outbox,
    publisher::Inputs,
};

/// Long enough for a broker that is being started again, short enough that a lost packet isn't noticed.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A fleet that waits for its broker asks it no more often than this, each at another moment.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that held for this long was a good one: the pauses begin anew.
const GOOD: Duration = Duration::from_secs(10);
/// Two processes with one client id would otherwise throw each other out as fast as they can connect.
const TAKEN_OVER_PAUSE: Duration = Duration::from_secs(60);
/// This many connections in a row that the broker ended before they were good are no accident.
const SUSPICIOUS: u32 = 3;

/// What lasts over connections.
pub(crate) struct Session {
    pub(crate) options: Options,
    pub(crate) transport: Transport,
    pub(crate) inputs: Inputs,
    pub(crate) sink: Sink,
    pub(crate) stop: CancellationToken,
    pub(crate) outbox: Outbox,
    /// Connections in a row that were lost before they were good.
    short: u32,
}

impl Session {
    pub(crate) fn new(
        options: Options,
        transport: Transport,
        inputs: Inputs,
        sink: Sink,
        stop: CancellationToken,
    ) -> Self {
        Self {
            options,
            transport,
            inputs,
            sink,
            stop,
            outbox: Outbox::default(),
            short: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut pauses = pauses();
        for number in 1.. {
            let began = Instant::now();
            let end = connection::run(&mut self, number).await;
            self.inputs.connected.store(false, Ordering::Relaxed);
            if matches!(end, End::Stopped) {
                break;
            }
            let was_up = matches!(end, End::Lost(_) | End::TakenOver);
            let was_good = was_up && began.elapsed() >= GOOD;
            if was_good {
                pauses = self::pauses();
            }
            self.short = match end {
                End::Lost(_) if !was_good => self.short + 1,
                _ => 0,
            };
            let pause = match end {
                End::TakenOver => TAKEN_OVER_PAUSE,
                _ => pauses.next().unwrap_or(LONGEST_PAUSE),
            };
            self.log(&end, pause);
            let goes_on = self.tell_and_wait(end, pause);
            if stop.run_until_cancelled(goes_on).await != Some(true) {
                break;
            }
        }
    }

    /// Waits for the consumer too if it is behind. `false` if there is none any more.
    async fn tell_and_wait(&self, end: End, pause: Duration) -> bool {
        let event = match end {
            End::TakenOver => Some(Event::TakenOver),
            End::Refused(code, reason) => Some(Event::Refused {
                what: Refused::Connection,
                code,
                reason,
            }),
            End::Lost(reason) => Some(Event::Disconnected { reason }),
            End::Failed(_) | End::Stopped => None,
        };
        if let Some(event) = event
            && self.sink.deliveries.send(Delivery { event, ack: None }).await.is_err()
        {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    fn log(&self, end: &End, pause: Duration) {
        let Options { broker, client_id, .. } = &self.options;
        match end {
            // Not every broker says that another one took our place: Mosquitto 2.0.11, Debian 12's, just closes the connection.
            End::Lost(reason) if self.short >= SUSPICIOUS => tracing::warn!(
                %broker, client_id, reason, ?pause,
                "lost the connection to the broker soon after it was made, and not for the first time: does another process use our client id?"
            ),
            End::Lost(reason) => tracing::warn!(%broker, reason, ?pause, "lost the connection to the broker"),
            End::Failed(reason) => tracing::warn!(%broker, reason, ?pause, "cannot connect to the broker"),
            End::Refused(_, reason) => tracing::warn!(%broker, client_id, reason, ?pause, "the broker refuses us"),
            End::TakenOver => tracing::error!(
                %broker, client_id, ?pause,
                "another process connected to the broker with our client id, which ended our connection: give each its own"
            ),
            End::Stopped => {}
        }
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
