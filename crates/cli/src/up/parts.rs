//! The parts beside the control plane: broker, registry, and the local proplet's settings.

use propeller_bus::BrokerUrl;
use propeller_control::session::Mqtt;
use propeller_embed::{
    broker::{Accounts, Broker, BrokerConfig, BrokerError, PasswordHash, Role},
    registry::{Registry, RegistryConfig, RegistryError},
};
use propeller_host::proplet::{Flags, Machine, Settings};
use propeller_protocol::Base;
use secrecy::SecretString;

use super::{
    UpError,
    state::{State, secret},
};
use crate::args::{ComponentArgs, MqttArgs, PropletArgs};

/// The local proplet's identity.
pub const LOCAL: &str = "local";

/// The control plane's user name at the embedded broker.
const CONTROL: &str = "control";

/// The way between control plane and proplets.
pub struct Bus {
    /// How the control plane connects.
    pub control: Mqtt,
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
    pub async fn start(args: &MqttArgs, state: &State) -> Result<Self, UpError> {
        match &args.mqtt {
            Some(broker) => Self::elsewhere(broker.clone(), args),
            None => Self::here(args, state).await,
        }
    }

    async fn here(args: &MqttArgs, state: &State) -> Result<Self, UpError> {
        // New with each start: nobody else needs to know them.
        let (control, local) = (secret(), secret());
        let accounts = Accounts::new();
        accounts.add(CONTROL, Role::Control, PasswordHash::of(&control)?)?;
        accounts.add(LOCAL, Role::Proplet, PasswordHash::of(&local)?)?;
        let config = BrokerConfig {
            bind: args.mqtt_listen,
            ..BrokerConfig::new(state.path("broker"), accounts)
        };
        let broker = Broker::start(config).await.map_err(|error| match error {
            BrokerError::Listen { .. } => UpError::BrokerAddress(error),
            error => UpError::Broker(error),
        })?;
        let mut address = broker.address();
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let url: BrokerUrl = format!("mqtt://{address}").parse().map_err(|_| {
            UpError::Broker(BrokerError::Start {
                directory: state.path("broker"),
                source: "its address can't be written as a URL".into(),
            })
        })?;
        Ok(Self {
            control: mqtt(url, Some(CONTROL.to_owned()), Some(control)),
            local: Credentials {
                username: None,
                password: Some(local),
            },
            broker: Some(broker),
        })
    }

    fn elsewhere(broker: BrokerUrl, args: &MqttArgs) -> Result<Self, UpError> {
        let password = match &args.mqtt_password_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| UpError::Directory {
                    path: path.clone(),
                    source,
                })?;
                Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            None => None,
        };
        let username = args.mqtt_username.clone();
        let mut control = mqtt(broker, username.clone(), password.clone());
        control.ca.clone_from(&args.mqtt_ca);
        Ok(Self {
            control,
            local: Credentials { username, password },
            broker: None,
        })
    }

    /// Where the broker is.
    pub fn url(&self) -> String {
        self.control.broker.to_string()
    }

    /// Stops the embedded broker, with everything on disk.
    pub async fn stop(self) -> Result<(), UpError> {
        match self.broker {
            Some(broker) => broker.stop().await.map_err(UpError::Broker),
            None => Ok(()),
        }
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
        id: LOCAL.parse().ok(),
        state_dir: Some(state.path("proplet")),
        ..Flags::default()
    };
    flags.mqtt.broker = Some(bus.control.broker.clone());
    flags.mqtt.username.clone_from(&bus.local.username);
    flags.mqtt.ca.clone_from(&bus.control.ca);
    let machine = Machine {
        password: bus.local.password.clone(),
        ..Machine::read()
    };
    Ok(Settings::load(flags, machine)?)
}
