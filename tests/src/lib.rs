//! The harness: everything that the end-to-end tests and the demo need around Propeller, and all of it real.
//!
//! ```text
//!  test ──► Mosquitto, Registry ─────► Service ─┐
//!       ──► Program (proplet, …) ────► Service ─┼──► Process: a program in the background, its log, its end
//!       ──► ControlPlane ───── etcd, API server ─┘
//!       ──► Standalone: a state for `propeller up`
//!       ──► Proxy: a connection that can be cut
//!       ──► Browser: a real one, for the web page
//!       ──► Spy: sees and says anything over MQTT
//!       ──► cargo: our programs and the guests, built once
//!       ──► languages: the examples that are not Rust
//! ```
//!
//! - Every server listens on a free port of loopback, and ends with its handle. It ends as well when the test process ends in any other way,
//!   and its folder goes: [`scratch`] and [`Launch`] say how.
//! - Waiting is always for a condition with a deadline, through [`wait_for`]; no test sleeps.
//! - A failure shows the end of the log of what failed. `PROPELLER_TEST_KEEP=1` keeps every folder, with all logs.
//!
//! Nothing here is shipped, nothing replaces a part of Propeller by a fake, and nothing uses the network beyond loopback.

mod browser;
pub mod cargo;
mod control_plane;
pub mod guests;
pub mod languages;
mod launch;
pub mod mosquitto;
mod port;
mod process;
mod program;
mod proxy;
pub mod registry;
pub mod scratch;
mod service;
pub mod spy;
mod standalone;
mod wait;
pub mod walk;
pub mod world;

pub use browser::{Browser, Colors};
pub use control_plane::{ControlPlane, Identity, LogsRoute};
pub use launch::Launch;
pub use mosquitto::Mosquitto;
pub use process::Process;
pub use program::Program;
pub use proxy::Proxy;
pub use registry::Registry;
pub use service::Service;
pub use spy::Spy;
pub use standalone::Standalone;
pub use wait::{PATIENCE, wait_for};
pub use world::World;
