//! The WASI of one run: what its guest was granted, and nothing else.
//!
//! `wasmtime-wasi` and `wasmtime-wasi-http` implement the interfaces. Here is what they leave to the host: who may be asked over HTTP
//! ([`http`]), where sockets lead to ([`sockets`]), what names mean ([`lookup`]), and where values are kept ([`keyvalue`]).
//!
//! Never here: a decision about grants. A run holds a [`Granted`] that was decided before.

mod connect;
mod exchange;
mod http;
mod keyvalue;
mod later;
mod lookup;
mod sockets;

use std::sync::Arc;

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use super::{Granted, grants::Capabilities, memory::Account, traffic::Traffic};

pub(super) use http::Outgoing;
pub(super) use keyvalue::add_to_linker as add_keyvalue_to_linker;
pub(super) use later::Later;
use later::Plan;
pub(super) use lookup::add_to_linker as add_lookup_to_linker;
pub(super) use sockets::Names;

/// Random bytes that a guest gets in one call.
const RANDOM_BYTES: u64 = 64 << 10;

/// Memory of a set of HTTP fields.
const FIELD_BYTES: usize = 64 << 10;

/// The parts of a run's state that WASI works on.
pub(super) struct Wasi {
    pub(super) context: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) outgoing: Outgoing,
    /// What the guest's names resolved to. There if it was granted any.
    pub(super) names: Option<Names>,
    pub(super) granted: Granted,
}

impl Wasi {
    fn new(plan: &Plan, memory: &Account, traffic: &Traffic) -> Self {
        let granted = plan.granted.clone();
        let names = granted
            .capabilities()
            .filter(|granted| !granted.net.is_empty())
            .map(|_| Names::default());
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELD_BYTES);
        Self {
            context: context(plan, traffic, granted.capabilities().zip(names.as_ref())),
            http,
            outgoing: Outgoing::new(&granted, memory, traffic),
            names,
            granted,
        }
    }
}

/// Clocks and randomness, and what was granted. All else is off unless it's asked for; the sockets are said again because they are what would
/// hurt most.
fn context(plan: &Plan, traffic: &Traffic, network: Option<(&Arc<Capabilities>, &Names)>) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi.max_random_size(RANDOM_BYTES);
    plan.stdio.connect(&mut wasi, traffic);
    wasi.args(&plan.argv);
    let Some(granted) = plan.granted.capabilities() else {
        return wasi.build();
    };
    wasi.envs(&granted.env);
    if let Some((granted, names)) = network {
        sockets::connect(&mut wasi, granted, names);
    }
    let mut wasi = wasi.build();
    *wasi.filesystem() = granted.directories.clone();
    wasi
}
