//! Every order of everything that can happen to a small proplet.
//!
//! Three tasks of different sizes, one of them with two attempts, on a proplet that runs two of them at most and lets two wait. From every
//! state that can be reached, every event is tried; states that were seen are not tried again. The shell is modelled by what it was told
//! to do and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;

/// Attempts, each with its memory.
const ATTEMPTS: [(&str, u32, u64); 4] = [("a", 1, 10), ("a", 2, 20), ("b", 1, 20), ("c", 1, 30)];

fn small() -> Terms {
    Terms {
        queue: 2,
        ..terms(2, 30)
    }
}

#[derive(Clone)]
struct World {
    ledger: Ledger,
    /// The shell's: what it runs, what it keeps waiting, and how often each ran.
    runs: BTreeSet<Key>,
    waits: BTreeSet<Key>,
    ran: BTreeMap<Key, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Happening {
    Start(usize),
    Stop(usize),
    Ack(usize),
    End(usize),
    Overdue(usize),
    Unwritten(usize),
    Restart,
    Drain,
}

impl Happening {
    fn all() -> Vec<Self> {
        let each = [
            Self::Start,
            Self::Stop,
            Self::Ack,
            Self::End,
            Self::Overdue,
            Self::Unwritten,
        ];
        let of_attempts = each
            .into_iter()
            .flat_map(|happening| (0..ATTEMPTS.len()).map(happening));
        of_attempts.chain([Self::Restart, Self::Drain]).collect()
    }
}

impl World {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(journal(), small()),
            runs: BTreeSet::new(),
            waits: BTreeSet::new(),
            ran: BTreeMap::new(),
        }
    }

    /// The world after it, if it can happen now.
    fn after(&self, happening: Happening) -> Option<Self> {
        let mut world = self.clone();
        let event = match happening {
            Happening::Start(index) => Event::Start(of(index).into()),
            Happening::Stop(index) => stop(ATTEMPTS[index].0, ATTEMPTS[index].1),
            Happening::Ack(index) => ack(ATTEMPTS[index].0, ATTEMPTS[index].1),
            Happening::End(index) => {
                let attempt = of(index).attempt;
                if !world.runs.remove(&key(&attempt)) {
                    return None;
                }
                Event::Ended(attempt, three())
            }
            // Also one that runs meanwhile: the timer may have fired before that.
            Happening::Overdue(index) => Event::Overdue(of(index).attempt, three()),
            // Only a start that was decided and not told: one that wasn't there before.
            Happening::Unwritten(index) => return world.unwritten(of(index)),
            Happening::Restart => {
                world.runs.clear();
                world.waits.clear();
                let mut fresh = Ledger::new(journal(), small());
                fresh.heard = world.ledger.heard;
                for (key, entry) in world.ledger.entries.range(..) {
                    fresh.apply(Record::Put(key.clone(), entry.clone().into()));
                }
                world.ledger = fresh;
                Event::Booted
            }
            Happening::Drain => {
                world.ledger.drain();
                Event::Drain
            }
        };
        world.step(event);
        Some(world)
    }

    /// A start whose records can't be written: neither is it told, nor do its actions happen.
    fn unwritten(mut self, start: Start) -> Option<Self> {
        if self.ledger.entries.get(&key(&start.attempt)).is_some() {
            return None;
        }
        let step = self.ledger.decide(Event::Start(start.clone().into()));
        step.records.into_iter().for_each(|record| self.ledger.apply(record));
        let is_of_it = |action: &Action| matches!(action, Action::Run(_) | Action::Wait(_));
        let others: Vec<_> = step.actions.into_iter().filter(|action| !is_of_it(action)).collect();
        self.act(others);
        let rejection = Rejection {
            reason: propeller_protocol::Refusal::JournalFailed,
            message: "full".into(),
        };
        self.step(Event::Unwritten(start.into(), rejection));
        Some(self)
    }

    fn step(&mut self, event: Event) {
        let step = self.ledger.decide(event);
        step.records.into_iter().for_each(|record| self.ledger.apply(record));
        self.act(step.actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Run(start) => self.run(key(&start.attempt)),
                Action::Wait(start) => assert!(self.waits.insert(key(&start.attempt))),
                Action::Proceed(attempt) => {
                    assert!(self.waits.remove(&key(&attempt)), "{attempt} doesn't wait");
                    self.run(key(&attempt));
                }
                Action::Cancel(attempt) => drop(self.waits.remove(&key(&attempt))),
                Action::Revoke(..) | Action::Ended(..) | Action::Report(..) => {}
            }
        }
    }

    fn run(&mut self, key: Key) {
        let times = self.ran.entry(key.clone()).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{key:?} ran twice");
        self.runs.insert(key);
    }

    fn check(&self) {
        let memory = |key: &Key| {
            let of_key = ATTEMPTS
                .iter()
                .find(|(uid, number, _)| *uid == key.0 && *number == key.1);
            of_key.unwrap().2
        };
        let load: u64 = self.runs.iter().map(memory).sum();
        assert!(self.runs.len() <= 2 && load <= 30, "too much runs: {:?}", self.runs);
        assert!(self.waits.len() <= 2, "too many wait: {:?}", self.waits);

        let of = |state| {
            let held = self
                .ledger
                .inventory()
                .into_iter()
                .filter(move |held| held.state == state);
            held.map(|held| key(&held.attempt)).collect::<BTreeSet<_>>()
        };
        assert_eq!(of(HeldState::Running), self.runs);
        assert_eq!(of(HeldState::Queued), self.waits);
        if let Some((_, next)) = self.ledger.entries.queue().next() {
            let fits = self.runs.len() < 2 && load + memory(next) <= 30;
            assert!(!fits, "{next:?} waits though there is room");
        }
    }

    /// What waits runs or ends once what runs ends, however often that takes.
    fn check_that_all_ends(mut self) {
        while let Some(index) = (0..ATTEMPTS.len()).find(|index| self.runs.contains(&key(&of(*index).attempt))) {
            self = self.after(Happening::End(index)).unwrap();
        }
        assert!(self.waits.is_empty(), "{:?} wait for nothing", self.waits);
    }

    /// Everything that decides what can happen next, and no words.
    fn fingerprint(&self) -> String {
        let kind = |(key, entry): (&Key, &Entry)| match entry {
            Entry::Queued { place, .. } => format!("{key:?} waits {place}"),
            Entry::Running { .. } => format!("{key:?} runs"),
            Entry::Finished { .. } => format!("{key:?} ended"),
            Entry::Tombstone { .. } => format!("{key:?} is buried"),
        };
        let entries: Vec<_> = self.ledger.entries.range(..).map(kind).collect();
        let draining = self.ledger.is_draining();
        format!("{entries:?} {draining} {:?} {:?} {:?}", self.runs, self.waits, self.ran)
    }
}

fn of(index: usize) -> Start {
    let (uid, number, memory) = ATTEMPTS[index];
    let mut start = start(uid, number);
    start.limits.memory = Some(Memory::from_bytes(memory));
    start
}

#[test]
fn nothing_runs_twice_or_beyond_capacity_and_what_waits_ends() {
    let mut seen = HashSet::new();
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        for happening in Happening::all() {
            if let Some(next) = world.after(happening)
                && seen.insert(next.fingerprint())
            {
                next.check();
                next.clone().check_that_all_ends();
                open.push(next);
            }
        }
    }
    eprintln!("{} states", seen.len());
    assert!(seen.len() > 1000, "only {} states: the world has shrunk", seen.len());
}
