//! Verified tokens, kept by the SHA-256 of the whole token.
//!
//! What is kept is who a token speaks of, never a decision. Time, key set and
//! settings are looked at again on every use, and every rule is evaluated anew.
//! What is not kept is verified, as long as bad tokens leave room for it:
//!
//! ```text
//! kept, and counts still ─▶ its principal
//! refused a moment ago   ─▶ refused for the same
//! bad tokens took their share ─▶ overloaded
//! else ─▶ form, issuer, key ─▶ signature, claims ─▶ kept, or charged to that share
//! ```

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moka::sync::Cache;

use super::known_bad::KnownBad;
use super::miss_budget::MissBudget;
use crate::token::{Issuers, KeySource, MAX_TOKEN_BYTES, NamedKey, Rejection, VerifiedToken};
use crate::types::{Clock, Reason, UnixTime};

/// How long an unused token is kept.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// About what reading a byte of a token takes, at worst.
const NANOS_PER_BYTE: u64 = 10;
/// The same where no part of it could be decoded.
const NANOS_PER_UNREAD_BYTE: u64 = 1;

/// Bounded; the least used tokens go first.
#[derive(Debug)]
pub struct TokenCache {
    kept: Cache<[u8; 32], Arc<VerifiedToken>>,
    known_bad: KnownBad,
    misses: MissBudget,
}

/// How a token came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// It was kept from before, and it still counts.
    Hit,
    /// It was verified now.
    Miss,
    /// It does not verify.
    Rejected,
    /// It was not looked at, because bad tokens took their share of the machine.
    Unseen,
}

/// Why a token makes nobody known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotVerified {
    /// The first check that failed.
    Rejected(Rejection),
    /// It was not looked at.
    Unseen,
}

impl NotVerified {
    /// What the client may learn.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::Unseen => Reason::Overloaded,
        }
    }

    /// The constant word for the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.as_str(),
            Self::Unseen => "too_many_bad_tokens",
        }
    }
}

impl TokenCache {
    /// Keeps at most `capacity` tokens, and none that nobody used for an hour.
    /// Bad tokens get their share of one core.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self::of_cores(capacity, 1)
    }

    /// The same, with so many cores to share with bad tokens.
    #[must_use]
    pub fn of_cores(capacity: u64, cores: usize) -> Self {
        Self {
            kept: Cache::builder().max_capacity(capacity).time_to_idle(IDLE).build(),
            known_bad: KnownBad::new(),
            misses: MissBudget::new(cores),
        }
    }

    /// The verified form of `token`, kept or made now.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn verify(
        &self,
        token: &str,
        issuers: &Issuers,
        keys: &dyn KeySource,
        clock: &dyn Clock,
    ) -> (Result<Arc<VerifiedToken>, NotVerified>, CacheResult) {
        if token.len() > MAX_TOKEN_BYTES {
            return (Err(NotVerified::Rejected(Rejection::TooLarge)), CacheResult::Rejected);
        }
        let now = clock.now();
        let mut hash = [0u8; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(kept) = self.kept.get(&hash) {
            if kept.recheck(issuers, keys, now).is_ok() {
                return (Ok(kept), CacheResult::Hit);
            }
            self.kept.invalidate(&hash);
        }
        match self.look_at(token, hash, (issuers, keys), (now, clock)) {
            Ok(verified) => {
                let verified = Arc::new(verified);
                self.kept.insert(hash, Arc::clone(&verified));
                (Ok(verified), CacheResult::Miss)
            }
            Err(unseen @ NotVerified::Unseen) => (Err(unseen), CacheResult::Unseen),
            Err(rejected @ NotVerified::Rejected(_)) => (Err(rejected), CacheResult::Rejected),
        }
    }

    fn look_at(
        &self,
        token: &str,
        hash: [u8; 32],
        (issuers, keys): (&Issuers, &dyn KeySource),
        (now, clock): (UnixTime, &dyn Clock),
    ) -> Result<VerifiedToken, NotVerified> {
        let at = (now, clock.monotonic());
        if let Some(rejection) = self.known_bad.find(&hash, issuers, keys, at) {
            return Err(NotVerified::Rejected(rejection));
        }
        if self.misses.is_spent(at.1) {
            return Err(NotVerified::Unseen);
        }
        let mut of_key = Duration::ZERO;
        let verified = NamedKey::find(token, issuers, keys).and_then(|named| {
            of_key = named.cost();
            let grounds = named.grounds();
            named.verify(now).inspect_err(|rejection| self.known_bad.keep(hash, rejection, grounds, at))
        });
        verified.map_err(|rejection| {
            if let Some(cost) = cost_of_reading(token, &rejection) {
                self.misses.charge(cost.saturating_add(of_key), at.1);
            }
            NotVerified::Rejected(rejection)
        })
    }
}

/// About what it took to read a token that was refused for this; none where the
/// token may be good, and it is the keys that are missing.
fn cost_of_reading(token: &str, rejection: &Rejection) -> Option<Duration> {
    if matches!(rejection, Rejection::KeysUnavailable { .. } | Rejection::KidUnknown { .. }) {
        return None;
    }
    let per_byte = if rejection.is_unread() { NANOS_PER_UNREAD_BYTE } else { NANOS_PER_BYTE };
    let length = u64::try_from(token.len()).unwrap_or(u64::MAX);
    Some(Duration::from_nanos(length.saturating_mul(per_byte)))
}

#[cfg(test)]
#[path = "token_cache_tests.rs"]
mod tests;
