//! The only maker of [`VerifiedToken`].

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::{self, Times};
use super::issuer::{IssuerSettings, Issuers, SettingsChanged};
use super::jwk::{Key, KeyRef, KeySet, NoKey};
use super::jws::{self, Header, Parts, UnverifiedJws};
use super::rejection::{Rejection, TokenPart};
use crate::types::{Principal, ProviderId, UnixTime};

/// Where the live key sets are.
///
/// Security contract: the answer is a set that the provider itself published,
/// fetched or read from the configured place, and none that is older than the
/// provider's `max_stale`. It comes at once, without waiting.
pub trait KeySource: Send + Sync {
    /// The key set of `provider`, when there is a usable one.
    fn key_set(&self, provider: &ProviderId) -> Option<Arc<KeySet>>;
}

/// Asks for the keys of a provider once more.
///
/// Security contract: however often it is called, a provider is asked at most
/// once in each cooldown, and the call ends within the time a proxy waits.
pub trait KeyRefresh: Send + Sync {
    /// Ends when the keys are fresh, or when there is no sense in waiting on.
    fn refresh<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// As [`Self::refresh`], for a token that the provider itself has just
    /// answered with. No stranger brings that about, so its cooldown is short
    /// and its own, and it may take as long as a sign-in may wait.
    fn refresh_for_answer<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.refresh(provider)
    }
}

/// A token that was verified in full, with what a later look at it needs.
///
/// To keep one is safe as long as [`Self::recheck`] is asked on every use.
#[derive(Debug, Clone)]
pub struct VerifiedToken {
    principal: Arc<Principal>,
    settings: Arc<IssuerSettings>,
    times: Times,
    key: KeyRef,
}

/// Verifies an access token (RFC 7519 section 7.2, RFC 8725, RFC 9068 section 4).
///
/// The unverified `iss` only selects the provider; everything is then judged
/// by that provider's settings and keys. The claims are judged last, so that
/// nobody without a good signature learns what they are compared with.
///
/// # Errors
///
/// The first check that fails.
pub fn verify(token: &str, issuers: &Issuers, keys: &dyn KeySource, now: UnixTime) -> Result<VerifiedToken, Rejection> {
    NamedKey::find(token, issuers, keys)?.verify(now)
}

/// A token of the right form that names one of the live keys. Nothing of it is
/// verified: what is left is the costly part.
#[derive(Debug)]
pub struct NamedKey<'t> {
    jws: UnverifiedJws<'t>,
    settings: Arc<IssuerSettings>,
    key_set: Arc<KeySet>,
    cost: Duration,
}

impl<'t> NamedKey<'t> {
    /// Takes every step of [`verify`] before the signature.
    ///
    /// # Errors
    ///
    /// The first check that fails.
    pub fn find(token: &'t str, issuers: &Issuers, keys: &dyn KeySource) -> Result<Self, Rejection> {
        let jws = UnverifiedJws::parse(token)?;
        let settings = Arc::clone(named_issuer(&jws.claims, issuers)?);
        if !jws.header.is_of_type(&settings.token_types) {
            return Err(Rejection::WrongType);
        }
        let key_set = live_keys(&settings, keys)?;
        let cost = select_key(&jws.header, &settings, &key_set)?.cost(jws.signature.len());
        Ok(Self { jws, settings, key_set, cost })
    }

    /// About what looking at the signature takes of a core.
    #[must_use]
    pub const fn cost(&self) -> Duration {
        self.cost
    }

    /// What the rest of [`verify`] will go by.
    #[must_use]
    pub fn grounds(&self) -> Grounds {
        Grounds { settings: Arc::clone(&self.settings), key_set: Arc::downgrade(&self.key_set) }
    }

    /// Looks at the signature, then at the claims.
    ///
    /// # Errors
    ///
    /// The first check that fails.
    pub fn verify(self, now: UnixTime) -> Result<VerifiedToken, Rejection> {
        let Self { jws, settings, key_set, cost: _ } = self;
        let key = signed_by(&jws, &settings, &key_set)?;
        let (principal, times) = claims::check(jws.claims, &settings, now)?;
        Ok(VerifiedToken { principal: Arc::new(principal), settings, times, key })
    }
}

/// What a token was judged by: whoever finds the same again would judge it alike,
/// but for the time.
#[derive(Debug, Clone)]
pub struct Grounds {
    settings: Arc<IssuerSettings>,
    /// Not to be kept alive by what was refused.
    key_set: Weak<KeySet>,
}

impl Grounds {
    /// Whether these settings and this very key set are live still.
    #[must_use]
    pub fn still_hold(&self, issuers: &Issuers, keys: &dyn KeySource) -> bool {
        let Some(Ok(settings)) = issuers.live(&self.settings) else { return false };
        keys.key_set(&settings.provider).is_some_and(|live| self.key_set.as_ptr() == Arc::as_ptr(&live))
    }
}

/// The settings of the issuer that the claims name.
pub(super) fn named_issuer<'i>(
    claims: &Map<String, Value>,
    issuers: &'i Issuers,
) -> Result<&'i Arc<IssuerSettings>, Rejection> {
    claims.get("iss").and_then(Value::as_str).and_then(|issuer| issuers.find(issuer)).ok_or(Rejection::Iss)
}

/// Whether a token that nobody verified says that it is for one of the
/// audiences of `settings`; `false` for one that is no JWT.
///
/// # Errors
///
/// When it says so in a form that two readers could read differently.
pub fn claims_audience(token: &str, settings: &IssuerSettings) -> Result<bool, Rejection> {
    let parts = match Parts::split(token) {
        Ok(parts) => parts,
        Err(Rejection::TooLarge) => return Err(Rejection::TooLarge),
        Err(_) => return Ok(false),
    };
    match jws::object(parts.payload, TokenPart::Payload) {
        Ok(claims) => Ok(claims::check_audience(&claims, &settings.audiences).is_ok()),
        Err(twice @ Rejection::DuplicateMember(_)) => Err(twice),
        Err(_) => Ok(false),
    }
}

/// The key whose signature the token has.
pub(super) fn check_signature(
    jws: &UnverifiedJws<'_>,
    settings: &IssuerSettings,
    keys: &dyn KeySource,
) -> Result<KeyRef, Rejection> {
    signed_by(jws, settings, live_keys(settings, keys)?.as_ref())
}

fn live_keys(settings: &IssuerSettings, keys: &dyn KeySource) -> Result<Arc<KeySet>, Rejection> {
    let provider = &settings.provider;
    keys.key_set(provider).ok_or_else(|| Rejection::KeysUnavailable { provider: provider.clone() })
}

fn signed_by(jws: &UnverifiedJws<'_>, settings: &IssuerSettings, key_set: &KeySet) -> Result<KeyRef, Rejection> {
    let key = select_key(&jws.header, settings, key_set)?;
    if !key.verifies(jws.header.algorithm, jws.signing_input, &jws.signature) {
        return Err(Rejection::BadSignature);
    }
    Ok(key.reference())
}

/// The key that the header names, for an algorithm that the issuer's settings
/// allow. The header alone decides nothing (RFC 8725 section 3.1).
pub(super) fn select_key<'k>(
    header: &Header,
    settings: &IssuerSettings,
    key_set: &'k KeySet,
) -> Result<&'k Key, Rejection> {
    let allowed = settings.algorithms.contains(&header.algorithm);
    match key_set.select(header.kid.as_deref(), header.algorithm) {
        // Said first: it names the cause more closely than the list does.
        Err(NoKey::AlgorithmMismatch) => Err(Rejection::KeyAlgMismatch),
        _ if !allowed => Err(Rejection::AlgNotAllowed),
        Ok(key) => Ok(key),
        Err(NoKey::KidMissing) => Err(Rejection::KidMissing),
        Err(NoKey::KidUnknown) => Err(Rejection::KidUnknown { provider: settings.provider.clone() }),
    }
}

impl VerifiedToken {
    /// Who the token speaks of.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The `exp` claim; the token counts for the leeway longer.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.times.expires_at
    }

    /// The `iat` claim.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.times.issued_at
    }

    /// The earliest moment of our own clock at which it may have been issued: the
    /// provider's clock may be ahead by the leeway.
    #[must_use]
    pub fn issued_after(&self) -> UnixTime {
        self.times.issued_at.minus(self.settings.leeway())
    }

    /// The provider that vouches for it.
    #[must_use]
    pub fn provider(&self) -> &ProviderId {
        &self.settings.provider
    }

    /// The key that verified it.
    #[must_use]
    pub fn key(&self) -> KeyRef {
        self.key
    }

    /// Whether the token would still verify: its time is not over (nor, after
    /// a change of the clock, ahead), its key is still in the live set, and the
    /// issuer's settings are those that judged it.
    ///
    /// # Errors
    ///
    /// The first of these that fails. The token is then to be forgotten; to
    /// verify it again in full may still succeed.
    pub fn recheck(&self, issuers: &Issuers, keys: &dyn KeySource, now: UnixTime) -> Result<(), Rejection> {
        let live = issuers.live(&self.settings).ok_or(Rejection::Iss)?;
        let live = live.map_err(|SettingsChanged| Rejection::SettingsChanged)?;
        if !live_keys(live, keys)?.still_holds(&self.key) {
            return Err(Rejection::KeyRetired);
        }
        self.times.check(self.settings.leeway(), now)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
