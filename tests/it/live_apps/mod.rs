//! Apps that come, move and go while everything runs: a real Envoy, the real
//! service, files in a directory.

mod load;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use load::{Load, Question};
use tempfile::TempDir;
use tiergate_testbed::example::proxy_config;
use tiergate_testbed::provider::{DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Gateway, Provider, RunningGateway, Tiergate, Upstream, UserAgent, free_port, request};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
/// How soon a change has to be in effect everywhere.
const SOON: Duration = Duration::from_secs(2);

/// A site without an app: provider, service, Envoy.
struct Site {
    gateway: RunningGateway,
    tiergate: Tiergate,
    provider: Provider,
    origin: String,
    folder: TempDir,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        fs::create_dir(folder.path().join("apps.d"))?;
        let provider = Provider::start()?;
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let config = config(&provider, &origin, &folder);
        let tiergate = Tiergate::start(BINARY, &config)?;
        let path = tiergate.config_path().to_owned();
        let arguments = ["-c", path.to_str().context("a path of text")?];
        let text = proxy_config(BINARY.as_ref(), folder.path(), &arguments, &[], Gateway::EnvoyGrpc, port)?;
        let gateway = Gateway::EnvoyGrpc.start_config(port, &text)?;
        Ok(Self { gateway, tiergate, provider, origin, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("apps.d").join(name)
    }

    /// Writes an app's file in one step, as editors do.
    fn put(&self, name: &str, tier: &str, upstream: &Upstream, more: &str) -> Result<()> {
        let text = format!(
            "# an app of the test\ntier: {tier}   # who may open it\nupstream: http://{}\n{more}",
            upstream.address()
        );
        let new = self.folder.path().join(format!("{name}.new"));
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.file(&format!("{name}.yaml")))?)
    }

    fn status(&self, path: &str, account: Option<&str>) -> Result<u16> {
        let bearer = account.map(|account| self.provider.token(account)).transpose()?;
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.as_deref().map(|text| ("Authorization", text)).into_iter().collect();
        Ok(request(self.gateway.address(), "GET", path, &headers)?.status)
    }

    /// Waits until the statuses are these; how long that took.
    fn settles(&self, since: Instant, wanted: &[(&str, Option<&str>, u16)]) -> Result<Duration> {
        loop {
            let mut seen = Vec::new();
            for (path, account, status) in wanted {
                let now = self.status(path, *account)?;
                if now != *status {
                    seen.push(format!("{path} for {account:?}: {now}, not {status}"));
                }
            }
            let took = since.elapsed();
            if seen.is_empty() {
                ensure!(took < SOON, "in effect only after {took:?}");
                return Ok(took);
            }
            if took > SOON * 5 {
                bail!("after {took:?}:\n{}\n{}", seen.join("\n"), self.tiergate.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the portal of a person holds, or does not hold, a text.
    fn portal_shows(&self, agent: &mut UserAgent, text: &str, is_there: bool) -> Result<()> {
        let start = Instant::now();
        loop {
            let page = agent.open(&format!("{}/_auth/", self.origin))?;
            if page.status() == 200 && page.text().contains(text) == is_there {
                return Ok(());
            }
            ensure!(start.elapsed() < SOON, "the portal does not say so: {} {}", page.status(), page.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sign_in(&self, account: &str) -> Result<UserAgent> {
        let mut agent = UserAgent::new();
        let page = agent.open(&format!("{}/_auth/login?rd=/_auth/", self.origin))?;
        let page = agent.submit(&page, &[("account", account)])?;
        ensure!(page.status() == 200, "{account} is not signed in: {}", page.trail());
        Ok(agent)
    }

    fn tiergate(&self, arguments: &[&str]) -> Result<String> {
        let mut command = std::process::Command::new(BINARY);
        let output = command.args(arguments).arg("-c").arg(self.tiergate.config_path()).output()?;
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "tiergate {arguments:?}: {told}");
        Ok(told)
    }
}

fn config(provider: &Provider, origin: &str, folder: &TempDir) -> String {
    let [apps, routes] = ["apps.d", "routes"].map(|name| folder.path().join(name).display().to_string());
    format!(
        "public_url: {origin}
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - id: main
    issuer: \"{issuer}\"
    audience: [\"{DEFAULT_AUDIENCE}\"]
    token_types: [at+jwt]
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access, \"access:ea\", \"access:devel\", \"access:admin\"]
sessions: {{ store: memory }}
tiers:
  public: {{ grant: anyone }}
  stable: {{ grant: authenticated }}
  ea:     {{ grant: {{ scopes: [\"access:ea\"] }},    includes: [stable] }}
  devel:  {{ grant: {{ scopes: [\"access:devel\"] }}, includes: [ea] }}
  admin:  {{ grant: {{ scopes: [\"access:admin\"] }}, includes: [devel] }}
rules:
  - {{ path: \"/apps/{{tier}}/**\", tier: \"{{tier}}\" }}
apps_dir: \"{apps}\"
routes: {{ envoy: {{ dir: \"{routes}\" }} }}
",
        issuer = provider.issuer(),
    )
}

/// The life of an app: it comes with one file, moves with one command, goes with its file.
#[test]
fn an_app_comes_moves_and_goes_and_nothing_restarts() -> Result<()> {
    let site = Site::start()?;
    let (app, pid) = (Upstream::start()?, (site.tiergate.process.pid(), site.gateway.process.pid()));
    let (old, new) = ("/apps/devel/hazard/", "/apps/ea/hazard/");
    let mut somebody = site.sign_in("devel")?;
    let mut somebody_else = site.sign_in("ea")?;
    site.settles(Instant::now(), &[(old, Some("devel"), 404), (new, Some("ea"), 404), (old, None, 401)])?;
    site.portal_shows(&mut somebody, "Hazard 2", false)?;

    let start = Instant::now();
    site.put("hazard", "devel", &app, "title: Hazard 2\n")?;
    let came = site.settles(start, &[(old, Some("devel"), 200), (old, Some("ea"), 403), (old, None, 401)])?;
    site.portal_shows(&mut somebody, "Hazard 2", true)?;
    site.portal_shows(&mut somebody_else, "Hazard 2", false)?;
    let received = app.take_received();
    ensure!(received.iter().all(|request| request.header("x-auth-tier") == Some("devel")), "{received:?}");

    let start = Instant::now();
    site.tiergate(&["apps", "promote", "hazard", "--to", "ea"])?;
    let moved = site.settles(
        start,
        &[(new, Some("ea"), 200), (new, Some("stable"), 403), (old, Some("devel"), 404), (old, Some("ea"), 403)],
    )?;
    site.portal_shows(&mut somebody_else, "Hazard 2", true)?;
    let text = fs::read_to_string(site.file("hazard.yaml"))?;
    ensure!(text.contains("# an app of the test\ntier: ea   # who may open it\n"), "{text}");

    let start = Instant::now();
    fs::remove_file(site.file("hazard.yaml"))?;
    let went = site.settles(start, &[(new, Some("ea"), 404), (new, Some("stable"), 403)])?;
    site.portal_shows(&mut somebody_else, "Hazard 2", false)?;
    println!("in effect after: added {came:?}, moved {moved:?}, deleted {went:?}");
    ensure!(pid == (site.tiergate.process.pid(), site.gateway.process.pid()), "something was restarted");
    Ok(())
}

/// The same under load: apps that stay are not touched by what comes and goes beside them, and the one that moves is
/// right at every moment.
#[test]
fn changes_under_load_cost_no_wrong_answer() -> Result<()> {
    let site = Site::start()?;
    let [steady, mover, fixed, goner] = [(); 4].map(|()| Upstream::start());
    let (steady, mover, fixed, goner) = (steady?, mover?, fixed?, goner?);
    site.put("steady", "ea", &steady, "")?;
    site.put("mover", "devel", &mover, "")?;
    site.put("fixed", "devel", &fixed, "path: /fixed\nrules:\n  - { path: /edit/**, scopes: [\"access:admin\"] }\n")?;
    let (steady_page, fixed_page) = ("/apps/ea/steady/page", "/fixed/page");
    let (in_devel, in_ea) = ("/apps/devel/mover/", "/apps/ea/mover/");
    let there = [(steady_page, Some("ea"), 200), (fixed_page, Some("devel"), 200), (in_devel, Some("devel"), 200)];
    site.settles(Instant::now(), &there)?;
    let question = |path: &str, account: Option<&str>, right: &'static [u16]| {
        let token = account.map(|account| site.provider.token(account)).transpose();
        token.map(|token| Question { path: path.to_owned(), token, right, marker: "" })
    };
    let questions = [
        question(steady_page, Some("ea"), &[200])?,
        question(steady_page, Some("stable"), &[403])?,
        question(steady_page, None, &[401])?,
        // At a path of its own, whoever holds devel is let in before and after, and nobody but admins edits.
        question(fixed_page, Some("devel"), &[200])?,
        question("/fixed/edit/x", Some("devel"), &[403])?,
        question("/fixed//edit/x", Some("devel"), &[403])?,
        question("/fixed/%65dit/x", Some("admin"), &[200])?,
        question(fixed_page, None, &[401])?,
        // It is at one of its places, or away from one and not at the other so far.
        question(in_devel, Some("devel"), &[200, 404])?,
        question(in_devel, Some("ea"), &[403])?,
        question(in_ea, Some("devel"), &[200, 404])?,
        // Whoever loses the app with its move is refused where it was.
        question(in_ea, Some("ea"), &[200, 403, 404])?,
        question(in_ea, Some("stable"), &[403])?,
        question(in_ea, None, &[401])?,
        // What an app asked that is not known any more is not guessed: its last requests may be refused.
        question("/apps/stable/goner/", Some("stable"), &[200, 403, 404])?,
        question("/apps/stable/goner/", None, &[401])?,
    ];
    let load = Load::start(site.gateway.address(), &questions, 4, 500);
    let mut slowest = Duration::ZERO;
    for round in 0..12 {
        let start = Instant::now();
        site.put("goner", "stable", &goner, "")?;
        site.put(&format!("beside-{round}"), "stable", &steady, "")?;
        slowest = slowest.max(site.settles(start, &[("/apps/stable/goner/", Some("stable"), 200)])?);
        let (to, away, new) = if round % 2 == 0 { ("ea", in_devel, in_ea) } else { ("devel", in_ea, in_devel) };
        let start = Instant::now();
        site.tiergate(&["apps", "promote", "mover", "--to", to])?;
        site.tiergate(&["apps", "promote", "fixed", "--to", to])?;
        let there = [(new, Some("devel"), 200), (away, Some("devel"), 404)];
        slowest = slowest.max(site.settles(start, &there)?);
        let start = Instant::now();
        fs::remove_file(site.file("goner.yaml"))?;
        slowest = slowest.max(site.settles(start, &[("/apps/stable/goner/", Some("stable"), 404)])?);
    }
    let outcome = load.end();
    println!(
        "{} requests, {:.0}/s, 60 changes, the slowest in effect after {slowest:?}",
        outcome.requests, outcome.per_second
    );
    let faults = &outcome.faults;
    ensure!(faults.is_empty(), "{} wrong answers:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    ensure!(outcome.requests > 1000, "only {} requests", outcome.requests);
    Ok(())
}

/// Two apps change places. Whoever may open only one of them gets no page of the other, not in the moment of the change
/// either.
#[test]
fn apps_that_change_places_show_nobody_the_wrong_one() -> Result<()> {
    let site = Site::start()?;
    let (open, secret) = (Upstream::start()?, Upstream::start()?);
    let places = |swapped: bool| {
        let (open_at, secret_at) = if swapped { ("/b", "/a") } else { ("/a", "/b") };
        site.put("open", "public", &open, &format!("path: {open_at}\n"))?;
        site.put("secret", "devel", &secret, &format!("path: {secret_at}\n"))
    };
    places(false)?;
    site.settles(Instant::now(), &[("/a/", None, 200), ("/b/", Some("devel"), 200), ("/b/", None, 401)])?;
    let nobody = |path: &str| Question { path: path.to_owned(), token: None, right: &[200, 401], marker: "" };
    let load = Load::start(site.gateway.address(), &[nobody("/a/nobody"), nobody("/b/nobody")], 4, 400);
    for swapped in [true, false, true, false] {
        let start = Instant::now();
        places(swapped)?;
        let (open_at, secret_at) = if swapped { ("/b/", "/a/") } else { ("/a/", "/b/") };
        site.settles(start, &[(open_at, None, 200), (secret_at, None, 401), (secret_at, Some("devel"), 200)])?;
    }
    let outcome = load.end();
    let reached = secret.received_with("/nobody");
    ensure!(reached.is_empty(), "{} requests of nobody reached the secret app", reached.len());
    ensure!(!open.received_with("/nobody").is_empty(), "nobody reached the open app");
    // Between the two files of one swap two apps want one path, so one of them may be away for a moment.
    let wrong: Vec<&String> = outcome.faults.iter().filter(|fault| !fault.contains(": 404 ")).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
