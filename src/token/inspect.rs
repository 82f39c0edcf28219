//! Explains a token step by step, for people. The verdict is that of
//! [`verify`]: there is no second evaluation that could differ.

use serde_json::{Map, Value};

use super::issuer::Issuers;
use super::jwk::KeyRef;
use super::jws::{self, Parts, UnverifiedJws};
use super::rejection::{Rejection, TokenCheck, TokenPart};
use super::verify::{KeySource, VerifiedToken, named_issuer, select_key, verify};
use crate::types::{ProviderId, UnixTime};

/// What a token says and how it fared. It holds neither the token nor its
/// signature; the claims are unverified unless [`Self::verdict`] is `Ok`.
#[derive(Debug)]
pub struct Inspection {
    /// The header, when it is readable.
    pub header: Option<Map<String, Value>>,
    /// The payload, when it is readable.
    pub claims: Option<Map<String, Value>>,
    /// The provider that the `iss` names.
    pub provider: Option<ProviderId>,
    /// The key that the header names, when the provider's live set holds it.
    pub key: Option<KeyRef>,
    /// Every check in order.
    pub checks: Vec<(TokenCheck, CheckResult)>,
    /// What [`verify`] says.
    pub verdict: Result<VerifiedToken, Rejection>,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// It passed.
    Passed,
    /// It refused the token; the verdict says why.
    Failed,
    /// An earlier check refused the token.
    NotReached,
}

/// Explains `token`.
#[must_use]
pub fn inspect(token: &str, issuers: &Issuers, keys: &dyn KeySource, now: UnixTime) -> Inspection {
    let parts = Parts::split(token).ok();
    let header = parts.as_ref().and_then(|parts| jws::object(parts.header, TokenPart::Header).ok());
    let claims = parts.as_ref().and_then(|parts| jws::object(parts.payload, TokenPart::Payload).ok());
    let settings = claims.as_ref().and_then(|claims| named_issuer(claims, issuers).ok());
    let key = settings.and_then(|settings| {
        let key_set = keys.key_set(&settings.provider)?;
        let jws = UnverifiedJws::parse(token).ok()?;
        select_key(&jws.header, settings, &key_set).ok().map(super::jwk::Key::reference)
    });
    let verdict = verify(token, issuers, keys, now);
    let refused_at = verdict.as_ref().err().map(Rejection::check);
    Inspection {
        provider: settings.map(|settings| settings.provider.clone()),
        header,
        claims,
        key,
        checks: steps(refused_at),
        verdict,
    }
}

fn steps(refused_at: Option<TokenCheck>) -> Vec<(TokenCheck, CheckResult)> {
    let result = |check: TokenCheck| match refused_at {
        Some(refused_at) if check == refused_at => CheckResult::Failed,
        Some(refused_at) if check > refused_at => CheckResult::NotReached,
        _ => CheckResult::Passed,
    };
    TokenCheck::ALL.into_iter().map(|check| (check, result(check))).collect()
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
