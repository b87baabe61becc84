//! `propeller up`: a whole Propeller in one process.
//!
//! ```text
//!  State: whose directory ─┬─► broker ◄──── MQTT ────► plane ◄──► store (state.db) ◄──► API ◄── propeller apply, get, …; the web page
//!                          ├─► registry ◄── HTTP ─────► │                │
//!                          └─► local proplet ◄─ MQTT ─► │              logs/
//! ```
//!
//! Each part is a crate of its own and knows none of the others; here they are only started, told of each other, and stopped in an order in which
//! nothing that is on its way is lost: the proplet, which still reports; the control plane, which still acknowledges; then what they spoke over.

mod accounts;
mod error;
mod inspector;
mod parts;
mod state;
mod tls;

use std::{fmt, fs, future::pending, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use propeller_artifact::ClientConfig;
use propeller_control::{
    health::Health,
    logs::{Bounds, Logs},
    metrics::Metrics,
};
use propeller_host::proplet::{Ended, Proplet, signals};
use propeller_standalone::{
    api::{self, Api},
    events::Events,
    plane::Around,
    plane::{Broken, Config, Plane},
    store::{OpenError, Repaired, Store, repair},
};
use serde::Serialize;
use tokio::{net::TcpListener, sync::mpsc, task::JoinError, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use self::error::UpError;
use self::{
    parts::{Bus, embedded_registry},
    state::{ServerFile, State, Written},
};
use crate::{
    args::{Global, RegistryArgs, Up},
    exit::Exit,
    failure::Failure,
    output::Output,
    settings::Environment,
};

/// What requests under way may take when it stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// The namespace of proplets that announce themselves, and of whatever names none.
const NAMESPACE: &str = "default";

/// Where everything listens, once it does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listening {
    api: String,
    mqtt: String,
    /// As devices see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proplet: Option<String>,
    state: std::path::PathBuf,
}

/// Runs until a signal. Of two signals, the second one doesn't wait for running tasks.
pub async fn up(args: &Up, global: &Global, environment: Arc<Environment>, output: &Output) -> Result<Exit, Failure> {
    let mut signals = signals().map_err(Failure::Start)?;
    let mut running = tokio::select! {
        running = Running::start(args, environment, output) => running?,
        _ = signals.recv() => return Err(Failure::Interrupted),
    };
    output.report(&running.listening)?;
    let broken = tokio::select! {
        _ = signals.recv() => None,
        broken = running.broken() => Some(broken),
    };
    if broken.is_none() && !global.quiet {
        output.note("stopping: running tasks may finish; once more to end at once");
    }
    let ended = running.stop(signals).await;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(ended?),
    }
}

/// What runs. Dropping it ends all of it at once.
struct Running {
    listening: Listening,
    proplet: Option<LocalProplet>,
    plane: AbortOnDropHandle<Result<(), Broken>>,
    stop_plane: CancellationToken,
    api: AbortOnDropHandle<std::io::Result<()>>,
    stop_api: CancellationToken,
    bus: Bus,
    registry: Option<propeller_embed::registry::Registry>,
    _server_file: Option<ServerFile>,
    _state: State,
}

struct LocalProplet {
    id: String,
    task: AbortOnDropHandle<Result<Ended, propeller_host::proplet::Broken>>,
    signals: mpsc::Sender<()>,
}

impl Running {
    async fn start(args: &Up, environment: Arc<Environment>, output: &Output) -> Result<Self, UpError> {
        let directory = args.state_dir.clone().or_else(|| environment.up());
        let directory = directory.ok_or(UpError::NoStateDirectory)?;
        let mut state = State::claim(&directory)?;
        state.sign(None)?;
        let store = open(&state, args.repair, output)?;
        let token = Arc::new(state.token()?);
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.map_err(|source| UpError::Listen {
            address: args.listen,
            source,
        })?;
        let address = listener.local_addr().map_err(UpError::Api)?;
        let registry = embedded_registry(&args.components, &state)?;
        let bus = Bus::start(&args.mqtt, registry.as_ref(), &state).await?;

        let logs = Logs::open(&state.path("logs"), Bounds::default()).map_err(|source| UpError::Directory {
            path: state.path("logs"),
            source,
        })?;
        let registries = RegistryArgs {
            config: args.config.clone(),
            ..RegistryArgs::default()
        };
        let config = Config {
            mqtt: bus.control.clone(),
            artifacts: ClientConfig {
                docker_config: environment.docker_config.clone(),
                registries: environment
                    .registries(&registries)
                    .map_err(|failure| UpError::Settings(Box::new(failure)))?,
                ..ClientConfig::new(state.path("artifacts"))
            },
            register_in: Some(NAMESPACE.to_owned()),
        };
        let around = Around {
            logs,
            events: Events::default(),
            metrics: Metrics::default(),
            health: Health::default(),
        };
        let plane = Plane::new(config, store.clone(), around.clone())?;
        let stop_plane = CancellationToken::new();
        let plane = spawn(plane.run(stop_plane.clone()));
        let stop_api = CancellationToken::new();
        let api = Api {
            store,
            around,
            token: Arc::clone(&token),
            inspector: inspector::inspector(environment.clone(), registries),
            door: Arc::default(),
            joiner: bus.devices.clone().map(|devices| devices as _),
            stop: stop_api.clone(),
        };
        let api = spawn(api::serve(listener, api));
        let proplet = match args.proplet.no_proplet {
            true => None,
            false => Some(start_proplet(args, &state, &bus)?),
        };

        let url = url(address);
        state.sign(Some(&url))?;
        let server_file = match environment.server_file() {
            Some(path) => be_found(&path, &url, &state, output)?,
            None => None,
        };
        Ok(Self {
            listening: Listening {
                api: url,
                mqtt: bus.url(),
                mqtts: bus.devices_url(),
                registry: registry.as_ref().map(|registry| reference(registry.address())),
                proplet: proplet.as_ref().map(|proplet| proplet.id.clone()),
                state: directory,
            },
            proplet,
            plane,
            stop_plane,
            api,
            stop_api,
            bus,
            registry,
            _server_file: server_file,
            _state: state,
        })
    }

    /// Ready when a part ended by itself.
    async fn broken(&mut self) -> UpError {
        let proplet = async {
            match &mut self.proplet {
                Some(proplet) => proplet_end(&mut proplet.task).await,
                None => pending().await,
            }
        };
        let registry = async {
            match &self.registry {
                Some(registry) => registry.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.bus.ended() => UpError::Ended("broker"),
            () = registry => UpError::Ended("registry"),
            ended = proplet => ended.err().unwrap_or(UpError::Broken(Broken::Store)),
            ended = &mut self.plane => flatten(ended).err().unwrap_or(UpError::Broken(Broken::Store)),
            ended = &mut self.api => match ended {
                Ok(Ok(())) => UpError::Api(std::io::Error::other("it ended")),
                Ok(Err(error)) => UpError::Api(error),
                Err(error) => error.into(),
            },
        }
    }

    /// In order. A signal that comes meanwhile ends running tasks at once.
    async fn stop(mut self, mut signals: mpsc::Receiver<()>) -> Result<Exit, UpError> {
        let mut ended = Ok(Exit::Done);
        // What ended by itself was awaited already.
        if let Some(mut proplet) = self.proplet.take().filter(|proplet| !proplet.task.is_finished()) {
            let _ = proplet.signals.send(()).await;
            let again = proplet.signals.clone();
            let pass_on = async {
                while signals.recv().await.is_some() {
                    let _ = again.send(()).await;
                }
                pending::<()>().await
            };
            ended = tokio::select! {
                ended = proplet_end(&mut proplet.task) => ended.map(|ended| match ended {
                    Ended::Drained => Exit::Done,
                    Ended::Forced => Exit::Interrupted,
                }),
                () = pass_on => Ok(Exit::Interrupted),
            };
        }
        tokio::select! {
            stopped = self.stop_others() => stopped.and(ended),
            _ = signals.recv() => Ok(Exit::Interrupted),
        }
    }

    async fn stop_others(mut self) -> Result<(), UpError> {
        self.stop_plane.cancel();
        let plane = match self.plane.is_finished() {
            true => Ok(()),
            false => flatten((&mut self.plane).await),
        };
        self.stop_api.cancel();
        if !self.api.is_finished() {
            // A request whose client says nothing more holds up nobody.
            let _ = timeout(GOODBYE, &mut self.api).await;
        }
        self.bus.stop().await?;
        if let Some(registry) = self.registry {
            registry.stop().await.map_err(UpError::Registry)?;
        }
        plane
    }
}

fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(future))
}

fn flatten(ended: Result<Result<(), Broken>, JoinError>) -> Result<(), UpError> {
    Ok(ended??)
}

async fn proplet_end(
    task: &mut AbortOnDropHandle<Result<Ended, propeller_host::proplet::Broken>>,
) -> Result<Ended, UpError> {
    Ok(task.await??)
}

/// Lets other commands find this one, unless they find another.
fn be_found(path: &Path, url: &str, state: &State, output: &Output) -> Result<Option<ServerFile>, UpError> {
    match ServerFile::write(path, url, state)? {
        Written::Ours(file) => Ok(Some(file)),
        Written::Others(other) => {
            let token = state.path("token");
            let token = token.display();
            output.note(&format!(
                "other commands here speak to {other}, which is up already; to this one with `--server {url} --token-file {token}`"
            ));
            Ok(None)
        }
    }
}

fn open(state: &State, wants_repair: bool, output: &Output) -> Result<Store, UpError> {
    let path = state.path("state.db");
    let opened = match state.was_used() && is_empty(&path) {
        true => Err(OpenError::Damaged {
            path: path.clone(),
            problem: "it is missing or empty, and there was one before".to_owned(),
        }),
        false => Store::open(&path),
    };
    match opened {
        Err(OpenError::Damaged { .. }) if wants_repair => {
            let Repaired { aside, read, lost } = repair(&path)?;
            let aside = aside.display();
            output.note(&format!(
                "{read} resources could be read; the damaged state is kept in {aside}"
            ));
            for resource in lost {
                output.note(&format!("lost: {resource}"));
            }
            Ok(Store::open(&path)?)
        }
        opened => Ok(opened?),
    }
}

/// Once SQLite has opened a file, there is something in it.
fn is_empty(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(file) => file.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn start_proplet(args: &Up, state: &State, bus: &Bus) -> Result<LocalProplet, UpError> {
    let settings = parts::proplet_settings(&args.proplet, state, bus)?;
    let id = settings.id.to_string();
    let proplet = Proplet::start(settings)?;
    let (signals, receiver) = mpsc::channel(2);
    Ok(LocalProplet {
        id,
        task: spawn(proplet.run(receiver)),
        signals,
    })
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What references begin with. Where this machine's own address is one of them, `localhost` is what people type.
fn reference(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "API       {}", self.api)?;
        writeln!(f, "web page  {}/", self.api)?;
        writeln!(f, "broker    {}", self.mqtt)?;
        if let Some(mqtts) = &self.mqtts {
            writeln!(f, "devices   {mqtts}")?;
        }
        if let Some(registry) = &self.registry {
            writeln!(f, "registry  {registry}")?;
        }
        if let Some(proplet) = &self.proplet {
            writeln!(f, "proplet   {proplet}")?;
        }
        write!(f, "state     {}", self.state.display())
    }
}
