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
    /// Writes the config into this file, at once and whole, in place of printing it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProxyName {
    Envoy,
    Nginx,
}

impl ProxyName {
    const fn proxy(self) -> Proxy {
        match self {
            Self::Envoy => Proxy::Envoy,
            Self::Nginx => Proxy::Nginx,
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
    let text =
        routes::render(proxy, &settings, listen, &apps.catalogue).map_err(|error| Failure::Value(error.into()))?;
    match &args.output {
        None => out!("{text}"),
        Some(file) => write_whole(file, &text).with_context(|| format!("cannot write `{}`", file.display()))?,
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
