//! Opaque tokens: what a provider says of one that says nothing by itself (RFC
//! 7662 section 2.2), judged by the settings that judge its JWTs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{self, FOREIGN_CLAIMS};
use super::issuer::{IssuerSettings, Issuers};
use super::rejection::Rejection;
use crate::types::{Principal, Reason, UnixTime};

/// The longest opaque token that a provider is asked about, in bytes.
pub const MAX_OPAQUE_BYTES: usize = 4096;

/// What `token_type`, `typ` and `token_use` may say of a token that is for the
/// bearer and for an API.
const ACCESS_TOKENS: [&str; 4] = ["bearer", "access_token", "access", "at+jwt"];

/// Whether a provider may be asked about a text: it is printable, and it is no
/// JWT, which this gate alone judges.
#[must_use]
pub fn is_opaque(token: &str) -> bool {
    let parts = token.split('.').count();
    (1..=MAX_OPAQUE_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) && parts != 3
}

/// An opaque token that the provider itself vouches for.
#[derive(Debug, Clone)]
pub struct IntrospectedToken {
    principal: Arc<Principal>,
    settings: Arc<IssuerSettings>,
    expires_at: Option<UnixTime>,
    issued_at: Option<UnixTime>,
}

/// Why an opaque token opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueRejection {
    /// The provider says that it does not count, or knows nothing of it.
    #[error("the provider says that the token does not count")]
    Inactive,
    /// The provider's word for it is not enough.
    #[error(transparent)]
    Claims(#[from] Rejection),
    /// The provider does not answer, or nothing that counts as an answer.
    #[error("the provider cannot be asked about the token")]
    Unavailable,
    /// The provider has not answered in the time that a check has.
    #[error("the provider has not answered about the token in time")]
    Late,
    /// The provider is asked about too many tokens at once.
    #[error("the provider is asked about too many tokens")]
    Busy,
}

impl OpaqueRejection {
    /// The constant word for the log.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Claims(rejection) => rejection.as_str(),
            Self::Unavailable => "introspection_unavailable",
            Self::Late => "introspection_late",
            Self::Busy => "too_many_introspections",
        }
    }

    /// What the client may learn.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Inactive => Reason::InvalidToken,
            Self::Claims(rejection) => rejection.reason(),
            Self::Unavailable | Self::Late => Reason::Unavailable,
            Self::Busy => Reason::Overloaded,
        }
    }
}

/// What comes of asking about a token.
pub type Introspected = Result<Arc<IntrospectedToken>, OpaqueRejection>;

/// Knows what opaque tokens stand for.
///
/// Security contract: only the provider that issued the tokens is asked, and a
/// good word of its counts for no longer than the configured time and the
/// token's own; whatever cannot be told is an error. What is asked about at once
/// is bounded, what is kept too.
pub trait OpaqueTokens: Send + Sync {
    /// What is known of a token without asking; `None` where nothing is.
    fn known(&self, token: &str, issuers: &Issuers) -> Option<Introspected>;

    /// What the provider says of a token, within the time that a proxy waits.
    fn ask<'a>(
        &'a self,
        token: &'a str,
        issuers: &'a Issuers,
    ) -> Pin<Box<dyn Future<Output = Introspected> + Send + 'a>>;
}

impl IntrospectedToken {
    /// Judges the members of an answer whose `active` is true.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn judge(
        members: Map<String, Value>,
        settings: &Arc<IssuerSettings>,
        now: UnixTime,
    ) -> Result<Self, OpaqueRejection> {
        if FOREIGN_CLAIMS.iter().any(|foreign| members.contains_key(*foreign)) || !is_access_token(&members) {
            return Err(Rejection::WrongType.into());
        }
        if members.get("iss").is_some_and(|issuer| issuer.as_str() != Some(&*settings.issuer)) {
            return Err(Rejection::Iss.into());
        }
        claims::check_audience(&members, &settings.audiences)?;
        let expires_at = claims::time(&members, "exp")?;
        let not_before = claims::time(&members, "nbf")?;
        let issued_at = claims::time(&members, "iat")?;
        if expires_at.is_some_and(|end| now >= end.plus(settings.leeway())) {
            return Err(Rejection::Expired.into());
        }
        let soon = now.plus(settings.leeway());
        if not_before.is_some_and(|start| start > soon) {
            return Err(Rejection::NotYetValid.into());
        }
        if issued_at.is_some_and(|issued| issued > soon) {
            return Err(Rejection::IatFuture.into());
        }
        let principal = Arc::new(claims::principal_of(members, settings)?);
        Ok(Self { principal, settings: Arc::clone(settings), expires_at, issued_at })
    }

    /// Who the token speaks of.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Until when it counts, where the provider says.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// When it was issued, where the provider says.
    #[must_use]
    pub fn issued_at(&self) -> Option<UnixTime> {
        self.issued_at
    }

    /// The earliest moment of our own clock at which it may have been issued: the
    /// provider's clock may be ahead by the leeway. One that does not say when it
    /// was issued is as old as can be.
    #[must_use]
    pub fn issued_after(&self) -> UnixTime {
        self.issued_at.map(|issued_at| issued_at.minus(self.settings.leeway())).unwrap_or_default()
    }

    /// Whether what was said of it earlier still counts: its time is not over,
    /// and the issuer's settings are those that judged it.
    #[must_use]
    pub fn still_counts(&self, issuers: &Issuers, now: UnixTime) -> bool {
        let live = issuers.find(&self.settings.issuer);
        live.is_some_and(|live| *live == self.settings) && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Whether nothing in an answer says that it is another kind of token: one for
/// refreshing, or one whose bearer would have to prove a key.
fn is_access_token(members: &Map<String, Value>) -> bool {
    ["token_type", "typ", "token_use"].iter().all(|name| match members.get(*name) {
        None | Some(Value::Null) => true,
        Some(Value::String(kind)) => {
            // `typ` may be that of a JWT which the provider keeps for itself.
            let is_jwt = *name == "typ" && kind.eq_ignore_ascii_case("JWT");
            is_jwt || ACCESS_TOKENS.iter().any(|known| kind.eq_ignore_ascii_case(known))
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    })
}

#[cfg(test)]
#[path = "introspected_tests.rs"]
mod tests;
