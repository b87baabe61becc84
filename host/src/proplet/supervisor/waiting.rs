//! Attempts that wait for room, and their deadlines.

use std::{collections::HashMap, future::pending};

use propeller_protocol::{AttemptRef, Start};
use tokio::time::{Instant, sleep_until};

use crate::proplet::limits::Limits;

/// There are as few as the queue's limit allows, so looking through them is cheap.
#[derive(Default)]
pub(super) struct WaitingRoom(HashMap<AttemptRef, Waiting>);

struct Waiting {
    start: Box<Start>,
    limits: Limits,
    deadline: Option<Instant>,
    /// Whether it was told that the deadline has passed.
    told: bool,
}

impl WaitingRoom {
    pub(super) fn enter(&mut self, start: Box<Start>, limits: Limits, deadline: Option<Instant>) {
        let waiting = Waiting {
            limits,
            deadline,
            told: false,
            start,
        };
        self.0.insert(waiting.start.attempt.clone(), waiting);
    }

    /// What was kept of an attempt.
    pub(super) fn leave(&mut self, attempt: &AttemptRef) -> Option<(Box<Start>, Limits, Option<Instant>)> {
        let Waiting {
            start,
            limits,
            deadline,
            ..
        } = self.0.remove(attempt)?;
        Some((start, limits, deadline))
    }

    /// The next attempt whose deadline passes, each once. Can be cancelled without losing one.
    pub(super) async fn overdue(&mut self) -> (AttemptRef, Limits) {
        let open = self.0.iter_mut().filter(|(_, waiting)| !waiting.told);
        let next = open.filter_map(|(attempt, waiting)| Some((waiting.deadline?, attempt, waiting)));
        match next.min_by_key(|(deadline, ..)| *deadline) {
            Some((deadline, attempt, waiting)) => {
                sleep_until(deadline).await;
                waiting.told = true;
                (attempt.clone(), waiting.limits)
            }
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proplet::limits::tests::{settings, start};

    #[tokio::test(start_paused = true)]
    async fn each_is_told_once_when_its_deadline_passes() {
        let (mut room, begin) = (WaitingRoom::default(), Instant::now());
        let enter = |room: &mut WaitingRoom, uid: &str, seconds: Option<u64>| {
            let start = Box::new(start(uid));
            let limits = Limits::new(&start, &settings());
            room.enter(
                start,
                limits,
                seconds.map(|seconds| begin + Duration::from_secs(seconds)),
            );
        };
        enter(&mut room, "late", Some(20));
        enter(&mut room, "soon", Some(10));
        enter(&mut room, "never", None);
        for (uid, seconds) in [("soon", 10), ("late", 20)] {
            assert_eq!(room.overdue().await.0.task.uid, uid);
            assert_eq!(begin.elapsed().as_secs(), seconds);
        }
        let more = tokio::time::timeout(Duration::from_secs(1000), room.overdue()).await;
        assert!(more.is_err(), "{:?}", more.map(|(attempt, _)| attempt));
        assert!(
            room.leave(&start("late").attempt).is_some(),
            "it waits until it is cancelled"
        );
    }
}
