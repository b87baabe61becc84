//! What is to be published, until the broker has it. No IO: the connection says what it handed over and what was acknowledged.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    mem,
    ops::Bound,
    time::Duration,
};

use tokio::time::Instant;

use crate::{Publication, Qos, publisher::Entry};

/// Packet bytes beside topic and payload: headers, packet id and the one property that we use, rounded up.
const OVERHEAD: usize = 32;

/// Entries in order of their numbers, and how far each is with the broker that we are connected to.
///
/// The client library takes publications in order and tells in the same order which packet number it gave to each. That is how an
/// acknowledgement, which names the packet, finds its entry.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    last: u64,
    /// Entries up to here were handed over on this connection.
    handed_to: u64,
    handed: VecDeque<u64>,
    sent: HashMap<u16, u64>,
    /// Publications without acknowledgement that the broker takes at a time.
    window: usize,
    max_packet: usize,
    /// Dropped for their size, and not told of yet.
    too_large: Vec<Publication>,
}

impl Outbox {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.last += 1;
        self.entries.insert(self.last, entry);
    }

    /// A new connection: all that wasn't acknowledged is to be handed over again.
    pub(crate) fn connected(&mut self, window: usize, max_packet: Option<u32>) {
        self.handed_to = 0;
        self.handed.clear();
        self.sent.clear();
        self.window = window;
        self.max_packet = max_packet.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    }

    /// The next publication to hand over, with what is left of its expiry; none while the window is full.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(&Publication, Option<Duration>)> {
        if self.handed.len() + self.sent.len() >= self.window {
            return None;
        }
        while let Some(number) = self.next_number() {
            let Some(entry) = self.entries.get(&number) else { break };
            let left = time_left(entry, now);
            if left.is_ok() && self.is_publishable(&entry.publication) {
                return self
                    .entries
                    .get(&number)
                    .map(|entry| (&entry.publication, left.unwrap_or_default()));
            }
            let dropped = self.entries.remove(&number);
            let too_large = dropped.filter(|entry| left.is_ok() && self.is_too_large(&entry.publication));
            self.too_large.extend(too_large.map(|entry| entry.publication));
        }
        None
    }

    /// What was dropped since for its size.
    pub(crate) fn take_too_large(&mut self) -> Vec<Publication> {
        mem::take(&mut self.too_large)
    }

    /// The last one that [`next`](Self::next) gave was handed over.
    pub(crate) fn handed(&mut self) {
        let Some(number) = self.next_number() else { return };
        self.handed_to = number;
        match self.entries.get(&number).map(|entry| entry.publication.qos) {
            Some(Qos::AtLeastOnce) => self.handed.push_back(number),
            _ => drop(self.entries.remove(&number)),
        }
    }

    /// The oldest that was handed over went out as that packet.
    pub(crate) fn sent(&mut self, packet: u16) {
        if let Some(number) = self.handed.pop_front() {
            self.sent.insert(packet, number);
        }
    }

    /// The broker has answered that packet: it is done with, and returned.
    pub(crate) fn acknowledged(&mut self, packet: u16) -> Option<Publication> {
        let number = self.sent.remove(&packet)?;
        self.entries.remove(&number).map(|entry| entry.publication)
    }

    fn next_number(&self) -> Option<u64> {
        let rest = (Bound::Excluded(self.handed_to), Bound::Unbounded);
        self.entries.range(rest).next().map(|(number, _)| *number)
    }

    /// What the broker answers with an end of the connection must not be sent: it would be sent again on the next, for ever.
    pub(crate) fn is_publishable(&self, publication: &Publication) -> bool {
        let Publication { topic, .. } = publication;
        let bytes = bytes(publication);
        let valid = (1..=usize::from(u16::MAX)).contains(&topic.len()) && !topic.contains(['+', '#', '\0']);
        if !valid {
            tracing::error!(topic, "dropping a publication: not a topic that can be published to");
        } else if bytes > self.max_packet {
            tracing::error!(
                topic,
                bytes,
                max = self.max_packet,
                "dropping a publication: the broker takes no packet as large"
            );
        }
        valid && bytes <= self.max_packet
    }

    pub(crate) fn is_too_large(&self, publication: &Publication) -> bool {
        bytes(publication) > self.max_packet
    }
}

/// Of the packet, at most.
fn bytes(publication: &Publication) -> usize {
    publication.topic.len() + publication.payload.len() + OVERHEAD
}

/// An entry has expired.
struct Expired;

fn time_left(entry: &Entry, now: Instant) -> Result<Option<Duration>, Expired> {
    let Some(expiry) = entry.publication.expiry else {
        return Ok(None);
    };
    match expiry.checked_sub(now.duration_since(entry.since)) {
        Some(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(Expired),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn publication(topic: &str) -> Publication {
        Publication {
            topic: topic.to_owned(),
            payload: "payload".into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            expiry: None,
        }
    }

    fn outbox(publications: impl IntoIterator<Item = Publication>) -> Outbox {
        let mut outbox = Outbox::default();
        for publication in publications {
            let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            outbox.push(Entry {
                publication,
                since: Instant::now(),
                _room: room,
            });
        }
        outbox
    }

    /// Hands over all that can be, and says what that was.
    fn hand_over(outbox: &mut Outbox, now: Instant) -> Vec<String> {
        let mut topics = Vec::new();
        while let Some((publication, _)) = outbox.next(now) {
            topics.push(publication.topic.clone());
            outbox.handed();
        }
        topics
    }

    #[test]
    fn nothing_leaves_before_its_acknowledgement() {
        let mut outbox = outbox(["a", "b"].map(publication));
        let now = Instant::now();
        assert_eq!(hand_over(&mut outbox, now), [""; 0], "not connected yet");
        outbox.connected(10, None);
        assert_eq!(hand_over(&mut outbox, now), ["a", "b"]);
        outbox.sent(7);
        assert_eq!(outbox.acknowledged(7).unwrap().topic, "a");
        assert_eq!(outbox.acknowledged(7), None);

        outbox.connected(10, None);
        assert_eq!(hand_over(&mut outbox, now), ["b"]);
        outbox.sent(1);
        assert_eq!(outbox.acknowledged(1).unwrap().topic, "b");
        outbox.connected(10, None);
        assert_eq!(hand_over(&mut outbox, now), [""; 0]);
    }

    #[test]
    fn the_window_bounds_what_is_on_its_way() {
        let mut outbox = outbox(["a", "b", "c"].map(publication));
        outbox.connected(2, None);
        let now = Instant::now();
        assert_eq!(hand_over(&mut outbox, now), ["a", "b"]);
        outbox.sent(1);
        outbox.sent(2);
        assert_eq!(hand_over(&mut outbox, now), [""; 0]);
        outbox.acknowledged(1);
        assert_eq!(hand_over(&mut outbox, now), ["c"]);
    }

    #[test]
    fn what_must_not_be_sent_is_dropped() {
        let large = Publication {
            payload: vec![0; 1000].into(),
            ..publication("large")
        };
        let stale = Publication {
            expiry: Some(Duration::from_secs(5)),
            ..publication("stale")
        };
        let fresh = Publication {
            expiry: Some(Duration::from_secs(60)),
            ..publication("fresh")
        };
        let at_most_once = Publication {
            qos: Qos::AtMostOnce,
            ..publication("at-most-once")
        };
        let wild = publication("a/+");
        let mut outbox = outbox([large, stale, wild, publication(""), at_most_once, fresh]);
        outbox.connected(10, Some(500));
        let now = Instant::now() + Duration::from_secs(6);
        assert_eq!(hand_over(&mut outbox, now), ["at-most-once", "fresh"]);
        let told: Vec<_> = outbox.take_too_large().into_iter().map(|told| told.topic).collect();
        assert_eq!(told, ["large"], "somebody may want to know");
        outbox.connected(10, None);
        let (publication, left) = outbox.next(now).unwrap();
        assert_eq!(publication.topic, "fresh");
        assert!(left.unwrap() < Duration::from_secs(55), "{left:?}");
    }
}
