//! Tokens that people make for their programs.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tiergate_testbed::Gateway;
use tiergate_testbed::raw_http::post_form;

use super::stage::{DEVEL, EA, Stage, ask, eventually};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn a_token_made_in_the_page_opens_its_tiers_through_envoy_and_nginx() {
    for gateway in [Gateway::EnvoyGrpc, Gateway::Nginx] {
        let stage = Stage::start(gateway).unwrap();
        let name = gateway.name();
        let mut agent = stage.signed_in("devel").unwrap();
        let devel = stage.make(&mut agent, "devel", "devel", 3600).unwrap();
        let ea = stage.make(&mut agent, "ea", "ea", 3600).unwrap();
        for (token, target, expected) in [
            (&devel, DEVEL, 200),
            (&devel, EA, 200),
            (&devel, "/apps/stable/x", 200),
            (&devel, "/apps/admin/x", 403),
            // The owner has the scope; no token does.
            (&devel, "/scoped/x", 403),
            (&ea, EA, 200),
            (&ea, DEVEL, 403),
            (&ea, "/public/x", 200),
        ] {
            assert_eq!(stage.status(target, token).unwrap(), expected, "{name}: bearer at {target}");
            for user in ["devel", "", "anybody at all"] {
                let answer = stage.get(target, &[("Authorization", &basic(user, token))]).unwrap();
                assert_eq!(answer.status, expected, "{name}: password of `{user}` at {target}");
            }
        }
        stage.site.take_received();
        stage.status(DEVEL, &devel).unwrap();
        let received = stage.site.take_received();
        let header = |wanted: &str| received[0].header_values(wanted).join("|");
        assert_eq!(header("x-auth-user"), "dev|devel", "{name}");
        assert_eq!((header("x-auth-tier"), header("x-auth-scopes")), ("devel".to_owned(), String::new()), "{name}");

        let used = || {
            let list = agent.fetch("GET", &format!("{}/_auth/tokens", stage.origin), &[]).unwrap().json().unwrap();
            list["tokens"].as_array().unwrap().iter().all(|token| token["last_used_at"].is_string())
        };
        eventually("the uses are written down", Duration::from_secs(20), used);
    }
}

#[test]
fn what_only_looks_like_a_token_opens_nothing() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let mut agent = stage.signed_in("devel").unwrap();
    let token = stage.make(&mut agent, "devel", "devel", 3600).unwrap();
    let other = format!("tgp_{}", "x".repeat(43));
    let padded = BASE64_STANDARD.encode(format!("u:{token}"));
    for value in [
        format!("Bearer {other}"),
        basic("u", &other),
        format!("Bearer {}", &token[4..]),
        format!("Bearer {token}A"),
        format!("Bearer {}", token.to_ascii_uppercase()),
        format!("Bearer {token}, Bearer {token}"),
        format!("Token {token}"),
        format!("Basic {token}"),
        basic(&token, ""),
        basic("a:b", &token),
        basic("u", &format!("{token}:")),
        format!("Basic {padded}="),
        format!("Basic {padded} {padded}"),
        "Basic".to_owned(),
        "Basic ====".to_owned(),
    ] {
        let answer = stage.get(DEVEL, &[("Authorization", &value)]).unwrap();
        assert_eq!(answer.status, 401, "{value}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{value}: {challenge}");
        assert!(!answer.text().contains(&token), "{value}");
    }
    // A rule that names no other place takes none from there, and a token is no cookie.
    let cookie = format!("__Host-tiergate-session={token}");
    for (target, header) in [
        (format!("{DEVEL}?access_token={token}"), ("X-Nothing", "1")),
        (DEVEL.to_owned(), ("Sec-WebSocket-Protocol", token.as_str())),
        (DEVEL.to_owned(), ("Cookie", cookie.as_str())),
    ] {
        assert_eq!(stage.get(&target, &[header]).unwrap().status, 401, "{}", header.0);
    }
    // The pages of people are for people.
    let bearer = format!("Bearer {token}");
    for path in ["/_auth/me", "/_auth/sessions", "/_auth/tokens"] {
        assert_eq!(stage.get(path, &[("Authorization", &bearer)]).unwrap().status, 401, "{path}");
    }
    assert_eq!(stage.get("/_auth/admin/api/users", &[("Authorization", &bearer)]).unwrap().status, 403);
    let fields = [("name", "more"), ("tier", "devel"), ("lifetime", "60")];
    let answer = post_form(stage.replicas[0].http(), "/_auth/tokens", &fields).unwrap();
    assert_eq!(answer.status, 403);
}

#[test]
fn a_revoked_token_is_refused_by_every_replica_within_a_second() {
    let stage = Stage::start(Gateway::Nginx).unwrap();
    let mut agent = stage.signed_in("devel").unwrap();
    let tokens_page = format!("{}/_auth/tokens", stage.origin);
    for round in 0..5 {
        let token = stage.make(&mut agent, &format!("round {round}"), "devel", 3600).unwrap();
        let bearer = format!("Bearer {token}");
        for replica in &stage.replicas {
            for _ in 0..3 {
                assert_eq!(ask(replica.http(), DEVEL, &bearer).unwrap().0, 200);
            }
        }
        let list = agent.fetch("GET", &tokens_page, &[]).unwrap().json().unwrap();
        let id = list["tokens"][0]["id"].as_str().unwrap().to_owned();
        agent.post(&format!("{tokens_page}/revoke"), &stage.origin, &[("id".to_owned(), id)]).unwrap();
        let refused = (401, "invalid_token".to_owned());
        assert_eq!(ask(stage.replicas[0].http(), DEVEL, &bearer).unwrap(), refused, "where it was revoked: at once");
        let took = eventually("the other replica refuses it", Duration::from_secs(1), || {
            ask(stage.replicas[1].http(), DEVEL, &bearer).unwrap() == refused
        });
        assert_eq!(stage.status(DEVEL, &token).unwrap(), 401);
        println!("refused by the other replica after {took:?}");
    }
}

#[test]
fn a_token_ends_when_it_was_to_end() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let mut agent = stage.signed_in("devel").unwrap();
    let token = stage.make(&mut agent, "short", "devel", 2).unwrap();
    let bearer = format!("Bearer {token}");
    assert_eq!(stage.status(DEVEL, &token).unwrap(), 200);
    eventually("it is over", Duration::from_secs(4), || stage.status(DEVEL, &token).unwrap() == 401);
    for replica in &stage.replicas {
        assert_eq!(ask(replica.http(), DEVEL, &bearer).unwrap(), (401, "expired_token".to_owned()));
    }
    let list = agent.fetch("GET", &format!("{}/_auth/tokens", stage.origin), &[]).unwrap().json().unwrap();
    assert_eq!(list["tokens"], json!([]));
}

#[test]
fn an_owner_who_is_refused_or_loses_the_tier_takes_the_token_along() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let mut agent = stage.signed_in("ea").unwrap();
    let ea = stage.make(&mut agent, "ea", "ea", 3600).unwrap();
    let grants = format!("/users/{}/grants/devel", stage.id_of("ea").unwrap());
    stage.administer("PUT", &grants, &json!({})).unwrap();
    let devel = stage.make(&mut agent, "devel", "devel", 3600).unwrap();
    assert_eq!(stage.status(DEVEL, &devel).unwrap(), 200);
    assert_eq!(stage.status(DEVEL, &ea).unwrap(), 403, "a token has the tiers that it was made for");
    stage.administer("DELETE", &grants, &Value::Null).unwrap();
    let answer = stage.get(DEVEL, &[("Authorization", &format!("Bearer {devel}"))]).unwrap();
    assert_eq!((answer.status, answer.json().unwrap()["reason"].clone()), (403, json!("insufficient_tier")));
    assert_eq!(stage.status(EA, &devel).unwrap(), 200, "what is left of it");

    stage.disable("ea").unwrap();
    for token in [&ea, &devel] {
        let answer = stage.get(EA, &[("Authorization", &format!("Bearer {token}"))]).unwrap();
        assert_eq!((answer.status, answer.json().unwrap()["reason"].clone()), (403, json!("disabled_user")));
        let bearer = format!("Bearer {token}");
        eventually("the other replica refuses it", Duration::from_secs(1), || {
            ask(stage.replicas[1].http(), EA, &bearer).unwrap() == (403, "disabled_user".to_owned())
        });
    }
    assert_eq!(stage.status("/public/x", &ea).unwrap(), 200);
}

#[test]
fn no_log_holds_a_token() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let mut agent = stage.signed_in("devel").unwrap();
    let token = stage.make(&mut agent, "devel", "devel", 3600).unwrap();
    let unknown = format!("tgp_{}", "kept-out-of-every-log_".repeat(2).get(..43).unwrap());
    let opaque = stage.provider.opaque_token("devel", &json!({})).unwrap();
    let unknown_opaque = "an-opaque-text-that-nobody-knows".to_owned();
    for secret in [&token, &unknown, &opaque, &unknown_opaque] {
        for value in [format!("Bearer {secret}"), basic("u", secret), format!("Other {secret}")] {
            for target in [DEVEL, "/nowhere", "/_auth/me", "/_auth/tokens"] {
                let answer = stage.get(target, &[("Authorization", &value)]).unwrap();
                assert!(!answer.text().contains(secret.as_str()) || answer.status == 200);
            }
        }
        stage.get(&format!("{DEVEL}?access_token={secret}"), &[]).unwrap();
        ask(stage.replicas[1].http(), DEVEL, &format!("Bearer {secret}")).unwrap();
    }
    let id = agent.fetch("GET", &format!("{}/_auth/tokens", stage.origin), &[]).unwrap();
    assert!(!id.text().contains(&token));
    let audit = stage.administer("GET", "/audit", &Value::Null).unwrap().to_string();
    assert!(audit.contains("token") && !audit.contains(&token), "{audit}");
    for replica in &stage.replicas {
        let log = replica.log();
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "the service was to write down everything it can");
        for secret in [&token, &unknown, &opaque, &unknown_opaque] {
            let encoded = BASE64_STANDARD.encode(format!("u:{secret}"));
            for text in [secret.as_str(), &secret[4..], encoded.as_str()] {
                let line = log.lines().find(|line| line.contains(text));
                assert!(line.is_none(), "the log holds a token: {}", line.unwrap_or_default());
            }
        }
    }
}
