//! A way to a server that can be cut, as a network is: what is connected breaks off, and nobody gets through until it is mended.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes on what comes to its own port of loopback. It ends with the handle, or the async runtime.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    is_cut: watch::Sender<bool>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Starts to pass on connections to `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (is_cut, cut) = watch::channel(false);
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, target, cut.clone()));
            }
        });
        Ok(Self { addr, is_cut, listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Breaks off every connection, and each new one as soon as it comes.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn pass_on(mut client: TcpStream, target: SocketAddr, mut cut: watch::Receiver<bool>) {
    let copying = async {
        let mut server = TcpStream::connect(target).await?;
        // It would hold back small messages that are waited for.
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        biased;
        // Also when the proxy is gone.
        _ = cut.wait_for(|is_cut| *is_cut) => {}
        // However it ends, both sides see it by the end of their connections.
        _ = copying => {}
    }
}
