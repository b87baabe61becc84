//! Devices that may connect to the embedded broker: their names and the hashes of their secrets, kept in a file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use propeller_api::PropletId;
use propeller_bus::BrokerUrl;
use propeller_embed::broker::{AccountError, Accounts, PasswordHash, Role};
use propeller_host::proplet::{Join, JoinMqtt, JoinRegistry};
use propeller_standalone::api::{Joiner, NotJoined};
use serde_json::Value;

use super::{
    UpError,
    parts::LOCAL,
    state::{replace, secret},
};
use crate::control::CONTROL;

/// Lets devices in.
pub struct Devices {
    path: PathBuf,
    accounts: Accounts,
    hashes: Mutex<BTreeMap<String, String>>,
    way: Option<Way>,
}

/// How devices get here.
pub struct Way {
    /// The broker, as they see it.
    pub broker: BrokerUrl,
    /// Whom they are to trust.
    pub ca: String,
    /// How they reach the embedded registry.
    pub registries: BTreeMap<String, JoinRegistry>,
}

impl Devices {
    /// Lets those in that were let in before.
    pub fn open(path: PathBuf, accounts: Accounts, way: Option<Way>) -> Result<Self, UpError> {
        let damaged = |problem: &dyn std::error::Error| UpError::Devices {
            path: path.clone(),
            problem: problem.to_string(),
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
            Err(source) => return Err(UpError::Directory { path, source }),
        };
        let hashes: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        for (name, hash) in &hashes {
            let hash = hash.parse().map_err(|error: AccountError| damaged(&error))?;
            accounts
                .add(name, Role::Proplet, hash)
                .map_err(|error| damaged(&error))?;
        }
        Ok(Self {
            path,
            accounts,
            hashes: Mutex::new(hashes),
            way,
        })
    }

    /// How devices get here, if they do.
    pub fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    fn hashes(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, hashes: &BTreeMap<String, String>) -> io::Result<()> {
        replace(&self.path, serde_json::to_string(hashes)?.as_bytes())
    }
}

impl Joiner for Devices {
    fn join(&self, id: &PropletId, replaces: bool) -> Result<Value, NotJoined> {
        let failed = |error: &dyn std::error::Error| NotJoined::Failed(error.to_string());
        let way = self.way.as_ref().ok_or_else(|| {
            NotJoined::NoWay(
                "devices have no way in: start `propeller up` with `--mqtts-listen 0.0.0.0:8883`, and `--host` if they know this machine \
                 by another name than its own"
                    .to_owned(),
            )
        })?;
        if matches!(id.as_str(), CONTROL | LOCAL) {
            return Err(NotJoined::NoWay(format!(
                "`{id}` is a name that this process uses itself: choose another"
            )));
        }
        let password = secret();
        let hash = PasswordHash::of(&password).map_err(|error| failed(&error))?;
        let mut hashes = self.hashes();
        if hashes.contains_key(id.as_str()) && !replaces {
            return Err(NotJoined::Exists);
        }
        let mut with = hashes.clone();
        with.insert(id.to_string(), hash.expose().to_owned());
        // On disk before anybody has the secret.
        self.keep(&with).map_err(|error| failed(&error))?;
        *hashes = with;
        // Under the lock, so that file and broker know the same secret.
        self.accounts
            .add(id.as_str(), Role::Proplet, hash)
            .map_err(|error| failed(&error))?;
        drop(hashes);
        let join = Join {
            id: id.clone(),
            mqtt: JoinMqtt {
                broker: way.broker.clone(),
                password,
                ca: Some(way.ca.clone()),
                domain: "default".to_owned(),
                channel: "main".to_owned(),
            },
            registries: way.registries.clone(),
        };
        serde_json::to_value(&join).map_err(|error| failed(&error))
    }

    fn leave(&self, id: &PropletId) -> Result<bool, NotJoined> {
        let mut hashes = self.hashes();
        let mut without = hashes.clone();
        if without.remove(id.as_str()).is_none() {
            return Ok(false);
        }
        self.keep(&without)
            .map_err(|error| NotJoined::Failed(error.to_string()))?;
        *hashes = without;
        self.accounts.revoke(id.as_str());
        Ok(true)
    }
}
