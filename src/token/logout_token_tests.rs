use serde_json::{Value, json};

use super::*;
use crate::token::test_keys::{ISSUER, NOW, Sign, live_keys, now, settings, sign, with, without};

const CLIENT: &str = "portal-web";

fn base() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "iat": NOW - 10, "exp": NOW + 110, "jti": "j-1",
        "sub": "u-123", "sid": "s-1", "events": { EVENT: {} },
    })
}

fn header() -> Value {
    json!({ "alg": "RS256", "kid": "k1", "typ": "logout+jwt" })
}

fn judge(token: &str) -> Result<VerifiedLogoutToken, LogoutTokenRejection> {
    verify_logout_token(token, &settings(), &live_keys(), CLIENT, now())
}

fn judge_claims(claims: &Value) -> Result<VerifiedLogoutToken, LogoutTokenRejection> {
    judge(&sign(header().to_string(), claims.to_string(), Sign::K1))
}

fn shared(rejection: Rejection) -> LogoutTokenRejection {
    LogoutTokenRejection::Token(rejection)
}

fn malformed(claim: &'static str) -> LogoutTokenRejection {
    shared(Rejection::Malformed(Flaw::Claim(claim)))
}

#[test]
fn a_good_logout_token_names_what_is_over() {
    let (subject, sid): (Box<str>, Box<str>) = ("u-123".into(), "s-1".into());
    let both = LogoutTarget::Both { subject: subject.clone(), sid: sid.clone() };
    for (claims, target) in [
        (base(), both),
        (without(&base(), "sid"), LogoutTarget::Subject(subject)),
        (without(&base(), "sub"), LogoutTarget::Session(sid)),
    ] {
        let token = judge_claims(&claims).unwrap();
        assert_eq!((token.issuer(), token.jti(), token.target()), (ISSUER, "j-1", &target));
        // Its id is kept for as long as it could be used again.
        assert!(token.forget_at() > UnixTime::from_secs(NOW - 10 + 120));
    }
    for good in [
        json!({ "aud": [CLIENT, "another"] }),
        json!({ "iat": NOW - 120 }),
        json!({ "iat": NOW + 60 }),
        json!({ "exp": NOW - 59 }),
        json!({ "events": { EVENT: {}, "https://example.com/more": true } }),
    ] {
        assert!(judge_claims(&with(&base(), &good)).is_ok(), "{good}");
    }
    assert!(judge_claims(&without(&base(), "exp")).is_ok());
    for typ in [json!({ "typ": "LOGOUT+JWT" }), json!({ "typ": "application/logout+jwt" }), json!({ "typ": "JWT" })] {
        assert!(judge(&sign(with(&header(), &typ).to_string(), base().to_string(), Sign::K1)).is_ok(), "{typ}");
    }
    assert!(judge(&sign(r#"{"alg":"RS256","kid":"k1"}"#, base().to_string(), Sign::K1)).is_ok(), "no typ");
}

#[test]
fn claims_are_judged_strictly() {
    for (change, expected) in [
        (json!({ "nonce": null }), LogoutTokenRejection::Nonce),
        (json!({ "nonce": "n" }), LogoutTokenRejection::Nonce),
        (json!({ "events": null }), LogoutTokenRejection::Events),
        (json!({ "events": {} }), LogoutTokenRejection::Events),
        (json!({ "events": [EVENT] }), LogoutTokenRejection::Events),
        (json!({ "events": EVENT }), LogoutTokenRejection::Events),
        (json!({ "events": { EVENT: null } }), LogoutTokenRejection::Events),
        (json!({ "events": { EVENT: true } }), LogoutTokenRejection::Events),
        (json!({ "events": { EVENT: [] } }), LogoutTokenRejection::Events),
        (json!({ "events": { EVENT: { "a": 1 } } }), LogoutTokenRejection::Events),
        (
            json!({ "events": { "http://schemas.openid.net/event/backchannel-logout/": {} } }),
            LogoutTokenRejection::Events,
        ),
        (json!({ "aud": "another" }), shared(Rejection::Aud)),
        (json!({ "aud": "portal" }), shared(Rejection::Aud)),
        (json!({ "aud": null }), malformed("aud")),
        (json!({ "aud": [5] }), malformed("aud")),
        (json!({ "iss": "https://other.example.com/" }), shared(Rejection::Iss)),
        (json!({ "exp": NOW - 60 }), shared(Rejection::Expired)),
        (json!({ "exp": null }), malformed("exp")),
        (json!({ "exp": "x" }), malformed("exp")),
        (json!({ "nbf": NOW + 61 }), shared(Rejection::NotYetValid)),
        (json!({ "iat": NOW + 61 }), shared(Rejection::IatFuture)),
        (json!({ "iat": NOW - 121 }), LogoutTokenRejection::Stale),
        (json!({ "iat": 0 }), LogoutTokenRejection::Stale),
        (json!({ "iat": null }), malformed("iat")),
        (json!({ "jti": "" }), LogoutTokenRejection::Jti),
        (json!({ "jti": 5 }), LogoutTokenRejection::Jti),
        (json!({ "jti": null }), LogoutTokenRejection::Jti),
        (json!({ "jti": "j".repeat(257) }), LogoutTokenRejection::Jti),
        (json!({ "sub": "" }), malformed("sub")),
        (json!({ "sub": null }), malformed("sub")),
        (json!({ "sub": ["u-123"] }), malformed("sub")),
        (json!({ "sid": "" }), malformed("sid")),
        (json!({ "sid": null }), malformed("sid")),
        (json!({ "sid": 5 }), malformed("sid")),
    ] {
        assert_eq!(judge_claims(&with(&base(), &change)).map(|_| ()), Err(expected), "{change}");
    }
    for (missing, expected) in [
        ("iss", shared(Rejection::Iss)),
        ("aud", shared(Rejection::Aud)),
        ("iat", malformed("iat")),
        ("jti", LogoutTokenRejection::Jti),
        ("events", LogoutTokenRejection::Events),
    ] {
        assert_eq!(judge_claims(&without(&base(), missing)).map(|_| ()), Err(expected), "{missing}");
    }
    let neither = without(&without(&base(), "sub"), "sid");
    assert_eq!(judge_claims(&neither).map(|_| ()), Err(LogoutTokenRejection::Target));
}

#[test]
fn header_and_signature_are_judged_as_of_every_token() {
    for (change, how, expected) in [
        (json!({ "alg": "none" }), Sign::No, shared(Rejection::AlgNotAllowed)),
        (json!({ "alg": "HS256" }), Sign::K1, shared(Rejection::AlgNotAllowed)),
        (json!({ "alg": "PS256", "kid": "k1-noalg" }), Sign::K1Ps256, shared(Rejection::AlgNotAllowed)),
        (json!({ "typ": "at+jwt" }), Sign::K1, LogoutTokenRejection::WrongKind),
        (json!({ "typ": "id_token+jwt" }), Sign::K1, LogoutTokenRejection::WrongKind),
        (json!({}), Sign::Attacker, shared(Rejection::BadSignature)),
        (json!({}), Sign::No, shared(Rejection::BadSignature)),
        (json!({ "crit": [] }), Sign::K1, shared(Rejection::Crit)),
    ] {
        let token = sign(with(&header(), &change).to_string(), base().to_string(), how);
        assert_eq!(judge(&token).map(|_| ()), Err(expected), "{change}");
    }
}

#[test]
fn the_three_kinds_of_token_are_never_taken_for_one_another() {
    use crate::token::{ExpectedIdToken, verify, verify_id_token};
    use crate::types::Secret;

    let mut lax = settings();
    lax.audiences.push(CLIENT.to_owned());
    lax.token_types.push("JWT".to_owned());
    let nonce = Secret::new("n".to_owned());
    let expected = ExpectedIdToken { client_id: CLIENT, nonce: Some(&nonce), access_token: None, max_age: None };
    // Each token as untyped as its kind may be, all for the same audience.
    let header = json!({ "alg": "RS256", "kid": "k1" }).to_string();
    let common = json!({ "iss": ISSUER, "aud": CLIENT, "sub": "u-123", "iat": NOW, "exp": NOW + 60, "jti": "j" });
    let kinds = [json!({}), json!({ "nonce": "n" }), json!({ "events": { EVENT: {} } })];
    for (kind, more) in kinds.iter().enumerate() {
        let token = sign(&header, with(&common, more).to_string(), Sign::K1);
        let issuers = crate::token::Issuers::new([lax.clone()]).unwrap();
        let accepted = [
            verify(&token, &issuers, &live_keys(), now()).is_ok(),
            verify_id_token(&token, &lax, &live_keys(), &expected, now()).is_ok(),
            verify_logout_token(&token, &lax, &live_keys(), CLIENT, now()).is_ok(),
        ];
        let only: Vec<bool> = (0..3).map(|other| other == kind).collect();
        assert_eq!(accepted.to_vec(), only, "{more}");
    }
}
