//! The load generators, each run to its end, and what they saw.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tiergate_testbed::Component;

/// What Envoy calls.
pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// None of them may take longer.
const LIMIT: Duration = Duration::from_secs(180);

/// A kind of load on one address.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// `h2load -c4 -m32`: one gRPC message, again and again.
    Grpc { at: SocketAddr, message: PathBuf, requests: usize, connections: usize, streams: usize },
    /// `wrk -c32`: one HTTP/1 request, again and again.
    Http { at: SocketAddr, path: String, headers: Vec<(String, String)>, seconds: u64, connections: usize },
    /// `h2load --h1 -c1 -m1`: one HTTP/1 request at a time.
    OneByOne { at: SocketAddr, path: String, headers: Vec<(String, String)>, requests: usize },
    /// `tiergate-floor send`: a gRPC message of its own for each request.
    Messages {
        floor: PathBuf,
        at: SocketAddr,
        file: PathBuf,
        requests: usize,
        connections: usize,
        streams: usize,
        rate: Option<usize>,
    },
}

/// What a load generator saw; times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// Requests that took more than 5 ms, where each one was written down.
    pub(crate) slow: usize,
}

impl Load {
    /// The gRPC load of the main rows.
    pub(crate) fn grpc(at: SocketAddr, message: &Path, requests: usize) -> Self {
        Self::Grpc { at, message: message.to_path_buf(), requests, connections: 4, streams: 32 }
    }

    /// Requests that may be under way when the load ends, and of which it does not tell.
    pub(crate) fn cut_off(&self) -> usize {
        match self {
            Self::Http { connections, .. } => *connections,
            Self::Grpc { .. } | Self::OneByOne { .. } | Self::Messages { .. } => 0,
        }
    }

    /// Runs it. Every request has to be answered with a 2xx status.
    pub(crate) fn run(&self) -> Result<Seen> {
        match self {
            Self::Grpc { at, message, requests, connections, streams } => {
                let tool = h2load(*connections, *streams, *requests)
                    .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"])
                    .arg(message);
                run_h2load(tool, &format!("http://{at}{CHECK}"), *requests)
            }
            Self::OneByOne { at, path, headers, requests } => {
                // h2load names the host itself.
                let headers: Vec<_> = headers.iter().filter(|(name, _)| name != "Host").cloned().collect();
                let tool = with_headers(h2load(1, 1, *requests).arg("--h1"), &headers);
                run_h2load(tool, &format!("http://{at}{path}"), *requests)
            }
            Self::Http { at, path, headers, seconds, connections } => {
                let tool = Component::new("wrk", "wrk").within(LIMIT).args(["-t", "1", "--latency", "-c"]);
                let tool = tool.arg(connections.to_string()).arg("-d").arg(format!("{seconds}s"));
                run_wrk(with_headers(tool, headers).arg(format!("http://{at}{path}")))
            }
            Self::Messages { floor, at, file, requests, connections, streams, rate } => {
                let tool = Component::new("send", floor).within(LIMIT).args(["send", &at.to_string()]).arg(file);
                let tool = tool.args([requests, connections, streams].map(ToString::to_string));
                run_send(tool.args(rate.map(|rate| rate.to_string())), *requests)
            }
        }
    }
}

fn h2load(connections: usize, streams: usize, requests: usize) -> Component {
    let numbers = [connections, streams, requests].map(|number| number.to_string());
    let [connections, streams, requests] = &numbers;
    Component::new("h2load", "h2load").within(LIMIT).args([
        "-t",
        "1",
        "-c",
        connections,
        "-m",
        streams,
        "-n",
        requests,
        "--log-file=requests.log",
    ])
}

fn with_headers(tool: Component, headers: &[(String, String)]) -> Component {
    headers.iter().fold(tool, |tool, (name, value)| tool.arg("-H").arg(format!("{name}: {value}")))
}

fn output_of(tool: Component) -> Result<String> {
    let (status, output) = tool.run()?;
    if status.success() { Ok(output) } else { bail!("the load generator ended with {status}: {output}") }
}

fn run_h2load(tool: Component, url: &str, requests: usize) -> Result<Seen> {
    // The log is read before the folder of the process is gone.
    let folder = tempfile::tempdir()?;
    let output = output_of(tool.current_dir(folder.path()).arg(url))?;
    if !output.contains(&format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx")) {
        bail!("not every request was answered with 2xx: {output}");
    }
    let rate = output.split(" req/s").next().and_then(|before| before.rsplit(' ').next()?.parse().ok());
    let log = std::fs::read_to_string(folder.path().join("requests.log"))?;
    // Start, status and duration in µs, a line for each request.
    let mut micros: Vec<u64> = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    micros.sort_unstable();
    let at = |hundredth: usize| micros.get(micros.len() * hundredth / 100).map(|micros| *micros as f64);
    let told = at(50).zip(at(99)).zip(micros.last());
    let ((p50, p99), max) = told.with_context(|| format!("h2load wrote no log: {output}"))?;
    let slow = micros.iter().filter(|micros| **micros > 5000).count();
    Ok(Seen { requests, rate: rate.context("h2load told no rate")?, p50, p99, max: *max as f64, slow })
}

fn run_wrk(tool: Component) -> Result<Seen> {
    let output = output_of(tool)?;
    if ["Non-2xx", "Socket errors"].iter().any(|bad| output.contains(bad)) {
        bail!("not every request was answered with 2xx: {output}");
    }
    let line = |start: &str| output.lines().find_map(|line| line.trim().strip_prefix(start));
    let requests = output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    let rate = line("Requests/sec:").and_then(|rate| rate.trim().parse().ok());
    // `Latency  avg  stdev  max  ±stdev`
    let max = line("Latency ").and_then(|rest| micros(rest.split_whitespace().nth(2)?));
    let (p50, p99) = (line("50%").and_then(micros), line("99%").and_then(micros));
    let told = requests.zip(rate).zip(p50).zip(p99).zip(max);
    let ((((requests, rate), p50), p99), max) = told.with_context(|| format!("wrk was not understood: {output}"))?;
    Ok(Seen { requests, rate, p50, p99, max, slow: 0 })
}

/// `12.34us`, `1.2ms` or `1.2s`.
fn micros(text: &str) -> Option<f64> {
    let text = text.trim();
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

fn run_send(tool: Component, requests: usize) -> Result<Seen> {
    let output = output_of(tool)?;
    let told: Value = serde_json::from_str(output.trim()).with_context(|| format!("send told: {output}"))?;
    let number = |name: &str| told.get(name).and_then(Value::as_f64).with_context(|| format!("send told no {name}"));
    if number("answered")? as usize != requests {
        bail!("not every request was answered with 200: {output}");
    }
    let (p50, p99, max) = (number("p50")?, number("p99")?, number("max")?);
    Ok(Seen { requests, rate: requests as f64 / number("seconds")?, p50, p99, max, slow: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_wrk_are_read() {
        for (text, expected) in [("333.00us", 333.0), (" 1.21ms", 1210.0), ("1.5s", 1_500_000.0)] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        assert_eq!(micros("1.5"), None);
    }
}
