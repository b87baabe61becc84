//! A real MQTT broker, as fleets use it: Mosquitto, with sessions and retained messages that last over a restart.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::launch::Launch;
use crate::service::Service;
use crate::{port, scratch};

/// A broker. Its [`Service`] stops it and starts it again: stopped in order it keeps retained messages and sessions, killed it has lost them.
#[derive(Debug)]
pub struct Mosquitto {
    service: Service,
    port: u16,
}

/// Who may connect, and what they may do there.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// Everyone may do everything.
    Anyone,
    /// Everyone, within what these lines of its configuration allow.
    Limited(&'a str),
    /// Only these, each a name with its password.
    Accounts {
        /// May do everything.
        control: (&'a str, &'a str),
        /// The name is the proplet's id, and the account is held to the topics that end in it.
        proplets: &'a [(&'a str, &'a str)],
    },
    /// Whom the files `passwords` and `acl` of that directory let in, and the user `control` with this password.
    Files {
        /// The directory.
        directory: &'a Path,
        /// The password.
        control: &'a str,
    },
}

impl Mosquitto {
    /// Starts a broker.
    ///
    /// # Errors
    /// When Mosquitto isn't installed or doesn't start.
    pub async fn start(access: Access<'_>) -> Result<Self> {
        port::with_free(async |port| {
            let folder = scratch::folder("mosquitto")?;
            configure(folder.path(), port, access).context("can't configure Mosquitto; `make setup` installs it")?;
            let launch = Launch::new("mosquitto", "mosquitto").args(["-c", "mosquitto.conf"]);
            let service = Service::start(launch, " running", folder).await;
            Ok(Self {
                service: service.context("no Mosquitto; `make setup` installs it")?,
                port,
            })
        })
        .await
    }

    /// Where it listens, for MQTT 5 and 3.1.1. The same after every restart.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Deref for Mosquitto {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl DerefMut for Mosquitto {
    fn deref_mut(&mut self) -> &mut Service {
        &mut self.service
    }
}

/// The topic tree as a proplet may use it: the last level is its own name.
const PROPLET_RULES: &str = "
pattern read m/+/c/+/control/manager/+/%u
pattern write m/+/c/+/control/proplet/+/%u
pattern write m/+/c/+/registry/proplet/%u
pattern read m/+/c/+/registry/server/%u
";

fn configure(folder: &Path, port: u16, access: Access<'_>) -> Result<()> {
    let mut config = String::new();
    writeln!(config, "listener {port} 127.0.0.1")?;
    writeln!(config, "set_tcp_nodelay true")?;
    writeln!(config, "persistence true")?;
    writeln!(config, "persistence_location {}/", folder.display())?;
    writeln!(config, "log_dest stderr")?;
    writeln!(config, "log_type all")?;
    // Started by root it would become another user, who may not write here. For anybody else the line has no meaning.
    writeln!(config, "user root")?;
    match access {
        Access::Anyone => writeln!(config, "allow_anonymous true")?,
        Access::Limited(limits) => writeln!(config, "allow_anonymous true\n{limits}")?,
        Access::Accounts { control, proplets } => {
            writeln!(config, "allow_anonymous false\npassword_file passwords\nacl_file rules")?;
            fs::write(
                folder.join("rules"),
                format!("user {}\ntopic readwrite #\n{PROPLET_RULES}", control.0),
            )?;
            fs::write(folder.join("passwords"), "")?;
            for (user, password) in proplets.iter().chain([&control]) {
                add_account(&folder.join("passwords"), user, password)?;
            }
        }
        Access::Files { directory, control } => {
            let [passwords, acl] = ["passwords", "acl"].map(|name| directory.join(name));
            add_account(&passwords, "control", control)?;
            writeln!(config, "allow_anonymous false")?;
            writeln!(
                config,
                "password_file {}\nacl_file {}",
                passwords.display(),
                acl.display()
            )?;
        }
    }
    Ok(fs::write(folder.join("mosquitto.conf"), config)?)
}

fn add_account(file: &Path, user: &str, password: &str) -> Result<()> {
    let done = Command::new("mosquitto_passwd")
        .arg("-b")
        .arg(file)
        .args([user, password])
        .output()?;
    ensure!(
        done.status.success(),
        "mosquitto_passwd: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
