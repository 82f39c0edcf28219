use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{Freshness, JwksCache, UnknownKid};
use crate::token::test_keys::{ed_jwk, key_set, keys};
use crate::token::{KeySet, UNKNOWN_KID_COOLDOWN};
use crate::types::Monotonic;

const REFRESH: Duration = Duration::from_secs(600);
const MAX_STALE: Duration = Duration::from_secs(86_400);

fn at(secs: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(secs))
}

fn at_millis(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

fn some_keys() -> Arc<KeySet> {
    key_set(&json!({ "keys": [ed_jwk(&keys().ed25519)] }))
}

fn cache() -> JwksCache {
    JwksCache::new(REFRESH, MAX_STALE, at(0))
}

#[test]
fn keys_age_from_fresh_to_too_old() {
    let mut cache = cache();
    assert_eq!(cache.freshness(at(0)), Freshness::NeverLoaded);
    assert!(cache.refresh_due(at(0)) && cache.current(at(0)).is_none());
    cache.on_success(some_keys(), at(10));
    assert_eq!(cache.freshness(at(610)), Freshness::Fresh);
    assert!(!cache.refresh_due(at(609)));
    assert!(cache.refresh_due(at(610)));
    assert_eq!(cache.freshness(at(611)), Freshness::Stale);
    assert!(cache.current(at(86_410)).is_some());
    assert_eq!(cache.freshness(at(86_411)), Freshness::TooOld);
    assert!(cache.current(at(86_411)).is_none());
    cache.on_success(some_keys(), at(90_000));
    assert_eq!(cache.freshness(at(90_000)), Freshness::Fresh);
}

#[test]
fn a_failure_keeps_the_last_good_set() {
    // J001, J002: an empty or invalid document is a failure like any other.
    let mut cache = cache();
    let good = some_keys();
    cache.on_success(Arc::clone(&good), at(0));
    cache.on_failure(at(600));
    assert!(Arc::ptr_eq(&cache.current(at(600)).unwrap(), &good));
    assert!(cache.is_failing());
    assert!(!cache.refresh_due(at(629)) && cache.refresh_due(at(630)));
    cache.on_success(some_keys(), at(630));
    assert!(!cache.is_failing());
}

#[test]
fn a_provider_that_is_down_at_the_start_is_asked_again_soon() {
    let mut cache = cache();
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        cache.on_failure(now);
        pauses.push(cache.next_refresh().since(now).as_secs());
        now = cache.next_refresh();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn unknown_kids_bring_one_fetch_a_period() {
    // J020: two hundred at once.
    let mut cache = cache();
    cache.on_success(some_keys(), at(0));
    let claims = (0..200).filter(|_| cache.on_unknown_kid(at(5)) == UnknownKid::Refresh).count();
    assert_eq!(claims, 1);
    // J001: neither a failure nor a success gives the claim back.
    cache.on_failure(at(6));
    assert_eq!(cache.on_unknown_kid(at(7)), UnknownKid::Cooldown);
    cache.on_success(some_keys(), at(8));
    assert_eq!(cache.on_unknown_kid(at(34)), UnknownKid::Cooldown);
    assert_eq!(cache.on_unknown_kid(at(35)), UnknownKid::Refresh);
}

#[test]
fn a_minute_of_unknown_kids_brings_three_fetches_at_most() {
    // J021: one every 100 ms; the timer's own refreshes included.
    for provider_is_good in [true, false] {
        let mut cache = cache();
        cache.on_success(some_keys(), at(0));
        let mut fetches = 0;
        for millis in (0..60_000).step_by(100) {
            let now = at_millis(millis);
            if cache.refresh_due(now) || cache.on_unknown_kid(now) == UnknownKid::Refresh {
                fetches += 1;
                if provider_is_good { cache.on_success(some_keys(), now) } else { cache.on_failure(now) }
            }
        }
        assert!(fetches <= 3, "{fetches} fetches");
    }
}

#[test]
fn a_withdrawn_key_is_gone_after_one_refresh() {
    // J023
    let mut cache = cache();
    let old = some_keys();
    let reference = old.select(None, crate::token::Algorithm::EdDsa).unwrap().reference();
    cache.on_success(old, at(0));
    assert!(cache.current(at(599)).unwrap().still_holds(&reference));
    let rotated = json!({ "keys": [crate::token::test_keys::rsa_jwk(&keys().rsa)] });
    cache.on_success(key_set(&rotated), cache.next_refresh());
    assert!(!cache.current(at(600)).unwrap().still_holds(&reference));
}

#[test]
fn a_copy_from_before_counts_with_the_age_it_has() {
    let mut cache = cache();
    cache.on_restored(some_keys(), Duration::from_secs(86_000), at(1));
    assert!(cache.refresh_due(at(1)), "a copy replaces no refresh");
    assert_eq!(cache.freshness(at(1)), Freshness::Stale);
    assert!(cache.current(at(401)).is_some());
    assert!(cache.current(at(402)).is_none(), "max_stale counts from the fetch, not from the restart");

    let mut empty = JwksCache::new(REFRESH, MAX_STALE, at(0));
    empty.on_restored(some_keys(), MAX_STALE + Duration::from_secs(1), at(0));
    assert_eq!(empty.freshness(at(0)), Freshness::NeverLoaded);

    let mut loaded = JwksCache::new(REFRESH, MAX_STALE, at(0));
    let live = some_keys();
    loaded.on_success(Arc::clone(&live), at(0));
    loaded.on_restored(some_keys(), Duration::ZERO, at(1));
    assert!(Arc::ptr_eq(&loaded.current(at(1)).unwrap(), &live));
}

proptest! {
    /// Whatever happens, keys never count past `max_stale` after the last good
    /// fetch, and claims never come closer than the cooldown. J026: times are
    /// monotonic by type; one that is handed in twice changes nothing.
    #[test]
    fn trust_and_fetches_stay_bounded(steps in prop::collection::vec((0u64..40_000, 0u8..4), 1..60)) {
        let keys = some_keys();
        let mut cache = cache();
        let (mut now, mut last_good, mut last_claim) = (0, None, None);
        for (wait, event) in steps {
            now += wait;
            match event {
                0 => { cache.on_success(Arc::clone(&keys), at(now)); last_good = Some(now); }
                1 => cache.on_failure(at(now)),
                _ => if cache.on_unknown_kid(at(now)) == UnknownKid::Refresh {
                    prop_assert!(last_claim.is_none_or(|claim| now - claim >= UNKNOWN_KID_COOLDOWN.as_secs()));
                    last_claim = Some(now);
                }
            }
            let counts = last_good.is_some_and(|good| now - good <= MAX_STALE.as_secs());
            prop_assert_eq!(cache.current(at(now)).is_some(), counts);
            prop_assert!(cache.next_refresh().since(at(now)) <= REFRESH);
        }
    }
}

#[test]
fn strangers_use_up_nothing_of_the_limit_for_the_providers_own_answers() {
    let mut cache = cache();
    assert_eq!(cache.on_unknown_kid(at(1)), UnknownKid::Refresh);
    assert_eq!(cache.on_unknown_kid_in_answer(at(1)), UnknownKid::Refresh);
    assert_eq!(cache.on_unknown_kid_in_answer(at(1)), UnknownKid::Cooldown);
    assert_eq!(cache.on_unknown_kid_in_answer(at(2)), UnknownKid::Refresh);
    assert_eq!(cache.on_unknown_kid(at(30)), UnknownKid::Cooldown, "nor the other way round");
}
