//! People with what the directory says of them, put together once.
//!
//! What is kept is for one very principal and one very standing, and for the time
//! in which the same grants are given: nothing else goes into it. Whoever of the
//! two is known anew is another one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use moka::sync::Cache;

use crate::directory::Standing;
use crate::types::{Principal, TierSource, UnixTime};

/// How many are kept.
const CAPACITY: u64 = 10_000;
/// How long one is kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Bounded; the least used go first. By the place in memory of the principal, to
/// which nobody else moves as long as the entry is there.
#[derive(Debug)]
pub(super) struct MergedPrincipals(Cache<usize, Arc<Merged>>);

#[derive(Debug)]
struct Merged {
    principal: Weak<Principal>,
    standing: Weak<Standing>,
    /// From when on, and until when, the same grants are given.
    span: (Option<UnixTime>, Option<UnixTime>),
    merged: Arc<Principal>,
}

impl Merged {
    fn is_of(&self, principal: &Arc<Principal>, standing: &Arc<Standing>, now: UnixTime) -> bool {
        let (from, until) = self.span;
        self.principal.as_ptr() == Arc::as_ptr(principal)
            && self.standing.as_ptr() == Arc::as_ptr(standing)
            && from.is_none_or(|from| from <= now)
            && until.is_none_or(|until| now < until)
    }
}

impl MergedPrincipals {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build())
    }

    /// The principal with what the directory says; the very same one where it says
    /// nothing.
    pub(super) fn of(&self, principal: &Arc<Principal>, standing: &Arc<Standing>, now: UnixTime) -> Arc<Principal> {
        if says_nothing(standing, now) {
            return Arc::clone(principal);
        }
        let place = Arc::as_ptr(principal).addr();
        if let Some(kept) = self.0.get(&place)
            && kept.is_of(principal, standing, now)
        {
            return Arc::clone(&kept.merged);
        }
        let merged = merged(principal, standing, now);
        let (of, by) = (Arc::downgrade(principal), Arc::downgrade(standing));
        let kept = Merged { principal: of, standing: by, span: span(standing, now), merged: Arc::clone(&merged) };
        self.0.insert(place, Arc::new(kept));
        merged
    }
}

fn says_nothing(standing: &Standing, now: UnixTime) -> bool {
    standing.groups.is_empty() && standing.attributes.is_empty() && standing.granted(now).next().is_none()
}

/// The time around `now` in which the same grants are given.
fn span(standing: &Standing, now: UnixTime) -> (Option<UnixTime>, Option<UnixTime>) {
    let ends = || standing.grants.iter().filter_map(|grant| grant.until);
    (ends().filter(|end| *end <= now).max(), ends().filter(|end| now < *end).min())
}

fn merged(principal: &Arc<Principal>, standing: &Standing, now: UnixTime) -> Arc<Principal> {
    if says_nothing(standing, now) {
        return Arc::clone(principal);
    }
    let mut merged = principal.as_ref().clone();
    if !standing.groups.is_empty() {
        merged.groups = principal.groups.iter().chain(standing.groups.iter()).collect();
    }
    merged.tiers = TierSource::Grants(standing.granted(now).collect());
    merged.attributes = Arc::clone(&standing.attributes);
    Arc::new(merged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::check::fixture::caller;
    use crate::directory::{Grant, Rights, UserId};
    use crate::types::NameSet;

    fn at(secs: i64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn standing(groups: &[&str], grants: &[(&str, Option<i64>)], plan: Option<&str>) -> Arc<Standing> {
        let attributes = plan.map(|plan| ("plan".to_owned(), json!(plan))).into_iter().collect();
        Arc::new(Standing {
            id: UserId::from_bytes([0; 16]),
            is_disabled: false,
            valid_from: None,
            groups: groups.iter().copied().collect(),
            grants: grants.iter().map(|(tier, until)| Grant { tier: Box::from(*tier), until: until.map(at) }).collect(),
            attributes: Arc::new(attributes),
            rights: Rights::default(),
            email: None,
            name: None,
            sequence: 1,
        })
    }

    #[test]
    fn the_same_two_are_put_together_once() {
        let (kept, ann) = (MergedPrincipals::new(), caller("access:ea"));
        let pro = standing(&["audit"], &[("boss", Some(100)), ("devel", None)], Some("pro"));
        let first = kept.of(&ann, &pro, at(50));
        assert_eq!(first.tiers, TierSource::Grants(["boss", "devel"].into_iter().collect()));
        assert!(Arc::ptr_eq(&first, &kept.of(&ann, &pro, at(99))));
        let after = kept.of(&ann, &pro, at(100));
        assert_eq!(after.tiers, TierSource::Grants(NameSet::from_iter(["devel"])));
        assert_eq!(kept.of(&ann, &pro, at(99)), first, "also where the clock is set back");
        assert!(Arc::ptr_eq(&ann, &kept.of(&ann, &standing(&[], &[("boss", Some(100))], None), at(100))));
    }

    proptest! {
        /// Whoever and whatever was asked for before.
        #[test]
        fn what_is_kept_is_what_would_be_put_together(
            asked in prop::collection::vec((0usize..3, 0usize..5, 0i64..40, any::<bool>()), 1..80),
        ) {
            let mut people = ["access:ea", "access:devel", ""].map(caller);
            let standings = [
                standing(&[], &[], None),
                standing(&["audit", "ops"], &[], None),
                standing(&[], &[("boss", Some(10)), ("devel", Some(20))], None),
                standing(&["audit"], &[("boss", Some(10)), ("boss", Some(30)), ("devel", None)], Some("pro")),
                standing(&["audit"], &[("boss", Some(10)), ("boss", Some(30)), ("devel", None)], Some("free")),
            ];
            let kept = MergedPrincipals::new();
            for (person, by, now, is_new) in asked {
                if is_new {
                    people[person] = Arc::new(Principal { name: None, ..people[person].as_ref().clone() });
                }
                let plain = merged(&people[person], &standings[by], at(now));
                prop_assert_eq!(kept.of(&people[person], &standings[by], at(now)), plain);
            }
        }
    }
}
