//! `wasi:sockets/ip-name-lookup`, 0.2 and 0.3: only names that were granted.
//!
//! A lookup is a message to whoever runs the name's domain, so a guest that could look up any name could send what it knows. What a name
//! resolves to is remembered for the run; only there may its sockets connect.

use std::{net::IpAddr, vec};

use propeller_api::NetHost;
use wasmtime::{
    StoreContextMut,
    component::{Accessor, HasData, Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    WasiView, async_trait,
    p2::{
        DynPollable, Network, Pollable,
        bindings::sockets::network::{ErrorCode, IpAddress},
        subscribe,
    },
    p3::bindings::sockets::{ip_name_lookup as p3, types as p3_types},
    runtime::{AbortOnDropJoinHandle, spawn},
};

use super::{Wasi, connect::is_reachable};
use crate::engine::state::State;

/// The interface as `wasmtime-wasi` calls it, whose implementation is replaced: that one looks up any name or none.
const P2: &str = "wasi:sockets/ip-name-lookup@0.2.12";

/// Why a name has no addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupError {
    /// It isn't granted, or leads to an address that no name leads to.
    Denied,
    /// It doesn't resolve.
    Unresolvable,
}

/// Replaces what the linker has, of 0.2 and, if there is one, of 0.3.
pub(in crate::engine) fn add_to_linker(linker: &mut Linker<State>, concurrency: bool) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(P2)?;
    interface.resource(
        "resolve-address-stream",
        ResourceType::host::<Addresses>(),
        drop_addresses,
    )?;
    interface.func_wrap("resolve-addresses", resolve_addresses)?;
    interface.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        resolve_next_address,
    )?;
    interface.func_wrap("[method]resolve-address-stream.subscribe", subscribe_addresses)?;
    if concurrency {
        p3::add_to_linker::<State, Lookup>(linker, |state| LookupView(state.wasi()))?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Nothing of the run is borrowed, so that it goes on while the guest does.
fn lookup(wasi: &Wasi, name: &str) -> impl Future<Output = Result<Vec<IpAddr>, LookupError>> + Send + 'static + use<> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let granted = wasi.granted.capabilities().zip(wasi.names.as_ref());
    let granted = granted.map(|(granted, names)| (granted.clone(), names.clone()));
    async move {
        // An address is its own name, and is asked of nobody.
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let (granted, names) = granted.ok_or(LookupError::Denied)?;
        let is_granted = |host: &NetHost| matches!(host, NetHost::Name(granted) if *granted == name);
        if !granted.net.iter().any(|target| is_granted(&target.host)) {
            return Err(LookupError::Denied);
        }
        let addresses = granted.means.resolver.resolve(&name).await;
        let mut addresses = addresses.map_err(|_| LookupError::Unresolvable)?;
        if addresses.is_empty() {
            return Err(LookupError::Unresolvable);
        }
        addresses.retain(|address| is_reachable(&name, *address));
        if addresses.is_empty() {
            return Err(LookupError::Denied);
        }
        names.remember(&name, &addresses);
        Ok(addresses)
    }
}

/// 0.2's stream of addresses.
enum Addresses {
    Waiting(AbortOnDropJoinHandle<Result<Vec<IpAddr>, LookupError>>),
    Here(Result<vec::IntoIter<IpAddr>, LookupError>),
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        if let Self::Waiting(lookup) = self {
            *self = Self::Here(lookup.await.map(Vec::into_iter));
        }
    }
}

fn drop_addresses(mut store: StoreContextMut<'_, State>, rep: u32) -> wasmtime::Result<()> {
    store
        .data_mut()
        .ctx()
        .table
        .delete(Resource::<Addresses>::new_own(rep))?;
    Ok(())
}

type P2Result<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

fn resolve_addresses(
    mut store: StoreContextMut<'_, State>,
    (network, name): (Resource<Network>, String),
) -> P2Result<Resource<Addresses>> {
    let state = store.data_mut();
    let addresses = Addresses::Waiting(spawn(lookup(state.wasi(), &name)));
    let table = state.ctx().table;
    table.get(&network)?;
    Ok((Ok(table.push(addresses)?),))
}

fn resolve_next_address(
    mut store: StoreContextMut<'_, State>,
    (stream,): (Resource<Addresses>,),
) -> P2Result<Option<IpAddress>> {
    let stream = store.data_mut().ctx().table.get_mut(&stream)?;
    if let Addresses::Waiting(lookup) = stream {
        if !lookup.is_finished() {
            return Ok((Err(ErrorCode::WouldBlock),));
        }
        // Done, so this doesn't wait.
        let done = futures::FutureExt::now_or_never(lookup);
        *stream = Addresses::Here(done.unwrap_or(Err(LookupError::Unresolvable)).map(Vec::into_iter));
    }
    let next = match stream {
        Addresses::Here(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
        Addresses::Here(Err(LookupError::Denied)) => Err(ErrorCode::AccessDenied),
        Addresses::Here(Err(LookupError::Unresolvable)) => Err(ErrorCode::NameUnresolvable),
        Addresses::Waiting(_) => Err(ErrorCode::WouldBlock),
    };
    Ok((next,))
}

fn subscribe_addresses(
    mut store: StoreContextMut<'_, State>,
    (stream,): (Resource<Addresses>,),
) -> wasmtime::Result<(Resource<DynPollable>,)> {
    Ok((subscribe(store.data_mut().ctx().table, stream)?,))
}

/// What 0.3 works on.
struct Lookup;

struct LookupView<'a>(&'a mut Wasi);

impl HasData for Lookup {
    type Data<'a> = LookupView<'a>;
}

impl p3::Host for LookupView<'_> {}

impl<T: 'static> p3::HostWithStore<T> for Lookup {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<p3_types::IpAddress>, p3::ErrorCode>> {
        let lookup = store.with(|mut view| lookup(view.get().0, &name));
        Ok(match lookup.await {
            Ok(addresses) => Ok(addresses.into_iter().map(Into::into).collect()),
            Err(LookupError::Denied) => Err(p3::ErrorCode::AccessDenied),
            Err(LookupError::Unresolvable) => Err(p3::ErrorCode::NameUnresolvable),
        })
    }
}
