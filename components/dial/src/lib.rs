//! Connects, listens and sends datagrams.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world dial {
            /// Connect to `host:port`, send the text, and return what comes back, or what kind of error it was.
            export tcp: func(address: string, text: string) -> result<string, string>;

            /// The same with one datagram each way.
            export udp: func(address: string, text: string) -> result<string, string>;

            /// Wait for connections at the address.
            export wait-at: func(address: string) -> result<_, string>;
        }
    ",
});

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
};

struct Component;

impl Guest for Component {
    fn tcp(address: String, text: String) -> Result<String, String> {
        over_tcp(&address, &text).map_err(said)
    }

    fn udp(address: String, text: String) -> Result<String, String> {
        over_udp(&address, &text).map_err(said)
    }

    fn wait_at(address: String) -> Result<(), String> {
        TcpListener::bind(address).map(drop).map_err(said)
    }
}

fn over_tcp(address: &str, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn over_udp(address: &str, text: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(text.as_bytes(), address)?;
    let mut answer = [0; 1024];
    let (length, _) = socket.recv_from(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn said(error: io::Error) -> String {
    error.kind().to_string()
}

export!(Component);
