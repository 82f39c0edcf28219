//! Logout tokens (OIDC Back-Channel Logout 1.0 sections 2.4 and 2.6): by which
//! a provider says that a session of its own is over.
//!
//! The specification gives them the type `logout+jwt`, which not every provider
//! writes. `JWT` and no type at all are accepted too: what makes one is the
//! member of `events`, which no other token has, and a token with a `nonce` or
//! any other type is never one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims;
use super::id_token::{check_issuer, optional_id};
use super::issuer::IssuerSettings;
use super::jws::UnverifiedJws;
use super::rejection::{Flaw, Rejection};
use super::verify::{KeySource, check_signature};
use crate::types::UnixTime;

/// The member of `events` that makes a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long after it was made a logout token counts.
const MAX_AGE: Duration = Duration::from_secs(120);
/// The longest `jti`, in bytes.
const MAX_JTI_BYTES: usize = 256;

/// A logout token that was verified. That it comes for the first time is not
/// known yet: see [`Self::jti`].
#[derive(Debug, Clone)]
pub struct VerifiedLogoutToken {
    issuer: Arc<str>,
    target: LogoutTarget,
    jti: Box<str>,
    forget_at: UnixTime,
}

/// What is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogoutTarget {
    /// Every session of this subject.
    Subject(Box<str>),
    /// The sessions that came from this one of the provider.
    Session(Box<str>),
    /// Those that are both.
    Both {
        /// Whose they are.
        subject: Box<str>,
        /// What they came from.
        sid: Box<str>,
    },
}

/// Why a logout token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenRejection {
    /// For a cause that every token shares.
    #[error(transparent)]
    Token(#[from] Rejection),
    /// Its type is that of another kind of token.
    #[error("the token is not a logout token")]
    WrongKind,
    /// `events` does not hold the logout event with an empty object.
    #[error("the logout token does not tell of a logout")]
    Events,
    /// There is a `nonce`, so that it might be an ID token.
    #[error("the logout token has a nonce")]
    Nonce,
    /// It says neither whose session is over nor which.
    #[error("the logout token names neither subject nor session")]
    Target,
    /// `iat` is too long ago.
    #[error("the logout token is too old")]
    Stale,
    /// `jti` is missing, empty or too long.
    #[error("the logout token has no usable id")]
    Jti,
}

impl LogoutTokenRejection {
    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Token(rejection) => rejection.as_str(),
            Self::WrongKind => "wrong_kind",
            Self::Events => "events",
            Self::Nonce => "nonce",
            Self::Target => "target",
            Self::Stale => "stale",
            Self::Jti => "jti",
        }
    }
}

/// Verifies a logout token of the issuer that `settings` are for, sent to the
/// client `client_id`.
///
/// # Errors
///
/// The first check that fails.
pub fn verify_logout_token(
    token: &str,
    settings: &IssuerSettings,
    keys: &dyn KeySource,
    client_id: &str,
    now: UnixTime,
) -> Result<VerifiedLogoutToken, LogoutTokenRejection> {
    let jws = UnverifiedJws::parse(token)?;
    check_issuer(&jws.claims, settings)?;
    if !jws.header.is_of_type(&["logout+jwt".to_owned(), "JWT".to_owned()]) {
        return Err(LogoutTokenRejection::WrongKind);
    }
    check_signature(&jws, settings, keys)?;
    let claims = jws.claims;
    if claims.contains_key("nonce") {
        return Err(LogoutTokenRejection::Nonce);
    }
    check_events(&claims)?;
    if !claims::audiences(&claims)?.contains(&client_id) {
        return Err(Rejection::Aud.into());
    }
    let issued_at = check_times(&claims, settings.leeway(), now)?;
    let target = match (optional_id(&claims, "sub")?, optional_id(&claims, "sid")?) {
        (Some(subject), Some(sid)) => LogoutTarget::Both { subject, sid },
        (Some(subject), None) => LogoutTarget::Subject(subject),
        (None, Some(sid)) => LogoutTarget::Session(sid),
        (None, None) => return Err(LogoutTokenRejection::Target),
    };
    let jti = match claims.get("jti") {
        Some(Value::String(jti)) if !jti.is_empty() && jti.len() <= MAX_JTI_BYTES => Box::from(jti.as_str()),
        Some(_) | None => return Err(LogoutTokenRejection::Jti),
    };
    let issuer = Arc::clone(&settings.issuer);
    // One second more than it could still count, for the rounding of stores.
    let forget_at = issued_at.plus(MAX_AGE).plus(Duration::from_secs(1));
    Ok(VerifiedLogoutToken { issuer, target, jti, forget_at })
}

/// The issuer that an unverified token names, to find its settings by.
///
/// # Errors
///
/// When it is no token at all, or names none.
pub fn unverified_issuer(token: &str) -> Result<String, Rejection> {
    let jws = UnverifiedJws::parse(token)?;
    jws.claims.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(Rejection::Iss)
}

impl VerifiedLogoutToken {
    /// The `iss` claim.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What is over.
    #[must_use]
    pub fn target(&self) -> &LogoutTarget {
        &self.target
    }

    /// Its id, by which a second use is known. Unique for the issuer only.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// From then on it would be refused anyway, so its id may be forgotten.
    #[must_use]
    pub fn forget_at(&self) -> UnixTime {
        self.forget_at
    }
}

fn check_events(claims: &Map<String, Value>) -> Result<(), LogoutTokenRejection> {
    let event = claims.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    match event {
        Some(Value::Object(members)) if members.is_empty() => Ok(()),
        Some(_) | None => Err(LogoutTokenRejection::Events),
    }
}

/// `exp` may be absent, as the first edition of the specification had none.
fn check_times(claims: &Map<String, Value>, leeway: Duration, now: UnixTime) -> Result<UnixTime, LogoutTokenRejection> {
    if claims::time(claims, "exp")?.is_some_and(|expires_at| now >= expires_at.plus(leeway)) {
        return Err(Rejection::Expired.into());
    }
    let soon = now.plus(leeway);
    if claims::time(claims, "nbf")?.is_some_and(|not_before| not_before > soon) {
        return Err(Rejection::NotYetValid.into());
    }
    let issued_at = claims::time(claims, "iat")?.ok_or(Rejection::Malformed(Flaw::Claim("iat")))?;
    if issued_at > soon {
        return Err(Rejection::IatFuture.into());
    }
    if now.since(issued_at) > MAX_AGE {
        return Err(LogoutTokenRejection::Stale);
    }
    Ok(issued_at)
}

#[cfg(test)]
#[path = "logout_token_tests.rs"]
mod tests;
