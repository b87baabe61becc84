//! What this machine is.

use std::{env, path::PathBuf, thread, time::Duration};

use propeller_api::{HostInfo, Memory};
use rustix::time::{ClockId, clock_gettime};
use secrecy::SecretString;
use sysinfo::System;

use super::config::Machine;

impl Machine {
    /// This machine, and the environment of this process. Read once, by `main`.
    pub fn read() -> Self {
        Self {
            cpus: cpus(),
            memory: memory(),
            host_name: System::host_name().ok(),
            state_dir: state_dir(),
            password: env::var("PROPLET_MQTT_PASSWORD").ok().map(SecretString::from),
            otlp_endpoint: env::var("OTEL_EXPORTER_OTLP_ENDPOINT")
                .ok()
                .filter(|url| !url.is_empty()),
        }
    }
}

/// How long the machine has run, also while it was suspended: the clock of leases.
pub fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// What the proplet says of its machine.
pub fn host_info() -> HostInfo {
    HostInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: env::consts::OS.to_owned(),
        arch: env::consts::ARCH.to_owned(),
        cpus: cpus(),
    }
}

/// What the process may use, which in a container is less than what there is.
fn cpus() -> u32 {
    thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX))
}

fn memory() -> Option<Memory> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let machine = system.total_memory();
    let container = system.cgroup_limits().map_or(machine, |limits| limits.total_memory);
    Some(Memory::from_bytes(machine.min(container))).filter(|memory| memory.bytes() > 0)
}

/// systemd says where a service keeps its state (`StateDirectory=`); the XDG Base Directory Specification says where people do.
fn state_dir() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(directory) = variable("STATE_DIRECTORY") {
        return Some(directory);
    }
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/proplet".into());
    }
    let base = variable("XDG_STATE_HOME").or_else(|| Some(env::home_dir()?.join(".local/state")));
    Some(base?.join("proplet"))
}
