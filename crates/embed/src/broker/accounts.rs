//! Who may connect: a table that is changed while the broker runs.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use propeller_api::PropletId;
use tokio::sync::Notify;

use super::{AccountError, PasswordHash};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Publishes and hears everything below `m/`.
    Control,
    /// Publishes and hears its own topics only. Its user name is the proplet's id, and so must be the client id that it uses.
    Proplet,
}

/// The accounts of one broker. Clones share the table.
///
/// Everybody needs an account, also on this machine: what runs here gets one when it is started.
#[derive(Clone, Default)]
pub struct Accounts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: RwLock<Table>,
    changed: Notify,
}

#[derive(Default)]
struct Table {
    accounts: HashMap<String, Account>,
    /// Names that were revoked and whose connections and sessions are still there. The broker takes them.
    revoked: BTreeSet<String>,
    /// Accounts made so far.
    made: u64,
}

#[derive(Clone)]
pub(super) struct Account {
    pub(super) role: Role,
    pub(super) password: PasswordHash,
    /// Another one with every password, so that a connection shows which one let it in.
    pub(super) stamp: u64,
}

impl Accounts {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an account, or gives it another role and password. What was connected with the old ones is disconnected; where nothing changes,
    /// nothing happens.
    ///
    /// # Errors
    ///
    /// When the name can't be one: a proplet's must be a proplet id.
    pub fn add(&self, name: &str, role: Role, password: PasswordHash) -> Result<(), AccountError> {
        match role {
            Role::Proplet => drop(name.parse::<PropletId>()?),
            Role::Control => check(name)?,
        }
        let mut table = self.write();
        let had = table.accounts.get(name);
        if had.is_some_and(|had| had.role == role && had.password == password) {
            return Ok(());
        }
        table.made += 1;
        let stamp = table.made;
        table
            .accounts
            .insert(name.to_owned(), Account { role, password, stamp });
        drop(table);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Takes an account away. Its connections are ended, and its sessions forgotten, with what waits in them. `false` if there is none.
    pub fn revoke(&self, name: &str) -> bool {
        let mut table = self.write();
        let had = table.accounts.remove(name).is_some();
        if had {
            table.revoked.insert(name.to_owned());
        }
        drop(table);
        self.0.changed.notify_one();
        had
    }

    /// The account's role, if there is one.
    pub fn role(&self, name: &str) -> Option<Role> {
        self.read().accounts.get(name).map(|account| account.role)
    }

    pub(super) fn get(&self, name: &str) -> Option<Account> {
        self.read().accounts.get(name).cloned()
    }

    pub(super) fn is_current(&self, name: &str, stamp: u64) -> bool {
        self.read()
            .accounts
            .get(name)
            .is_some_and(|account| account.stamp == stamp)
    }

    pub(super) fn take_revoked(&self) -> BTreeSet<String> {
        mem::take(&mut self.write().revoked)
    }

    /// Ready after the next change, or at once after one that nobody waited for.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(name: &str) -> Result<(), AccountError> {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(alphabet) {
        Ok(())
    } else {
        Err(AccountError::Name(name.to_owned()))
    }
}

/// Names and roles.
impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.read();
        let roles = table.accounts.iter().map(|(name, account)| (name, account.role));
        f.debug_map().entries(roles).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_nothing_secret_is_shown() {
        let accounts = Accounts::new();
        let hash = PasswordHash::of(&"secret".into()).unwrap();
        let add = |name, role| accounts.add(name, role, hash.clone());
        add("control", Role::Control).unwrap();
        add("Operator_1.lab", Role::Control).unwrap();
        add("edge-1", Role::Proplet).unwrap();
        let long = "a".repeat(65);
        for name in ["", "a/b", "+", "#", "a b", "%u", &long] {
            assert!(matches!(add(name, Role::Control), Err(AccountError::Name(_))), "{name}");
            assert!(
                matches!(add(name, Role::Proplet), Err(AccountError::Proplet(_))),
                "{name}"
            );
        }
        assert!(matches!(add("Edge", Role::Proplet), Err(AccountError::Proplet(_))));
        let shown = format!("{accounts:?}");
        assert!(shown.contains("edge-1") && !shown.contains("argon2"), "{shown}");
        assert!(accounts.revoke("edge-1") && !accounts.revoke("edge-1"));
        assert_eq!(accounts.role("edge-1"), None);
    }
}
