//! Everything that runs during the demonstration, on the ports of the shipped
//! configs.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tiergate_testbed::provider::DEFAULT_AUDIENCE;
use tiergate_testbed::{
    Apps, Backends, Gateway, Process, Provider, RunningGateway, Tiergate, TiergatePorts, Upstream, repo_root,
};

/// The port in `examples/demo/tiergate.yaml`.
pub(crate) const PROVIDER_PORT: u16 = 5556;
/// The proxies of the table.
pub(crate) const PROXIES: [Gateway; 2] = [Gateway::EnvoyGrpc, Gateway::Nginx];

const REPAIR: &str = "a component did not start; `make setup` installs and repairs them all";
const CHECK: &str = "the service did not start; `tiergate config check -c examples/demo/tiergate.yaml` says whether its config is right";

/// The order of the fields is the order of their ends: the proxies first.
pub(crate) struct Stage {
    pub(crate) proxies: Vec<RunningGateway>,
    pub(crate) tiergate: Tiergate,
    apps: Apps,
    _site: Upstream,
    pub(crate) provider: Provider,
    /// Where the service keeps who was there; gone with the demo.
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Starts everything and says each step.
    pub(crate) fn start(say: &dyn Fn(&str)) -> Result<Self> {
        let binary = tiergate_binary()?;
        check_ports()?;
        let step = |what: &str, place: &str| say(&format!("  {what:<18}{place}"));

        let provider = Provider::start_with(PROVIDER_PORT, DEFAULT_AUDIENCE)?;
        let envoy = format!("http://127.0.0.1:{}", Gateway::EnvoyGrpc.default_port());
        provider.set_backchannel_logout(&format!("{envoy}/_auth/backchannel-logout"));
        step("identity provider", provider.issuer());
        let apps = Apps::start_on(Backends::DEFAULT.apps).context(REPAIR)?;
        step("four Flask apps", "maps, reports, hazard and chat, unmodified");
        let site = Upstream::start_on(Backends::DEFAULT.site)?;
        let config = repo_root().join("examples/demo/tiergate.yaml");
        let folder = tempfile::Builder::new().prefix("tiergate-demo").tempdir()?;
        let service = Tiergate::from_file(binary, &config, TiergatePorts::DEFAULT).in_folder(folder.path());
        let tiergate = service.start().context(CHECK)?;
        step("Tiergate", "examples/demo/tiergate.yaml");
        let mut proxies = Vec::new();
        for proxy in PROXIES {
            proxies.push(proxy.start_on(proxy.default_port(), &Backends::DEFAULT).context(REPAIR)?);
            step(title(proxy), &format!("{}  ({})", base_url(proxy), proxy.config()));
        }
        Ok(Self { proxies, tiergate, apps, _site: site, provider, _folder: folder })
    }

    /// Says which child has ended, if one has.
    pub(crate) fn ended_child(&mut self) -> Option<String> {
        let proxies = self.proxies.iter_mut().map(|proxy| &mut proxy.process);
        let all = proxies.chain([&mut self.tiergate.process]).chain(self.apps.processes());
        let mut ended =
            all.filter_map(|process: &mut Process| (!process.is_running()).then(|| process.ended_message()));
        ended.next()
    }
}

/// What people call it.
pub(crate) fn title(proxy: Gateway) -> &'static str {
    match proxy {
        Gateway::EnvoyGrpc | Gateway::EnvoyHttp => "Envoy",
        Gateway::Nginx => "nginx",
        Gateway::Caddy => "Caddy",
        Gateway::HaProxy => "HAProxy",
        Gateway::Traefik => "Traefik",
    }
}

/// Where a browser finds it.
pub(crate) fn base_url(proxy: Gateway) -> String {
    format!("http://localhost:{}", proxy.default_port())
}

fn tiergate_binary() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program stands")?;
    let binary = own.with_file_name("tiergate");
    if !binary.exists() {
        bail!("the service is not built: run `cargo build --bin tiergate`, or `make demo`, which does it");
    }
    Ok(binary)
}

/// All that are taken, at once.
fn check_ports() -> Result<()> {
    let TiergatePorts { grpc, http, admin } = TiergatePorts::DEFAULT;
    let mut ports = vec![PROVIDER_PORT, grpc, http, admin, Backends::DEFAULT.site];
    ports.extend(Backends::DEFAULT.apps);
    ports.extend(PROXIES.map(Gateway::default_port));
    ports.sort_unstable();
    ports.retain(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err());
    let list = |separator: &str, prefix: &str| {
        ports.iter().map(|port| format!("{prefix}{port}")).collect::<Vec<_>>().join(separator)
    };
    match ports.len() {
        0 => Ok(()),
        count => bail!(
            "the demo needs {} {} on 127.0.0.1, taken by another program (perhaps an earlier demo).\n\
             See which:  ss -ltnp '{}'\n\
             Stop it, then run the demo again.",
            if count == 1 { "port" } else { "ports" },
            list(", ", ""),
            list(" or ", "sport = :"),
        ),
    }
}
