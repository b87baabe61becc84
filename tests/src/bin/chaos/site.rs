//! Who takes part: two operators or one `propeller up`, and proplets, each with its own way to the broker.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use kube::api::ListParams;
use propeller_api::{is_true, types};
use propeller_tests::{PATIENCE, Proxy, Service, World, wait_for, world::Shell};
use serde_json::json;

use crate::{
    faults::Target,
    victims::{Program, Victim},
};

/// What runs besides the servers.
pub struct Site {
    operators: Vec<(Service, Proxy)>,
    proplets: Vec<(Service, Proxy)>,
}

impl Site {
    /// Starts them, and waits until every proplet is known to be there.
    pub async fn start(world: &World, proplets: usize, marks: &Path) -> Result<Self> {
        let mut operators = Vec::new();
        let replicas = match world.shell {
            Shell::Kubernetes(_) => 2,
            Shell::Standalone(_) => 1,
        };
        for _ in 0..replicas {
            operators.push(start_operator(world).await?);
        }
        let starts = (0..proplets).map(|index| start_proplet(world, index, marks));
        let site = Self {
            operators,
            proplets: try_join_all(starts).await?,
        };
        site.wait_for_heartbeats(world).await?;
        Ok(site)
    }

    async fn wait_for_heartbeats(&self, world: &World) -> Result<()> {
        let api = world.proplets().await?;
        wait_for("every proplet to be ready", PATIENCE, async || {
            for proplet in api.list(&ListParams::default()).await? {
                let conditions = proplet.status.unwrap_or_default().conditions;
                ensure!(is_true(&conditions, types::READY), "{conditions:?}");
            }
            Ok(())
        })
        .await
    }

    /// Everybody whom faults may hit.
    pub fn victims<'a>(&'a mut self, world: &'a mut World) -> Vec<(Target, Victim<'a>)> {
        let cluster = world.cluster().ok();
        let program = |service, proxy, keeps| {
            Victim::Program(Program {
                service,
                proxy,
                keeps,
                ended: Vec::new(),
            })
        };
        let operators = self.operators.iter_mut().enumerate();
        let mut victims: Vec<_> = operators
            .map(|(index, (operator, proxy))| (Target::Operator(index), program(operator, Some(&*proxy), "cache")))
            .collect();
        let proplets = self.proplets.iter_mut().enumerate();
        victims.extend(
            proplets
                .map(|(index, (proplet, proxy))| (Target::Proplet(index), program(proplet, Some(&*proxy), "state"))),
        );
        victims.push((Target::Broker, program(&mut world.broker, None, "mosquitto.db")));
        victims.extend(cluster.map(|cluster| (Target::ApiServer, Victim::ApiServer(cluster))));
        victims
    }

    /// Ends everything on purpose: what is dropped while it runs shows its log.
    pub fn end(mut self, world: &mut World) -> Result<()> {
        for (program, _) in self.operators.iter_mut().chain(&mut self.proplets) {
            program.kill()?;
        }
        world.broker.kill()?;
        world.registry.kill()
    }

    /// What no log may have, over all starts.
    pub fn panics(&self) -> Vec<String> {
        let programs = self.operators.iter().chain(&self.proplets).map(|(program, _)| program);
        let logs = programs.flat_map(|program| fs::read_dir(program.folder()).into_iter().flatten().flatten());
        let logs = logs.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        let lines = logs.flat_map(|log| {
            let text = fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let panics: Vec<_> = text
                .lines()
                .filter(|line| line.contains("panicked at"))
                .map(str::to_owned)
                .collect();
            panics
        });
        lines.collect()
    }
}

async fn start_operator(world: &World) -> Result<(Service, Proxy)> {
    let proxy = Proxy::start(world.broker.addr()).await?;
    let operator = world.control_by(proxy.addr()).await?;
    let ready = match world.shell {
        Shell::Kubernetes(_) => "serving health and metrics",
        Shell::Standalone(_) => "API",
    };
    Ok((operator.start(ready).await?, proxy))
}

async fn start_proplet(world: &World, index: usize, marks: &Path) -> Result<(Service, Proxy)> {
    let id = Target::Proplet(index).to_string();
    world.create_proplet(&id, json!({})).await?;
    let proxy = Proxy::start(world.broker.addr()).await?;
    let proplet = world.proplet_by(proxy.addr(), &id).await?;
    let config = proplet.file(
        "proplet.toml",
        format!("[policy]\ndirectories = [{{ path = {marks:?} }}]\n"),
    )?;
    let proplet = proplet
        .arg("--config")
        .arg(config)
        .args(["--capacity-tasks", "8", "--drain-seconds", "2"]);
    // Not "connected": the broker may be away when it is started again.
    Ok((proplet.start("proplet starts").await?, proxy))
}
