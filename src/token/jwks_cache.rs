//! When a provider's key set is fetched, and how long it counts: a state
//! machine that owns no clock. Every time is monotonic, so that a wall clock
//! set back prolongs nothing.

use std::sync::Arc;
use std::time::Duration;

use super::jwk::KeySet;
use crate::types::Monotonic;

/// The shortest time between two fetches that unknown `kid`s bring about.
pub const UNKNOWN_KID_COOLDOWN: Duration = Duration::from_secs(30);
/// The same for a token that the provider itself has just answered with, which
/// no stranger can bring about.
pub const ANSWER_COOLDOWN: Duration = Duration::from_secs(1);
/// The first pause after a failure while there is no usable key set.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure, and the only one while the last good key
/// set still counts.
pub const LAST_RETRY: Duration = Duration::from_secs(30);

/// The state of one provider's keys.
#[derive(Debug)]
pub struct JwksCache {
    refresh: Duration,
    max_stale: Duration,
    held: Option<Held>,
    next_refresh: Monotonic,
    failures: u32,
    unknown_kid_claimed: Option<Monotonic>,
    answer_claimed: Option<Monotonic>,
}

/// A key set and its age.
#[derive(Debug, Clone)]
pub struct Held {
    keys: Arc<KeySet>,
    /// When it came here, and how old it was then.
    since: Monotonic,
    age_then: Duration,
    max_stale: Duration,
}

/// How good the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// No key set was ever there.
    NeverLoaded,
    /// The last refresh is not older than the refresh interval.
    Fresh,
    /// Refreshes fail; the last good set still counts.
    Stale,
    /// The last good set is older than `max_stale` and counts no longer.
    TooOld,
}

/// What to do about a `kid` that the key set does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKid {
    /// Fetch now: the caller has claimed the one fetch of this period.
    Refresh,
    /// The fetch of this period is claimed already.
    Cooldown,
}

impl Held {
    /// How long ago the provider published the set to us.
    #[must_use]
    pub fn age(&self, now: Monotonic) -> Duration {
        now.since(self.since).saturating_add(self.age_then)
    }

    /// The set, whether it counts or not; to compare with the next one.
    #[must_use]
    pub fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// The set, as long as it counts.
    #[must_use]
    pub fn current(&self, now: Monotonic) -> Option<&Arc<KeySet>> {
        (self.age(now) <= self.max_stale).then_some(&self.keys)
    }
}

impl JwksCache {
    /// Nothing loaded, and a refresh due at once.
    #[must_use]
    pub fn new(refresh: Duration, max_stale: Duration, now: Monotonic) -> Self {
        Self {
            refresh,
            max_stale,
            held: None,
            next_refresh: now,
            failures: 0,
            unknown_kid_claimed: None,
            answer_claimed: None,
        }
    }

    /// How good the keys are.
    #[must_use]
    pub fn freshness(&self, now: Monotonic) -> Freshness {
        match &self.held {
            None => Freshness::NeverLoaded,
            Some(held) if held.current(now).is_none() => Freshness::TooOld,
            Some(held) if held.age(now) <= self.refresh => Freshness::Fresh,
            Some(_) => Freshness::Stale,
        }
    }

    /// The key set that counts.
    #[must_use]
    pub fn current(&self, now: Monotonic) -> Option<Arc<KeySet>> {
        self.held.as_ref().and_then(|held| held.current(now)).cloned()
    }

    /// The last good set with its age, for readers that judge it themselves.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Whether the timer's refresh is due.
    #[must_use]
    pub fn refresh_due(&self, now: Monotonic) -> bool {
        now >= self.next_refresh
    }

    /// When the timer's next refresh is due.
    #[must_use]
    pub fn next_refresh(&self) -> Monotonic {
        self.next_refresh
    }

    /// Whether the last refresh failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Somebody asks for a `kid` that the set does not hold. The period's one
    /// fetch is claimed before it is made, so its end, good or bad, changes
    /// nothing about the limit. Tokens with known `kid`s never come here, and
    /// the timer does not ask here either.
    pub fn on_unknown_kid(&mut self, now: Monotonic) -> UnknownKid {
        claim(&mut self.unknown_kid_claimed, UNKNOWN_KID_COOLDOWN, now)
    }

    /// A token that the provider itself has just answered with names a `kid`
    /// that the set does not hold. Strangers who name unknown `kid`s use up
    /// nothing of this limit.
    pub fn on_unknown_kid_in_answer(&mut self, now: Monotonic) -> UnknownKid {
        claim(&mut self.answer_claimed, ANSWER_COOLDOWN, now)
    }

    /// The provider gave a good key set.
    pub fn on_success(&mut self, keys: Arc<KeySet>, now: Monotonic) {
        self.hold(keys, Duration::ZERO, now);
        self.failures = 0;
        self.next_refresh = now.plus(self.refresh);
    }

    /// A copy of a key set that is `age` old already, from before this process.
    /// It never replaces a set, and a refresh stays due.
    pub fn on_restored(&mut self, keys: Arc<KeySet>, age: Duration, now: Monotonic) {
        if self.held.is_none() && age <= self.max_stale {
            self.hold(keys, age, now);
        }
    }

    /// No good key set came; the last good one stays.
    pub fn on_failure(&mut self, now: Monotonic) {
        let pause = if self.current(now).is_some() {
            LAST_RETRY
        } else {
            FIRST_RETRY.saturating_mul(2u32.saturating_pow(self.failures)).min(LAST_RETRY)
        };
        self.failures = self.failures.saturating_add(1);
        self.next_refresh = now.plus(pause);
    }

    fn hold(&mut self, keys: Arc<KeySet>, age_then: Duration, now: Monotonic) {
        self.held = Some(Held { keys, since: now, age_then, max_stale: self.max_stale });
    }
}

fn claim(claimed: &mut Option<Monotonic>, cooldown: Duration, now: Monotonic) -> UnknownKid {
    if claimed.is_some_and(|claimed| now.since(claimed) < cooldown) {
        return UnknownKid::Cooldown;
    }
    *claimed = Some(now);
    UnknownKid::Refresh
}

#[cfg(test)]
#[path = "jwks_cache_tests.rs"]
mod tests;
