//! The keys of providers over time: copies on disk, rotation, several issuers.

use std::time::Duration;

use tiergate_testbed::{Provider, Tiergate, TokenSpec, request};

use super::stage::{BINARY, TIERS, eventually};

const SOON: Duration = Duration::from_secs(15);

/// A config for these providers, each with further settings of its keys.
fn config(providers: &[(&str, &Provider)], jwks: &str) -> String {
    let mut text = "trusted_proxies: [127.0.0.1/32]\nidentity_providers:\n".to_owned();
    for (id, provider) in providers {
        text.push_str(&format!(
            "  - {{ id: {id}, issuer: \"{}\", audience: [\"{}\"], jwks: {{ {jwks} }} }}\n",
            provider.issuer(),
            provider.audience()
        ));
    }
    text + TIERS + "rules:\n  - { path: /stable, tier: stable }\n"
}

/// What a proxy is told about a request with this token.
fn status(tiergate: &Tiergate, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/stable"),
        ("X-Forwarded-Host", "localhost"),
        ("Authorization", bearer.as_str()),
    ];
    request(tiergate.http(), "GET", "/authz/forward-auth", &headers).unwrap().status
}

#[test]
fn a_copy_on_disk_outlives_a_restart_during_an_outage() {
    let provider = Provider::start().unwrap();
    let token = provider.token("stable").unwrap();
    let text = config(&[("main", &provider)], "cache_dir: keys");
    let mut tiergate = Tiergate::builder(BINARY, &text).within(Duration::from_secs(10)).start().unwrap();
    assert_eq!(status(&tiergate, &token), 200);
    let copies = tiergate.config_path().with_file_name("keys");
    let has_copy = || std::fs::read_dir(&copies).is_ok_and(|mut files| files.next().is_some());
    eventually("a copy of the keys on disk", SOON, has_copy);

    provider.go_down();
    tiergate.process.restart().unwrap();
    assert_eq!(tiergate.readyz().unwrap(), 200);
    assert_eq!(status(&tiergate, &token), 200);
    // A copy vouches for what the provider signed, for nobody else.
    let stranger = Provider::start().unwrap();
    let forged = stranger.mint(&TokenSpec::for_account("stable").issuer(provider.issuer())).unwrap();
    assert_eq!(status(&tiergate, &forged), 401);

    // Without the copy, nothing can be decided.
    std::fs::remove_dir_all(&copies).unwrap();
    tiergate.process.stop();
    assert!(tiergate.process.restart().is_err(), "ready without any keys");
}

#[test]
fn keys_rotate_without_a_restart() {
    let provider = Provider::start().unwrap();
    let old = provider.token("stable").unwrap();
    let tiergate = Tiergate::start(BINARY, &config(&[("main", &provider)], "")).unwrap();
    assert_eq!(status(&tiergate, &old), 200);

    // A key that is not known yet is asked for on the spot.
    provider.rotate_with_overlap().unwrap();
    let new = provider.token("stable").unwrap();
    eventually("the new key is known", SOON, || status(&tiergate, &new) == 200);
    assert_eq!(status(&tiergate, &old), 200, "the old key is published still");
}

#[test]
fn a_key_that_is_published_no_more_opens_nothing() {
    let provider = Provider::start().unwrap();
    let old = provider.token("stable").unwrap();
    let tiergate = Tiergate::start(BINARY, &config(&[("main", &provider)], "")).unwrap();
    assert_eq!(status(&tiergate, &old), 200, "and its verification is remembered");
    provider.rotate().unwrap();
    let new = provider.token("stable").unwrap();
    eventually("the new key is known", SOON, || status(&tiergate, &new) == 200);
    // The same key set that admits the new token has no key for the old one.
    assert_eq!(status(&tiergate, &old), 401);
}

#[test]
fn each_issuer_vouches_for_its_own_tokens() {
    let (one, other) = (Provider::start().unwrap(), Provider::start().unwrap());
    let tiergate = Tiergate::start(BINARY, &config(&[("one", &one), ("other", &other)], "")).unwrap();
    let (token, other_token) = (one.token("stable").unwrap(), other.token("stable").unwrap());
    eventually("keys of both", SOON, || status(&tiergate, &token) == 200 && status(&tiergate, &other_token) == 200);
    // Both name their keys alike, so only the issuer tells them apart.
    let forged = other.mint(&TokenSpec::for_account("admin").issuer(one.issuer())).unwrap();
    assert_eq!(status(&tiergate, &forged), 401);
    let forged = one.mint(&TokenSpec::for_account("admin").issuer(other.issuer())).unwrap();
    assert_eq!(status(&tiergate, &forged), 401);

    // One of them down is no outage for the other.
    one.go_down();
    assert_eq!(status(&tiergate, &other_token), 200);
    assert_eq!(tiergate.readyz().unwrap(), 200);
}
