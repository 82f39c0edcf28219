//! What `proxy-config` writes, started for real; and routes that follow the
//! apps while the service and the proxies run.

mod files;
mod live;
mod site;
mod written;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use tiergate_testbed::{Gateway, RunningGateway, Tiergate};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");

/// Everybody may open the tier `open`, nobody in these tests the tier `locked`.
const POLICY: &str = "\
public_url: http://localhost:8080
trusted_proxies: [127.0.0.1/32]
tiers:
  open: { grant: anyone }
  locked: { grant: authenticated }
rules: [{ path: /free/**, tier: open }]
";

/// `proxy-config` into a folder.
fn write_config(proxy: &str, config: &Path, port: u16, dir: &Path) -> Result<()> {
    let output = Command::new(BINARY)
        .args(["proxy-config", proxy, "--listen", &format!("127.0.0.1:{port}"), "-c"])
        .arg(config)
        .arg("--dir")
        .arg(dir)
        .output()?;
    ensure!(output.status.success(), "proxy-config {proxy}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A proxy with the config that `proxy-config` writes for this service.
fn start(gateway: Gateway, tiergate: &Tiergate) -> Result<RunningGateway> {
    gateway.start_written(&|port, dir| write_config(name(gateway), tiergate.config_path(), port, dir))
}

fn name(gateway: Gateway) -> &'static str {
    match gateway {
        Gateway::EnvoyGrpc | Gateway::EnvoyHttp => "envoy",
        Gateway::Nginx | Gateway::Caddy | Gateway::HaProxy | Gateway::Traefik => gateway.name(),
    }
}
