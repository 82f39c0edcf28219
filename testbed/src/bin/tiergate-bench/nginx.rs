//! nginx with the shipped `nginx/nginx.conf`.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tiergate_testbed::{Component, Process, Ready, free_port, repo_root, tool};

/// A running nginx.
pub(crate) struct Nginx {
    process: Process,
    pub(crate) at: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Asks `check` about each request, then `site` for the answer.
    pub(crate) fn start(check: SocketAddr, site: SocketAddr) -> Result<Self> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let folder = tempfile::tempdir()?;
        let mut text = std::fs::read_to_string(repo_root().join("nginx/nginx.conf"))?;
        let edits = [
            ("listen 127.0.0.1:8081", format!("listen {at}")),
            ("server 127.0.0.1:4180", format!("server {check}")),
            ("server 127.0.0.1:5000", format!("server {site}")),
        ];
        for (old, new) in &edits {
            ensure!(text.contains(old), "nginx/nginx.conf holds no `{old}`: it has changed");
            text = text.replace(old, new);
        }
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, text)?;
        // Started by root, its workers would otherwise run as a user who may not enter the folder.
        let user = if rustix::process::geteuid().is_root() { " user root;" } else { "" };
        let process = Component::new("nginx", tool("nginx")?)
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .args(["-g", &format!("daemon off;{user}")])
            // Its access log is on, as shipped.
            .discard_stdout()
            .ready(Ready::Tcp(at))
            .start()?;
        Ok(Self { process, at, _folder: folder })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}
