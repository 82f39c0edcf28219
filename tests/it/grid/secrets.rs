//! Nothing that anybody writes down, at any level, holds a credential.

use std::time::Duration;

use tiergate_testbed::{Gateway, TokenSpec};

use super::stage::{eventually, shared};

/// A login code in a query, a session in a cookie: secrets that are no tokens.
const CODE: &str = "code-that-nobody-may-read";
const COOKIE: &str = "cookie-that-nobody-may-read";
const PASSWORD: &str = "cGFzc3dvcmQtdGhhdC1ub2JvZHktbWF5LXJlYWQ";

#[test]
fn no_log_holds_a_credential() {
    let stage = shared();
    let good = stage.mint(&TokenSpec::for_account("devel")).unwrap();
    let expired = stage.mint(&TokenSpec::for_account("devel").expired()).unwrap();
    let path = "/apps/devel/hazard/live/kept-secret";
    for gateway in stage.gateways() {
        let bearer = format!("Bearer {good}");
        let stale = format!("Bearer {expired}");
        let cookie = format!("session={COOKIE}");
        let basic = format!("Basic {PASSWORD}");
        let requests: [(String, Vec<(&str, &str)>); 6] = [
            (format!("{path}?code={CODE}"), vec![("Authorization", &bearer), ("Cookie", &cookie)]),
            (format!("{path}?access_token={good}"), vec![]),
            (format!("{path}?access_token={expired}&code={CODE}"), vec![]),
            (format!("{path}?a=b"), vec![("Authorization", &stale), ("X-Auth-Assertion", &good)]),
            (format!("{path}/../x?code={CODE}"), vec![("Authorization", &basic), ("Cookie", &cookie)]),
            (format!("/nowhere?access_token={good}#{CODE}"), vec![("Sec-WebSocket-Protocol", &good)]),
        ];
        for (target, headers) in requests {
            let asked = stage.ask(gateway, "GET", &target, &headers).unwrap();
            if asked.answer.status != 200 {
                let text = asked.answer.text();
                for secret in [&good, &expired, CODE, COOKIE, PASSWORD] {
                    assert!(!text.contains(secret), "{} echoes it: {text}", gateway.kind().name());
                }
            }
        }
    }
    // Everything of the six has been written, where a request leaves its path in the log at all.
    eventually("every log holds its lines", Duration::from_secs(30), || {
        let writes_paths = |name: &str| name != Gateway::Caddy.name() && name != Gateway::Traefik.name();
        stage.logs().iter().all(|(name, log)| !writes_paths(name) || log.matches("kept-secret").count() >= 4)
    });
    let mut secrets: Vec<(&str, String)> =
        vec![("code", CODE.to_owned()), ("cookie", COOKIE.to_owned()), ("password", PASSWORD.to_owned())];
    // Claims and signature each say enough.
    for token in stage.minted() {
        secrets.extend(token.split('.').skip(1).filter(|part| !part.is_empty()).map(|part| ("token", part.to_owned())));
    }
    for (name, log) in stage.logs() {
        for (kind, secret) in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "the log of {name} holds a {kind}: {}", line.unwrap_or_default());
        }
    }
    let log = stage.tiergate.log();
    assert!(log.contains("TRACE"), "the service was to write down everything it can");
}
