//! Sockets and names.

use anyhow::Result;
use propeller_api::Grants;
use serde_json::{Value, json};
use tokio::{
    io,
    net::{TcpListener, UdpSocket},
};

use super::{Guest, Names};

#[tokio::test]
pub(crate) async fn dial_reaches_what_was_granted() -> Result<()> {
    let port = tcp_echo().await?;
    let dial = Guest::load("dial")
        .await?
        .with_names(&Names::of(&[("localhost", &["127.0.0.1"])]));
    let check = async |granted: &[String], address: &str, expected: Result<&str, &str>| -> Result<()> {
        let result = dial.try_call("tcp", json!([address, "hello"]), &to(granted)).await?;
        let expected = expected.map(|text| json!(text)).map_err(|kind| json!(kind));
        assert_eq!(result, expected, "{granted:?} {address}");
        Ok(())
    };
    let address = format!("127.0.0.1:{port}");
    let name = format!("localhost:{port}");
    check(std::slice::from_ref(&address), &address, Ok("hello")).await?;
    check(&["127.0.0.0/8:*".to_owned()], &address, Ok("hello")).await?;
    check(std::slice::from_ref(&name), &name, Ok("hello")).await?;

    let denied = Err("permission denied");
    check(&[], &address, denied).await?;
    check(&["127.0.0.1:1".to_owned()], &address, denied).await?;
    check(&["127.0.0.2:*".to_owned()], &address, denied).await?;
    check(&["0.0.0.0/0:*".to_owned()], &address, denied).await?;
    // The address of a granted name that the guest didn't look up.
    check(std::slice::from_ref(&name), &address, denied).await?;
    Ok(())
}

#[tokio::test]
async fn dial_listens_to_nobody() -> Result<()> {
    let dial = Guest::load("dial").await?;
    for address in ["127.0.0.1:0", "0.0.0.0:0", "0.0.0.0:8080"] {
        let everything = to(&["0.0.0.0/0:*".to_owned(), "127.0.0.0/8:*".to_owned()]);
        let result = dial.try_call("wait-at", json!([address]), &everything).await?;
        assert_eq!(result, Err(json!("permission denied")), "{address}");
    }
    Ok(())
}

#[tokio::test]
async fn dial_sends_datagrams_where_it_may() -> Result<()> {
    let dial = Guest::load("dial").await?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?.to_string();
    tokio::spawn(async move {
        let mut datagram = [0; 1024];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(&datagram[..length], from).await;
        }
    });
    let args = json!([address, "hello"]);
    let granted = dial
        .try_call("udp", args.clone(), &to(std::slice::from_ref(&address)))
        .await?;
    assert_eq!(granted, Ok(json!("hello")));
    let other = to(&["127.0.0.1:1".to_owned()]);
    assert_eq!(
        dial.try_call("udp", args, &other).await?,
        Err(json!("permission denied"))
    );
    Ok(())
}

/// A granted name that leads to this machine gives neither its address nor a connection.
#[tokio::test]
async fn no_name_leads_a_socket_to_loopback() -> Result<()> {
    let port = tcp_echo().await?;
    let names = Names::of(&[("evil.example", &["127.0.0.1"])]);
    let dial = Guest::load("dial").await?.with_names(&names);
    let host = format!("evil.example:{port}");
    let grants = to(std::slice::from_ref(&host));
    assert!(dial.try_call("tcp", json!([host, "hello"]), &grants).await?.is_err());
    let lookup = Guest::load("lookup").await?.with_names(&names);
    let found = lookup.try_call("addresses", json!(["evil.example"]), &grants).await?;
    assert_eq!(found, Err(json!("access-denied")));
    Ok(())
}

#[tokio::test]
pub(crate) async fn lookup_asks_for_granted_names_only() -> Result<()> {
    // Whoever asks for another name gets an error that isn't the one expected here.
    let names = Names::of(&[
        ("db.example", &["10.0.0.7", "169.254.169.254", "fd00::7"]),
        ("empty.example", &[]),
    ]);
    let lookup = Guest::load("lookup").await?.with_names(&names);
    let check = async |granted: &[&str], name: &str, expected: Result<Value, &str>| -> Result<()> {
        let granted: Vec<String> = granted.iter().map(|target| (*target).to_owned()).collect();
        let result = lookup.try_call("addresses", json!([name]), &to(&granted)).await?;
        assert_eq!(result, expected.map_err(|code| json!(code)), "{granted:?} {name}");
        Ok(())
    };
    let found = json!(["10.0.0.7", "fd00::7"]);
    check(&["db.example:5432"], "db.example", Ok(found.clone())).await?;
    check(&["db.example:5432"], "DB.Example.", Ok(found)).await?;
    check(&["db.example:5432"], "10.9.9.9", Ok(json!(["10.9.9.9"]))).await?;
    check(&["empty.example:*"], "empty.example", Err("name-unresolvable")).await?;
    check(&[], "db.example", Err("access-denied")).await?;
    check(&["10.0.0.0/8:*"], "db.example", Err("access-denied")).await?;
    check(&["db.example:5432"], "what-i-know.db.example", Err("access-denied")).await?;
    Ok(())
}

fn to(targets: &[String]) -> Grants {
    Grants {
        net: targets
            .iter()
            .map(|target| target.parse().expect("as the test has it"))
            .collect(),
        ..Grants::default()
    }
}

/// The port of a server on loopback that sends back what it is sent.
async fn tcp_echo() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                io::copy(&mut read, &mut write).await
            });
        }
    });
    Ok(port)
}
