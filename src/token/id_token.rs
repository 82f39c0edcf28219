//! ID tokens (OIDC Core section 3.1.3.7): by which a provider says who signed
//! in, to one client, once.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::algorithm::Algorithm;
use super::claims;
use super::issuer::IssuerSettings;
use super::jws::UnverifiedJws;
use super::rejection::{Flaw, Rejection};
use super::verify::{KeySource, check_signature};
use crate::types::{Secret, UnixTime};

/// What the ID token of one answer has to fit.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedIdToken<'a> {
    /// The client that asked.
    pub client_id: &'a str,
    /// The nonce of the authorization request. `None` after a refresh, whose ID
    /// token need not repeat it (OIDC Core section 12.2).
    pub nonce: Option<&'a Secret>,
    /// The access token that came along, which `at_hash` has to fit.
    pub access_token: Option<&'a str>,
    /// How long ago the person may have proved who they are, when the request
    /// said so (`max_age`).
    pub max_age: Option<Duration>,
}

/// An ID token that was verified in full.
#[derive(Debug, Clone)]
pub struct VerifiedIdToken {
    claims: Map<String, Value>,
    issuer: Arc<str>,
    subject: Box<str>,
    sid: Option<Box<str>>,
    expires_at: UnixTime,
}

/// Why an ID token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenRejection {
    /// For a cause that every token shares.
    #[error(transparent)]
    Token(#[from] Rejection),
    /// It is another kind of token.
    #[error("the token is not an id token")]
    WrongKind,
    /// `nonce` is missing, no string, or another one.
    #[error("the nonce of the id token is not the one of this sign-in")]
    Nonce,
    /// `azp` names another client, or is missing beside several audiences.
    #[error("the id token was issued to another client")]
    Azp,
    /// `at_hash` does not fit the access token (OIDC Core section 3.1.3.8).
    #[error("the id token belongs to another access token")]
    AtHash,
    /// `auth_time` is missing or too long ago.
    #[error("the person was asked too long ago who they are")]
    AuthTime,
}

impl IdTokenRejection {
    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Token(rejection) => rejection.as_str(),
            Self::WrongKind => "wrong_kind",
            Self::Nonce => "nonce",
            Self::Azp => "azp",
            Self::AtHash => "at_hash",
            Self::AuthTime => "auth_time",
        }
    }
}

/// Verifies an ID token of the issuer that `settings` are for.
///
/// # Errors
///
/// The first check that fails.
pub fn verify_id_token(
    token: &str,
    settings: &IssuerSettings,
    keys: &dyn KeySource,
    expected: &ExpectedIdToken<'_>,
    now: UnixTime,
) -> Result<VerifiedIdToken, IdTokenRejection> {
    let jws = UnverifiedJws::parse(token)?;
    check_issuer(&jws.claims, settings)?;
    if !jws.header.is_of_type(&["JWT".to_owned()]) {
        return Err(IdTokenRejection::WrongKind);
    }
    check_signature(&jws, settings, keys)?;
    let algorithm = jws.header.algorithm;
    let claims = jws.claims;
    if claims.contains_key("events") {
        return Err(IdTokenRejection::WrongKind);
    }
    check_client(&claims, expected.client_id)?;
    let subject = claims::subject(&claims)?;
    let times = claims::times(&claims)?;
    times.check(settings.leeway(), now)?;
    if let Some(nonce) = expected.nonce {
        let held = claims.get("nonce").and_then(Value::as_str).ok_or(IdTokenRejection::Nonce)?;
        if !same(held, nonce.expose()) {
            return Err(IdTokenRejection::Nonce);
        }
    }
    check_access_token(&claims, algorithm, expected.access_token)?;
    check_auth_time(&claims, expected.max_age, settings.leeway(), now)?;
    let sid = optional_id(&claims, "sid")?;
    let issuer = Arc::clone(&settings.issuer);
    Ok(VerifiedIdToken { issuer, subject, sid, expires_at: times.expires_at, claims })
}

impl VerifiedIdToken {
    /// Every claim.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The `iss` claim.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `sub` claim.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The provider's own session, when it says so.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// The `exp` claim.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }
}

/// The issuer has to be this one: at which provider the person signed in is
/// known, so no other may answer for it.
pub(super) fn check_issuer(claims: &Map<String, Value>, settings: &IssuerSettings) -> Result<(), Rejection> {
    let named = claims.get("iss").and_then(Value::as_str);
    if named == Some(settings.issuer.as_ref()) { Ok(()) } else { Err(Rejection::Iss) }
}

/// An id of the provider: a text that is not empty, where it stands.
pub(super) fn optional_id(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Box<str>>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() => Ok(Some(Box::from(id.as_str()))),
        Some(_) => Err(Rejection::Malformed(Flaw::Claim(name))),
    }
}

fn check_client(claims: &Map<String, Value>, client_id: &str) -> Result<(), IdTokenRejection> {
    let audiences = claims::audiences(claims)?;
    if !audiences.contains(&client_id) {
        return Err(Rejection::Aud.into());
    }
    match claims.get("azp") {
        None if audiences.len() == 1 => Ok(()),
        Some(Value::String(client)) if client == client_id => Ok(()),
        None | Some(_) => Err(IdTokenRejection::Azp),
    }
}

fn check_access_token(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    access_token: Option<&str>,
) -> Result<(), IdTokenRejection> {
    let Some(at_hash) = claims.get("at_hash") else { return Ok(()) };
    let (Some(at_hash), Some(access_token)) = (at_hash.as_str(), access_token) else {
        return Err(IdTokenRejection::AtHash);
    };
    if same(at_hash, &left_half(access_token, algorithm)) { Ok(()) } else { Err(IdTokenRejection::AtHash) }
}

/// The left half of the token's hash, made with the hash of the algorithm that
/// signed the ID token; Ed25519 hashes with SHA-512.
fn left_half(access_token: &str, algorithm: Algorithm) -> String {
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => &SHA256,
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => &SHA384,
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => &SHA512,
    };
    let digest = digest::digest(hash, access_token.as_bytes());
    let (left, _) = digest.as_ref().split_at(hash.output_len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

fn check_auth_time(
    claims: &Map<String, Value>,
    max_age: Option<Duration>,
    leeway: Duration,
    now: UnixTime,
) -> Result<(), IdTokenRejection> {
    let Some(max_age) = max_age else { return Ok(()) };
    let auth_time = claims::time(claims, "auth_time")?.ok_or(IdTokenRejection::AuthTime)?;
    if now.since(auth_time) > max_age.saturating_add(leeway) { Err(IdTokenRejection::AuthTime) } else { Ok(()) }
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
