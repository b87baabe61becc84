//! What one identity on the message bus has said, and whether it is alive.
//!
//! Only a live heartbeat proves life. A retained message tells what there was; a last will ends the boot that it names and no other; three
//! intervals of silence end it too, counted from the time since when our own session could have heard anything.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::fleet::Live;
use jiff::Timestamp;
use propeller_api::{Capacity, HostInfo, Labels};
use propeller_protocol::{Alive, Boot, ControllerId, Held, Presence as Said, Sender};

/// Assumed of a proplet that never said how often it sends heartbeats: the default of the proplet's own setting.
const USUAL_INTERVAL: Duration = Duration::from_secs(10);
/// Heartbeats that may be missing before the proplet is judged offline.
const MISSED: u32 = 3;
/// Boots that are remembered, to know one that comes back when it should be over.
const EARLIER_BOOTS: usize = 4;
/// For how many silences two boots must stop to alternate before the identity is trusted again. Two devices with one client id throw each
/// other off the broker and come back with a growing delay, which is longer than one silence.
const QUIET: u32 = 3;

/// One identity, and all that was heard of it.
#[derive(Debug, Default)]
pub(super) struct Presence {
    description: Option<Description>,
    /// The newest heartbeat, until its boot ends.
    beat: Option<Beat>,
    /// It said that it goes, or its last will did.
    has_left: bool,
    boot: Option<Boot>,
    earlier: VecDeque<Boot>,
    contested_until: Option<Duration>,
    heard: Option<Duration>,
}

/// What a proplet says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Description {
    pub(super) capacity: Capacity,
    pub(super) host: HostInfo,
    pub(super) labels: Labels,
    pub(super) draining: bool,
    capabilities: Vec<String>,
    max_packet_bytes: u32,
    interval: Duration,
}

#[derive(Debug)]
struct Beat {
    sender: Sender,
    at: Timestamp,
    heard: Duration,
    /// What it held, if that is still known.
    inventory: Option<Vec<Held>>,
}

/// Whether a proplet is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveliness {
    /// It may be; our own session is too young to say.
    Unjudged,
    /// Nothing was ever heard of it.
    NeverSeen,
    /// It was there, and isn't.
    Offline,
    /// Its heartbeats arrive.
    Live,
    /// Two processes use its identity in turns.
    Contested,
}

impl Liveliness {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Unjudged,
        Self::NeverSeen,
        Self::Offline,
        Self::Live,
        Self::Contested,
    ];
}

/// When something is heard or judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// On the control plane's clock.
    pub(super) time: Timestamp,
    /// On a clock that nobody sets.
    pub(super) elapsed: Duration,
    /// Since when our own session with the broker is up.
    pub(super) session: Option<Duration>,
}

impl Presence {
    /// Takes in a message. Returns whether it was a live heartbeat that is newer than all before.
    pub(super) fn hear(&mut self, alive: &Alive, retained: bool, now: Now) -> bool {
        match &alive.presence {
            Said::Offline => {
                self.leave(&alive.sender.boot, retained);
                false
            }
            Said::Alive { .. } if retained => {
                if self.description.is_none() {
                    self.description = Description::of(&alive.presence);
                }
                false
            }
            Said::Alive { inventory, .. } => self.beat(alive, inventory, now),
        }
    }

    fn leave(&mut self, boot: &Boot, retained: bool) {
        let is_of_another = self.boot.as_ref().is_some_and(|current| current != boot);
        let is_old = retained && self.beat.is_some();
        if is_of_another || is_old {
            return;
        }
        self.beat = None;
        self.has_left = true;
    }

    fn beat(&mut self, alive: &Alive, inventory: &[Held], now: Now) -> bool {
        let sender = &alive.sender;
        if self.is_replay(sender) {
            return false;
        }
        self.follow_boot(&sender.boot, now);
        self.description = Description::of(&alive.presence);
        self.has_left = false;
        self.heard = Some(now.elapsed);
        self.beat = Some(Beat {
            sender: sender.clone(),
            at: now.time,
            heard: now.elapsed,
            inventory: Some(inventory.to_vec()),
        });
        true
    }

    /// Nothing is placed where no resource is, and what a stranger says that it holds may be as large as a message.
    /// Should there be a resource again, it isn't taken for one that holds nothing: the next heartbeat says what it holds.
    pub(super) fn forget_inventory(&mut self) {
        if let Some(beat) = &mut self.beat {
            beat.inventory = beat.inventory.take().filter(Vec::is_empty);
        }
    }

    pub(super) fn knows_inventory(&self) -> bool {
        self.beat.as_ref().is_some_and(|beat| beat.inventory.is_some())
    }

    fn is_replay(&self, sender: &Sender) -> bool {
        let newest = self.beat.as_ref().map(|beat| &beat.sender);
        newest.is_some_and(|newest| newest.boot == sender.boot && newest.sequence >= sender.sequence)
    }

    fn follow_boot(&mut self, boot: &Boot, now: Now) {
        if self.boot.as_ref() == Some(boot) {
            return;
        }
        if self.earlier.contains(boot) {
            self.contested_until = Some(now.elapsed + self.patience() * QUIET);
        }
        let previous = self.boot.replace(boot.clone());
        self.earlier.retain(|earlier| earlier != boot);
        self.earlier.extend(previous);
        if self.earlier.len() > EARLIER_BOOTS {
            self.earlier.pop_front();
        }
    }

    /// Whether it is there.
    pub(super) fn judge(&self, now: Now) -> Liveliness {
        if self.contested_until.is_some_and(|until| now.elapsed < until) {
            return Liveliness::Contested;
        }
        let listened = |since: Duration| now.elapsed.saturating_sub(since);
        match (&self.beat, now.session) {
            (Some(beat), Some(session)) if listened(beat.heard.max(session)) > self.patience() => Liveliness::Offline,
            (Some(_), _) => Liveliness::Live,
            (None, _) if self.has_left => Liveliness::Offline,
            (None, Some(session)) if listened(session) > self.patience() => match self.description {
                Some(_) => Liveliness::Offline,
                None => Liveliness::NeverSeen,
            },
            (None, _) => Liveliness::Unjudged,
        }
    }

    /// How long it may be silent.
    fn patience(&self) -> Duration {
        let interval = self.description.as_ref().map(|description| description.interval);
        interval.unwrap_or(USUAL_INTERVAL) * MISSED
    }

    /// When its newest heartbeat arrived, also if its boot has ended.
    pub(super) fn heard(&self) -> Option<Duration> {
        self.heard
    }

    /// What it last said of itself.
    pub(super) fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// What plans are made from, while it is [`Liveliness::Live`]. What it holds for another control plane is none of that one's attempts.
    pub(super) fn live(&self, controller: Option<&ControllerId>) -> Option<Live> {
        let (beat, description) = (self.beat.as_ref()?, self.description.as_ref()?);
        let inventory = beat.inventory.as_ref()?;
        let held = |held: &Held| ((held.attempt.task.uid.clone(), held.attempt.attempt), held.state);
        let ours = inventory.iter().filter(|held| Some(&held.controller) == controller);
        Some(Live {
            journal: beat.sender.journal.clone(),
            boot: beat.sender.boot.clone(),
            sequence: beat.sender.sequence,
            heard_at: beat.at,
            capacity: description.capacity,
            draining: description.draining,
            inventory: ours.map(held).collect::<BTreeMap<_, _>>(),
            capabilities: description.capabilities.clone(),
            labels: description.host_labels(),
            max_packet_bytes: description.max_packet_bytes,
        })
    }
}

impl Description {
    fn of(presence: &Said) -> Option<Self> {
        match presence {
            Said::Alive {
                interval_seconds,
                capacity,
                host,
                labels,
                draining,
                capabilities,
                max_packet_bytes,
                ..
            } => Some(Self {
                max_packet_bytes: *max_packet_bytes,
                capacity: *capacity,
                host: host.clone(),
                labels: labels.clone(),
                draining: *draining,
                capabilities: capabilities.clone(),
                interval: interval(*interval_seconds),
            }),
            Said::Offline => None,
        }
    }

    fn host_labels(&self) -> Labels {
        let HostInfo { os, arch, .. } = &self.host;
        [(OS_LABEL, os), (ARCH_LABEL, arch)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into()
    }
}

/// What it runs on, as labels that selectors may ask for.
const OS_LABEL: &str = "propeller.dev/os";
const ARCH_LABEL: &str = "propeller.dev/arch";

/// From one second to an hour: what is outside is a mistake, and would make a proplet either flap or never be missed.
fn interval(seconds: u32) -> Duration {
    Duration::from_secs(seconds.clamp(1, 3600).into())
}

#[cfg(test)]
mod tests {
    use propeller_protocol::Presence as Said;

    use super::*;
    use crate::brain::tests::fixtures;

    struct Scene {
        presence: Presence,
        start: Duration,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                presence: Presence::default(),
                start: Duration::from_secs(1000),
            }
        }

        fn now(&self, second: u64) -> Now {
            Now {
                time: fixtures::time(i64::try_from(second).unwrap()),
                elapsed: self.start + Duration::from_secs(second),
                session: Some(self.start),
            }
        }

        fn hear(&mut self, second: u64, boot: &str, sequence: u64, retained: bool) -> bool {
            let alive = fixtures::alive(boot, sequence, vec![]);
            self.presence.hear(&alive, retained, self.now(second))
        }

        fn leave(&mut self, second: u64, boot: &str, retained: bool) {
            let alive = Alive {
                sender: fixtures::sender(boot, 0),
                presence: Said::Offline,
            };
            self.presence.hear(&alive, retained, self.now(second));
        }

        fn judged(&self, second: u64) -> Liveliness {
            self.presence.judge(self.now(second))
        }
    }

    #[test]
    fn silence_ends_it_after_three_intervals() {
        let mut scene = Scene::new();
        assert_eq!(scene.judged(29), Liveliness::Unjudged);
        assert_eq!(scene.judged(31), Liveliness::NeverSeen);
        assert!(scene.hear(40, "a", 1, false));
        assert_eq!(
            (scene.judged(70), scene.judged(71)),
            (Liveliness::Live, Liveliness::Offline)
        );
    }

    #[test]
    fn a_retained_message_never_proves_life() {
        let mut scene = Scene::new();
        assert!(!scene.hear(1, "a", 7, true));
        assert!(scene.presence.description().is_some());
        assert_eq!(
            (scene.judged(2), scene.judged(31)),
            (Liveliness::Unjudged, Liveliness::Offline)
        );
    }

    #[test]
    fn a_will_ends_only_its_own_boot() {
        let mut scene = Scene::new();
        scene.hear(1, "a", 5, false);
        scene.hear(2, "b", 1, false);
        scene.leave(3, "a", false);
        assert_eq!(scene.judged(3), Liveliness::Live);
        scene.leave(4, "b", false);
        assert_eq!(scene.judged(4), Liveliness::Offline);
        scene.hear(5, "b", 2, false);
        assert_eq!(scene.judged(5), Liveliness::Live);
        scene.leave(6, "b", true);
        assert_eq!(
            scene.judged(6),
            Liveliness::Live,
            "a retained will is older than a heartbeat"
        );
    }

    #[test]
    fn a_repeated_heartbeat_is_no_heartbeat() {
        let mut scene = Scene::new();
        scene.hear(1, "a", 5, false);
        assert!(!scene.hear(20, "a", 5, false));
        assert!(!scene.hear(21, "a", 4, false));
        assert_eq!(scene.judged(32), Liveliness::Offline);
    }

    #[test]
    fn boots_that_alternate_are_two_devices() {
        let mut scene = Scene::new();
        scene.hear(1, "a", 1, false);
        scene.hear(2, "b", 1, false);
        assert_eq!(scene.judged(2), Liveliness::Live, "a restart is no contest");
        scene.hear(3, "a", 2, false);
        assert_eq!(scene.judged(3), Liveliness::Contested);
        scene.hear(90, "a", 3, false);
        assert_eq!(
            (scene.judged(92), scene.judged(94)),
            (Liveliness::Contested, Liveliness::Live)
        );
    }

    #[test]
    fn nobody_is_judged_while_our_own_session_is_down() {
        let mut scene = Scene::new();
        scene.hear(1, "a", 1, false);
        let mut now = scene.now(300);
        now.session = None;
        assert_eq!(scene.presence.judge(now), Liveliness::Live);
        now.session = Some(scene.start + Duration::from_secs(280));
        assert_eq!(scene.presence.judge(now), Liveliness::Live);
        now.session = Some(scene.start + Duration::from_secs(260));
        assert_eq!(scene.presence.judge(now), Liveliness::Offline);
    }
}
