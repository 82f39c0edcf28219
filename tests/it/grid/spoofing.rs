//! Nobody brings an identity along: whatever a client calls itself, the upstream
//! sees what the service says and nothing else.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use tiergate_testbed::{Gateway, RunningGateway, TokenSpec};

use super::identity::Identity;
use super::stage::{Stage, shared};

/// What a client may try, and what the attempt is called.
const ATTEMPTS: [(&str, &[(&str, &str)]); 12] = [
    ("user", &[("X-Auth-User", "root")]),
    ("scopes", &[("X-Auth-Scopes", "access:admin"), ("X-Auth-Tiers", "admin")]),
    ("assertion", &[("X-Auth-Assertion", "eyJhbGciOiJub25lIn0.e30.x")]),
    ("underscores", &[("X_Auth_User", "root")]),
    ("dots", &[("X.Auth.User", "root")]),
    ("mixed", &[("x-AUTH_user", "root")]),
    ("three copies", &[("X-Auth-User", "root"), ("X-Auth-User", "admin"), ("x-auth-user", "")]),
    ("connection", &[("Connection", "close, X-Auth-User"), ("X-Auth-User", "root")]),
    ("carriers", &[("X-Auth-Query", "?admin=1"), ("X-Auth-Cookie", "a=b"), ("X-Auth-Websocket-Protocol", "x")]),
    ("unknown name", &[("X-Auth-Plan", "gold")]),
    ("empty", &[("X-Auth-Email", ""), ("X-Auth-Groups", "wheel")]),
    ("other target", &[("X-Original-URL", "/public/"), ("X-Forwarded-Uri", "/public/"), ("X-Original-Method", "HEAD")]),
];

/// Names that apps take for an identity or another request, besides ours.
const FOREIGN: [&str; 9] = [
    "remote-user",
    "x-forwarded-user",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-original-url",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method-override",
    "forwarded",
];

#[test]
fn an_identity_that_a_client_sends_never_reaches_an_upstream() {
    let stage = shared();
    let token = stage.mint(&TokenSpec::for_account("stable")).unwrap();
    let bearer = format!("Bearer {token}");
    let requests: [(&str, Option<&str>, Identity); 3] = [
        ("/public/spoof", None, Identity::anonymous("public")),
        ("/public/spoof", Some(&bearer), Identity::account("stable", "public")),
        ("/apps/stable/maps/spoof", Some(&bearer), Identity::account("stable", "stable")),
    ];
    let mut wrong = String::new();
    for gateway in stage.gateways() {
        for (name, attempt) in ATTEMPTS {
            // nginx takes headers away by name: one that no claim is mapped to is no identity there.
            if (gateway.kind(), name) == (Gateway::Nginx, "unknown name") {
                continue;
            }
            for (path, bearer, identity) in &requests {
                if let Err(error) = attempted(stage, gateway, path, *bearer, attempt, identity) {
                    let user = if bearer.is_some() { "stable" } else { "anonymous" };
                    let _ = writeln!(wrong, "{:<11}{user:<10}{path:<25}{name:<14} {error:#}", gateway.kind().name());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these got through:\n{wrong}");
}

#[test]
fn a_spoofed_identity_opens_nothing() {
    let stage = shared();
    for gateway in stage.gateways() {
        for (name, attempt) in ATTEMPTS {
            let asked = stage.ask(gateway, "GET", "/apps/admin/x", attempt).unwrap();
            let status = asked.answer.status;
            assert!(matches!(status, 400 | 401 | 403), "{} {name}: {status}", gateway.kind().name());
            assert!(asked.landed.is_empty(), "{} {name}: {:?}", gateway.kind().name(), asked.landed);
        }
    }
}

#[test]
fn names_that_apps_take_for_an_identity_are_taken_away() {
    let stage = shared();
    let headers = FOREIGN.map(|name| (name, "root"));
    for gateway in stage.gateways() {
        let asked = stage.ask(gateway, "GET", "/public/spoof", &headers).unwrap();
        let name = gateway.kind().name();
        // The service itself refuses the ones that would name another target, if a proxy shows them.
        if asked.answer.status != 200 {
            assert!(asked.landed.is_empty(), "{name}");
            panic!("{name} answered {}", asked.answer.status);
        }
        let received = &asked.landed[0].received;
        for foreign in FOREIGN {
            assert!(
                received.header_values(foreign).iter().all(|value| !value.contains("root")),
                "{name} passed on {foreign}: {received:?}"
            );
        }
    }
}

/// Either the request is refused, or the upstream sees exactly this identity.
fn attempted(
    stage: &Stage,
    gateway: &RunningGateway,
    path: &str,
    bearer: Option<&str>,
    attempt: &[(&str, &str)],
    identity: &Identity,
) -> Result<()> {
    let mut headers: Vec<(&str, &str)> = bearer.map(|bearer| ("Authorization", bearer)).into_iter().collect();
    headers.extend(attempt);
    let asked = stage.ask(gateway, "GET", path, &headers)?;
    match (asked.answer.status, asked.landed.as_slice()) {
        (200, [only]) => identity.check(stage, &only.received),
        // A spelling that cannot be removed makes the request suspect.
        (400, []) if may_refuse(gateway.kind(), attempt) => Ok(()),
        (status, landed) => {
            ensure!(status == 200, "{status}, and the upstreams received {landed:?}");
            anyhow::bail!("the upstreams received {landed:?}")
        }
    }
}

/// Envoy refuses underscores in place of taking the header away.
fn may_refuse(gateway: Gateway, attempt: &[(&str, &str)]) -> bool {
    let any_name = |odd: fn(&str) -> bool| attempt.iter().any(|(name, _)| odd(name));
    match gateway {
        Gateway::EnvoyGrpc | Gateway::EnvoyHttp => any_name(|name| name.contains('_')),
        Gateway::Nginx | Gateway::Caddy | Gateway::HaProxy | Gateway::Traefik => false,
    }
}
