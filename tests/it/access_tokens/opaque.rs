//! Opaque tokens of a provider that says what they stand for (RFC 7662).

use std::time::Duration;

use serde_json::json;
use tiergate_testbed::provider::{DEFAULT_AUDIENCE, WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Endpoint, Fault, Gateway, OidcProvider, Tiergate};

use super::stage::{DEVEL, EA, Stage, ask, eventually, identity_provider};

#[test]
fn an_opaque_token_counts_while_its_provider_says_so() {
    for gateway in [Gateway::EnvoyGrpc, Gateway::Nginx] {
        let stage = Stage::start(gateway).unwrap();
        let name = gateway.name();
        let token = stage.provider.opaque_token("devel", &json!({})).unwrap();
        eventually("it counts", Duration::from_secs(5), || stage.status(DEVEL, &token).unwrap() == 200);
        for (target, expected) in [(EA, 200), ("/scoped/x", 200), ("/apps/admin/x", 403)] {
            assert_eq!(stage.status(target, &token).unwrap(), expected, "{name} {target}");
        }
        stage.provider.reset_counts();
        for _ in 0..50 {
            assert_eq!(stage.status(DEVEL, &token).unwrap(), 200, "{name}");
        }
        let asked = stage.provider.count(Endpoint::Introspection);
        assert!(asked <= 5, "{name}: asked {asked} times for 50 requests");
        stage.provider.revoke_opaque(&token);
        // `max_age` is a second here.
        let took = eventually("it is refused", Duration::from_secs(3), || stage.status(DEVEL, &token).unwrap() == 401);
        println!("{name}: refused {took:?} after it was revoked");
    }
}

#[test]
fn what_a_provider_says_of_other_tokens_is_not_enough() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    for more in [
        json!({ "active": "true" }),
        json!({ "aud": "another" }),
        json!({ "aud": null }),
        json!({ "sub": null }),
        json!({ "iss": "https://evil.example.com/" }),
        json!({ "token_type": "DPoP" }),
        json!({ "cnf": { "jkt": "x" } }),
        json!({ "typ": "Refresh" }),
        json!({ "nbf": 4_000_000_000_i64 }),
        json!({ "iat": 4_000_000_000_i64 }),
        json!({ "exp": 1 }),
    ] {
        let token = stage.provider.opaque_token("devel", &more).unwrap();
        let status = stage.status(DEVEL, &token).unwrap();
        assert!(status == 401 || status == 503, "{more}: {status}");
        assert!(status == 401 || more["active"] == "true", "{more}: {status}");
        assert_eq!(stage.status("/public/x", &token).unwrap(), 200, "{more}");
        std::thread::sleep(Duration::from_millis(if status == 503 { 1100 } else { 0 }));
    }
    // A JWT that does not verify is not shown to the provider.
    stage.provider.reset_counts();
    let forged = format!("{}x", stage.provider.token("devel").unwrap());
    assert_eq!(stage.status(DEVEL, &forged).unwrap(), 401);
    assert_eq!(stage.status(DEVEL, &format!("tgp_{}", "x".repeat(43))).unwrap(), 401);
    assert_eq!(stage.provider.count(Endpoint::Introspection), 0);
}

#[test]
fn a_provider_that_fails_lets_nobody_in() {
    let stage = Stage::start(Gateway::EnvoyGrpc).unwrap();
    let replica = stage.replicas[0].http();
    let known = stage.provider.opaque_token("devel", &json!({})).unwrap();
    for fault in [
        Fault::Status(500),
        Fault::Status(401),
        Fault::Redirect("http://127.0.0.1:1/".to_owned()),
        Fault::Json("{\"active\":true".to_owned()),
        Fault::Json("[true]".to_owned()),
        Fault::HugeBody(1 << 20),
        Fault::LostAnswer,
        Fault::Delay(Duration::from_secs(2)),
    ] {
        stage.provider.fail(Endpoint::Introspection, fault.clone());
        let fresh = stage.provider.opaque_token("devel", &json!({})).unwrap();
        let bearer = format!("Bearer {fresh}");
        assert_eq!(ask(replica, DEVEL, &bearer).unwrap(), (503, "unavailable".to_owned()), "{fault:?}");
        assert_eq!(stage.status(DEVEL, &fresh).unwrap(), 503, "{fault:?}");
        assert_eq!(stage.status("/public/x", &fresh).unwrap(), 200, "{fault:?}");
        stage.provider.heal();
        eventually("it works again", Duration::from_secs(5), || ask(replica, DEVEL, &bearer).unwrap().0 == 200);
    }
    eventually("it counts", Duration::from_secs(5), || stage.status(DEVEL, &known).unwrap() == 200);
    stage.provider.go_down();
    // What was said counts for `max_age` and no longer.
    eventually("it counts no more", Duration::from_secs(4), || {
        ask(replica, DEVEL, &format!("Bearer {known}")).unwrap() == (503, "unavailable".to_owned())
    });
    assert_eq!(stage.status("/public/x", &known).unwrap(), 200);
    stage.provider.come_back().unwrap();
    eventually("it counts again", Duration::from_secs(5), || stage.status(DEVEL, &known).unwrap() == 200);
    let asked = stage.replicas[0].metric("tiergate_introspection_total", &["result=\"unreachable\""]).unwrap();
    assert!(asked >= 1.0, "{asked}");
}

#[test]
fn the_tokens_of_a_provider_that_is_not_ours_are_looked_up_too() {
    let provider = OidcProvider::builder(&["http://localhost:1"]).start().unwrap();
    let config = identity_provider(&provider.issuer(), DEFAULT_AUDIENCE, "{ max_age: 1s }");
    let tiergate =
        Tiergate::start(env!("CARGO_BIN_EXE_tiergate"), &format!("public_url: http://localhost:1\n{config}")).unwrap();
    let (access, refresh) = provider.opaque_tokens("devel", &["access:devel"]).unwrap();
    let bearer = format!("Bearer {access}");
    eventually("it counts", Duration::from_secs(5), || ask(tiergate.http(), DEVEL, &bearer).unwrap().0 == 200);
    assert_eq!(ask(tiergate.http(), "/apps/admin/x", &bearer).unwrap(), (403, "insufficient_tier".to_owned()));
    // The provider says `active` of a refresh token as well.
    let refused = (401, "invalid_token".to_owned());
    eventually("a refresh token is none", Duration::from_secs(5), || {
        ask(tiergate.http(), DEVEL, &format!("Bearer {refresh}")).unwrap() == refused
    });
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{WEB_CLIENT}:{WEB_CLIENT_SECRET}"));
    let headers =
        [("Authorization", format!("Basic {basic}")), ("Content-Type", "application/x-www-form-urlencoded".to_owned())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = format!("token={access}");
    let answer = tiergate_testbed::raw_http::request_with_body(
        provider.address(),
        "POST",
        "/token/revocation",
        &headers,
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("it is refused", Duration::from_secs(3), || ask(tiergate.http(), DEVEL, &bearer).unwrap() == refused);
}
