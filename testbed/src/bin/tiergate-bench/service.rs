//! The service under measurement: the release binary, with the README's config.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use tiergate_testbed::{Provider, Tiergate, repo_root};

/// A running service. Its decision log is on, as shipped, and goes to /dev/null.
pub(crate) struct Service {
    pub(crate) running: Tiergate,
}

impl Service {
    pub(crate) fn start(binary: &Path, config: &str) -> Result<Self> {
        let binary = std::path::absolute(binary)?;
        Ok(Self { running: Tiergate::builder(binary, config).discard_stdout().start()? })
    }

    /// One that takes its time to start.
    pub(crate) fn start_slow(binary: &Path, config: &str) -> Result<Self> {
        let within = std::time::Duration::from_secs(120);
        Ok(Self { running: Tiergate::builder(binary, config).discard_stdout().within(within).start()? })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.running.process.pid().context("the service has ended")
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.running.grpc()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.running.http()
    }

    /// Checks that were allowed so far.
    pub(crate) fn allowed(&self) -> Result<f64> {
        self.decided("decision=\"allow\"")
    }

    /// Decisions so far that carry a label, such as `reason="overloaded"`.
    pub(crate) fn decided(&self, label: &str) -> Result<f64> {
        self.running.metric("tiergate_decisions_total", &[label])
    }
}

/// The config of the README, with the provider of this run in place of the one that it names.
pub(crate) fn readme_config(provider: &Provider) -> Result<String> {
    let shipped = std::fs::read_to_string(repo_root().join("examples/readme/tiergate.yaml"))?;
    let mut config = shipped;
    for (named, own) in
        [("https://login.example.com/", provider.issuer()), ("https://api.example.com", provider.audience())]
    {
        anyhow::ensure!(config.contains(named), "examples/readme/tiergate.yaml does not name `{named}`");
        config = config.replace(named, own);
    }
    Ok(config)
}
