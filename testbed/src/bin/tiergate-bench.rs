//! `make bench`: what a check costs, beside what the same server costs when it
//! decides nothing, measured in the same run with the same load.
//!
//! The load comes from `h2load` on the same machine and takes its share of the
//! cores, so the numbers are for comparing, not for planning.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it runs at the outside: files, arguments")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use prost::Message as _;
use tiergate_testbed::{Component, Provider, Tiergate};

/// Requests of one measurement; and of the one before it, which warms up.
const REQUESTS: [usize; 2] = [5_000, 60_000];
const CONNECTIONS: usize = 8;

const PATH: &str = "/apps/devel/hazard/";

fn main() -> ExitCode {
    let binary = std::env::args_os().nth(1).map(PathBuf::from);
    let Some(binary) = binary else {
        eprintln!(
            "usage: tiergate-bench TIERGATE\n\n  TIERGATE   the binary to measure, such as target/release/tiergate"
        );
        return ExitCode::from(2);
    };
    match measure(&binary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(binary: &Path) -> Result<()> {
    let provider = Provider::start()?;
    let token = provider.token("devel")?;
    let service = Tiergate::start(std::path::absolute(binary)?, &config(&provider))?;
    let scratch = tempfile::tempdir()?;
    let body = |name: &str, message: &[u8]| -> Result<PathBuf> {
        let path = scratch.path().join(name);
        std::fs::write(&path, framed(message)?)?;
        Ok(path)
    };
    let grpc = |name, path, body| Load {
        name,
        at: service.grpc(),
        path,
        body: Some(body),
        headers: Vec::new(),
        status: "2xx",
    };
    let http = |name, path, headers, status| Load { name, at: service.http(), path, body: None, headers, status };
    let target = [("x-forwarded-method", "GET"), ("x-forwarded-host", "localhost"), ("x-forwarded-uri", PATH)];
    let bearer = format!("Bearer {token}");
    let with_token = [target.as_slice(), &[("authorization", bearer.as_str())]].concat();

    let check = "/envoy.service.auth.v3.Authorization/Check";
    let groups = [
        [
            grpc("gRPC, floor (health check)", "/grpc.health.v1.Health/Check", body("health", &[])?),
            grpc("gRPC, check without a token", check, body("anonymous", &check_request(None))?),
            grpc("gRPC, check with a token", check, body("token", &check_request(Some(&bearer)))?),
        ],
        [
            Load { at: service.admin(), ..http("HTTP, floor (/livez)", "/livez", Vec::new(), "2xx") },
            http("HTTP, check without a token", "/authz/forward-auth", target.to_vec(), "4xx"),
            http("HTTP, check with a token", "/authz/forward-auth", with_token, "2xx"),
        ],
    ];
    let cores = std::thread::available_parallelism()?;
    println!("{CONNECTIONS} connections, {} requests each, {cores} cores shared with the load\n", REQUESTS[1]);
    println!("{:<30}{:>10}{:>10}{:>10}{:>10}", "", "a second", "p50 µs", "p99 µs", "of floor");
    for group in groups {
        let mut floor = None;
        for load in group {
            let Measured { rate, p50, p99 } = load.run(scratch.path())?;
            let share = 100.0 * rate / *floor.get_or_insert(rate);
            println!("{:<30}{rate:>10.0}{p50:>10}{p99:>10}{share:>9.0}%", load.name);
        }
    }
    // A gRPC refusal is a success to the load generator, so the service is asked what it decided.
    let expected = REQUESTS.iter().sum::<usize>() as f64;
    for protocol in ["grpc", "forward_auth"] {
        for decision in ["allow", "deny"] {
            let labels = [format!("protocol=\"{protocol}\""), format!("decision=\"{decision}\"")];
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let counted = service.metric("tiergate_decisions_total", &labels)?;
            if (counted - expected).abs() > 0.5 {
                bail!(
                    "{counted} times {decision} over {protocol} in place of {expected}: the numbers are of something else"
                );
            }
        }
    }
    Ok(())
}

fn config(provider: &Provider) -> String {
    let (issuer, audience) = (provider.issuer(), provider.audience());
    format!(
        "trusted_proxies: [127.0.0.1/32]\n\
         identity_providers: [{{ id: bench, issuer: \"{issuer}\", audience: [\"{audience}\"] }}]\n\
         tiers:\n\
         \x20 stable: {{ grant: authenticated }}\n\
         \x20 ea: {{ grant: {{ scopes: [\"access:ea\"] }}, includes: [stable] }}\n\
         \x20 devel: {{ grant: {{ scopes: [\"access:devel\"] }}, includes: [ea] }}\n\
         rules: [{{ path: \"/apps/{{tier}}/**\", tier: \"{{tier}}\" }}]\n"
    )
}

/// What Envoy sends for a small browser request.
fn check_request(bearer: Option<&str>) -> Vec<u8> {
    let mut headers = vec![
        (":authority", "localhost:8080"),
        (":method", "GET"),
        (":path", PATH),
        (":scheme", "http"),
        ("accept", "application/json"),
        ("user-agent", "bench"),
        ("x-request-id", "7a6c5f0e-3f0a-4b51-9d57-6c3f0c9e2b11"),
    ];
    headers.extend(bearer.map(|bearer| ("authorization", bearer)));
    let http = HttpRequest {
        id: "1".to_owned(),
        method: "GET".to_owned(),
        path: PATH.to_owned(),
        host: "localhost:8080".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..HttpRequest::default()
    };
    let request = Request { http: Some(http), time: None };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

/// A message as gRPC frames it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[0], length.as_slice(), message].concat())
}

/// One kind of request.
struct Load<'a> {
    name: &'static str,
    at: SocketAddr,
    path: &'static str,
    /// Present: gRPC with this framed message.
    body: Option<PathBuf>,
    headers: Vec<(&'a str, &'a str)>,
    /// How all of them are answered.
    status: &'static str,
}

struct Measured {
    rate: f64,
    p50: u64,
    p99: u64,
}

impl Load<'_> {
    /// Runs it once to warm up and once to measure.
    fn run(&self, scratch: &Path) -> Result<Measured> {
        let mut last = String::new();
        let log = scratch.join("requests.log");
        for requests in REQUESTS {
            let _ = std::fs::remove_file(&log);
            let mut h2load = Component::new("h2load", "h2load")
                .within(Duration::from_secs(120))
                .args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-n", &requests.to_string(), "--log-file"])
                .arg(&log);
            h2load = match &self.body {
                Some(body) => {
                    h2load.args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"]).arg(body)
                }
                None => h2load.arg("--h1"),
            };
            for (name, value) in &self.headers {
                h2load = h2load.arg("-H").arg(format!("{name}: {value}"));
            }
            let (status, output) = h2load.arg(format!("http://{}{}", self.at, self.path)).run()?;
            if !status.success() {
                bail!("h2load failed: {output}");
            }
            last = output;
        }
        let rate = last.split(" req/s").next().and_then(|before| before.rsplit(' ').next()?.parse().ok());
        let rate = rate.with_context(|| format!("h2load said no rate: {last}"))?;
        if !last.contains(&format!(" {} {}", REQUESTS[1], self.status)) {
            bail!("not every request was answered with {}: {last}", self.status);
        }
        let (p50, p99) = percentiles(&std::fs::read_to_string(&log)?)?;
        Ok(Measured { rate, p50, p99 })
    }
}

/// From h2load's log: start, status and duration in µs, a line for each request.
fn percentiles(log: &str) -> Result<(u64, u64)> {
    let mut micros: Vec<u64> = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    micros.sort_unstable();
    let at = |hundredth: usize| micros.get(micros.len() * hundredth / 100).copied();
    at(50).zip(at(99)).context("h2load wrote no log")
}
