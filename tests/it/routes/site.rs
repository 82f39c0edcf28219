//! What no app serves, where a site stands behind the proxy: it gets the path as
//! it was sent, and nothing that is an app's.

use anyhow::{Result, ensure};
use tiergate_testbed::{Gateway, Tiergate, Upstream, request};

use super::{BINARY, POLICY, start};

fn goes_to_the_site(gateway: Gateway) -> Result<()> {
    let (site, open, locked) = (Upstream::start()?, Upstream::start()?, Upstream::start()?);
    let (port, address) = (locked.port(), locked.address());
    // More than ten upstreams, one of them five segments deep: what a path could name if it were read as an entry.
    let more: String = (0..10)
        .map(|number| {
            format!("  - {{ name: more-{number}, tier: locked, upstream: \"http://127.0.0.{}:{port}\" }}\n", number + 2)
        })
        .collect();
    let config = format!(
        "{POLICY}apps:
  - {{ name: maps, tier: open, upstream: \"http://{}\" }}
  - {{ name: five, tier: locked, path: /a/b/c/d/e, upstream: \"http://{address}\" }}
{more}routes: {{ site: \"http://{}\" }}
",
        open.address(),
        site.address(),
    );
    let tiergate = Tiergate::start(BINARY, &config)?;
    let running = start(gateway, &tiergate)?;
    let mut faults = Vec::new();
    for target in [
        "/free/page?x=1".to_owned(),
        "/free/x|a|b|keep|/locked/z|/q".to_owned(),
        "/free/x|a|b|strip|/locked/y|/free/x/secret".to_owned(),
        "/free/x|a|b|keep|0|/y".to_owned(),
        format!("/free/{address}/y|http:/|b|c|d|/free/{address}/y"),
        "/free/locked/five /a/b/c/d/e strip http://x|/a|http://x|x|strip|".replace(' ', "+"),
    ] {
        let answer = request(running.address(), "GET", &target, &[])?;
        let landed = site.take_received();
        if answer.status != 200 || landed.len() != 1 || landed[0].target != target {
            faults.push(format!("{target}: {} {landed:?}", answer.status));
        }
    }
    // An app's by the check, and no app's by the route: it is neither's.
    for target in ["/apps//open/maps/a", "/%61pps/open/maps/a", "/apps/open/%6daps/"] {
        let answer = request(running.address(), "GET", target, &[])?;
        if answer.status != 403 {
            faults.push(format!("{target}: {}", answer.status));
        }
    }
    for (name, upstream) in [("site", &site), ("maps", &open), ("locked", &locked)] {
        let reached = upstream.take_received();
        if !reached.is_empty() {
            faults.push(format!("{name} was reached: {reached:?}"));
        }
    }
    ensure!(faults.is_empty(), "{}:\n{}", gateway.name(), faults.join("\n"));
    Ok(())
}

#[test]
fn envoy_sends_what_no_app_serves_to_the_site() {
    goes_to_the_site(Gateway::EnvoyGrpc).unwrap();
}

#[test]
fn nginx_sends_what_no_app_serves_to_the_site() {
    goes_to_the_site(Gateway::Nginx).unwrap();
}
