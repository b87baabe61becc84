//! Reaches out by WASI 0.3: asks over HTTP, looks up a name, and connects.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world reach03 {
            /// The body of what a host answers, or the code of the error.
            export fetch: async func(authority: string, path: string) -> result<string, string>;

            /// The addresses of a name.
            export addresses: async func(name: string) -> result<list<string>, string>;

            /// Connect to a port of this machine's loopback interface.
            export connect-to: async func(port: u16) -> result<_, string>;
        }
    ",
});

use std::net::{Ipv4Addr, Ipv6Addr};

use wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme},
    },
    sockets::{
        ip_name_lookup::resolve_addresses,
        types::{IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket},
    },
    wit_future,
};

struct Component;

impl Guest for Component {
    async fn fetch(authority: String, path: String) -> Result<String, String> {
        let response = get(&authority, &path).await.map_err(|code| format!("{code:?}"))?;
        let (done, result) = wit_future::new(|| Ok(()));
        let (body, _trailers) = Response::consume_body(response, result);
        let text = body.collect().await;
        drop(done);
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    async fn addresses(name: String) -> Result<Vec<String>, String> {
        let addresses = resolve_addresses(name).await.map_err(|code| format!("{code:?}"))?;
        Ok(addresses.into_iter().map(text).collect())
    }

    async fn connect_to(port: u16) -> Result<(), String> {
        let address = Ipv4SocketAddress {
            address: (127, 0, 0, 1),
            port,
        };
        let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(|code| format!("{code:?}"))?;
        let connected = socket.connect(IpSocketAddress::Ipv4(address)).await;
        connected.map_err(|code| format!("{code:?}"))
    }
}

async fn get(authority: &str, path: &str) -> Result<Response, ErrorCode> {
    let (done, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    drop(done);
    let set = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.expect("a new request takes all of it");
    client::send(request).await
}

fn text(address: IpAddress) -> String {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string(),
    }
}

export!(Component);
