//! Verified tokens, kept by the SHA-256 of the whole token.
//!
//! What is kept is who a token speaks of, never a decision. Time, key set and
//! settings are looked at again on every use, and every rule is evaluated anew.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use moka::sync::Cache;

use crate::token::{Issuers, KeySource, Rejection, VerifiedToken, verify};
use crate::types::UnixTime;

/// How long an unused token is kept.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Bounded; the least used tokens go first.
#[derive(Debug, Clone)]
pub struct TokenCache(Cache<[u8; 32], Arc<VerifiedToken>>);

/// How a token came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// It was kept from before, and it still counts.
    Hit,
    /// It was verified now.
    Miss,
    /// It does not verify.
    Rejected,
}

impl TokenCache {
    /// Keeps at most `capacity` tokens, and none that nobody used for an hour.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self(Cache::builder().max_capacity(capacity).time_to_idle(IDLE).build())
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
        now: UnixTime,
    ) -> (Result<Arc<VerifiedToken>, Rejection>, CacheResult) {
        let mut key = [0u8; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(kept) = self.0.get(&key) {
            if kept.recheck(issuers, keys, now).is_ok() {
                return (Ok(kept), CacheResult::Hit);
            }
            self.0.invalidate(&key);
        }
        match verify(token, issuers, keys, now) {
            Ok(verified) => {
                let verified = Arc::new(verified);
                self.0.insert(key, Arc::clone(&verified));
                (Ok(verified), CacheResult::Miss)
            }
            Err(rejection) => (Err(rejection), CacheResult::Rejected),
        }
    }
}
