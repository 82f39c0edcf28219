use serde_json::json;

use super::{CheckResult, inspect};
use crate::token::TokenCheck;
use crate::token::test_keys::{Fixed, NOW, Sign, issuers, live_keys, now, token};

#[test]
fn a_good_token_passes_every_check() {
    let token = token(&json!({}), &json!({}), Sign::K1);
    let seen = inspect(&token, &issuers(), &live_keys(), now());
    assert!(seen.checks.iter().all(|(_, result)| *result == CheckResult::Passed));
    assert_eq!(seen.checks.len(), TokenCheck::ALL.len());
    assert_eq!(seen.provider.as_ref().unwrap().as_str(), "main");
    assert_eq!(seen.key, Some(seen.verdict.as_ref().unwrap().key()));
    assert_eq!(seen.header.as_ref().unwrap()["kid"], "k1");
    assert_eq!(seen.claims.as_ref().unwrap()["sub"], "u-123");
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!format!("{seen:?}").contains(signature), "the token is not in it");
}

#[test]
fn a_refused_token_says_where_it_stopped() {
    let expired = token(&json!({}), &json!({ "exp": NOW - 100 }), Sign::K1);
    let seen = inspect(&expired, &issuers(), &live_keys(), now());
    let result = |check| seen.checks.iter().find(|(held, _)| *held == check).unwrap().1;
    assert_eq!(result(TokenCheck::Signature), CheckResult::Passed);
    assert_eq!(result(TokenCheck::Expiry), CheckResult::Failed);
    assert_eq!(result(TokenCheck::Lifetime), CheckResult::NotReached);
    assert_eq!(seen.verdict.unwrap_err().as_str(), "expired");
}

#[test]
fn what_is_readable_is_shown_of_any_text() {
    let hmac = token(&json!({ "alg": "HS256" }), &json!({ "iss": "https://evil.example" }), Sign::No);
    let seen = inspect(&hmac, &issuers(), &Fixed(None), now());
    assert!(seen.header.is_some() && seen.claims.is_some() && seen.provider.is_none() && seen.key.is_none());
    let seen = inspect("not a token", &issuers(), &live_keys(), now());
    assert!(seen.header.is_none() && seen.claims.is_none());
    assert_eq!(seen.checks[1], (TokenCheck::Form, CheckResult::Failed));
}
