//! The proplet: a session with the broker, a ledger that decides, a supervisor that runs.
//!
//! ```text
//!  broker ◄──► bus ──► Inbound ──► Gate ──► keeper: ledger ──► journal    decides; a thread makes durable
//!                ▲                    │ run, wait, cancel, report
//!                └── Voice ◄──────────┼──► Supervisor ──► artifact client, engine
//!                                     ▲        │ started, ended, lines
//!                                     ├────────┘
//!                                     └──────── Doctor ◄── /healthz, /readyz
//! ```
//!
//! [`Proplet`] is the loop in the middle. It only moves messages: what takes time (a disk, a download, a compilation, a guest, a broker
//! that is away) happens elsewhere and comes back as one more event. So heartbeats and stops keep their time whatever the tasks do.
//!
//! Never here: whether an attempt should run is the ledger's to decide, how it runs the engine's. No Kubernetes, and no disk but the
//! state directory.

mod chain;
mod config;
mod ending;
mod event;
mod gate;
mod http;
mod inbound;
mod journal;
mod keeper;
mod limits;
mod logs;
mod machine;
mod metrics;
mod outcome;
mod run;
mod signals;
mod start;
mod supervisor;
mod telemetry;
mod telling;
mod vitals;
mod voice;
mod withheld;

pub use config::{
    EngineSettings, Flags, Join, JoinMqtt, JoinRegistry, LogFormat, Machine, Mqtt, ServiceSettings, Settings,
    SettingsError, TaskSettings,
};
pub use journal::JournalError;
pub use run::{Broken, Ended, Proplet};
pub use signals::signals;
pub use start::StartError;
pub use telemetry::{Telemetry, TelemetryError};
