//! `proxy-config`: the complete config of a proxy, from the config and its apps.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};

use super::load::{self, Failure, Loaded};
use super::{ConfigArg, Exit};
use crate::app;
use crate::routes::{self, Proxy};
use crate::types::Host;

#[derive(Debug, Args)]
pub(super) struct ProxyConfigArgs {
    /// The proxy
    #[arg(value_enum)]
    proxy: ProxyName,
    #[command(flatten)]
    config: ConfigArg,
    /// Where the proxy listens; a port of its own on loopback when absent
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The host under which the proxy reaches Tiergate, where it is not the address Tiergate listens on
    #[arg(long, value_name = "HOST")]
    service: Option<String>,
    /// Write it to this file, whole or not at all
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    output: Option<PathBuf>,
    /// Write every file of the config into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProxyName {
    Envoy,
    Nginx,
    Caddy,
    Haproxy,
    Traefik,
    GatewayApi,
}

impl ProxyName {
    const fn proxy(self) -> Proxy {
        match self {
            Self::Envoy => Proxy::Envoy,
            Self::Nginx => Proxy::Nginx,
            Self::Caddy => Proxy::Caddy,
            Self::Haproxy => Proxy::HaProxy,
            Self::Traefik => Proxy::Traefik,
            Self::GatewayApi => Proxy::GatewayApi,
        }
    }
}

pub(super) fn run(args: &ProxyConfigArgs) -> Result<Exit, Failure> {
    let Loaded { config, apps, .. } = load::with_apps(&args.config)?;
    let service = match &args.service {
        None => None,
        Some(host) => match Host::parse(host.as_bytes()) {
            Ok(parsed) if parsed.port().is_empty() && !host.contains([':', '[']) => Some(parsed.name().to_owned()),
            Ok(_) | Err(_) => return Err(Failure::Usage(anyhow!("`{host}` (`--service`) is no host name or address"))),
        },
    };
    let settings = app::route_settings(&config, service.as_deref()).map_err(|error| Failure::Value(error.into()))?;
    let proxy = args.proxy.proxy();
    let listen = args.listen.unwrap_or_else(|| proxy.default_listen());
    let files =
        routes::render(proxy, &settings, listen, &apps.catalogue).map_err(|error| Failure::Value(error.into()))?;
    if let Some(dir) = &args.dir {
        for file in &files {
            let path = dir.join(file.name);
            write_whole(&path, &file.text).with_context(|| format!("cannot write `{}`", path.display()))?;
            outln!("{}", path.display());
        }
        return Ok(Exit::Done);
    }
    let Some((first, others)) = files.split_first() else { return Ok(Exit::Done) };
    match &args.output {
        None => out!("{}", first.text),
        Some(file) => write_whole(file, &first.text).with_context(|| format!("cannot write `{}`", file.display()))?,
    }
    for other in others {
        eprintln!("note: {proxy} needs `{}` too: `--dir DIR` writes every file", other.name);
    }
    Ok(Exit::Done)
}

/// Nobody who watches the file reads a part of it.
#[expect(clippy::disallowed_methods, reason = "the file that the user names")]
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}
