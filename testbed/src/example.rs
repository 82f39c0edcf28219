//! The examples under `examples/`, each with everything that it runs with: the
//! development provider, the service, one proxy with the config that `tiergate
//! proxy-config` prints, and the programs that its `Procfile` names.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::gateway::render;
use crate::tiergate::settings_of_the_caller;
use crate::{Gateway, Provider, RunningGateway, Tiergate, TiergatePorts, free_port, guard, repo_root};

const PROVIDER_PORT: u16 = 5556;
const PROXY_PORT: u16 = 8080;

/// One of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Example {
    /// Flask applications in tiers.
    SeismicPortal,
    /// An API with permissions over methods.
    DrinksApi,
    /// An API for the pages of one other origin.
    HelloApi,
    /// A page with sign-in, profile and sign-out.
    WebLogin,
}

impl Example {
    /// All four.
    pub const ALL: [Self; 4] = [Self::SeismicPortal, Self::DrinksApi, Self::HelloApi, Self::WebLogin];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::SeismicPortal => "seismic-portal",
            Self::DrinksApi => "drinks-api",
            Self::HelloApi => "hello-api",
            Self::WebLogin => "web-login",
        }
    }

    /// The example of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|example| example.name() == name)
    }

    /// Its folder in the repository.
    pub fn folder(self) -> PathBuf {
        repo_root().join("examples").join(self.name())
    }

    /// The path that people open first.
    pub fn front(self) -> &'static str {
        match self {
            Self::SeismicPortal => "/_auth/",
            Self::DrinksApi => "/drinks",
            Self::HelloApi => "/api/messages/public",
            Self::WebLogin => "/",
        }
    }

    fn audience(self) -> &'static str {
        match self {
            Self::SeismicPortal => "http://seistech.nz/api",
            Self::DrinksApi => "https://drinks.example.com",
            Self::HelloApi => "https://hello.example.com",
            Self::WebLogin => "https://web.example.com",
        }
    }

    /// Starts it as it stands in the repository, on the ports that its files name.
    pub fn start(self, binary: &Path, proxy: Gateway) -> Result<RunningExample> {
        let folder = self.folder();
        let programs = programs(&folder)?;
        check_ports(&programs)?;
        if folder.join(".env.example").exists() && !folder.join(".env").exists() {
            std::fs::copy(folder.join(".env.example"), folder.join(".env"))?;
        }
        self.launch(binary, proxy, folder, PROVIDER_PORT, PROXY_PORT, TiergatePorts::DEFAULT, None)
    }

    /// Starts a copy of it on free ports, which stand in its files in place of the others.
    pub fn start_copy(self, binary: &Path, proxy: Gateway) -> Result<RunningExample> {
        retry_taken_port(|| {
            let copy = guard::scratch_dir(self.name())?;
            let folder = copy.path().join(self.name());
            let ports = TiergatePorts::free()?;
            let (provider, gateway) = (free_port()?, free_port()?);
            let TiergatePorts { grpc, http, admin } = TiergatePorts::DEFAULT;
            let mut numbers = vec![
                (PROVIDER_PORT, provider),
                (PROXY_PORT, gateway),
                (grpc, ports.grpc),
                (http, ports.http),
                (admin, ports.admin),
            ];
            for program in programs(&self.folder())? {
                numbers.push((program.port, free_port()?));
            }
            render(&self.folder(), &folder, &numbers)?;
            if folder.join(".env.example").exists() {
                std::fs::copy(folder.join(".env.example"), folder.join(".env"))?;
            }
            self.launch(binary, proxy, folder, provider, gateway, ports, Some(copy))
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each is a place or a port, and all of them differ in a copy")]
    fn launch(
        self,
        binary: &Path,
        proxy: Gateway,
        folder: PathBuf,
        provider_port: u16,
        proxy_port: u16,
        ports: TiergatePorts,
        copy: Option<TempDir>,
    ) -> Result<RunningExample> {
        let provider = Provider::start_with(provider_port, self.audience())?;
        let programs = programs(&folder)?;
        let apps = std::thread::scope(|scope| {
            let folder = folder.as_path();
            let starts: Vec<_> = programs.iter().map(|program| scope.spawn(move || program.start(folder))).collect();
            let joined = starts.into_iter().map(|start| start.join().unwrap_or_else(|_| bail!("the start panicked")));
            joined.collect::<Result<Vec<_>>>()
        })?;
        let config = folder.join("tiergate.yaml");
        let tiergate = Tiergate::from_file(binary, &config, ports).in_folder(&folder).start()?;
        let text = proxy_config(binary, &folder, &["-c", "tiergate.yaml"], &[], proxy, proxy_port)?;
        let proxy = proxy.start_config(proxy_port, &text)?;
        let apps = programs.into_iter().map(|program| program.name).zip(apps).collect();
        Ok(RunningExample { proxy, tiergate, apps, provider, folder, _copy: copy })
    }
}

/// What `tiergate proxy-config` prints in a folder.
pub fn proxy_config(
    binary: &Path,
    folder: &Path,
    arguments: &[&str],
    env: &[(&str, &str)],
    proxy: Gateway,
    port: u16,
) -> Result<String> {
    let mut command = Command::new(binary);
    command.args(["proxy-config", proxy_argument(proxy)?]).args(arguments);
    command.args(["--listen", &format!("127.0.0.1:{port}")]).current_dir(folder);
    for name in settings_of_the_caller() {
        command.env_remove(name);
    }
    let output = command.envs(env.iter().copied()).output().context("cannot run tiergate proxy-config")?;
    if !output.status.success() {
        bail!("tiergate proxy-config: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn proxy_argument(proxy: Gateway) -> Result<&'static str> {
    match proxy {
        Gateway::EnvoyGrpc => Ok("envoy"),
        Gateway::Nginx => Ok("nginx"),
        Gateway::EnvoyHttp | Gateway::Caddy | Gateway::HaProxy | Gateway::Traefik => {
            bail!("the examples run behind envoy or nginx, not {}", proxy.name())
        }
    }
}

/// One line of a `Procfile`.
#[derive(Debug)]
struct Program {
    name: String,
    command: String,
    port: u16,
}

impl Program {
    fn start(&self, folder: &Path) -> Result<Process> {
        let mut path = OsString::from(repo_root().join(".tools/venv/bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        Component::new(&self.name, "/bin/sh")
            .args(["-c".to_owned(), format!("exec {}", self.command)])
            .env("PATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder)
            // Ten of them may start side by side, beside a compiler.
            .within(Duration::from_secs(90))
            .ready(Ready::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))))
            .start()
    }
}

fn programs(folder: &Path) -> Result<Vec<Program>> {
    let file = folder.join("Procfile");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let program = |line: &str| {
        let (name, command) = line.split_once(':')?;
        let port = command.split_once("--port ")?.1.split_whitespace().next()?.parse().ok()?;
        Some(Program { name: name.trim().to_owned(), command: command.trim().to_owned(), port })
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| program(line).with_context(|| format!("no `name: command --port N` in `{line}`"))).collect()
}

/// All that are taken, at once.
fn check_ports(programs: &[Program]) -> Result<()> {
    let TiergatePorts { grpc, http, admin } = TiergatePorts::DEFAULT;
    let mut ports = vec![PROXY_PORT, PROVIDER_PORT, grpc, http, admin];
    ports.extend(programs.iter().map(|program| program.port));
    ports.retain(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err());
    if ports.is_empty() {
        return Ok(());
    }
    let filter = ports.iter().map(|port| format!("sport = :{port}")).collect::<Vec<_>>().join(" or ");
    bail!("another program has {ports:?} on 127.0.0.1; see which with: ss -ltnp '{filter}'")
}

/// A running example. The order of the fields is the order of their ends.
pub struct RunningExample {
    /// The proxy, which listens at the public address.
    pub proxy: RunningGateway,
    /// The service.
    pub tiergate: Tiergate,
    apps: Vec<(String, Process)>,
    /// The provider.
    pub provider: Provider,
    folder: PathBuf,
    _copy: Option<TempDir>,
}

impl RunningExample {
    /// Where it runs: its files with the ports that are in use.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What people open, without a `/` at its end.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.proxy.address().port())
    }

    /// What each program of the `Procfile` has written, by its name there.
    pub fn app_logs(&self) -> Vec<(&str, String)> {
        self.apps.iter().map(|(name, process)| (name.as_str(), process.log())).collect()
    }

    /// Says which child has ended by itself, if one has.
    pub fn ended_child(&mut self) -> Option<String> {
        let all = self.apps.iter_mut().map(|(_, process)| process);
        let mut all = all.chain([&mut self.proxy.process, &mut self.tiergate.process]);
        all.find_map(|process| (!process.is_running()).then(|| process.ended_message()))
    }
}
