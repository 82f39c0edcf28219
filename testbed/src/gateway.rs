//! The six proxies, each from the very file that is shipped: the folder of the
//! config is copied to a scratch folder with the port numbers replaced, so what
//! the tests run is what people copy.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::component::{Component, Process, Ready, retry_taken_port};
use crate::{App, Apps, Tiergate, TiergatePorts, Upstream, free_port, guard, repo_root, tool};

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gateway {
    /// Envoy, ext_authz over gRPC.
    EnvoyGrpc,
    /// Envoy, ext_authz over HTTP.
    EnvoyHttp,
    /// nginx, auth_request.
    Nginx,
    /// Caddy, forward_auth.
    Caddy,
    /// HAProxy, a Lua action.
    HaProxy,
    /// Traefik, ForwardAuth.
    Traefik,
}

/// What stands behind a proxy, by port on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backends {
    /// The service.
    pub tiergate: TiergatePorts,
    /// The site: the upstream of every path that is no app's.
    pub site: u16,
    /// The apps, in the order of [`App::ALL`].
    pub apps: [u16; 4],
}

impl Backends {
    /// The ports that stand in the shipped files.
    pub const DEFAULT: Self = Self { tiergate: TiergatePorts::DEFAULT, site: 5000, apps: [5001, 5002, 5003, 5004] };

    /// One echo upstream for the site and every app.
    pub fn echo(tiergate: &Tiergate, upstream: &Upstream) -> Self {
        Self { tiergate: tiergate.ports(), site: upstream.port(), apps: [upstream.port(); 4] }
    }

    /// An echo upstream as the site, and the real apps.
    pub fn with_apps(tiergate: &Tiergate, site: &Upstream, apps: &Apps) -> Self {
        Self { tiergate: tiergate.ports(), site: site.port(), apps: App::ALL.map(|app| apps.port(app)) }
    }
}

impl Gateway {
    /// All six, for a grid.
    pub const ALL: [Self; 6] =
        [Self::EnvoyGrpc, Self::EnvoyHttp, Self::Nginx, Self::Caddy, Self::HaProxy, Self::Traefik];

    /// A name for messages and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnvoyGrpc => "envoy-grpc",
            Self::EnvoyHttp => "envoy-http",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::HaProxy => "haproxy",
            Self::Traefik => "traefik",
        }
    }

    /// The shipped config, relative to the root of the repository.
    pub fn config(self) -> &'static str {
        match self {
            Self::EnvoyGrpc => "envoy/envoy.yaml",
            Self::EnvoyHttp => "envoy/envoy-http.yaml",
            Self::Nginx => "nginx/nginx.conf",
            Self::Caddy => "examples/caddy/Caddyfile",
            Self::HaProxy => "examples/haproxy/haproxy.cfg",
            Self::Traefik => "examples/traefik/traefik.yaml",
        }
    }

    /// The port it listens on in the shipped config.
    pub fn default_port(self) -> u16 {
        match self {
            Self::EnvoyGrpc => 8080,
            Self::Nginx => 8081,
            Self::EnvoyHttp => 8082,
            Self::Caddy => 8083,
            Self::HaProxy => 8084,
            Self::Traefik => 8085,
        }
    }

    /// Starts it on a free port.
    pub fn start(self, backends: &Backends) -> Result<RunningGateway> {
        retry_taken_port(|| self.start_on(free_port()?, backends))
    }

    /// Starts it on a free port with texts of its config replaced, as somebody who adapts the sample would; each must occur.
    pub fn start_edited(self, backends: &Backends, edits: &[(&str, &str)]) -> Result<RunningGateway> {
        retry_taken_port(|| self.launch(free_port()?, backends, edits))
    }

    /// Starts it on this port.
    pub fn start_on(self, port: u16, backends: &Backends) -> Result<RunningGateway> {
        self.launch(port, backends, &[])
    }

    fn launch(self, port: u16, backends: &Backends, edits: &[(&str, &str)]) -> Result<RunningGateway> {
        let dir = guard::scratch_dir(&format!("{}-config", self.name()))?;
        let shipped = repo_root().join(self.config());
        let folder = shipped.parent().context("a config stands in a folder")?;
        render(folder, dir.path(), &self.replacements(port, backends))
            .with_context(|| format!("cannot render {}", self.config()))?;
        let config = dir.path().join(shipped.file_name().unwrap_or_default());
        edit(&config, edits)?;
        // Traefik answers 404 until it has read its routes; no proxy with routes does, for no path is without a check.
        let ready = |address| Ready::HttpExcept(address, "/-/ready".to_owned(), 404);
        self.launch_config(port, &config, dir, ready)
    }

    /// Starts it with a config that listens on this port: one that `tiergate proxy-config` printed, say.
    pub fn start_config(self, port: u16, text: &str) -> Result<RunningGateway> {
        let dir = guard::scratch_dir(&format!("{}-config", self.name()))?;
        let config = dir.path().join(Path::new(self.config()).file_name().unwrap_or_default());
        std::fs::write(&config, text)?;
        self.launch_config(port, &config, dir, Ready::Tcp)
    }

    /// Starts it on a free port with the files that `write` puts into a folder for that port. The main one has the
    /// name that it has among the samples.
    pub fn start_written(self, write: &dyn Fn(u16, &Path) -> Result<()>) -> Result<RunningGateway> {
        retry_taken_port(|| {
            let port = free_port()?;
            let dir = guard::scratch_dir(&format!("{}-config", self.name()))?;
            write(port, dir.path())?;
            let config = dir.path().join(Path::new(self.config()).file_name().unwrap_or_default());
            self.launch_config(port, &config, dir, |address| Ready::HttpExcept(address, "/-/ready".to_owned(), 404))
        })
    }

    fn launch_config(
        self,
        port: u16,
        config: &Path,
        dir: TempDir,
        ready: impl Fn(SocketAddr) -> Ready,
    ) -> Result<RunningGateway> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = self
            .command(config, dir.path())?
            .current_dir(dir.path())
            .ready(ready(address))
            // Twelve of them may start side by side, beside a compiler.
            .within(Duration::from_secs(90))
            .start()?;
        Ok(RunningGateway { kind: self, process, address, dir })
    }

    fn command(self, config: &Path, dir: &Path) -> Result<Component> {
        let component = |tool_name: &str| Ok::<_, anyhow::Error>(Component::new(self.name(), tool(tool_name)?));
        let config = config.as_os_str().to_owned();
        Ok(match self {
            Self::EnvoyGrpc | Self::EnvoyHttp => component("envoy")?.args(["-c".into(), config]).args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warn",
            ]),
            Self::Nginx => {
                // Started by root, its workers would otherwise run as a user who may not enter the scratch folder.
                let user = if rustix::process::geteuid().is_root() { " user root;" } else { "" };
                component("nginx")?
                    .args(["-e".into(), "stderr".into(), "-p".into(), dir.as_os_str().to_owned()])
                    .args([OsString::from("-c"), config, "-g".into(), format!("daemon off;{user}").into()])
            }
            Self::Caddy => component("caddy")?
                .args(["run".into(), "--adapter".into(), "caddyfile".into(), "--config".into(), config])
                .env("HOME", dir)
                .env("XDG_CONFIG_HOME", dir.join("xdg-config"))
                .env("XDG_DATA_HOME", dir.join("xdg-data")),
            Self::HaProxy => component("haproxy")?.args(["-db".into(), "-f".into(), config]),
            Self::Traefik => component("traefik")?.arg({
                let mut file = OsString::from("--configFile=");
                file.push(config);
                file
            }),
        })
    }

    /// Which number becomes which; each must occur.
    fn replacements(self, port: u16, backends: &Backends) -> Vec<(u16, u16)> {
        let TiergatePorts { grpc, http, admin: _ } = TiergatePorts::DEFAULT;
        let mut numbers = vec![(self.default_port(), port), (Backends::DEFAULT.site, backends.site)];
        numbers.extend(Backends::DEFAULT.apps.into_iter().zip(backends.apps));
        numbers.push((http, backends.tiergate.http));
        if self == Self::EnvoyGrpc {
            numbers.push((grpc, backends.tiergate.grpc));
        }
        numbers
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct RunningGateway {
    /// The process, to stop, pause or restart.
    pub process: Process,
    kind: Gateway,
    address: SocketAddr,
    dir: TempDir,
}

impl RunningGateway {
    /// What it is.
    pub fn kind(&self) -> Gateway {
        self.kind
    }

    /// The folder of its config.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Copies a folder of text files with whole-word numbers replaced.
pub(crate) fn render(from: &Path, to: &Path, numbers: &[(u16, u16)]) -> Result<()> {
    let mut found = vec![false; numbers.len()];
    for file in text_files(from)? {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // What a program has left behind there, such as a database.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let mut out = String::with_capacity(text.len());
        for word in words(&text) {
            let replaced =
                word.parse::<u16>().ok().and_then(|number| numbers.iter().position(|(old, _)| *old == number));
            match replaced.and_then(|index| Some((numbers.get(index)?, found.get_mut(index)?))) {
                Some(((_, new), found)) => {
                    *found = true;
                    out.push_str(&new.to_string());
                }
                None => out.push_str(word),
            }
        }
        let target = to.join(file.strip_prefix(from)?);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(target, out)?;
    }
    let missing: Vec<u16> =
        numbers.iter().zip(found).filter(|(_, found)| !found).map(|((number, _), _)| *number).collect();
    if missing.is_empty() { Ok(()) } else { bail!("the config names no port {missing:?}: it has changed") }
}

fn edit(file: &Path, edits: &[(&str, &str)]) -> Result<()> {
    let mut text = std::fs::read_to_string(file)?;
    for (old, new) in edits {
        if !text.contains(old) {
            bail!("the config holds no `{old}`: it has changed");
        }
        text = text.replace(old, new);
    }
    Ok(std::fs::write(file, text)?)
}

fn text_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(text_files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// The text in pieces: words of letters, digits and `_`, and what stands between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.as_bytes()
        .chunk_by(move |left, right| is_word(left) == is_word(right))
        .map(|chunk| std::str::from_utf8(chunk).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_only_are_replaced() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a"), "listen 8080; # 18080 8080ms é 127.0.0.1:8080 ok").unwrap();
        render(from.path(), to.path(), &[(8080, 7)]).unwrap();
        let text = std::fs::read_to_string(to.path().join("a")).unwrap();
        assert_eq!(text, "listen 7; # 18080 8080ms é 127.0.0.1:7 ok");
    }

    #[test]
    fn a_port_that_does_not_occur_is_an_error() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a"), "listen 8080;").unwrap();
        let error = render(from.path(), to.path(), &[(8080, 7), (5001, 8)]).unwrap_err();
        assert!(error.to_string().contains("5001"), "{error}");
    }
}
