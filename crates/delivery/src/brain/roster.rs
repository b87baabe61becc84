//! The fleet: Proplet resources joined with what the processes behind them say.
//!
//! An index with one writer, the brain, and no IO. Plans see it as a [`Fleet`], which is kept up to date in place for heartbeats and made
//! anew when resources change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::fleet::{Fleet, Live, Load, Member};
use jiff::Timestamp;
use propeller_api::{Proplet, PropletId};
use propeller_protocol::{Alive, ControllerId};

use super::presence::{Liveliness, Now, Presence};

/// Identities that were heard of and have no Proplet resource. More aren't remembered: on a broker without access control anybody can make
/// them up.
const MAX_STRANGERS: usize = 10_000;

/// All proplets.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Whose attempts count.
    controller: Option<ControllerId>,
    resources: BTreeMap<String, Resource>,
    /// Resources by the identity that they claim, the rightful one first.
    claims: BTreeMap<PropletId, BTreeSet<(Option<Timestamp>, String)>>,
    presences: BTreeMap<PropletId, Known>,
    fleet: Fleet,
    places: HashMap<PropletId, usize>,
    is_stale: bool,
}

/// A Proplet resource.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) proplet: Proplet,
    /// A write of its status is under way.
    pub(super) is_busy: bool,
    pub(super) failures: u32,
    /// No write before that moment, because the last one failed.
    pub(super) not_before: Option<Duration>,
}

#[derive(Debug)]
struct Known {
    presence: Presence,
    /// As it was last judged, by which changes are noticed.
    liveliness: Liveliness,
    /// When it was judged to be away, by this process; nothing while it isn't.
    away_since: Option<Duration>,
    load: Load,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            presence: Presence::default(),
            liveliness: Liveliness::Unjudged,
            away_since: None,
            load: Load::default(),
        }
    }
}

/// What a message of a proplet changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// It was a live heartbeat.
    pub(super) beat: bool,
    /// Whether it is there, or what it says of itself, isn't what it was.
    pub(super) changed: bool,
}

impl Roster {
    pub(super) fn new(controller: ControllerId) -> Self {
        Self {
            controller: Some(controller),
            ..Self::default()
        }
    }

    /// Takes in a resource. Returns whether it changed in anything but its status.
    pub(super) fn put(&mut self, proplet: Proplet) -> bool {
        let (uid, id) = (
            proplet.metadata.uid.clone(),
            proplet.spec.connection_config.client_id.clone(),
        );
        let created = proplet.metadata.creation_timestamp;
        match self.resources.get_mut(&uid) {
            Some(known) if same_but_status(&known.proplet, &proplet) => {
                known.proplet = proplet;
                return false;
            }
            Some(known) => known.proplet = proplet,
            None => {
                let resource = Resource {
                    proplet,
                    is_busy: false,
                    failures: 0,
                    not_before: None,
                };
                self.resources.insert(uid.clone(), resource);
                self.presences.entry(id.clone()).or_default();
                self.claims.entry(id).or_default().insert((created, uid));
            }
        }
        self.is_stale = true;
        true
    }

    /// Forgets a resource. Returns what it was.
    pub(super) fn remove(&mut self, uid: &str) -> Option<Proplet> {
        let Resource { proplet, .. } = self.resources.remove(uid)?;
        let id = &proplet.spec.connection_config.client_id;
        if let Some(claims) = self.claims.get_mut(id) {
            claims.remove(&(proplet.metadata.creation_timestamp, uid.to_owned()));
            if claims.is_empty() {
                self.claims.remove(id);
            }
        }
        self.is_stale = true;
        Some(proplet)
    }

    /// Takes in a message of that identity.
    pub(super) fn hear(&mut self, id: &PropletId, alive: &Alive, retained: bool, now: Now) -> Heard {
        let strangers = self.presences.len().saturating_sub(self.claims.len());
        if strangers >= MAX_STRANGERS && !self.presences.contains_key(id) {
            return Heard::default();
        }
        let is_stranger = !self.claims.contains_key(id);
        let known = self.presences.entry(id.clone()).or_default();
        let described = known.presence.description().cloned();
        let was_known = known.presence.knows_inventory();
        let beat = known.presence.hear(alive, retained, now);
        if is_stranger {
            known.presence.forget_inventory();
        }
        // One that was made again and whose inventory is known again can take tasks as well.
        let is_known = known.presence.knows_inventory();
        let changed = described.as_ref() != known.presence.description() || was_known != is_known;
        let judged = known.judge(now);
        if beat || judged {
            self.refresh(id);
        }
        Heard {
            beat,
            changed: changed || judged,
        }
    }

    /// Judges everybody anew. Returns those whose judgement changed.
    pub(super) fn judge(&mut self, now: Now) -> Vec<PropletId> {
        let judged = self.presences.iter_mut();
        let changed: Vec<_> = judged
            .filter_map(|(id, known)| known.judge(now).then(|| id.clone()))
            .collect();
        for id in &changed {
            self.refresh(id);
        }
        changed
    }

    fn refresh(&mut self, id: &PropletId) {
        let Some(known) = self.presences.get(id) else { return };
        if let Some(member) = self.places.get(id).and_then(|place| self.fleet.members.get_mut(*place)) {
            member.live = known.live(self.controller.as_ref());
            member.is_contested = known.is_contested();
            member.away_since = known.away_since;
            member.heard = known.presence.heard();
        }
    }

    /// Notes since when there is no resource of that identity, if there is none.
    pub(super) fn left(&mut self, id: &PropletId, now: Duration) {
        if self.owner(id).is_none() {
            self.fleet.gone.entry(id.clone()).or_insert(now);
        }
    }

    /// What tasks' statuses place on that proplet now.
    pub(super) fn set_load(&mut self, id: &PropletId, load: Load) {
        self.presences.entry(id.clone()).or_default().load = load;
        if let Some(member) = self.places.get(id).and_then(|place| self.fleet.members.get_mut(*place)) {
            member.load = load;
        }
    }

    /// The fleet as plans see it.
    pub(super) fn fleet(&mut self) -> &Fleet {
        if std::mem::take(&mut self.is_stale) {
            let members: Vec<Member> = self.claims.keys().filter_map(|id| self.member(id)).collect();
            let places = members.iter().enumerate();
            self.places = places.map(|(place, member)| (member.id.clone(), place)).collect();
            self.fleet.members = members;
            self.fleet.gone.retain(|id, _| !self.claims.contains_key(id));
        }
        &self.fleet
    }

    fn member(&self, id: &PropletId) -> Option<Member> {
        let Proplet { metadata, spec, .. } = self.owner(id)?;
        let known = self.presences.get(id);
        Some(Member {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            labels: metadata.labels.clone(),
            id: id.clone(),
            cordoned: spec.unschedulable,
            live: known.and_then(|known| known.live(self.controller.as_ref())),
            is_contested: known.is_some_and(Known::is_contested),
            away_since: known.and_then(|known| known.away_since),
            heard: known.and_then(|known| known.presence.heard()),
            load: known.map_or(Load::default(), |known| known.load),
        })
    }

    /// The resource of that identity: of several that claim it, the oldest.
    pub(super) fn owner(&self, id: &PropletId) -> Option<&Proplet> {
        let (_, uid) = self.claims.get(id)?.first()?;
        self.resources.get(uid).map(|resource| &resource.proplet)
    }

    /// The uids of all resources that claim that identity.
    pub(super) fn claimants(&self, id: &PropletId) -> Vec<String> {
        let claims = self.claims.get(id).into_iter().flatten();
        claims.map(|(_, uid)| uid.clone()).collect()
    }

    /// The uids of all resources.
    pub(super) fn uids(&self) -> Vec<String> {
        self.resources.keys().cloned().collect()
    }

    pub(super) fn resource_mut(&mut self, uid: &str) -> Option<&mut Resource> {
        self.resources.get_mut(uid)
    }

    pub(super) fn resource(&self, uid: &str) -> Option<&Resource> {
        self.resources.get(uid)
    }

    /// How that identity was last judged, and what is known of it.
    pub(super) fn presence(&self, id: &PropletId) -> (Liveliness, Option<&Presence>) {
        let known = self.presences.get(id);
        (
            known.map_or(Liveliness::Unjudged, |known| known.liveliness),
            known.map(|known| &known.presence),
        )
    }

    /// Whether some proplet of the namespace would take one more task.
    pub(super) fn has_room(&mut self, namespace: &str) -> bool {
        let free = |member: &Member| {
            let live = member.live.as_ref();
            !member.cordoned && live.is_some_and(|live| !live.draining && member.load.tasks < live.capacity.tasks)
        };
        let mut members = self.fleet().members.iter();
        members.any(|member| member.namespace == namespace && free(member))
    }

    /// Whether every proplet of the namespace was judged. Until then a task that fits none of the others may still fit one of these.
    pub(super) fn is_judged(&self, namespace: &str) -> bool {
        let judged = |resource: &Resource| {
            let id = &resource.proplet.spec.connection_config.client_id;
            self.presence(id).0 != Liveliness::Unjudged
        };
        let mut resources = self.resources.values();
        resources.all(|resource| resource.proplet.metadata.namespace != namespace || judged(resource))
    }

    /// How many identities with a resource are in each state.
    pub(super) fn census(&self) -> BTreeMap<Liveliness, i64> {
        let mut census = BTreeMap::from(Liveliness::ALL.map(|liveliness| (liveliness, 0)));
        for id in self.claims.keys() {
            *census.entry(self.presence(id).0).or_default() += 1;
        }
        census
    }
}

impl Known {
    /// Returns whether the judgement changed.
    fn judge(&mut self, now: Now) -> bool {
        let judged = self.presence.judge(now);
        self.away_since = match judged {
            // Nobody hears what a contested one says: its tasks are no better off than with one that is gone.
            Liveliness::Offline | Liveliness::NeverSeen | Liveliness::Contested => {
                self.away_since.or(Some(now.elapsed))
            }
            Liveliness::Unjudged | Liveliness::Live => None,
        };
        std::mem::replace(&mut self.liveliness, judged) != judged
    }

    fn is_contested(&self) -> bool {
        self.liveliness == Liveliness::Contested
    }

    fn live(&self, controller: Option<&ControllerId>) -> Option<Live> {
        (self.liveliness == Liveliness::Live)
            .then(|| self.presence.live(controller))
            .flatten()
    }
}

fn same_but_status(a: &Proplet, b: &Proplet) -> bool {
    a.spec == b.spec && a.metadata.labels == b.metadata.labels && a.metadata.generation == b.metadata.generation
}
