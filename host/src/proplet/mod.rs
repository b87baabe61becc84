//! The proplet: a session with the broker, a ledger that decides, a supervisor that runs.
//!
//! ```text
//!  broker ◄──► bus ──► Inbound ──► keeper: ledger + journal      a thread: decides, makes durable, answers
//!                ▲                    │ run, cancel, report
//!                └── Voice ◄──────────┼──► Supervisor ──► artifact client, engine
//!                                     ▲        │ ended
//!                                     └────────┘
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
mod figures;
mod inbound;
mod journal;
mod keeper;
mod limits;
mod machine;
mod outcome;
mod run;
mod signals;
mod start;
mod supervisor;
mod voice;

pub use config::{Flags, LogFormat, Machine, Mqtt, Settings, SettingsError, TaskSettings};
pub use journal::JournalError;
pub use run::{Broken, Ended, Proplet};
pub use signals::signals;
pub use start::StartError;
