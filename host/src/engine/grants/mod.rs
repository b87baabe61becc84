//! What a run may reach beyond its own memory.
//!
//! ```text
//!  Grants (the Task's words) ──┐
//!                              ├──► Granted::check ──► Granted: open directories, targets, buckets ──► each run's WASI
//!  Policy (the proplet's) ─────┘         │
//!                                        └──► Refused, which names the grant
//! ```
//!
//! A [`Granted`] is the capability itself, not a permission to be looked up later: its directories are open. What it names of the network
//! is held against every connection when it is made, by `wasi`.
//!
//! Never here: a guest, or anything that one run changes.

pub(super) mod address;
mod directory;
mod means;
mod policy;
mod refused;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use propeller_api::{EnvVar, Grants, HttpTarget, NetTarget};
use wasmtime_wasi::{WasiCtx, filesystem::WasiFilesystemCtx};
use wasmtime_wasi_config::WasiConfigVariables;

pub use means::{Means, Resolver, Trust};
pub use policy::{Allowed, Policy, Root};
pub use refused::Refused;

use refused::Problem;

use super::{TaskContext, keyvalue::Bucket};

/// Grants that were held against a policy and passed. Nothing is granted by default. Clones share it.
#[derive(Clone, Default)]
pub struct Granted(Option<Arc<Capabilities>>);

/// What a guest gets of each kind.
pub(super) struct Capabilities {
    pub(super) env: Vec<(String, String)>,
    pub(super) directories: WasiFilesystemCtx,
    pub(super) http: Vec<HttpTarget>,
    pub(super) net: Vec<NetTarget>,
    pub(super) config: WasiConfigVariables,
    buckets: Vec<(String, Bucket)>,
    pub(super) means: Means,
}

impl Granted {
    /// Hold what a task asks for against what this proplet allows, and open it.
    ///
    /// Opens directories and the file of buckets, so it blocks as long as the disk needs for that.
    ///
    /// # Errors
    ///
    /// The first grant that isn't allowed, or can't be opened.
    pub fn check(grants: &Grants, policy: &Policy, task: &TaskContext, means: &Means) -> Result<Self, Refused> {
        if *grants == Grants::default() {
            return Ok(Self::default());
        }
        check_env(&grants.env, policy)?;
        check_on("config", grants.config.is_empty() || policy.config)?;
        check_on("keyvalue", grants.keyvalue.is_empty() || policy.keyvalue)?;
        check_targets("http", &grants.http, &policy.http, |asked| policy.http.covers(asked))?;
        check_targets("net", &grants.net, &policy.net, |asked| policy.net.covers(asked))?;
        Ok(Self(Some(Arc::new(Capabilities {
            env: grants
                .env
                .iter()
                .map(|variable| (variable.name.clone(), variable.value.clone()))
                .collect(),
            directories: directories(grants, policy)?,
            http: grants.http.clone(),
            net: grants.net.clone(),
            config: grants
                .config
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            buckets: buckets(grants, policy, task, means)?,
            means: means.clone(),
        }))))
    }

    /// What `wasi:config` answers.
    pub(super) fn config(&self) -> &WasiConfigVariables {
        static NOTHING: LazyLock<WasiConfigVariables> = LazyLock::new(WasiConfigVariables::new);
        self.0.as_ref().map_or(&NOTHING, |granted| &granted.config)
    }

    /// The bucket that a guest calls so.
    pub(super) fn bucket(&self, name: &str) -> Option<&Bucket> {
        let buckets = &self.0.as_ref()?.buckets;
        buckets
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, bucket)| bucket)
    }

    /// What there is, if there is anything.
    pub(super) fn capabilities(&self) -> Option<&Arc<Capabilities>> {
        self.0.as_ref()
    }
}

/// The values of variables and settings are secrets often enough.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Granted");
        if let Some(granted) = &self.0 {
            let names: Vec<_> = granted.env.iter().map(|(name, _)| name).collect();
            shown.field("env", &names);
            shown.field("http", &granted.http).field("net", &granted.net);
        }
        shown.finish_non_exhaustive()
    }
}

fn check_env(env: &[EnvVar], policy: &Policy) -> Result<(), Refused> {
    check_on("env", env.is_empty() || policy.env)?;
    let is_wrong = |variable: &EnvVar| {
        variable.name.is_empty() || variable.name.contains(['=', '\0']) || variable.value.contains('\0')
    };
    match env.iter().position(is_wrong) {
        Some(at) => Err(Refused::new(format!("grants.env[{at}]"), Problem::Variable)),
        None => Ok(()),
    }
}

fn check_on(kind: &'static str, is_allowed: bool) -> Result<(), Refused> {
    match is_allowed {
        true => Ok(()),
        false => Err(Refused::new(format!("grants.{kind}"), Problem::Off(kind))),
    }
}

fn check_targets<T: fmt::Display>(
    kind: &str,
    asked: &[T],
    allowed: &Allowed<T>,
    covers: impl Fn(&T) -> bool,
) -> Result<(), Refused> {
    match asked.iter().enumerate().find(|(_, target)| !covers(target)) {
        Some((at, target)) => Err(Refused::new(
            format!("grants.{kind}[{at}] \"{target}\""),
            Problem::NotCovered(allowed.to_string()),
        )),
        None => Ok(()),
    }
}

fn directories(grants: &Grants, policy: &Policy) -> Result<WasiFilesystemCtx, Refused> {
    let mut wasi = WasiCtx::builder();
    for (at, asked) in grants.directories.iter().enumerate() {
        let named = || format!("grants.directories[{at}] \"{}\"", asked.host_path);
        directory::grant(&mut wasi, asked, &policy.directories).map_err(|problem| Refused::new(named(), problem))?;
    }
    Ok(wasi.build().filesystem().clone())
}

fn buckets(
    grants: &Grants,
    policy: &Policy,
    task: &TaskContext,
    means: &Means,
) -> Result<Vec<(String, Bucket)>, Refused> {
    let open = |(at, asked): (usize, &propeller_api::Bucket)| {
        let refused = |problem| Refused::new(format!("grants.keyvalue[{at}] \"{}\"", asked.bucket), problem);
        let keyvalue = means.keyvalue.as_ref().ok_or_else(|| refused(Problem::NoKeyValue))?;
        let bucket = keyvalue.bucket(asked, task, policy.bucket_size.bytes(), policy.keyvalue_size.bytes());
        let bucket = bucket.map_err(|error| refused(Problem::KeyValue(error)))?;
        Ok((asked.bucket.clone(), bucket))
    };
    grants.keyvalue.iter().enumerate().map(open).collect()
}
