use serde_json::{Value, json};

use super::*;
use crate::token::test_keys::{ISSUER, NOW, issuers, now, settings, with, without};
use crate::token::{Flaw, IssuerSettings};

fn base() -> Value {
    json!({
        "active": true, "iss": ISSUER, "aud": "portal", "sub": "u-123", "client_id": "cli", "scope": "stable devel",
        "token_type": "Bearer", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300, "username": "zoe",
    })
}

fn judge(answer: &Value) -> Result<IntrospectedToken, OpaqueRejection> {
    IntrospectedToken::judge(answer.as_object().unwrap().clone(), &Arc::new(settings()), now())
}

#[test]
fn a_good_answer_says_who_it_is() {
    let token = judge(&base()).unwrap();
    let principal = token.principal();
    assert_eq!((&*principal.subject, &*principal.issuer), ("u-123", ISSUER));
    assert_eq!(principal.scopes.iter().collect::<Vec<_>>(), ["devel", "stable"]);
    assert_eq!(token.expires_at(), Some(UnixTime::from_secs(NOW + 300)));
    assert_eq!(token.issued_at(), Some(UnixTime::from_secs(NOW - 10)));
    for good in [
        json!({ "aud": ["another", "portal"] }),
        json!({ "token_type": "bearer" }),
        json!({ "token_type": "access_token" }),
        json!({ "typ": "Bearer" }),
        json!({ "typ": "at+jwt" }),
        json!({ "typ": "JWT" }),
        json!({ "token_use": "access" }),
        json!({ "exp": NOW - 59 }),
        json!({ "nbf": NOW + 60 }),
        json!({ "iat": NOW + 60 }),
    ] {
        assert!(judge(&with(&base(), &good)).is_ok(), "{good}");
    }
    for optional in ["iss", "exp", "nbf", "iat", "token_type", "scope", "client_id"] {
        assert!(judge(&without(&base(), optional)).is_ok(), "without {optional}");
    }
}

#[test]
fn an_answer_that_is_not_for_us_opens_nothing() {
    let malformed = |claim| Rejection::Malformed(Flaw::Claim(claim));
    for (more, expected) in [
        (json!({ "iss": "https://evil.example.com/" }), Rejection::Iss),
        (json!({ "iss": format!("{ISSUER}/") }), Rejection::Iss),
        (json!({ "iss": null }), Rejection::Iss),
        (json!({ "iss": [ISSUER] }), Rejection::Iss),
        (json!({ "aud": "another" }), Rejection::Aud),
        (json!({ "aud": [] }), Rejection::Aud),
        (json!({ "aud": "" }), Rejection::Aud),
        (json!({ "aud": "PORTAL" }), Rejection::Aud),
        (json!({ "aud": "portal " }), Rejection::Aud),
        (json!({ "aud": null }), malformed("aud")),
        (json!({ "aud": ["portal", 1] }), malformed("aud")),
        (json!({ "sub": "" }), Rejection::Sub),
        (json!({ "sub": 5 }), malformed("sub")),
        (json!({ "sub": "alice " }), Rejection::ClaimCharset("sub")),
        (json!({ "sub": "a\r\nX-Auth-Tier: admin" }), Rejection::ClaimCharset("sub")),
        (json!({ "exp": NOW - 60 }), Rejection::Expired),
        (json!({ "exp": 0 }), Rejection::Expired),
        (json!({ "exp": "never" }), malformed("exp")),
        (json!({ "exp": null }), malformed("exp")),
        (json!({ "nbf": NOW + 61 }), Rejection::NotYetValid),
        (json!({ "nbf": "now" }), malformed("nbf")),
        (json!({ "iat": NOW + 61 }), Rejection::IatFuture),
        (json!({ "iat": true }), malformed("iat")),
        (json!({ "token_type": "DPoP" }), Rejection::WrongType),
        (json!({ "token_type": "refresh_token" }), Rejection::WrongType),
        (json!({ "token_type": "mac" }), Rejection::WrongType),
        (json!({ "token_type": "" }), Rejection::WrongType),
        (json!({ "token_type": ["Bearer"] }), Rejection::WrongType),
        (json!({ "token_type": "JWT" }), Rejection::WrongType),
        (json!({ "typ": "Refresh" }), Rejection::WrongType),
        (json!({ "typ": "Offline" }), Rejection::WrongType),
        (json!({ "typ": "ID" }), Rejection::WrongType),
        (json!({ "token_use": "refresh_token" }), Rejection::WrongType),
        (json!({ "token_use": "id" }), Rejection::WrongType),
        (json!({ "cnf": { "jkt": "x" } }), Rejection::WrongType),
        (json!({ "cnf": null }), Rejection::WrongType),
        (json!({ "nonce": "n" }), Rejection::WrongType),
        (json!({ "events": {} }), Rejection::WrongType),
        (json!({ "scope": 7 }), malformed("scopes")),
        (json!({ "scope": "a\u{7f}b" }), Rejection::ClaimCharset("scopes")),
        (json!({ "groups": [1] }), malformed("groups")),
        (json!({ "name": { "first": "Zoë" } }), malformed("name")),
    ] {
        assert_eq!(judge(&with(&base(), &more)).err(), Some(expected.into()), "{more}");
    }
    for (needed, expected) in [("aud", Rejection::Aud), ("sub", Rejection::Sub)] {
        assert_eq!(judge(&without(&base(), needed)).err(), Some(expected.into()), "without {needed}");
    }
}

#[test]
fn what_was_said_earlier_counts_while_time_and_settings_do() {
    let token = judge(&base()).unwrap();
    assert!(token.still_counts(&issuers(), now()));
    // To the second: the leeway is for clocks that differ, and the provider can be asked again.
    assert!(token.still_counts(&issuers(), UnixTime::from_millis(NOW * 1000 + 299_999)));
    assert!(!token.still_counts(&issuers(), UnixTime::from_secs(NOW + 300)));
    let others = IssuerSettings { audiences: vec!["other".to_owned()], ..settings() };
    assert!(!token.still_counts(&Issuers::new([others]).unwrap(), now()));
    assert!(!token.still_counts(&Issuers::default(), now()));
    let endless = judge(&without(&base(), "exp")).unwrap();
    assert!(endless.still_counts(&issuers(), UnixTime::from_secs(NOW + 1_000_000)));
}

#[test]
fn a_provider_is_asked_about_printable_texts_that_are_no_jwts() {
    let long = "a".repeat(MAX_OPAQUE_BYTES);
    for opaque in ["a", "v2.local", "no-dots_at~all+/=", "a.b.c.d.e", &long] {
        assert!(is_opaque(opaque), "{opaque}");
    }
    for other in ["", "a.b.c", "..", "eyJh.eyJp.", "a b", "a\u{7f}", "ü", "a\n", &format!("{long}a")] {
        assert!(!is_opaque(other), "{other}");
    }
}

#[test]
fn each_cause_has_its_word_and_its_reason() {
    for (rejection, word, reason) in [
        (OpaqueRejection::Inactive, "inactive", Reason::InvalidToken),
        (Rejection::Aud.into(), "aud", Reason::InvalidToken),
        (Rejection::Expired.into(), "expired", Reason::ExpiredToken),
        (OpaqueRejection::Unavailable, "introspection_unavailable", Reason::Unavailable),
        (OpaqueRejection::Late, "introspection_late", Reason::Unavailable),
        (OpaqueRejection::Busy, "too_many_introspections", Reason::Overloaded),
    ] {
        assert_eq!((rejection.as_str(), rejection.reason()), (word, reason));
    }
}
