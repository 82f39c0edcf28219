//! The service under test: the real binary with a config of the test's.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::{free_port, guard, raw_http};

/// The ports of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TiergatePorts {
    /// ext_authz over gRPC.
    pub grpc: u16,
    /// The HTTP decision endpoints.
    pub http: u16,
    /// `/livez`, `/readyz`, `/metrics`.
    pub admin: u16,
}

impl TiergatePorts {
    /// The ports of the shipped configs.
    pub const DEFAULT: Self = Self { grpc: 9191, http: 4180, admin: 9190 };

    /// Three free ports.
    pub fn free() -> Result<Self> {
        Ok(Self { grpc: free_port()?, http: free_port()?, admin: free_port()? })
    }
}

/// How to start an instance.
#[derive(Debug, Clone)]
pub struct TiergateBuilder {
    binary: PathBuf,
    config: Source,
    files: Vec<(String, String)>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
    ready_path: &'static str,
    within: Duration,
    is_stdout_discarded: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Text(String),
    File(PathBuf, TiergatePorts),
    Environment,
}

impl Source {
    /// A config with a `listen` of its own may use a unix socket in place of this port.
    fn listens_at(&self, place: &str) -> bool {
        match self {
            Self::File(..) | Self::Environment => true,
            Self::Text(text) => !has_listen(text) || text.contains(place),
        }
    }
}

impl TiergateBuilder {
    /// Waits only until `/livez` answers: for a service that can not decide yet.
    pub fn only_live(mut self) -> Self {
        self.ready_path = "/livez";
        self
    }

    /// Sets an environment variable of the service.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file beside the config, which is also the working directory: a key set, say, or `.env`.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Runs it in this folder, from which relative paths of its config count and whose `.env` it reads.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// How long readiness may take; 30 s by default.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = deadline;
        self
    }

    /// Sends its decision lines to /dev/null in place of its log.
    pub fn discard_stdout(mut self) -> Self {
        self.is_stdout_discarded = true;
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Result<Tiergate> {
        match &self.config {
            Source::File(path, ports) => self.start_with(Some(path.clone()), *ports, None),
            Source::Environment => retry_taken_port(|| {
                self.start_with(None, TiergatePorts::free()?, Some(guard::scratch_dir("tiergate-environment")?))
            }),
            Source::Text(text) => retry_taken_port(|| {
                let ports = TiergatePorts::free()?;
                let dir = guard::scratch_dir("tiergate-config")?;
                for (name, content) in &self.files {
                    std::fs::write(dir.path().join(name), content)?;
                }
                let path = dir.path().join("tiergate.yaml");
                std::fs::write(&path, render(text, ports))?;
                self.start_with(Some(path), ports, Some(dir))
            }),
        }
    }

    fn start_with(&self, config: Option<PathBuf>, ports: TiergatePorts, dir: Option<TempDir>) -> Result<Tiergate> {
        if !self.binary.exists() {
            bail!("`{}` is missing: run `cargo build`", self.binary.display());
        }
        let admin = loopback(ports.admin);
        let mut component = Component::new("tiergate", &self.binary)
            .arg("serve")
            .within(self.within)
            .ready(Ready::Tcp(admin))
            .ready(Ready::Http(admin, self.ready_path.to_owned(), 200));
        for (place, port) in [("@HTTP@", ports.http), ("@GRPC@", ports.grpc)] {
            if self.config.listens_at(place) {
                component = component.ready(Ready::Tcp(loopback(port)));
            }
        }
        if self.is_stdout_discarded {
            component = component.discard_stdout();
        }
        if let Some(config) = &config {
            component = component.args(["-c".into(), config.clone().into_os_string()]);
        }
        if let Some(folder) = self.folder.as_deref().or(dir.as_ref().map(TempDir::path)) {
            component = component.current_dir(folder);
        }
        for name in settings_of_the_caller() {
            component = component.without_env(name);
        }
        if config.is_none() {
            for (listener, port) in [("GRPC", ports.grpc), ("HTTP", ports.http), ("ADMIN", ports.admin)] {
                component = component.env(format!("TIERGATE_LISTEN__{listener}"), format!("127.0.0.1:{port}"));
            }
        }
        for (name, value) in &self.env {
            component = component.env(name, place_ports(value, ports));
        }
        Ok(Tiergate { process: component.start()?, config: config.unwrap_or_default(), ports, _dir: dir })
    }
}

/// A running instance.
#[derive(Debug)]
pub struct Tiergate {
    /// The process, to stop, kill, pause or restart.
    pub process: Process,
    config: PathBuf,
    ports: TiergatePorts,
    _dir: Option<TempDir>,
}

impl Tiergate {
    /// An instance with this config text on free ports. The text says nothing of `listen`; or it has a `listen` of its
    /// own in which `@GRPC@`, `@HTTP@` and `@ADMIN@` stand for the ports (a unix socket in place of the first two is fine).
    pub fn builder(binary: impl Into<PathBuf>, config: &str) -> TiergateBuilder {
        Self::with_source(binary.into(), Source::Text(config.to_owned()))
    }

    /// An instance with a config file as it is, which listens on these ports.
    pub fn from_file(binary: impl Into<PathBuf>, config: &Path, ports: TiergatePorts) -> TiergateBuilder {
        Self::with_source(binary.into(), Source::File(config.to_path_buf(), ports))
    }

    /// An instance without a config file, on free ports: its settings are set with [`TiergateBuilder::env`], where
    /// `@GRPC@`, `@HTTP@` and `@ADMIN@` stand for the ports.
    pub fn from_environment(binary: impl Into<PathBuf>) -> TiergateBuilder {
        Self::with_source(binary.into(), Source::Environment)
    }

    /// [`Tiergate::builder`] and [`TiergateBuilder::start`].
    pub fn start(binary: impl Into<PathBuf>, config: &str) -> Result<Self> {
        Self::builder(binary, config).start()
    }

    fn with_source(binary: PathBuf, config: Source) -> TiergateBuilder {
        let within = Duration::from_secs(30);
        TiergateBuilder {
            binary,
            config,
            files: Vec::new(),
            env: Vec::new(),
            folder: None,
            ready_path: "/readyz",
            within,
            is_stdout_discarded: false,
        }
    }

    /// Its ports.
    pub fn ports(&self) -> TiergatePorts {
        self.ports
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        loopback(self.ports.grpc)
    }

    /// Where the HTTP decision endpoints are served.
    pub fn http(&self) -> SocketAddr {
        loopback(self.ports.http)
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub fn admin(&self) -> SocketAddr {
        loopback(self.ports.admin)
    }

    /// The config file it runs with; a test may write it anew for a reload.
    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// Replaces the config in one step, as editors do, with this instance's ports.
    pub fn write_config(&self, config: &str) -> Result<()> {
        let new = self.config.with_extension("new");
        std::fs::write(&new, render(config, self.ports)).context("cannot write the config")?;
        std::fs::rename(&new, &self.config).context("cannot replace the config")
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The lines of the log that are JSON objects.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// `/readyz`, as a status.
    pub fn readyz(&self) -> Result<u16> {
        Ok(raw_http::request(self.admin(), "GET", "/readyz", &[])?.status)
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        let answer = raw_http::request(self.admin(), "GET", "/metrics", &[])?;
        if answer.status != 200 {
            bail!("/metrics answered {}", answer.status);
        }
        Ok(answer.text())
    }

    /// The sum of the samples of one metric whose label set holds each of these texts, such as `decision="allow"`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.metrics()?;
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, set) = series.split_once('{').unwrap_or((series, ""));
            let fits = metric == name && labels.iter().all(|label| set.contains(label));
            fits.then(|| value.parse::<f64>().ok())?
        });
        Ok(samples.sum())
    }
}

/// The variables of this process that would be settings of the service. None of them is meant for it.
pub(crate) fn settings_of_the_caller() -> Vec<OsString> {
    let is_setting = |name: &OsString| {
        let name = name.to_string_lossy();
        ["TIERGATE_", "AUTH0_", "MYSQL_", "SECRET_KEY"].iter().any(|prefix| name.starts_with(prefix))
    };
    std::env::vars_os().map(|(name, _)| name).filter(is_setting).collect()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn has_listen(config: &str) -> bool {
    config.lines().any(|line| line.starts_with("listen:"))
}

fn render(config: &str, ports: TiergatePorts) -> String {
    if has_listen(config) {
        return place_ports(config, ports);
    }
    let TiergatePorts { grpc, http, admin } = ports;
    format!(
        "listen: {{ grpc: \"127.0.0.1:{grpc}\", http: \"127.0.0.1:{http}\", admin: \"127.0.0.1:{admin}\" }}\n{config}"
    )
}

fn place_ports(text: &str, ports: TiergatePorts) -> String {
    let TiergatePorts { grpc, http, admin } = ports;
    text.replace("@GRPC@", &grpc.to_string())
        .replace("@HTTP@", &http.to_string())
        .replace("@ADMIN@", &admin.to_string())
}
