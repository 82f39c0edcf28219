//! The unmodified Flask applications.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::{free_port, repo_root, tool};

/// One of the applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// `stable/maps`
    Maps,
    /// `ea/reports`
    Reports,
    /// `devel/hazard`
    Hazard,
    /// `devel/chat`, over Socket.IO
    Chat,
}

impl App {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Maps, Self::Reports, Self::Hazard, Self::Chat];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Reports => "reports",
            Self::Hazard => "hazard",
            Self::Chat => "chat",
        }
    }

    /// The tier it is served in.
    pub fn tier(self) -> &'static str {
        match self {
            Self::Maps => "stable",
            Self::Reports => "ea",
            Self::Hazard | Self::Chat => "devel",
        }
    }

    /// Its path behind every gateway: `/apps/devel/hazard`.
    pub fn path(self) -> String {
        format!("/apps/{}/{}", self.tier(), self.name())
    }

    /// Its port in the shipped configs.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Maps => 5001,
            Self::Reports => 5002,
            Self::Hazard => 5003,
            Self::Chat => 5004,
        }
    }

    /// Starts it on a free port.
    pub fn start(self) -> Result<Process> {
        retry_taken_port(|| self.start_on(free_port()?))
    }

    /// Starts it on this port.
    pub fn start_on(self, port: u16) -> Result<Process> {
        let script = repo_root().join("testbed/apps").join(self.tier()).join(self.name()).join("app.py");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Component::new(self.name(), tool("python")?)
            .arg(script)
            .args(["--port".to_owned(), port.to_string()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Four of them start side by side, perhaps beside a compiler.
            .within(Duration::from_secs(90))
            .ready(Ready::Http(address, "/health".to_owned(), 200))
            .start()
    }
}

/// All four, running.
#[derive(Debug)]
pub struct Apps {
    ports: [u16; 4],
    processes: Vec<Process>,
}

impl Apps {
    /// Starts them on free ports, side by side.
    pub fn start() -> Result<Self> {
        retry_taken_port(|| Self::start_on([free_port()?, free_port()?, free_port()?, free_port()?]))
    }

    /// Starts them on these ports, in the order of [`App::ALL`].
    pub fn start_on(ports: [u16; 4]) -> Result<Self> {
        let processes = std::thread::scope(|scope| {
            let starts: Vec<_> =
                App::ALL.into_iter().zip(ports).map(|(app, port)| scope.spawn(move || app.start_on(port))).collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap_or_else(|_| anyhow::bail!("the start of an app panicked")))
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Self { ports, processes })
    }

    /// The port of an app.
    pub fn port(&self, app: App) -> u16 {
        App::ALL.into_iter().zip(self.ports).find(|(other, _)| *other == app).map_or(0, |(_, port)| port)
    }

    /// The running processes, in the order of [`App::ALL`].
    pub fn processes(&mut self) -> &mut [Process] {
        &mut self.processes
    }
}
