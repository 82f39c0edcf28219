use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::token::test_keys::{ISSUER, NOW, Sign, b64, live_keys, now, settings, sign, with, without};
use crate::types::ProviderId;

const CLIENT: &str = "portal-web";
const NONCE: &str = "n-0123456789";
const ACCESS_TOKEN: &str = "an.access.token";

fn base() -> Value {
    json!({ "iss": ISSUER, "aud": CLIENT, "sub": "u-123", "nonce": NONCE, "iat": NOW - 10, "exp": NOW + 300 })
}

fn header() -> Value {
    json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" })
}

fn judge(token: &str) -> Result<VerifiedIdToken, IdTokenRejection> {
    let nonce = Secret::new(NONCE.to_owned());
    let expected =
        ExpectedIdToken { client_id: CLIENT, nonce: Some(&nonce), access_token: Some(ACCESS_TOKEN), max_age: None };
    verify_id_token(token, &settings(), &live_keys(), &expected, now())
}

fn judge_claims(claims: &Value) -> Result<VerifiedIdToken, IdTokenRejection> {
    judge(&sign(header().to_string(), claims.to_string(), Sign::K1))
}

fn shared(rejection: Rejection) -> IdTokenRejection {
    IdTokenRejection::Token(rejection)
}

fn malformed(claim: &'static str) -> IdTokenRejection {
    shared(Rejection::Malformed(Flaw::Claim(claim)))
}

#[test]
fn a_good_id_token_says_who_signed_in() {
    let token = judge_claims(&with(&base(), &json!({ "sid": "s-1", "azp": CLIENT, "name": "Joe" }))).unwrap();
    assert_eq!((token.issuer(), token.subject(), token.sid()), (ISSUER, "u-123", Some("s-1")));
    assert_eq!(token.expires_at(), UnixTime::from_secs(NOW + 300));
    assert_eq!(token.claims()["name"], "Joe");
}

#[test]
fn claims_are_judged_strictly() {
    let late = NOW - 61;
    for (change, expected) in [
        (json!({ "nonce": "another" }), IdTokenRejection::Nonce),
        (json!({ "nonce": [NONCE] }), IdTokenRejection::Nonce),
        (json!({ "nonce": null }), IdTokenRejection::Nonce),
        (json!({ "nonce": "" }), IdTokenRejection::Nonce),
        (json!({ "nonce": NONCE.to_uppercase() }), IdTokenRejection::Nonce),
        (json!({ "aud": "another" }), shared(Rejection::Aud)),
        (json!({ "aud": [] }), shared(Rejection::Aud)),
        (json!({ "aud": "PORTAL-WEB" }), shared(Rejection::Aud)),
        (json!({ "aud": "portal" }), shared(Rejection::Aud)),
        (json!({ "aud": null }), malformed("aud")),
        (json!({ "aud": [CLIENT, 5] }), malformed("aud")),
        (json!({ "aud": { CLIENT: true } }), malformed("aud")),
        (json!({ "aud": [CLIENT, "b"] }), IdTokenRejection::Azp),
        (json!({ "aud": [CLIENT, "b"], "azp": "b" }), IdTokenRejection::Azp),
        (json!({ "azp": "b" }), IdTokenRejection::Azp),
        (json!({ "azp": null }), IdTokenRejection::Azp),
        (json!({ "azp": [CLIENT] }), IdTokenRejection::Azp),
        (json!({ "iss": "https://idp.example.com/realms/main/" }), shared(Rejection::Iss)),
        (json!({ "iss": "https://idp.example.com/realms/other" }), shared(Rejection::Iss)),
        (json!({ "iss": [ISSUER] }), shared(Rejection::Iss)),
        (json!({ "exp": late }), shared(Rejection::Expired)),
        (json!({ "exp": "never" }), malformed("exp")),
        (json!({ "exp": null }), malformed("exp")),
        (json!({ "iat": NOW + 61 }), shared(Rejection::IatFuture)),
        (json!({ "iat": true }), malformed("iat")),
        (json!({ "nbf": NOW + 61 }), shared(Rejection::NotYetValid)),
        (json!({ "nbf": "now" }), malformed("nbf")),
        (json!({ "sub": "" }), shared(Rejection::Sub)),
        (json!({ "sub": 5 }), malformed("sub")),
        (json!({ "sub": "a\nb" }), shared(Rejection::ClaimCharset("sub"))),
        (json!({ "sid": "" }), malformed("sid")),
        (json!({ "sid": 5 }), malformed("sid")),
        (json!({ "events": {} }), IdTokenRejection::WrongKind),
        (
            json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
            IdTokenRejection::WrongKind,
        ),
        (json!({ "at_hash": null }), IdTokenRejection::AtHash),
        (json!({ "at_hash": "" }), IdTokenRejection::AtHash),
        (json!({ "at_hash": 5 }), IdTokenRejection::AtHash),
        (json!({ "at_hash": b64([7; 16]) }), IdTokenRejection::AtHash),
    ] {
        assert_eq!(judge_claims(&with(&base(), &change)).map(|_| ()), Err(expected), "{change}");
    }
    for (missing, expected) in [
        ("nonce", IdTokenRejection::Nonce),
        ("aud", shared(Rejection::Aud)),
        ("iss", shared(Rejection::Iss)),
        ("sub", shared(Rejection::Sub)),
        ("exp", malformed("exp")),
        ("iat", malformed("iat")),
    ] {
        assert_eq!(judge_claims(&without(&base(), missing)).map(|_| ()), Err(expected), "{missing}");
    }
    for good in [
        json!({ "aud": [CLIENT] }),
        json!({ "aud": [CLIENT, "b"], "azp": CLIENT }),
        json!({ "exp": NOW - 59 }),
        json!({ "iat": NOW + 59 }),
        json!({ "nbf": NOW + 59 }),
        json!({ "exp": NOW + 400 * 24 * 3600 }),
    ] {
        assert!(judge_claims(&with(&base(), &good)).is_ok(), "{good}");
    }
}

#[test]
fn header_and_signature_are_judged_as_of_every_token() {
    let provider = ProviderId::new("main");
    for (change, how, expected) in [
        (json!({ "alg": "none" }), Sign::No, shared(Rejection::AlgNotAllowed)),
        (json!({ "alg": "HS256" }), Sign::K1, shared(Rejection::AlgNotAllowed)),
        (json!({ "alg": "rs256" }), Sign::K1, shared(Rejection::AlgNotAllowed)),
        (json!({ "alg": "PS256", "kid": "k1-noalg" }), Sign::K1Ps256, shared(Rejection::AlgNotAllowed)),
        (json!({ "typ": "at+jwt" }), Sign::K1, IdTokenRejection::WrongKind),
        (json!({ "typ": "logout+jwt" }), Sign::K1, IdTokenRejection::WrongKind),
        (json!({ "typ": "application/at+jwt" }), Sign::K1, IdTokenRejection::WrongKind),
        (json!({ "typ": "" }), Sign::K1, IdTokenRejection::WrongKind),
        (json!({ "kid": "nobody" }), Sign::K1, shared(Rejection::KidUnknown { provider })),
        (json!({ "kid": "k2" }), Sign::K1, shared(Rejection::KeyAlgMismatch)),
        (json!({ "crit": ["x"] }), Sign::K1, shared(Rejection::Crit)),
        (json!({}), Sign::Attacker, shared(Rejection::BadSignature)),
        (json!({ "jwk": {}, "jku": "https://evil.example.com" }), Sign::Attacker, shared(Rejection::BadSignature)),
        (json!({}), Sign::No, shared(Rejection::BadSignature)),
    ] {
        let token = sign(with(&header(), &change).to_string(), base().to_string(), how);
        assert_eq!(judge(&token).map(|_| ()), Err(expected), "{change}");
    }
    for good in [json!({ "typ": "jwt" }), json!({ "typ": "application/JWT" })] {
        assert!(judge(&sign(with(&header(), &good).to_string(), base().to_string(), Sign::K1)).is_ok());
    }
    assert!(judge(&sign(r#"{"alg":"RS256","kid":"k1"}"#, base().to_string(), Sign::K1)).is_ok(), "no typ");
    let twice = format!("{{\"nonce\":\"x\",{}", base().to_string().trim_start_matches('{'));
    let rejected = judge(&sign(header().to_string(), twice, Sign::K1)).map(|_| ());
    assert_eq!(rejected, Err(shared(Rejection::DuplicateMember(crate::token::TokenPart::Payload))));
}

#[test]
fn at_hash_is_made_with_the_hash_of_the_algorithm() {
    let mut all = settings();
    all.algorithms = Algorithm::ALL.to_vec();
    let hash = |algorithm| {
        let digest = digest::digest(algorithm, ACCESS_TOKEN.as_bytes());
        b64(&digest.as_ref()[..digest.as_ref().len() / 2])
    };
    let (short, middle, long) = (hash(&SHA256), hash(&SHA384), hash(&SHA512));
    for (alg, kid, how, right) in [
        ("RS256", "k1", Sign::K1, &short),
        ("RS384", "k1-noalg", Sign::K1Rs384, &middle),
        ("PS256", "k1-noalg", Sign::K1Ps256, &short),
        ("ES256", "k2", Sign::K2, &short),
        ("EdDSA", "k3", Sign::K3, &long),
        ("ES384", "k4", Sign::K4, &middle),
    ] {
        for at_hash in [&short, &middle, &long] {
            let claims = with(&base(), &json!({ "at_hash": at_hash }));
            let token = sign(json!({ "alg": alg, "kid": kid }).to_string(), claims.to_string(), how);
            let nonce = Secret::new(NONCE.to_owned());
            let expected =
                |access_token| ExpectedIdToken { client_id: CLIENT, nonce: Some(&nonce), access_token, max_age: None };
            let verify = |access_token| verify_id_token(&token, &all, &live_keys(), &expected(access_token), now());
            let judged = verify(Some(ACCESS_TOKEN));
            assert_eq!(judged.is_ok(), at_hash == right, "{alg} {at_hash}: {judged:?}");
            assert!(matches!(verify(Some("another")), Err(IdTokenRejection::AtHash)));
            assert!(matches!(verify(None), Err(IdTokenRejection::AtHash)), "nothing to compare it with");
        }
    }
    // The example of OpenID Connect Core, appendix A.3.
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(left_half(token, Algorithm::Rs256), "77QmUPtjPfzWtF2AnpK9RQ");
}

#[test]
fn after_a_refresh_no_nonce_is_asked_for() {
    let expected = ExpectedIdToken { client_id: CLIENT, nonce: None, access_token: None, max_age: None };
    for claims in [without(&base(), "nonce"), base()] {
        let token = sign(header().to_string(), claims.to_string(), Sign::K1);
        assert!(verify_id_token(&token, &settings(), &live_keys(), &expected, now()).is_ok());
    }
}

#[test]
fn who_has_to_have_proved_it_lately_has() {
    let max_age = Some(Duration::from_secs(100));
    let expected = ExpectedIdToken { client_id: CLIENT, nonce: None, access_token: None, max_age };
    for (auth_time, good) in [
        (json!(NOW - 100), true),
        (json!(NOW - 160), true),
        (json!(NOW - 161), false),
        (json!("now"), false),
        (json!(null), false),
    ] {
        let claims = with(&base(), &json!({ "auth_time": auth_time }));
        let token = sign(header().to_string(), claims.to_string(), Sign::K1);
        assert_eq!(verify_id_token(&token, &settings(), &live_keys(), &expected, now()).is_ok(), good, "{auth_time}");
    }
    let token = sign(header().to_string(), base().to_string(), Sign::K1);
    let judged = verify_id_token(&token, &settings(), &live_keys(), &expected, now());
    assert!(matches!(judged, Err(IdTokenRejection::AuthTime)));
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text in "\\PC{0,200}") {
        prop_assert!(judge(&text).is_err());
    }

    #[test]
    fn no_single_claim_of_another_form_is_let_through(
        name in "(iss|aud|sub|nonce|exp|iat)",
        value in prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!([])), Just(json!({})), Just(json!("x"))],
    ) {
        // A subject may be any text.
        prop_assume!(!(name == "sub" && value == json!("x")));
        let claims = with(&base(), &json!({ name: value }));
        prop_assert!(judge_claims(&claims).is_err());
    }
}
