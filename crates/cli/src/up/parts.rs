//! The parts beside the control plane: broker, registry, and the local proplet's settings.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use propeller_bus::{BrokerUrl, Ca, InvalidBrokerUrl};
use propeller_control::session::Mqtt;
use propeller_embed::{
    broker::{Accounts, Broker, BrokerConfig, BrokerError, PasswordHash, Role},
    registry::{Registry, RegistryConfig, RegistryError},
};
use propeller_host::proplet::{Flags, JoinRegistry, Machine, Settings};
use propeller_protocol::Base;
use secrecy::SecretString;

use super::{
    UpError,
    accounts::{Devices, Way},
    reference,
    state::{State, secret},
    tls,
};
use crate::{
    args::{ComponentArgs, MqttArgs, PropletArgs},
    control::CONTROL,
};

/// The local proplet's identity.
pub const LOCAL: &str = "local";

/// The way between control plane and proplets.
pub struct Bus {
    /// How the control plane connects.
    pub control: Mqtt,
    /// Lets devices in, unless the broker is another one.
    pub devices: Option<Arc<Devices>>,
    local: Credentials,
    broker: Option<Broker>,
}

/// Of the local proplet.
struct Credentials {
    username: Option<String>,
    password: Option<SecretString>,
}

impl Bus {
    /// Starts the embedded broker, unless there is another one.
    pub async fn start(args: &MqttArgs, registry: Option<&Registry>, state: &State) -> Result<Self, UpError> {
        match &args.mqtt {
            Some(broker) => Self::elsewhere(broker.clone(), args),
            None => Self::here(args, registry, state).await,
        }
    }

    async fn here(args: &MqttArgs, registry: Option<&Registry>, state: &State) -> Result<Self, UpError> {
        // New with each start: nobody else needs to know them.
        let (control, local) = (secret(), secret());
        let accounts = Accounts::new();
        accounts.add(CONTROL, Role::Control, PasswordHash::of(&control)?)?;
        accounts.add(LOCAL, Role::Proplet, PasswordHash::of(&local)?)?;
        let host = args.host.clone().unwrap_or_else(host_name);
        let (tls, ca) = tls::listener(args, &host, state)?.unzip();
        let config = BrokerConfig {
            bind: args.mqtt_listen,
            tls,
            ..BrokerConfig::new(state.path("broker"), accounts.clone())
        };
        let broker = Broker::start(config).await.map_err(|error| match error {
            BrokerError::Listen { address, .. } => UpError::BrokerAddress {
                flag: match Some(address) == args.mqtts_listen {
                    true => "--mqtts-listen",
                    false => "--mqtt-listen",
                },
                source: error,
            },
            error => UpError::Broker(error),
        })?;
        let mut address = broker.address();
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let url = broker_url("mqtt", &address.ip().to_string(), address.port(), state)?;
        let way = match (broker.tls_address(), ca) {
            (Some(address), Some(ca)) => Some(Way {
                broker: broker_url("mqtts", &host, address.port(), state)?,
                ca,
                registries: registry.map(|registry| from_afar(registry, &host)).unwrap_or_default(),
            }),
            _ => None,
        };
        let devices = Devices::open(state.path("devices.json"), accounts, way)?;
        Ok(Self {
            devices: Some(Arc::new(devices)),
            control: mqtt(url, Some(CONTROL.to_owned()), Some(control)),
            local: Credentials {
                username: Some(LOCAL.to_owned()),
                password: Some(local),
            },
            broker: Some(broker),
        })
    }

    fn elsewhere(broker: BrokerUrl, args: &MqttArgs) -> Result<Self, UpError> {
        let password = match &args.mqtt_password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(unreadable("--mqtt-password-file", path))?;
                Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            None => None,
        };
        let username = args.mqtt_username.clone();
        if let Some(path) = &args.mqtt_ca {
            // Who connects reads it again. Here it is still known which flag named it.
            std::fs::read(path).map_err(unreadable("--mqtt-ca", path))?;
        }
        let mut control = mqtt(broker, username.clone(), password.clone());
        control.ca = args.mqtt_ca.clone().map(Ca::File);
        Ok(Self {
            devices: None,
            control,
            local: Credentials { username, password },
            broker: None,
        })
    }

    /// Where the broker is.
    pub fn url(&self) -> String {
        self.control.broker.to_string()
    }

    /// Where devices find the embedded broker, if it listens for them.
    pub fn devices_url(&self) -> Option<String> {
        Some(self.devices.as_ref()?.way()?.broker.to_string())
    }

    /// Ready when the embedded broker has ended.
    pub async fn ended(&self) {
        match &self.broker {
            Some(broker) => broker.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Stops the embedded broker, with everything on disk.
    pub async fn stop(self) -> Result<(), UpError> {
        match self.broker {
            Some(broker) => broker.stop().await.map_err(UpError::Broker),
            None => Ok(()),
        }
    }
}

fn unreadable(flag: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UpError {
    move |source| UpError::FlagsFile {
        flag,
        path: path.to_owned(),
        source,
    }
}

fn mqtt(broker: BrokerUrl, username: Option<String>, password: Option<SecretString>) -> Mqtt {
    Mqtt {
        broker,
        client_id: None,
        username,
        password,
        ca: None,
        base: Base::default(),
    }
}

fn broker_url(scheme: &str, host: &str, port: u16, state: &State) -> Result<BrokerUrl, UpError> {
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let url = format!("{scheme}://{host}:{port}").parse();
    url.map_err(|error: InvalidBrokerUrl| {
        UpError::Broker(BrokerError::Start {
            directory: state.path("broker"),
            source: error.into(),
        })
    })
}

/// As the machine calls itself.
fn host_name() -> String {
    Machine::read().host_name.unwrap_or_else(|| "localhost".to_owned())
}

/// References say `localhost`, which on a device is the device. A registry that listens on loopback only can't be reached from there at all.
fn from_afar(registry: &Registry, host: &str) -> BTreeMap<String, JoinRegistry> {
    let address = registry.address();
    if address.ip().is_loopback() {
        return BTreeMap::new();
    }
    let there = format!("{host}:{}", address.port());
    let mirror = JoinRegistry {
        mirrors: vec![there.clone()],
        plain_http: None,
    };
    let plain = JoinRegistry {
        mirrors: vec![],
        plain_http: Some(true),
    };
    BTreeMap::from([(reference(address), mirror), (there, plain)])
}

/// Starts the embedded registry, unless there is another one.
pub fn embedded_registry(args: &ComponentArgs, state: &State) -> Result<Option<Registry>, UpError> {
    if args.other_registry.is_some() {
        return Ok(None);
    }
    let config = RegistryConfig {
        bind: args.registry_listen,
        ..RegistryConfig::new(state.path("registry"))
    };
    let registry = Registry::start(config).map_err(|error| match error {
        RegistryError::Listen { .. } => UpError::RegistryAddress(error),
        error => UpError::Registry(error),
    })?;
    Ok(Some(registry))
}

/// What the local proplet is told, beside what its own file says.
pub fn proplet_settings(args: &PropletArgs, state: &State, bus: &Bus) -> Result<Settings, UpError> {
    let mut flags = Flags {
        config: args.proplet_config.clone(),
        // At another broker there may be other sites, whose proplets are local too.
        id: bus.broker.as_ref().and_then(|_| LOCAL.parse().ok()),
        state_dir: Some(state.path("proplet")),
        labels: args
            .labels
            .iter()
            .map(|label| (label.key.clone(), label.value.clone()))
            .collect(),
        ..Flags::default()
    };
    flags.mqtt.broker = Some(bus.control.broker.clone());
    flags.mqtt.username.clone_from(&bus.local.username);
    flags.mqtt.domain = Some("default".to_owned());
    flags.mqtt.channel = Some("main".to_owned());
    if let Some(Ca::File(path)) = &bus.control.ca {
        flags.mqtt.ca = Some(path.clone());
    }
    let machine = Machine {
        password: bus.local.password.clone(),
        ..Machine::read()
    };
    Ok(Settings::load(flags, machine)?)
}
