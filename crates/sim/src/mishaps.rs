//! How each fault is brought about, and mended.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{
    broker::{Client, State},
    device::{Device, Disk},
    faults::Fault,
    users::tidy,
    world::{Actor, Mend, What, World, name},
};

impl World {
    pub fn fault(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        let there: Vec<_> = (0..self.devices.len())
            .filter(|device| self.devices[*device].exists)
            .collect();
        let device = there[self.rng.usize(..there.len())];
        let replica = self.process();
        let lasts = self.millis(500..90_000);
        self.note(|| format!("{fault:?}: device {device}, replica {replica}, {lasts:?}"));
        match fault {
            Fault::KillProplet => self.kill_device(device),
            Fault::CutProplet => self.cut(Actor::Device(device)),
            Fault::IsolateProplet => {
                self.isolated.push(device);
                self.cut(Actor::Device(device));
                self.after(lasts, What::Mend(Mend::Link(device)));
            }
            Fault::SuspendProplet => self.suspend_device(device, lasts),
            Fault::FillDisk => {
                self.devices[device].is_full = true;
                self.after(lasts, What::Mend(Mend::Disk(device)));
            }
            Fault::RollBackProplet => {
                self.kill_device(device);
                self.promises.rolled_back(device);
                self.devices[device].disk = self.devices[device].saved.clone();
            }
            Fault::ReimageProplet => {
                self.kill_device(device);
                let disk = Disk::new(self.journal());
                self.devices[device].saved = disk.clone();
                self.devices[device].disk = disk;
            }
            Fault::CloneProplet => self.clone_device(device, lasts),
            Fault::SetPropletClock => self.devices[device].clock.ahead = self.somewhen(),
            Fault::KillReplica => self.kill_control(replica, lasts),
            Fault::SuspendReplica => self.suspend_replica(replica, lasts),
            Fault::CutReplica => self.cut(Actor::Replica(replica)),
            Fault::SetReplicaClock => self.replicas[replica].clock.ahead = self.somewhen(),
            Fault::Relist => self.relist(replica, self.replicas[replica].life),
            Fault::StoreAway => {
                let plane = self.replicas[replica].plane;
                self.planes[plane].is_away = true;
                self.after(lasts, What::Mend(Mend::Store(plane)));
            }
            Fault::RestoreStore => self.restore_store(self.replicas[replica].plane),
            Fault::RestartBroker => self.restart_broker(lasts, |_, state| state),
            Fault::ForgetBroker => self.restart_broker(lasts, |_, _| State::default()),
            Fault::RollBackBroker => self.restart_broker(lasts, |saved, _| saved),
            Fault::DeleteProplet => self.delete_proplet(device, replica, lasts),
        }
        if self.rng.bool() {
            self.broker.saved = self.broker.state.clone();
        }
    }

    /// Any process of a control plane.
    fn process(&mut self) -> usize {
        let replica = self.rng.usize(..self.replicas.len());
        let plane = self.replicas[replica].plane;
        if self.planes[plane].embedded {
            plane * 2
        } else {
            replica
        }
    }

    /// With the first control plane that has its store in its process, the broker and a proplet are in that process too. The broker writes a moment
    /// behind.
    fn kill_control(&mut self, replica: usize, lasts: Duration) {
        self.kill_replica(replica);
        if self.climate.embedded && replica == 0 {
            let is_behind = self.rng.bool();
            self.restart_broker(lasts / 8, |saved, state| if is_behind { saved } else { state });
            self.kill_device(0);
        }
    }

    fn somewhen(&mut self) -> SignedDuration {
        SignedDuration::from_secs(self.rng.i64(-120..120))
    }

    fn cut(&mut self, actor: Actor) {
        if self.connection(actor).is_some() {
            let client = self.client(actor);
            self.disconnect(client);
        }
    }

    fn suspend_device(&mut self, device: usize, lasts: Duration) {
        if self.is_frozen(Actor::Device(device)) {
            return;
        }
        let until = self.now + lasts;
        let life = self.devices[device].life;
        // First of all it looks at the time when it wakes up.
        self.at(until, What::DeviceTick(device, life));
        self.devices[device].frozen_until = Some(until);
        // The broker hears nothing of it, and ends its connection after a while.
        if lasts > Duration::from_secs(20) {
            self.cut(Actor::Device(device));
        }
    }

    /// Its machine sleeps, so that its clock does too, or its process is stopped, and the clock goes on.
    fn suspend_replica(&mut self, replica: usize, lasts: Duration) {
        let is_asleep = self.rng.bool();
        let me = &mut self.replicas[replica];
        if me.frozen_until.is_none_or(|until| until < self.now) {
            me.frozen_until = Some(self.now + lasts);
            if is_asleep {
                me.clock.suspended += lasts;
            }
        }
    }

    fn clone_device(&mut self, device: usize, lasts: Duration) {
        let proplet = self.devices[device].proplet;
        let mut copy: Device = self.device(proplet);
        copy.disk = self.devices[device].disk.clone();
        copy.saved = copy.disk.clone();
        self.devices.push(copy);
        let clone = self.devices.len() - 1;
        let alike = (0..=clone).filter(|device| self.devices[*device].proplet == proplet);
        self.promises.cloned.extend(alike);
        self.after(Duration::ZERO, What::Boot(Actor::Device(clone), 0));
        self.after(lasts, What::Mend(Mend::Clone(clone)));
    }

    fn restart_broker(&mut self, lasts: Duration, state: impl FnOnce(State, State) -> State) {
        let clients: Vec<Client> = self.connections.keys().copied().collect();
        self.broker.is_up = false;
        clients.into_iter().for_each(|client| self.disconnect(client));
        let (saved, current) = (self.broker.saved.clone(), self.broker.state.clone());
        self.broker.state = state(saved, current);
        self.after(lasts / 4, What::Mend(Mend::Broker));
    }

    fn delete_proplet(&mut self, device: usize, replica: usize, lasts: Duration) {
        let (plane, proplet) = (self.replicas[replica].plane, self.devices[device].proplet);
        let store = &mut self.planes[plane].store;
        store.delete_proplet(&crate::store::key(&name(proplet)));
        self.spread_news(plane);
        self.after(lasts, What::Mend(Mend::Proplet(plane, proplet)));
    }

    pub fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Disk(device) => self.devices[device].is_full = false,
            Mend::Link(device) => self.isolated.retain(|isolated| *isolated != device),
            Mend::Clone(device) => self.remove_clone(device),
            Mend::Store(plane) => {
                self.planes[plane].is_away = false;
                for replica in plane * 2..plane * 2 + 2 {
                    let life = self.replicas[replica].life;
                    self.relist(replica, life);
                }
            }
            Mend::Broker => self.broker.is_up = true,
            Mend::Proplet(plane, proplet) => self.make_proplet(plane, proplet),
        }
    }

    fn remove_clone(&mut self, device: usize) {
        if self.devices[device].exists {
            self.kill_device(device);
            self.devices[device].exists = false;
        }
    }

    /// From now on everything works, and nobody wants what has no end.
    pub fn heal(&mut self) {
        self.note(|| "everything is mended".to_owned());
        self.healed = true;
        self.isolated.clear();
        self.mend(Mend::Broker);
        for device in 0..self.devices.len() {
            self.mend(Mend::Disk(device));
            if device >= self.climate.proplets {
                self.remove_clone(device);
            }
        }
        for plane in 0..self.planes.len() {
            self.mend(Mend::Store(plane));
            for proplet in 0..self.climate.proplets {
                self.make_proplet(plane, proplet);
            }
            let store = &mut self.planes[plane].store;
            for key in store.proplets.keys().cloned().collect::<Vec<_>>() {
                store.edit_proplet(&key, tidy);
            }
            for key in store.tasks.keys().cloned().collect::<Vec<_>>() {
                let spec = store.tasks.get(&key).map(|task| task.spec.clone()).unwrap_or_default();
                if spec.service.is_some() {
                    store.delete_task(&key);
                } else if spec.suspend {
                    store.edit(&key, |spec| spec.suspend = false);
                }
            }
            self.spread_news(plane);
        }
    }
}
