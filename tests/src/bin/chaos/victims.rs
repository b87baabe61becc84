//! Faults, done to real processes, which are up again afterwards: what ends by itself is started again too, as Kubernetes would.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::Result;
use propeller_tests::{ControlPlane, PATIENCE, Proxy, Service, wait_for};
use rustix::process::Signal;
use tokio::time::{sleep, sleep_until};

use crate::faults::{Fault, Planned};

/// Somebody whom faults hit.
pub enum Victim<'a> {
    Program(Program<'a>),
    ApiServer(&'a ControlPlane),
}

/// A program that is started again when it ends.
pub struct Program<'a> {
    pub service: &'a mut Service,
    /// Its way to the broker, which can be cut.
    pub proxy: Option<&'a Proxy>,
    /// What it keeps, in its folder.
    pub keeps: &'static str,
    /// How it ended when nobody had asked it to.
    pub ended: Vec<String>,
}

impl Victim<'_> {
    /// Suffers these, at their times from `begin` on, and is well at the end, which isn't before `end`.
    pub async fn suffer(&mut self, faults: impl Iterator<Item = Planned>, begin: Instant, end: Instant) -> Result<()> {
        for planned in faults {
            self.tend(begin + planned.at).await?;
            if self.hit(planned.fault).await? {
                sleep(planned.lasts).await;
                self.heal(planned.fault).await?;
            }
        }
        self.tend(end).await
    }

    /// How it ended when nobody had asked it to, and how often.
    pub fn ended(&self) -> &[String] {
        match self {
            Self::Program(program) => &program.ended,
            Self::ApiServer(_) => &[],
        }
    }

    /// Returns whether it was hit: what has just ended by itself wasn't.
    async fn hit(&mut self, fault: Fault) -> Result<bool> {
        match self {
            Self::Program(program) => program.hit(fault).await,
            Self::ApiServer(cluster) => match fault {
                Fault::Frozen => cluster.signal_api_server(Signal::STOP).await.map(|()| true),
                _ => cluster.kill_api_server().await.map(|()| true),
            },
        }
    }

    async fn heal(&mut self, fault: Fault) -> Result<()> {
        match self {
            Self::Program(program) => program.heal(fault).await,
            Self::ApiServer(cluster) => match fault {
                Fault::Frozen => cluster.signal_api_server(Signal::CONT).await,
                _ => cluster.start_api_server_again().await,
            },
        }
    }

    /// Looks after it until then.
    async fn tend(&mut self, until: Instant) -> Result<()> {
        match self {
            Self::Program(program) => program.tend(until).await,
            Self::ApiServer(_) => {
                sleep_until(until.into()).await;
                Ok(())
            }
        }
    }
}

impl Program<'_> {
    async fn hit(&mut self, fault: Fault) -> Result<bool> {
        if self.service.process()?.ended()?.is_some() {
            return Ok(false);
        }
        match fault {
            Fault::Ended => drop(self.service.stop().await?),
            Fault::Killed => self.service.kill()?,
            Fault::Wiped => {
                self.service.kill()?;
                self.wipe()?;
            }
            Fault::Frozen => self.service.process()?.signal(Signal::STOP)?,
            Fault::Cut => self.proxy.into_iter().for_each(Proxy::cut),
        }
        Ok(true)
    }

    fn wipe(&self) -> Result<()> {
        let path = self.service.folder().join(self.keeps);
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        match removed {
            // It has kept nothing yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => Ok(done?),
        }
    }

    async fn heal(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Ended | Fault::Killed | Fault::Wiped => self.start().await,
            Fault::Frozen => self.service.process()?.signal(Signal::CONT),
            Fault::Cut => {
                self.proxy.into_iter().for_each(Proxy::mend);
                Ok(())
            }
        }
    }

    /// What it needs may be away at the moment; then it ends, and is started again.
    async fn start(&mut self) -> Result<()> {
        wait_for("a start", PATIENCE, async || self.service.start_again().await).await
    }

    async fn tend(&mut self, until: Instant) -> Result<()> {
        loop {
            if let Some(status) = self.service.process()?.ended()? {
                let log = self.service.log();
                let said = log.lines().last().unwrap_or_default();
                // Without the time, so that equal ends can be counted.
                let said = said.split_once(" ERROR ").map_or(said, |(_, said)| said);
                self.ended.push(format!("{status}: {said}"));
                self.start().await?;
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            sleep(Duration::from_millis(100).min(until - now)).await;
        }
    }
}
