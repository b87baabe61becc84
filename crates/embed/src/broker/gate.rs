//! What the broker asks before it lets somebody in, takes a message or a subscription.

use std::{
    collections::HashMap,
    future::{Future, ready},
    mem,
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mqtt5::{
    broker::{AuthProvider, AuthResult, BrokerEventHandler, ClientConnectEvent},
    packet::connect::ConnectPacket,
    protocol::v5::reason_codes::ReasonCode,
};
use tokio::{
    sync::{Notify, Semaphore},
    task::spawn_blocking,
};

use super::{Accounts, Role, accounts::Account, rules};

/// Passwords that are checked at the same time. Each takes a core and 19 MiB for some 20 ms; a flood of connections waits, and times out.
const CHECKS: usize = 2;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(super) struct Gate {
    accounts: Accounts,
    checks: Semaphore,
    admissions: Mutex<Admissions>,
    stale: Notify,
}

#[derive(Default)]
struct Admissions {
    /// By client id, what let its last connection in. There are few: a proplet has one, and a control plane has one.
    by_client: HashMap<String, Admitted>,
    /// Clients that were let in by what didn't hold any more when they were in.
    late: Vec<String>,
}

struct Admitted {
    user: String,
    stamp: u64,
}

impl Gate {
    pub(super) fn new(accounts: Accounts) -> Self {
        Self {
            accounts,
            checks: Semaphore::new(CHECKS),
            admissions: Mutex::default(),
            stale: Notify::new(),
        }
    }

    /// Takes the clients out that are connected by what doesn't hold any more.
    pub(super) fn take_stale(&self) -> Vec<String> {
        let mut admissions = self.admissions();
        let late = mem::take(&mut admissions.late);
        let stale = admissions.by_client.extract_if(|_, by| !self.holds(by));
        stale.map(|(client, _)| client).chain(late).collect()
    }

    /// Ready when there is somebody to take out, whether or not the accounts changed since the last time.
    pub(super) async fn stale(&self) {
        self.stale.notified().await;
    }

    async fn admit(&self, connect: &ConnectPacket) -> Result<String, ReasonCode> {
        let (Some(user), Some(password)) = (&connect.username, &connect.password) else {
            return Err(ReasonCode::BadUsernameOrPassword);
        };
        let account = self.accounts.get(user).ok_or(ReasonCode::BadUsernameOrPassword)?;
        if !self.knows(&account, password).await {
            return Err(ReasonCode::BadUsernameOrPassword);
        }
        if account.role == Role::Proplet && connect.client_id != *user {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        // The broker looks at a will when it publishes it. Refused here, the client learns of it.
        let will = connect.will.as_ref().map(|will| &will.topic);
        if will.is_some_and(|topic| !rules::may_publish(account.role, user, topic)) {
            return Err(ReasonCode::NotAuthorized);
        }
        let by = Admitted {
            user: user.clone(),
            stamp: account.stamp,
        };
        self.admissions().by_client.insert(connect.client_id.clone(), by);
        Ok(user.clone())
    }

    /// Away from the threads that move messages.
    async fn knows(&self, account: &Account, password: &[u8]) -> bool {
        let Ok(_turn) = self.checks.acquire().await else {
            return false;
        };
        let (hash, password) = (account.password.clone(), password.to_vec());
        spawn_blocking(move || hash.is_of(&password)).await.unwrap_or(false)
    }

    fn may(&self, user: Option<&str>, rule: impl FnOnce(Role, &str) -> bool) -> bool {
        let known = user.and_then(|user| Some((self.accounts.role(user)?, user)));
        known.is_some_and(|(role, user)| rule(role, user))
    }

    fn holds(&self, by: &Admitted) -> bool {
        self.accounts.is_current(&by.user, by.stamp)
    }

    fn admissions(&self) -> MutexGuard<'_, Admissions> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            Ok(match self.admit(connect).await {
                Ok(user) => AuthResult::success_with_user(user),
                Err(reason) => {
                    let (user, client) = (connect.username.as_deref(), &connect.client_id);
                    tracing::warn!(user, client, %address, ?reason, "the broker doesn't let a client in");
                    AuthResult::fail(reason)
                }
            })
        })
    }

    fn authorize_publish<'a>(&'a self, _client: &str, user: Option<&'a str>, topic: &'a str) -> Answer<'a, bool> {
        let may = self.may(user, |role, user| rules::may_publish(role, user, topic));
        Box::pin(ready(may))
    }

    fn authorize_subscribe<'a>(&'a self, _client: &str, user: Option<&'a str>, filter: &'a str) -> Answer<'a, bool> {
        let may = self.may(user, |role, user| rules::may_hear(role, user, filter));
        if !may {
            tracing::warn!(user, filter, "the broker refuses a subscription");
        }
        Box::pin(ready(may))
    }
}

impl BrokerEventHandler for Gate {
    /// From here on the connection can be ended. Between the check of its password and this, the account may have changed.
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Answer<'a, ()> {
        let mut admissions = self.admissions();
        let by = admissions.by_client.get(&*event.client_id);
        if !by.is_some_and(|by| self.holds(by)) {
            admissions.late.push(event.client_id.to_string());
            self.stale.notify_one();
        }
        drop(admissions);
        Box::pin(ready(()))
    }
}

#[cfg(test)]
mod tests {
    use mqtt5::ConnectOptions;

    use super::*;
    use crate::broker::PasswordHash;

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::of(&password.into()).unwrap()
    }

    fn event() -> ClientConnectEvent {
        ClientConnectEvent {
            client_id: "edge-1".into(),
            user_id: Some("edge-1".into()),
            clean_start: true,
            session_expiry_interval: 0,
            will_topic: None,
            will_payload: None,
            will_qos: None,
            will_retain: None,
        }
    }

    #[tokio::test]
    async fn who_gets_in_while_its_account_changes_is_taken_out_all_the_same() {
        let accounts = Accounts::new();
        accounts.add("edge-1", Role::Proplet, hash("old")).unwrap();
        let gate = Gate::new(accounts.clone());
        let options = ConnectOptions::new("edge-1").with_credentials("edge-1", "old");
        let greeting = ConnectPacket::new(options.protocol_options);
        gate.admit(&greeting).await.unwrap();
        accounts
            .add("edge-1", Role::Proplet, accounts.get("edge-1").unwrap().password)
            .unwrap();
        assert!(gate.take_stale().is_empty(), "nothing has changed");

        accounts.add("edge-1", Role::Proplet, hash("new")).unwrap();
        assert_eq!(gate.take_stale(), ["edge-1"], "too early: the broker can't end it yet");
        gate.on_client_connect(event()).await;
        gate.stale().await;
        assert_eq!(gate.take_stale(), ["edge-1"]);
        assert!(gate.take_stale().is_empty());
        assert_eq!(gate.admit(&greeting).await, Err(ReasonCode::BadUsernameOrPassword));
    }
}
