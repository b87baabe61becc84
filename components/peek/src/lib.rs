//! Looks around for anything that it was not granted.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world peek {
            /// What a component can see of its host.
            record sight {
                /// The names of environment variables.
                variables: list<string>,
                /// Command line arguments.
                arguments: list<string>,
                /// Whether a file or directory could be opened at all.
                files: bool,
                /// Whether a TCP connection to the address could be tried.
                network: bool,
                /// Whether a UDP socket could be bound.
                datagrams: bool,
                /// Whether the name could be looked up.
                names: bool,
                /// How many bytes standard input gave.
                input: u64,
            }

            /// Look around, and try to reach the socket address.
            export peek: func(address: string) -> sight;
        }
    ",
});

use std::{
    fs, io,
    net::{TcpStream, ToSocketAddrs, UdpSocket},
};

struct Component;

impl Guest for Component {
    fn peek(address: String) -> Sight {
        Sight {
            variables: std::env::vars_os()
                .map(|(name, _)| name.to_string_lossy().into_owned())
                .collect(),
            arguments: std::env::args().collect(),
            files: ["/", ".", "/etc/passwd", "/tmp"]
                .iter()
                .any(|path| fs::metadata(path).is_ok()),
            network: TcpStream::connect(&address).is_ok(),
            datagrams: UdpSocket::bind("127.0.0.1:0").is_ok(),
            names: ("localhost", 80).to_socket_addrs().is_ok(),
            input: io::copy(&mut io::stdin(), &mut io::sink()).unwrap_or(0),
        }
    }
}

export!(Component);
