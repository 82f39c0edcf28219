//! The servers that decide nothing (`benches/floor`), as children.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tiergate_testbed::{Component, Process, Ready};

/// A running server.
pub(crate) struct Floor {
    process: Process,
    pub(crate) at: SocketAddr,
}

impl Floor {
    pub(crate) fn serve(binary: &Path, kind: &str) -> Result<Self> {
        Self::start(Component::new(kind, std::path::absolute(binary)?).args(["serve", kind]))
    }

    /// One that writes the first message down.
    pub(crate) fn record(binary: &Path, file: &Path) -> Result<Self> {
        Self::start(Component::new("recorder", std::path::absolute(binary)?).arg("record").arg(file))
    }

    fn start(component: Component) -> Result<Self> {
        let process =
            component.within(Duration::from_secs(10)).ready(Ready::LogText("listening on ".to_owned())).start()?;
        let log = process.log();
        let at = log.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(Self { process, at: at.with_context(|| format!("the floor server did not say where it listens: {log}"))? })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.pid().context("a floor server has ended")
    }
}
