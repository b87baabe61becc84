//! `wasi:sockets`: connections to where the run may connect to. Nothing listens, and nothing is accepted.

use std::{
    future::ready,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use propeller_api::{NetHost, NetTarget};
use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};

use crate::engine::grants::{Capabilities, address};

/// Addresses that a run remembers. A name that has thousands is nobody's honest name.
const REMEMBERED: usize = 1024;

/// What the names of one run resolved to. A granted name leads only to what it was seen to lead to, by this run, through [`lookup`](super::lookup).
#[derive(Clone, Default)]
pub(in crate::engine) struct Names(Arc<Mutex<Vec<(String, IpAddr)>>>);

impl Names {
    pub(super) fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let mut known = self.lock();
        for address in addresses {
            let entry = (name.to_owned(), address::plain(*address));
            if known.len() < REMEMBERED && !known.contains(&entry) {
                known.push(entry);
            }
        }
    }

    fn led_to(&self, name: &str, address: IpAddr) -> bool {
        let address = address::plain(address);
        self.lock().iter().any(|known| known.0 == name && known.1 == address)
    }

    /// A panic elsewhere can't leave the list in halves: use it nevertheless.
    fn lock(&self) -> MutexGuard<'_, Vec<(String, IpAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a guest connect to what it was granted.
pub(super) fn connect(wasi: &mut WasiCtxBuilder, granted: &Arc<Capabilities>, names: &Names) {
    let (granted, names) = (granted.clone(), names.clone());
    wasi.allow_tcp(true).allow_udp(true);
    wasi.socket_addr_check(move |address, usage| Box::pin(ready(allows(&granted.net, &names, address, usage))));
}

fn allows(granted: &[NetTarget], names: &Names, address: SocketAddr, usage: SocketAddrUse) -> bool {
    match usage {
        // Before it connects or sends, a socket is bound to whatever address and port are free. More would be for listening.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.ip().is_unspecified() && address.port() == 0,
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            granted.iter().any(|target| leads_to(target, names, address))
        }
    }
}

fn leads_to(target: &NetTarget, names: &Names, address: SocketAddr) -> bool {
    let host = match &target.host {
        NetHost::Name(name) => names.led_to(name, address.ip()),
        NetHost::Network(network) => address::network_contains(network, address.ip()),
    };
    host && target.port.is_none_or(|port| port.get() == address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_reaches_what_was_granted_and_nothing_listens() {
        use SocketAddrUse::{TcpBind, TcpConnect, TcpListen, UdpBind, UdpReceive, UdpSend};
        let granted = ["db.lab:5432", "10.0.0.0/8:*", "127.0.0.1:80"].map(|target| target.parse().unwrap());
        let names = Names::default();
        names.remember("db.lab", &["192.168.0.9".parse().unwrap()]);
        names.remember("other.lab", &["192.168.0.10".parse().unwrap()]);
        let check = |usage: SocketAddrUse, address: &str, expected: bool| {
            let allowed = allows(&granted, &names, address.parse().unwrap(), usage);
            assert_eq!(allowed, expected, "{usage:?} {address}");
        };
        check(TcpConnect, "192.168.0.9:5432", true);
        check(UdpSend, "192.168.0.9:5432", true);
        check(UdpReceive, "192.168.0.9:5432", true);
        check(TcpConnect, "192.168.0.9:5433", false);
        check(TcpConnect, "192.168.0.10:5432", false);
        check(TcpConnect, "10.1.2.3:1", true);
        check(TcpConnect, "127.0.0.1:80", true);
        check(TcpConnect, "127.0.0.1:81", false);
        check(TcpConnect, "127.0.0.2:80", false);
        check(TcpBind, "0.0.0.0:0", true);
        check(UdpBind, "[::]:0", true);
        check(TcpBind, "0.0.0.0:8080", false);
        check(UdpBind, "127.0.0.1:0", false);
        check(TcpListen, "0.0.0.0:0", false);
        check(TcpListen, "10.1.2.3:80", false);
    }
}
