//! `X-Auth-Assertion` as an upstream uses it that trusts nothing else: no other
//! header, no network, only the keys that the service publishes.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tiergate_testbed::{Gateway, TokenSpec};

use super::stage::shared;

/// The keys as they are published, through one proxy and without credentials.
fn published(gateway: Gateway) -> JwkSet {
    let stage = shared();
    let asked = stage.ask(stage.gateway(gateway), "GET", "/_auth/jwks.json", &[]).unwrap();
    let name = gateway.name();
    assert_eq!(asked.answer.status, 200, "{name}");
    assert_eq!(asked.answer.header("content-type"), Some("application/jwk-set+json"), "{name}");
    assert!(asked.landed.is_empty(), "{name} asked an upstream: {:?}", asked.landed);
    serde_json::from_slice(&asked.answer.body).unwrap()
}

/// What a careful upstream does, and nothing that the token itself suggests.
fn verify(assertion: &str, keys: &JwkSet, audience: &str) -> Result<Value, String> {
    let kid = decode_header(assertion).map_err(|error| error.to_string())?.kid.ok_or("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown kid")?).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["http://localhost:8080"]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "exp"]);
    validation.leeway = 5;
    decode::<Value>(assertion, &key, &validation).map(|verified| verified.claims).map_err(|error| error.to_string())
}

#[test]
fn every_proxy_publishes_the_same_keys() {
    let keys = Gateway::ALL.map(published);
    // The key that signs now, and the one that will sign next.
    assert_eq!(keys[0].keys.len(), 2);
    assert!(keys.iter().all(|other| *other == keys[0]));
}

#[test]
fn an_upstream_verifies_who_came_by_the_assertion_alone() {
    let stage = shared();
    let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("devel")).unwrap());
    for gateway in stage.gateways() {
        let name = gateway.kind().name();
        let headers = [("Authorization", bearer.as_str()), ("X-Auth-Assertion", "e30.e30.e30")];
        let asked = stage.ask(gateway, "GET", "/apps/ea/reports/", &headers).unwrap();
        let assertion = asked.landed[0].received.header("x-auth-assertion").expect(name).to_owned();
        for keys in [published(Gateway::EnvoyGrpc), published(Gateway::Nginx)] {
            let claims = verify(&assertion, &keys, "upstreams").unwrap();
            assert_eq!(claims["sub"], "dev|devel", "{name}");
            assert_eq!(claims["tiers"], json!(["public", "stable", "ea", "devel"]), "{name}");
            assert_eq!(claims["idp"], stage.provider.issuer(), "{name}");
            let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
            assert_eq!(lifetime, 60, "{name}");
            assert!(verify(&assertion, &keys, "somebody else").is_err(), "{name}");
        }
    }
}

#[test]
fn an_assertion_about_nobody_names_nobody() {
    let stage = shared();
    let asked = stage.ask(stage.gateway(Gateway::EnvoyGrpc), "GET", "/public/x", &[]).unwrap();
    let assertion = asked.landed[0].received.header("x-auth-assertion").unwrap();
    let claims = verify(assertion, &published(Gateway::EnvoyGrpc), "upstreams").unwrap();
    assert_eq!(claims.get("sub"), None);
    assert_eq!(claims["tiers"], json!(["public"]));
}

#[test]
fn a_tampered_assertion_fails() {
    let stage = shared();
    let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("stable")).unwrap());
    let gateway = stage.gateway(Gateway::EnvoyGrpc);
    let asked = stage.ask(gateway, "GET", "/apps/stable/maps/", &[("Authorization", &bearer)]).unwrap();
    let assertion = asked.landed[0].received.header("x-auth-assertion").unwrap();
    let keys = published(Gateway::EnvoyGrpc);
    assert!(verify(assertion, &keys, "upstreams").is_ok());
    let [header, claims, signature] = assertion.split('.').collect::<Vec<_>>().try_into().unwrap();
    let promoted = tiergate_testbed::provider::base64url(
        json!({"iss": "http://localhost:8080", "aud": "upstreams", "exp": 4_000_000_000_u64, "sub": "dev|admin", "tiers": ["admin"]})
            .to_string(),
    );
    let kid = decode_header(assertion).unwrap().kid.unwrap();
    let unsigned = tiergate_testbed::provider::base64url(json!({"alg": "none", "kid": kid}).to_string());
    let mut other_signature = signature.to_owned();
    other_signature.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    for tampered in [
        format!("{header}.{promoted}.{signature}"),
        format!("{header}.{claims}.{other_signature}"),
        format!("{header}.{claims}."),
        format!("{unsigned}.{promoted}."),
    ] {
        assert!(verify(&tampered, &keys, "upstreams").is_err(), "{tampered}");
    }
}
