//! One instance for one request.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, Release},
        },
    },
};

use futures::channel::oneshot;
use http::Request;
use propeller_types::Wasi;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{AsContextMut, Store, component::Instance};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    handler::{self, Proxy},
    p2::{self, bindings::http::types::Scheme},
    p3,
};

use super::{Life, Shared};
use crate::engine::{InvokeError, memory::MemoryBound, state::State};

/// Where the response goes, as soon as the guest has made its head. Its body follows while the instance lives.
pub(super) type Reply = oneshot::Sender<wasmtime::Result<http::Response<WasiBody>>>;

/// Makes an instance and drops it: what can't be made for nobody can't be made for a request. Returns the bytes that it began with.
pub(super) async fn probe(shared: &Shared) -> Result<u64, InvokeError> {
    let mut life = begin(shared);
    let made = life.end(&shared.sandbox, |store| instantiate(shared, store)).await;
    made.map(|_| life.store.data().memory.peak())
}

fn begin(shared: &Shared) -> Life {
    let memory = MemoryBound::of_request(&shared.memory, shared.limits.requests);
    Life::within(memory, &shared.prepared, &shared.sandbox, &[])
}

/// Answers one request, and gives the turn back when the instance has ended.
pub(super) async fn serve(
    shared: Arc<Shared>,
    request: Request<WasiBody>,
    reply: Reply,
    turn: OwnedSemaphorePermit,
    failed: Arc<AtomicBool>,
) -> Result<(), InvokeError> {
    shared.requests.fetch_add(1, Relaxed);
    let result = {
        let mut counted = Counted {
            life: begin(&shared),
            shared: &shared,
        };
        let lived = counted
            .life
            .end(&shared.sandbox, |store| live(&shared, store, request, reply));
        let result = lived.await;
        failed.store(result.is_err(), Release);
        result
    };
    // The instance is gone by now, with its memory.
    drop(turn);
    shared.ended(&result);
    result
}

/// An instance whose figures count however it ends: when the client goes away, it's dropped where it is.
struct Counted<'a> {
    life: Life,
    shared: &'a Shared,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.shared.count(&self.life.figures());
    }
}

async fn live(
    shared: &Shared,
    store: &mut Store<State>,
    request: Request<WasiBody>,
    reply: Reply,
) -> Result<(), InvokeError> {
    let proxy = instantiate(shared, store).await?;
    let end = match &proxy {
        Proxy::P2(proxy) => handle_02(store, proxy, request, reply).await,
        Proxy::P3(_) => handle_03(store, &proxy, request, reply).await,
    };
    end.map_err(|error| InvokeError::from_guest(&error, store.data(), &shared.sandbox.limits))
}

async fn instantiate(shared: &Shared, store: &mut Store<State>) -> Result<Proxy, InvokeError> {
    let contract = shared.prepared.contract();
    let generation = contract.service().ok_or(InvokeError::NotAService)?;
    let instance = shared.prepared.pre().instantiate_async(&mut *store).await;
    let instance =
        instance.map_err(|error| InvokeError::from_instantiation(&error, store.data(), &shared.sandbox.limits))?;
    proxy(generation, store, &instance).map_err(InvokeError::host)
}

fn proxy(generation: Wasi, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Proxy> {
    Ok(match generation {
        Wasi::V02 => Proxy::P2(p2::bindings::Proxy::new(store, instance)?),
        Wasi::V03 => Proxy::P3(p3::bindings::Service::new(store, instance)?),
    })
}

/// Wasmtime's own helper for this wants an engine with concurrency, which costs what has no use for it.
async fn handle_02(
    store: &mut Store<State>,
    proxy: &p2::bindings::Proxy,
    request: Request<WasiBody>,
    reply: Reply,
) -> wasmtime::Result<()> {
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let out = http.new_response_outparam_from_callback(move |response| {
        // If nobody waits for the response any more, the instance is about to end.
        let _ = reply.send(response.map_err(|code| wasmtime::Error::msg(format!("{code:?}"))));
    })?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(store, request, out).await
}

async fn handle_03(
    store: &mut Store<State>,
    proxy: &Proxy,
    request: Request<WasiBody>,
    reply: Reply,
) -> wasmtime::Result<()> {
    let prepared = handler::Prepared::new(store.as_context_mut(), proxy, request, State::http, reply)?;
    let ended = store.run_concurrent(async |store| {
        // The deadline is enforced from outside, where a guest that spins can't hold it up.
        prepared.run(store, pending()).await?;
        // What the handler started goes on, such as writing the response's body.
        poll_fn(|context| store.poll_no_interesting_tasks(context)).await;
        Ok(())
    });
    ended.await?
}
