//! An axum server on a thread and runtime of its own, which can go down and
//! come back on the same port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) struct Server {
    router: Router,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    /// Binds a port on loopback (0 for a free one), then asks for the router that serves it.
    pub(crate) fn start(port: u16, router: impl FnOnce(SocketAddr) -> Router) -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), router)
    }

    /// The same at any address.
    pub(crate) fn start_at(address: SocketAddr, router: impl FnOnce(SocketAddr) -> Router) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let mut server = Self { router: router(address), address, running: None };
        server.serve(listener)?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection.
    pub(crate) fn down(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Listens again.
    pub(crate) fn up(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = std::net::TcpListener::bind(self.address)
            .with_context(|| format!("cannot listen on {} again", self.address))?;
        self.serve(listener)
    }

    fn serve(&mut self, listener: std::net::TcpListener) -> Result<()> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = self.router.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("testbed-server".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener);
                let _ = started.send(listener.as_ref().err().map(ToString::to_string));
                if let Ok(listener) = listener {
                    // Dropping the runtime afterwards closes what is still open.
                    tokio::select! {
                        _ = axum::serve(listener, router).into_future() => {}
                        _ = stopped => {}
                    }
                }
            });
        })?;
        if let Some(error) = has_started.recv().context("the server's thread has ended")? {
            return Err(anyhow!("cannot serve {}: {error}", self.address));
        }
        self.running = Some((stop, thread));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}
