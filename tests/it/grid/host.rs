//! A request that could name two hosts: whatever a proxy makes of it, the host
//! that the upstream sees is the host that was judged.

use std::time::Duration;

use anyhow::{Result, ensure};
use tiergate_testbed::{RunningGateway, TokenSpec};

use super::stage::{Asked, Stage, eventually, shared};

/// Target and `Host` headers.
const REQUESTS: [(&str, &[&str]); 8] = [
    ("/public/host", &["www.example.com"]),
    ("/public/host", &["WWW.Example.com:80"]),
    ("/public/host", &["one.example", "two.example"]),
    ("/public/host", &["one.example, two.example"]),
    ("/public/host", &["user@one.example"]),
    ("/public/host", &["one.example."]),
    ("http://one.example/public/host", &["two.example"]),
    ("http://one.example/public/host", &["one.example"]),
];

#[test]
fn the_host_that_was_judged_is_the_host_that_is_served() {
    let stage = shared();
    let mut wrong = Vec::new();
    for gateway in stage.gateways() {
        for (target, hosts) in REQUESTS {
            let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
            let asked = stage.ask(gateway, "GET", target, &headers).unwrap();
            if let Err(error) = one_host(stage, &asked) {
                wrong.push(format!("{} {target} {hosts:?}: {error:#}", gateway.kind().name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_target_with_its_own_host_or_none_opens_nothing() {
    let stage = shared();
    let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("stable")).unwrap());
    for gateway in stage.gateways() {
        for target in ["http://localhost/apps/admin/x", "http://localhost/public/../apps/admin/x", "*", "?/public/x"] {
            let asked = stage.ask(gateway, "GET", target, &[("Authorization", &bearer)]).unwrap();
            refused(gateway, target, &asked).unwrap();
        }
    }
}

fn refused(gateway: &RunningGateway, target: &str, asked: &Asked) -> Result<()> {
    let status = asked.answer.status;
    // 404: Envoy has no route for what is no path.
    ensure!(matches!(status, 400 | 403 | 404), "{} answered {status} to {target}", gateway.kind().name());
    ensure!(asked.landed.is_empty(), "{} passed {target} on: {:?}", gateway.kind().name(), asked.landed);
    Ok(())
}

/// Refused, or served under the host that stands in the decision log.
fn one_host(stage: &Stage, asked: &Asked) -> Result<()> {
    let [landed] = asked.landed.as_slice() else {
        ensure!(asked.landed.is_empty() && matches!(asked.answer.status, 400 | 403 | 404), "{asked:?}");
        return Ok(());
    };
    let received = &landed.received;
    ensure!(received.target == "/public/host", "landed as {}", received.target);
    let id = received.header("x-auth-request-id").unwrap_or_default();
    let judged = || {
        let log = stage.tiergate.log();
        let line = log.lines().rev().find(|line| line.contains(id) && line.contains("\"decision\""))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["host"].as_str().map(str::to_owned)
    };
    eventually("the decision is in the log", Duration::from_secs(10), || judged().is_some());
    let judged = judged().unwrap_or_default();
    for name in ["host", "x-forwarded-host"] {
        let served = received.header_values(name);
        let plain = |host: &&str| host.to_ascii_lowercase().trim_end_matches(":80") == judged;
        ensure!(served.len() == 1 && served.iter().all(plain), "judged for `{judged}`, served with {name} {served:?}");
    }
    Ok(())
}
