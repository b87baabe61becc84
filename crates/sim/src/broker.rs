//! A broker: sessions that outlive connections, retained presence, last wills; and restarts that forget, or remember an older state.

use std::collections::{BTreeMap, VecDeque};

use propeller_protocol::{Ack, Alive, Lease, Report, Start, Stop};

use crate::clock::Time;

/// A message on the bus.
#[derive(Debug, Clone)]
pub enum Message {
    Start(Box<Start>),
    Stop(Stop),
    Ack(Ack),
    Lease(Lease),
    Alive(Box<Alive>),
    Report(Box<Report>),
}

impl Message {
    /// Whether it is delivered at least once; else at most once.
    pub fn is_kept(&self) -> bool {
        !matches!(self, Self::Lease(_) | Self::Alive(_))
    }
}

/// A client id on the broker. Processes come and go behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    Plane(usize),
    Proplet(usize),
}

/// What waits for a client.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: u64,
    /// Whose presence or report it is, or whom it is for.
    pub proplet: usize,
    pub message: Message,
    /// The broker drops it after this.
    pub expires: Option<Time>,
}

/// What a broker keeps of a client while it is away.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub waiting: VecDeque<Waiting>,
}

/// What a broker has on its disk.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub sessions: BTreeMap<Client, Session>,
    /// The newest retained presence of each proplet.
    pub retained: BTreeMap<usize, Alive>,
}

/// The broker.
#[derive(Debug, Default)]
pub struct Broker {
    pub state: State,
    /// An older state, which a restart may bring back.
    pub saved: State,
    pub is_up: bool,
    ids: u64,
}

impl Broker {
    /// Keeps a message for a client. Returns its number.
    pub fn keep(&mut self, client: Client, proplet: usize, message: Message, expires: Option<Time>) -> Waiting {
        self.ids += 1;
        let waiting = Waiting {
            id: self.ids,
            proplet,
            message,
            expires,
        };
        if waiting.message.is_kept() {
            let session = self.state.sessions.entry(client).or_default();
            session.waiting.push_back(waiting.clone());
        }
        waiting
    }

    /// The client acknowledged it.
    pub fn delivered(&mut self, client: Client, id: u64) {
        if let Some(session) = self.state.sessions.get_mut(&client) {
            session.waiting.retain(|waiting| waiting.id != id);
        }
    }
}
