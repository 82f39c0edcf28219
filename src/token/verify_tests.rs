//! Each test names the cases of the attack corpus that it covers.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{VerifiedToken, verify};
use crate::token::test_keys::{
    Fixed, ISSUER, NOW, Sign, b64, claims, header, issuers, jwks, key_set, keys, live_keys, now, path, rsa_jwk,
    settings, sign, token, with, without,
};
use crate::token::{Algorithm, IssuerSettings, Issuers, Rejection};
use crate::types::{NameSet, ProviderId, Reason, UnixTime};

fn check(token: &str) -> Result<VerifiedToken, Rejection> {
    verify(token, &issuers(), &live_keys(), now())
}

fn check_with(settings: IssuerSettings, token: &str) -> Result<VerifiedToken, Rejection> {
    verify(token, &Issuers::new([settings]).unwrap(), &live_keys(), now())
}

/// How the check of the base token with these changes ends, in the corpus' words.
fn said(more_header: &Value, more_claims: &Value, how: Sign) -> &'static str {
    said_of(&token(more_header, more_claims, how))
}

fn said_of(token: &str) -> &'static str {
    check(token).map_or_else(|rejection| rejection.as_str(), |_| "ok")
}

fn claims_said(more_claims: &Value) -> &'static str {
    said(&json!({}), more_claims, Sign::K1)
}

fn scopes_of(more_claims: &Value) -> Vec<String> {
    let verified = check(&token(&json!({}), more_claims, Sign::K1)).unwrap();
    verified.principal().scopes.iter().map(str::to_owned).collect()
}

#[test]
fn the_controls_verify() {
    assert_eq!(said(&json!({}), &json!({}), Sign::K1), "ok", "T001");
    assert_eq!(said(&json!({ "alg": "ES256", "kid": "k2" }), &json!({}), Sign::K2), "ok", "T002");
    assert_eq!(said(&json!({ "alg": "EdDSA", "kid": "k3" }), &json!({}), Sign::K3), "ok", "T003");
    assert_eq!(claims_said(&json!({ "aud": ["other", "portal"] })), "ok", "T004");
    assert_eq!(claims_said(&json!({ "exp": NOW as f64 + 300.5 })), "ok", "T005");
    assert_eq!(claims_said(&json!({ "x": { "y": [1, 2, { "z": null }] } })), "ok", "T006");
    assert_eq!(said(&json!({ "typ": "AT+JWT" }), &json!({}), Sign::K1), "ok", "T009");
    assert_eq!(said(&json!({ "typ": "application/at+jwt" }), &json!({}), Sign::K1), "ok");
    let spaced = sign(r#"  { "alg" : "RS256", "typ":"at+jwt", "kid":"k1" } "#, claims().to_string(), Sign::K1);
    assert_eq!(said_of(&spaced), "ok", "T011");
}

#[test]
fn a_verified_token_says_who_calls() {
    let verified = check(&token(
        &json!({}),
        &json!({
            "permissions": ["post:drinks"], "groups": "Domain Users", "realm_access": { "roles": ["audit"] },
            "email": "u@example.com", "email_verified": true, "name": "Ü Ser",
        }),
        Sign::K1,
    ))
    .unwrap();
    let principal = verified.principal();
    assert_eq!(principal.provider, ProviderId::new("main"));
    assert_eq!(&*principal.issuer, ISSUER);
    assert_eq!(&*principal.subject, "u-123");
    assert_eq!(principal.scopes, NameSet::from_iter(["stable", "devel"]));
    assert_eq!(principal.permissions, NameSet::from_iter(["post:drinks"]));
    assert_eq!(principal.groups, NameSet::from_iter(["Domain Users", "audit"]), "a string is one group");
    assert_eq!(principal.email.as_ref().and_then(|email| email.verified_domain()), Some("example.com"));
    assert_eq!(principal.name.as_deref(), Some("Ü Ser"));
    assert_eq!(principal.claims.get("client_id"), Some(&json!("portal-web")), "T166: never merged with the subject");
    assert_eq!(verified.expires_at(), UnixTime::from_secs(NOW + 300));
    assert_eq!(verified.provider().as_str(), "main");
}

#[test]
fn only_allowed_algorithms_count() {
    let none = |alg: Value| said(&json!({ "alg": alg }), &json!({}), Sign::No);
    for alg in ["none", "None", "NONE", "noNE", "HS256", "HS384", "HS512", "ES256K", "rs256", "RS256 ", ""] {
        assert_eq!(none(json!(alg)), "alg_not_allowed", "T013, T026, T028, T030, T038: {alg}");
    }
    assert_eq!(none(json!(null)), "alg_not_allowed", "T022");
    assert_eq!(none(json!(["RS256"])), "alg_not_allowed", "T023");
    let escaped = sign(r#"{"alg":"n\u006fne","typ":"at+jwt","kid":"k1"}"#, claims().to_string(), Sign::No);
    assert_eq!(said_of(&escaped), "alg_not_allowed", "T019");
    let missing = sign(without(&header(), "alg").to_string(), claims().to_string(), Sign::K1);
    assert_eq!(said_of(&missing), "alg_not_allowed", "T020");
    let hmac_on_plain_key = said(&json!({ "alg": "HS256", "kid": "k1-noalg" }), &json!({}), Sign::No);
    assert_eq!(hmac_on_plain_key, "alg_not_allowed", "T036");
    let embedded = json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } });
    assert_eq!(said(&embedded, &json!({}), Sign::No), "alg_not_allowed", "T042");
    let es384 = said(&json!({ "alg": "ES384", "kid": "k4" }), &json!({}), Sign::K4);
    assert_eq!(es384, "alg_not_allowed", "known, but not allowed for the issuer");
}

#[test]
fn a_key_is_for_one_algorithm() {
    assert_eq!(said(&json!({ "alg": "RS384" }), &json!({}), Sign::K1Rs384), "key_alg_mismatch", "T033");
    assert_eq!(said(&json!({ "alg": "PS256" }), &json!({}), Sign::K1Ps256), "key_alg_mismatch", "T034");
    assert_eq!(said(&json!({}), &json!({}), Sign::K1Ps256), "bad_signature", "T035");
    assert_eq!(said(&json!({ "alg": "ES256" }), &json!({}), Sign::K2), "key_alg_mismatch", "a curve for an RSA kid");
    let every = IssuerSettings { algorithms: Algorithm::ALL.to_vec(), ..settings() };
    let plain = |alg, how| {
        check_with(every.clone(), &token(&json!({ "alg": alg, "kid": "k1-noalg" }), &json!({}), how)).is_ok()
    };
    assert!(plain("RS256", Sign::K1) && plain("RS384", Sign::K1Rs384) && plain("PS256", Sign::K1Ps256));
    assert!(!plain("RS256", Sign::K1Ps256) && !plain("PS384", Sign::K1Ps256));
    let es384 = token(&json!({ "alg": "ES384", "kid": "k4" }), &json!({}), Sign::K4);
    assert!(check_with(every, &es384).is_ok());
}

#[test]
fn keys_in_the_header_never_count() {
    let attacker = rsa_jwk(&keys().attacker);
    for header in [
        json!({ "jwk": attacker }),
        json!({ "jku": "http://127.0.0.1:1/jwks.json" }),
        json!({ "x5u": "http://127.0.0.1:1/c.pem" }),
        json!({ "x5c": ["MIIB"] }),
    ] {
        assert_eq!(said(&header, &json!({}), Sign::Attacker), "bad_signature", "T045, T046: {header}");
    }
}

#[test]
fn the_kid_is_an_exact_name_in_the_key_set() {
    let no_kid = |claims: Value| sign(without(&header(), "kid").to_string(), claims.to_string(), Sign::K1);
    assert_eq!(said_of(&no_kid(claims())), "kid_missing", "T049");
    for kid in [
        "../../../../dev/null",
        "x' UNION SELECT '1';--",
        "K1",
        "",
        "enc1",
        "ops1",
        "dup",
        "rsa1024",
        "rsae1",
        "badpoint",
        "oct1",
    ] {
        assert_eq!(said(&json!({ "kid": kid }), &json!({}), Sign::K1), "kid_unknown", "T051-T053, T058, T064: {kid}");
    }
    assert_eq!(said(&json!({ "kid": ["k1"] }), &json!({}), Sign::K1), "malformed", "T057");
    assert_eq!(said(&json!({ "kid": null }), &json!({}), Sign::K1), "malformed");
    assert_eq!(said(&json!({ "kid": "k".repeat(257) }), &json!({}), Sign::K1), "malformed");

    let unknown = check(&token(&json!({ "kid": "new" }), &json!({}), Sign::K1)).unwrap_err();
    assert_eq!(unknown.provider_needing_keys(), Some(&ProviderId::new("main")));
    assert_eq!(unknown.reason(), Reason::InvalidToken);

    let only = Fixed(Some(key_set(&json!({ "keys": [rsa_jwk(&keys().rsa)] }))));
    assert!(verify(&no_kid(claims()), &issuers(), &only, now()).is_ok(), "exactly one key fits");
}

#[test]
fn without_keys_nothing_is_decided() {
    let rejection = verify(&token(&json!({}), &json!({}), Sign::K1), &issuers(), &Fixed(None), now()).unwrap_err();
    assert_eq!((rejection.as_str(), rejection.reason()), ("keys_unavailable", Reason::Unavailable));
    assert_eq!(rejection.provider_needing_keys(), None);
}

#[test]
fn the_signature_has_one_form() {
    let good = token(&json!({}), &json!({}), Sign::K1);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let other = token(&json!({}), &json!({ "jti": "j2" }), Sign::K1);
    let spliced = format!("{input}.{}", other.rsplit_once('.').unwrap().1);
    assert_eq!(said_of(&spliced), "bad_signature", "T070");
    let mut longer = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
    longer.push(0);
    assert_eq!(said_of(&format!("{input}.{}", b64(&longer))), "bad_signature", "T073");
    assert_eq!(said_of(&format!("{input}.")), "bad_signature", "an empty signature");
    for len in [1, 32, 63, 64, 65, 72, 255, 256, 257] {
        assert_eq!(said_of(&format!("{input}.{}", b64(vec![0; len]))), "bad_signature");
        let ec =
            sign(json!({ "alg": "ES256", "kid": "k2", "typ": "at+jwt" }).to_string(), claims().to_string(), Sign::No);
        assert_eq!(said_of(&format!("{ec}{}", b64(vec![0; len]))), "bad_signature", "T075");
    }
}

#[test]
fn the_form_is_compact_and_canonical() {
    let good = token(&json!({}), &json!({}), Sign::K1);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature }).to_string();
    let cases = [
        (flattened, "T080"),
        (format!("{good}.x"), "T082"),
        (format!("{}.a.b.c.d", b64(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)), "T085"),
        (format!("{}.a.b.c.d", b64(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#)), "T087"),
        (sign(self::header().to_string(), good.as_bytes(), Sign::K1), "T088"),
        (format!("{header}=.{payload}.{signature}"), "T089"),
        (format!("{header}.{payload}.{signature}="), "T089"),
        (good.replacen('.', "\n.", 1), "T092"),
        (format!("\"{good}\""), "T196"),
        (format!("{header} .{payload}.{signature}"), "T092"),
        (sign(format!("\u{feff}{}", self::header()), claims().to_string(), Sign::K1), "T095"),
        (sign(self::header().to_string(), format!("\u{feff}{}", claims()), Sign::K1), "T095"),
        (format!(".{payload}.{signature}"), "no header"),
        (format!("{header}..{signature}"), "no payload"),
        (format!("{header}.{payload}"), "two parts"),
        (String::new(), "nothing"),
        ("..".to_owned(), "dots"),
        (".".repeat(10_000), "many dots"),
        (sign(self::header().to_string(), "[]", Sign::K1), "not an object"),
        (sign(self::header().to_string(), format!("{} {{}}", claims()), Sign::K1), "two objects"),
        (sign(self::header().to_string(), b"{\"sub\":\"\xff\"}", Sign::K1), "not utf-8"),
        (sign(self::header().to_string(), r#"{"exp":1e999}"#, Sign::K1), "a number out of range"),
        (token(&json!({ "zip": "DEF" }), &json!({}), Sign::K1), "zip"),
        (token(&json!({ "enc": "A256GCM" }), &json!({}), Sign::K1), "enc"),
        (token(&json!({ "typ": 1 }), &json!({}), Sign::K1), "typ of the wrong type"),
    ];
    for (token, case) in cases {
        assert_eq!(said_of(&token), "malformed", "{case}");
    }
}

#[test]
fn one_signature_has_one_spelling() {
    // 256 bytes leave four unused bits in the last character.
    let good = token(&json!({}), &json!({}), Sign::K1);
    let last = good.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spellings = alphabet.chars().filter(|other| *other != last);
    for other in spellings {
        let respelled = format!("{}{other}", good.split_at(good.len() - 1).0);
        assert!(check(&respelled).is_err(), "{other} for {last}");
    }
}

#[test]
fn sizes_and_depth_are_bounded() {
    assert_eq!(claims_said(&json!({ "aud": vec!["portal"; 100_000] })), "too_large", "T157");
    assert_eq!(claims_said(&json!({ "scope": "devel ".repeat(100_000) })), "too_large", "T183");
    let nested = |depth: usize| {
        let mut payload = claims().to_string();
        payload.pop();
        write!(payload, r#","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth)).unwrap();
        said_of(&sign(header().to_string(), payload, Sign::K1))
    };
    assert_eq!(nested(15), "ok", "sixteen levels with the outermost object");
    assert_eq!(nested(16), "malformed");
    assert_eq!(nested(4_000), "malformed", "T101");
    assert_eq!(nested(10_000), "too_large", "T101");
    let unclosed = sign(header().to_string(), "[".repeat(9_000), Sign::K1);
    assert_eq!(said_of(&unclosed), "malformed", "T101");
}

#[test]
fn no_member_is_named_twice() {
    let in_header = |first: &str| {
        sign(format!(r#"{{{first},"alg":"RS256","typ":"at+jwt","kid":"k1"}}"#), claims().to_string(), Sign::K1)
    };
    assert_eq!(said_of(&in_header(r#""alg":"none""#)), "duplicate_member", "T105");
    assert_eq!(said_of(&in_header(r#""kid":"k2""#)), "duplicate_member", "T106");
    let in_claims = |first: &str| {
        let payload = claims().to_string().replacen('{', &format!("{{{first},"), 1);
        said_of(&sign(header().to_string(), payload, Sign::K1))
    };
    assert_eq!(in_claims(r#""scope":"admin""#), "duplicate_member", "T107");
    assert_eq!(in_claims(r#""sub":"admin""#), "duplicate_member", "T108");
    assert_eq!(in_claims(r#""exp":1"#), "duplicate_member", "T109");
    assert_eq!(in_claims(r#""sc\u006fpe":"admin""#), "duplicate_member", "T110");
    assert_eq!(in_claims(r#""x":[{"y":{"z":1,"\u007a":2}}]"#), "duplicate_member", "below the first level");
    assert_eq!(scopes_of(&json!({ "scope": "stable", "scope\u{0}": "admin devel" })), ["stable"], "T111");
}

#[test]
fn extensions_are_refused() {
    assert_eq!(said(&json!({ "crit": ["exp"] }), &json!({}), Sign::K1), "crit", "T112");
    assert_eq!(said(&json!({ "crit": [] }), &json!({}), Sign::K1), "crit", "T114");
    assert_eq!(said(&json!({ "crit": null }), &json!({}), Sign::K1), "crit");
    assert_eq!(said(&json!({ "b64": false }), &json!({}), Sign::K1), "crit", "T117");
    assert_eq!(said(&json!({ "b64": true }), &json!({}), Sign::K1), "crit");
}

#[test]
fn other_kinds_of_token_are_refused() {
    let id_token = json!({ "aud": "portal-web", "nonce": "n" });
    assert_eq!(said(&json!({ "typ": "JWT" }), &id_token, Sign::K1), "wrong_type", "T118");
    for typ in ["JWT", "logout+jwt", "dpop+jwt", "application/x/at+jwt", "at+jwt ", ""] {
        assert_eq!(said(&json!({ "typ": typ }), &json!({}), Sign::K1), "wrong_type", "{typ}");
    }
    let plain = IssuerSettings { token_types: vec!["application/JWT".to_owned()], ..settings() };
    let untyped = |claims: Value| sign(without(&header(), "typ").to_string(), claims.to_string(), Sign::K1);
    assert!(check_with(plain.clone(), &untyped(claims())).is_ok(), "an absent type counts as `JWT`");
    assert_eq!(said_of(&untyped(claims())), "wrong_type");
    for foreign in ["nonce", "at_hash", "c_hash", "events", "cnf"] {
        let token = untyped(with(&claims(), &json!({ foreign: null })));
        assert_eq!(check_with(plain.clone(), &token).unwrap_err().as_str(), "wrong_type", "{foreign}");
    }
}

#[test]
fn times_are_bounded_on_both_sides() {
    assert_eq!(claims_said(&json!({ "exp": NOW - 61 })), "expired", "T125");
    assert_eq!(claims_said(&json!({ "exp": NOW - 60 })), "expired", "on the bound");
    assert_eq!(claims_said(&json!({ "exp": NOW - 59, "iat": NOW - 100 })), "ok", "T126");
    assert_eq!(claims_said(&json!({ "exp": -1 })), "expired", "T131");
    assert_eq!(claims_said(&json!({ "exp": -1e300 })), "expired");
    assert_eq!(claims_said(&json!({ "exp": NOW + 315_360_000 })), "lifetime", "T133");
    assert_eq!(claims_said(&json!({ "exp": NOW * 1000 })), "lifetime", "T134");
    assert_eq!(claims_said(&json!({ "exp": 1e300 })), "lifetime");
    assert_eq!(claims_said(&json!({ "iat": -1e300 })), "lifetime");
    assert_eq!(claims_said(&json!({ "iat": NOW - 10, "exp": NOW - 10 + 86_400 })), "ok");
    assert_eq!(claims_said(&json!({ "iat": NOW - 11, "exp": NOW - 10 + 86_400 })), "lifetime");
    assert_eq!(claims_said(&json!({ "nbf": NOW + 60 })), "ok");
    assert_eq!(claims_said(&json!({ "nbf": NOW + 61 })), "not_yet_valid");
    assert_eq!(claims_said(&json!({ "iat": NOW + 3600 })), "iat_future", "T137");
    assert_eq!(claims_said(&json!({ "iat": NOW + 60 })), "ok");
    for (name, value) in
        [("nbf", json!("0")), ("nbf", json!(null)), ("exp", json!("9")), ("iat", json!([1])), ("exp", json!(true))]
    {
        assert_eq!(claims_said(&json!({ name: value })), "malformed", "T136: {name}");
    }
    for name in ["exp", "iat"] {
        let token = sign(header().to_string(), without(&claims(), name).to_string(), Sign::K1);
        assert_eq!(said_of(&token), "malformed", "{name} is required");
    }
    let no_nbf = sign(header().to_string(), without(&claims(), "nbf").to_string(), Sign::K1);
    assert_eq!(said_of(&no_nbf), "ok");
    let expired = check(&token(&json!({}), &json!({ "exp": NOW - 61 }), Sign::K1)).unwrap_err();
    assert_eq!(expired.reason(), Reason::ExpiredToken);
    let forged = check(&token(&json!({}), &json!({ "exp": NOW - 61 }), Sign::Attacker)).unwrap_err();
    assert_eq!(forged.reason(), Reason::InvalidToken, "nothing is said about a token that nobody signed");
    let lax = IssuerSettings { leeway: std::time::Duration::from_secs(3600), ..settings() };
    let late = token(&json!({}), &json!({ "exp": NOW - 61 }), Sign::K1);
    assert_eq!(check_with(lax, &late).unwrap_err().as_str(), "expired", "no leeway is longer than a minute");
}

#[test]
fn the_issuer_is_compared_byte_for_byte() {
    for iss in [
        json!("https://idp.example.com/realms/other"),
        json!([ISSUER, "https://evil.example"]),
        json!(""),
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!(null),
        json!({ "iss": ISSUER }),
    ] {
        assert_eq!(claims_said(&json!({ "iss": iss })), "iss", "T144, T147, T148");
    }
    let missing = sign(header().to_string(), without(&claims(), "iss").to_string(), Sign::K1);
    assert_eq!(said_of(&missing), "iss");
    assert!(Issuers::new([settings(), settings()]).is_err(), "one issuer has one set of settings");
}

#[test]
fn the_audience_must_be_ours() {
    let missing = sign(header().to_string(), without(&claims(), "aud").to_string(), Sign::K1);
    assert_eq!(said_of(&missing), "aud", "T149");
    for aud in [json!([]), json!(["port", "al"]), json!("PORTAL"), json!(""), json!("portal "), json!("portal,x")] {
        assert_eq!(claims_said(&json!({ "aud": aud })), "aud", "T151, T153, T156: {aud}");
    }
    for aud in [json!(1), json!({ "portal": true }), json!(null), json!(["portal", 1]), json!([["portal"]])] {
        assert_eq!(claims_said(&json!({ "aud": aud })), "malformed", "{aud}");
    }
    let other = IssuerSettings { audiences: vec!["billing".to_owned()], ..settings() };
    let token = token(&json!({}), &json!({}), Sign::K1);
    assert_eq!(check_with(other, &token).unwrap_err().as_str(), "aud", "T201");
    let careless = IssuerSettings { audiences: vec![String::new()], ..settings() };
    let empty = sign(header().to_string(), with(&claims(), &json!({ "aud": "" })).to_string(), Sign::K1);
    assert_eq!(check_with(careless, &empty).unwrap_err().as_str(), "aud");
}

#[test]
fn the_subject_is_a_printable_name() {
    let missing = sign(header().to_string(), without(&claims(), "sub").to_string(), Sign::K1);
    assert_eq!(said_of(&missing), "sub", "T159");
    assert_eq!(claims_said(&json!({ "sub": "" })), "sub");
    for sub in [json!(1), json!(null), json!(["u"]), json!({})] {
        assert_eq!(claims_said(&json!({ "sub": sub })), "malformed", "T161");
    }
    for sub in ["a\r\nX-Auth-Scopes: admin", "a\u{0}b", "a\u{7f}", "a\u{85}b", " a", "a ", " "] {
        assert_eq!(claims_said(&json!({ "sub": sub })), "claim_charset", "T162, T163: {sub:?}");
    }
    for (name, value) in [
        ("scope", json!("a b\tc")),
        ("scope", json!(["a\nb"])),
        ("groups", json!(["a\r"])),
        ("permissions", json!("p\u{0}")),
        ("email", json!("a@b\n")),
        ("name", json!("a\u{9b}b")),
    ] {
        assert_eq!(claims_said(&json!({ name: value })), "claim_charset", "{name}");
    }
}

#[test]
fn scopes_are_whole_words_split_at_spaces_only() {
    assert_eq!(scopes_of(&json!({ "scope": "" })), Vec::<String>::new(), "T172");
    assert_eq!(scopes_of(&json!({ "scope": "developer" })), ["developer"], "T173");
    assert_eq!(scopes_of(&json!({ "scope": "xdevel" })), ["xdevel"], "T174");
    assert_eq!(scopes_of(&json!({ "scope": "DEVEL" })), ["DEVEL"], "T175");
    assert_eq!(scopes_of(&json!({ "scope": "stable\u{a0}devel" })), ["stable\u{a0}devel"], "T178");
    assert_eq!(scopes_of(&json!({ "scope": "stable,devel" })), ["stable,devel"]);
    assert_eq!(scopes_of(&json!({ "scope": ["stable", "devel", ""] })), ["devel", "stable"], "T179");
    assert_eq!(scopes_of(&json!({ "scope": ["stable devel"] })), ["stable devel"], "an element is one name");
    assert_eq!(scopes_of(&json!({ "scope": null })), Vec::<String>::new());
    assert_eq!(scopes_of(&json!({ "scope": "admin" })), ["admin"], "T182");
    assert_eq!(scopes_of(&json!({ "scope": "", "scp": "devel" })), Vec::<String>::new(), "T184");
    let roles = json!({ "scope": "", "realm_access": { "roles": ["devel"] } });
    assert_eq!(scopes_of(&roles), Vec::<String>::new(), "T185");
    for scope in [json!({ "devel": true }), json!(1), json!(true), json!(["devel", 1])] {
        assert_eq!(claims_said(&json!({ "scope": scope })), "malformed", "T180");
    }
}

#[test]
fn an_address_is_verified_only_by_a_true_beside_it() {
    let domain = |settings: IssuerSettings, more: Value| {
        let token = token(&json!({}), &more, Sign::K1);
        let verified = check_with(settings, &token).unwrap();
        verified.principal().email.as_ref().and_then(|email| email.verified_domain()).map(str::to_owned)
    };
    let mail = |verified: Value| json!({ "email": "u@example.com", "email_verified": verified });
    assert_eq!(domain(settings(), mail(json!(true))).as_deref(), Some("example.com"));
    for not_true in [json!("true"), json!(1), json!(false), json!(null)] {
        assert_eq!(domain(settings(), mail(not_true)), None);
    }
    let twice = json!({ "email": "attacker@evil.com@example.com", "email_verified": true });
    assert_eq!(domain(settings(), twice), None, "T167");
    let mut upn = settings();
    upn.claims.email = Some(path("upn"));
    let unverified_upn = json!({ "upn": "u@example.com", "email": "u@evil.com", "email_verified": true });
    assert_eq!(domain(upn, unverified_upn), None, "the provider verified another claim");
    let mut nested = settings();
    nested.claims.email = Some(path("/profile/email"));
    let profile = json!({ "profile": { "email": "u@example.com", "email_verified": true } });
    assert_eq!(domain(nested, profile).as_deref(), Some("example.com"));
}

#[test]
fn a_kept_token_is_only_as_good_as_its_key_settings_and_time() {
    let verified = check(&token(&json!({}), &json!({}), Sign::K1)).unwrap();
    let recheck = |issuers: &Issuers, keys: &Fixed, now: UnixTime| {
        verified.recheck(issuers, keys, now).map_err(|rejection| rejection.as_str())
    };
    let same = issuers();
    assert_eq!(recheck(&same, &live_keys(), now()), Ok(()));
    assert_eq!(recheck(&same, &live_keys(), UnixTime::from_secs(NOW + 359)), Ok(()));
    assert_eq!(recheck(&same, &live_keys(), UnixTime::from_secs(NOW + 360)), Err("expired"));
    assert_eq!(recheck(&same, &live_keys(), UnixTime::from_secs(NOW - 71)), Err("not_yet_valid"), "a clock set back");
    assert_eq!(recheck(&same, &Fixed(None), now()), Err("keys_unavailable"));

    let mut rotated = jwks();
    rotated["keys"].as_array_mut().unwrap().remove(0);
    assert_eq!(recheck(&same, &Fixed(Some(key_set(&rotated))), now()), Err("key_retired"), "J023");
    let mut swapped = jwks();
    swapped["keys"][0] = with(&rsa_jwk(&keys().attacker), &json!({ "kid": "k1", "alg": "RS256" }));
    assert_eq!(recheck(&same, &Fixed(Some(key_set(&swapped))), now()), Err("key_retired"), "same name, other key");
    let mut narrowed = jwks();
    narrowed["keys"][0]["alg"] = json!("PS256");
    assert_eq!(recheck(&same, &Fixed(Some(key_set(&narrowed))), now()), Err("key_retired"));
    assert_eq!(recheck(&same, &Fixed(Some(key_set(&jwks()))), now()), Ok(()), "the same keys fetched again");

    let stricter = IssuerSettings { audiences: vec!["billing".to_owned()], ..settings() };
    assert_eq!(recheck(&Issuers::new([stricter]).unwrap(), &live_keys(), now()), Err("settings_changed"), "T201");
    assert_eq!(recheck(&Issuers::default(), &live_keys(), now()), Err("iss"));
}

#[test]
fn a_verified_token_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<VerifiedToken>();
    shared::<Arc<crate::token::KeySet>>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_changed_character_verifies(at in any::<prop::sample::Index>(), replacement in "[A-Za-z0-9_.=-]") {
        static GOOD: std::sync::OnceLock<[String; 3]> = std::sync::OnceLock::new();
        let good = GOOD.get_or_init(|| [
            token(&json!({}), &json!({}), Sign::K1),
            token(&json!({ "alg": "ES256", "kid": "k2" }), &json!({}), Sign::K2),
            token(&json!({ "alg": "EdDSA", "kid": "k3" }), &json!({}), Sign::K3),
        ]);
        for token in good {
            let at = at.index(token.len());
            let (before, after) = (token.split_at(at).0, token.split_at(at + 1).1);
            let changed = format!("{before}{replacement}{after}");
            prop_assert!(changed == *token || check(&changed).is_err());
        }
    }

    #[test]
    fn no_text_is_accepted_or_panics(text in any::<String>(), dotted in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        prop_assert!(check(&text).is_err());
        prop_assert!(check(&dotted).is_err());
    }

    #[test]
    fn no_header_or_payload_without_a_signature_is_accepted(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        prop_assert!(check(&sign(&header, &payload, Sign::No)).is_err());
        prop_assert!(check(&sign(self::header().to_string(), &payload, Sign::No)).is_err());
    }
}
