//! Looks up a name.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world lookup {
            /// The addresses of a name, or the code of the error.
            export addresses: func(name: string) -> result<list<string>, string>;
        }
    ",
});

use std::net::{Ipv4Addr, Ipv6Addr};

use wasip2::sockets::{
    instance_network::instance_network,
    ip_name_lookup::resolve_addresses,
    network::{ErrorCode, IpAddress},
};

struct Component;

impl Guest for Component {
    fn addresses(name: String) -> Result<Vec<String>, String> {
        look_up(&name).map_err(|code| code.name().to_owned())
    }
}

fn look_up(name: &str) -> Result<Vec<String>, ErrorCode> {
    let stream = resolve_addresses(&instance_network(), name)?;
    let mut addresses = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => addresses.push(text(address)),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(code) => return Err(code),
        }
    }
}

fn text(address: IpAddress) -> String {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string(),
    }
}

export!(Component);
