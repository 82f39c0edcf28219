//! The provider's own behaviour, over the wire.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::keys::{base64url, sha256};
use super::*;
use crate::raw_http::{RawResponse, percent_encode, post_form, request};

fn get(provider: &Provider, path: &str) -> RawResponse {
    request(provider.address(), "GET", path, &[]).unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn authorize_path(verifier: &str) -> String {
    format!(
        "/authorize?client_id={WEB_CLIENT}&redirect_uri={}&response_type=code&scope={}&state=s%261&nonce=n1\
         &code_challenge={}&code_challenge_method=S256",
        percent_encode("http://localhost:8080/_auth/callback/main"),
        percent_encode("openid profile offline_access"),
        base64url(sha256(verifier)),
    )
}

/// Clicks an account and returns the code.
fn sign_in(provider: &Provider, account: &str, verifier: &str) -> String {
    let answer = post_form(provider.address(), &authorize_path(verifier), &[("account", account)]).unwrap();
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.header("location").unwrap();
    let iss = percent_encode(provider.issuer());
    assert!(location.starts_with("http://localhost:8080/_auth/callback/main?code="), "{location}");
    assert!(location.ends_with(&format!("&state=s%261&iss={iss}")), "{location}");
    location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

fn redeem(provider: &Provider, fields: &[(&str, &str)]) -> RawResponse {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{WEB_CLIENT}:{WEB_CLIENT_SECRET}")));
    let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", basic.as_str())];
    crate::raw_http::request_with_body(provider.address(), "POST", "/token", &headers, body.join("&").as_bytes())
        .unwrap()
}

fn redeem_code(provider: &Provider, code: &str, verifier: &str) -> RawResponse {
    let redirect = "http://localhost:8080/_auth/callback/main";
    let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect)];
    redeem(provider, &[&fields[..], &[("code_verifier", verifier)]].concat())
}

#[test]
fn discovery_names_its_own_endpoints() {
    let provider = Provider::start().unwrap();
    let document = get(&provider, "/.well-known/openid-configuration").json().unwrap();
    assert_eq!(document["issuer"], provider.issuer());
    assert_eq!(document["jwks_uri"], provider.jwks_uri());
    let keys = get(&provider, "/jwks.json").json().unwrap();
    let kids: Vec<&str> = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids, ["k1", "k2", "k3"]);
    assert_eq!(provider.count(Endpoint::Discovery), 1);
    assert_eq!(provider.count(Endpoint::Jwks), 1);
}

#[test]
fn a_person_signs_in_with_one_click() {
    let provider = Provider::start().unwrap();
    let verifier = "a-verifier-of-at-least-forty-three-characters-long";
    let page = get(&provider, &authorize_path(verifier));
    assert_eq!(page.status, 200);
    assert!(page.text().contains("value=\"barista\""));

    let code = sign_in(&provider, "devel", verifier);
    let answer = redeem_code(&provider, &code, verifier);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tokens = answer.json().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(part(access, 0)["typ"], "at+jwt");
    assert_eq!(part(access, 1)["scope"], "openid profile offline_access access:devel");
    assert_eq!(part(access, 1)["aud"], DEFAULT_AUDIENCE);
    let id = part(tokens["id_token"].as_str().unwrap(), 1);
    assert_eq!((&id["nonce"], &id["aud"], &id["sub"]), (&json!("n1"), &json!(WEB_CLIENT), &json!("dev|devel")));

    let bearer = format!("Bearer {access}");
    let info = request(provider.address(), "GET", "/userinfo", &[("Authorization", &bearer)]).unwrap().json().unwrap();
    assert_eq!(info["email"], "devel@example.com");
    // A code works once.
    assert_eq!(redeem_code(&provider, &code, verifier).status, 400);
}

#[test]
fn a_code_needs_its_verifier() {
    let provider = Provider::start().unwrap();
    let code = sign_in(&provider, "ea", "the right verifier");
    let answer = redeem_code(&provider, &code, "the wrong verifier");
    assert_eq!((answer.status, &answer.json().unwrap()["error"]), (400, &json!("invalid_grant")));
}

#[test]
fn a_code_goes_to_this_machine_only() {
    let provider = Provider::start().unwrap();
    let path = authorize_path("v").replace("localhost%3A8080", "localhost.evil.example");
    assert_eq!(get(&provider, &path).status, 400);
    let path = authorize_path("v").replace("localhost%3A8080", "localhost%40evil.example");
    assert_eq!(get(&provider, &path).status, 400);
}

#[test]
fn a_refresh_token_that_comes_back_ends_its_family() {
    let provider = Provider::start().unwrap();
    let code = sign_in(&provider, "admin", "verifier");
    let tokens = redeem_code(&provider, &code, "verifier").json().unwrap();
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let refresh = |token: &str| redeem(&provider, &[("grant_type", "refresh_token"), ("refresh_token", token)]);
    let second = refresh(&first).json().unwrap()["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(refresh(&first).status, 400);
    assert_eq!(refresh(&second).status, 400);
}

#[test]
fn a_shell_gets_tokens_by_name() {
    let provider = Provider::start().unwrap();
    let token = get(&provider, "/dev/token/manager").text();
    assert_eq!(part(&token, 1)["permissions"][3], "delete:drinks");
    let fields = [("grant_type", "password"), ("client_id", CLI_CLIENT), ("username", "stable")];
    let answer = post_form(provider.address(), "/token", &fields).unwrap().json().unwrap();
    assert_eq!(part(answer["access_token"].as_str().unwrap(), 1)["scope"], "");
    assert_eq!(get(&provider, "/dev/token/nobody").status, 404);
}

#[test]
fn faults_replace_an_endpoint_until_it_heals() {
    let provider = Provider::start().unwrap();
    provider.fail(Endpoint::Jwks, Fault::Status(503));
    assert_eq!(get(&provider, "/jwks.json").status, 503);
    provider.fail(Endpoint::Jwks, Fault::Redirect("http://127.0.0.1:9/".to_owned()));
    assert_eq!(get(&provider, "/jwks.json").header("location"), Some("http://127.0.0.1:9/"));
    provider.fail(Endpoint::Jwks, Fault::HugeBody(3_000_000));
    assert!(get(&provider, "/jwks.json").body.len() > 3_000_000);
    provider.publish_jwks(&json!({"keys": []}));
    assert_eq!(get(&provider, "/jwks.json").json().unwrap(), json!({"keys": []}));
    provider.fail(Endpoint::Jwks, Fault::Delay(Duration::from_millis(300)));
    let before = Instant::now();
    assert_eq!(get(&provider, "/jwks.json").status, 200);
    assert!(before.elapsed() >= Duration::from_millis(300));
    provider.heal();
    assert_eq!(provider.count(Endpoint::Jwks), 5);

    provider.go_down();
    assert!(request(provider.address(), "GET", "/jwks.json", &[]).is_err());
    provider.come_back().unwrap();
    assert_eq!(get(&provider, "/jwks.json").json().unwrap(), provider.jwks().unwrap());
}

#[test]
fn rotation_changes_names_and_keys() {
    let provider = Provider::start().unwrap();
    let old = provider.jwks().unwrap();
    provider.rotate_with_overlap().unwrap();
    assert_eq!(provider.jwks().unwrap()["keys"].as_array().unwrap().len(), 6);
    provider.rotate().unwrap();
    let new = provider.jwks().unwrap();
    assert_eq!(new["keys"][0]["kid"], "k1-2");
    assert_ne!(new["keys"][0]["n"], old["keys"][0]["n"]);
}

#[test]
fn a_spec_shapes_every_part_of_a_token() {
    let provider = Provider::start().unwrap();
    let spec = TokenSpec::for_account("ea")
        .header("alg", "HS256")
        .without_header("kid")
        .claim("aud", json!(["a", "b"]))
        .without_claim("sub")
        .key(Key::Hmac(b"secret".to_vec()))
        .map_claims_json(|text| text.replacen('{', "{\"scope\":\"first\",", 1))
        .map_compact(|text| text + "=");
    let token = provider.mint(&spec).unwrap();
    assert_eq!(part(&token, 0), json!({"alg": "HS256", "typ": "at+jwt"}));
    assert_eq!(part(&token, 1)["aud"], json!(["a", "b"]));
    assert_eq!(part(&token, 1).get("sub"), None);
    assert!(token.ends_with('='));
    let unsigned = provider.mint(&TokenSpec::new().key(Key::Unsigned)).unwrap();
    assert!(unsigned.ends_with('.'));
    for (key, algorithm) in [(Key::Rsa, "PS256"), (Key::Rsa, "RS384"), (Key::Ed25519, "EdDSA"), (Key::P384, "ES384")] {
        provider.mint(&TokenSpec::new().key(key).sign_as(algorithm)).unwrap();
    }
    assert!(provider.public_pem(&Key::Rsa).unwrap().starts_with("-----BEGIN PUBLIC KEY-----\nMIIB"));
}

/// The signatures and JWKs against an implementation that is not ours to write.
#[test]
fn tokens_verify_against_the_published_keys() {
    use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
    let provider = Provider::start().unwrap();
    let field = |jwk: &Value, name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let split = |token: &str| {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (signed.as_bytes().to_vec(), BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
    };
    let (message, signature) = split(&provider.token("devel").unwrap());
    let jwk = provider.jwk(&Key::Rsa).unwrap();
    let rsa = RsaPublicKeyComponents { n: field(&jwk, "n"), e: field(&jwk, "e") };
    rsa.verify(&signature::RSA_PKCS1_2048_8192_SHA256, &message, &signature).unwrap();

    let (message, signature) = split(&provider.mint(&TokenSpec::new().key(Key::P256)).unwrap());
    let jwk = provider.jwk(&Key::P256).unwrap();
    let point = [vec![4], field(&jwk, "x"), field(&jwk, "y")].concat();
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(&message, &signature).unwrap();

    let (message, signature) = split(&provider.mint(&TokenSpec::new().key(Key::Ed25519)).unwrap());
    let point = field(&provider.jwk(&Key::Ed25519).unwrap(), "x");
    UnparsedPublicKey::new(&signature::ED25519, point).verify(&message, &signature).unwrap();
}
