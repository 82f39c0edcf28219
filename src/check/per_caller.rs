//! What is rendered once for a caller, a tier and the settings, and used again
//! for each request of theirs. Nothing is decided by it.

use std::sync::{Arc, Weak};

use super::allow::{Allow, Told};
use super::checker::Snapshot;
use crate::types::{Principal, TierIndex, TierSet};

/// A bounded place for what an adapter renders of [`Allow::each_of_caller`] and
/// [`Allow::removed_always`]: one for each thread, so that nobody waits.
///
/// Callers who fall into one slot take it from each other.
#[derive(Debug)]
pub struct PerCaller<T>(Vec<Option<(Key, T)>>);

/// All that the rendered text depends on. The weak references keep the places
/// of what they mean from being used for anything else, and nothing alive.
#[derive(Debug)]
struct Key {
    snapshot: Weak<Snapshot>,
    principal: Option<Weak<Principal>>,
    held: TierSet,
    tier: Option<TierIndex>,
}

impl Key {
    fn of(told: &Told) -> Self {
        Self {
            snapshot: Arc::downgrade(&told.snapshot),
            principal: told.principal.as_ref().map(Arc::downgrade),
            held: told.held,
            tier: told.tier,
        }
    }

    fn is_of(&self, told: &Told) -> bool {
        let same_caller = match (&self.principal, &told.principal) {
            (Some(kept), Some(principal)) => std::ptr::eq(kept.as_ptr(), Arc::as_ptr(principal)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_caller
            && self.held == told.held
            && self.tier == told.tier
            && std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(&told.snapshot))
    }
}

impl<T> PerCaller<T> {
    /// With room for at most `slots` callers.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| None).collect())
    }

    /// What is rendered for the caller of `allow`, by `render` where it is not yet;
    /// `None` where there is no room at all.
    pub fn of(&mut self, allow: &Allow, render: impl FnOnce() -> T) -> Option<&T> {
        let told = &allow.caller;
        let place = place(told).checked_rem(self.0.len())?;
        let slot = self.0.get_mut(place)?;
        if slot.as_ref().is_none_or(|(key, _)| !key.is_of(told)) {
            *slot = Some((Key::of(told), render()));
        }
        slot.as_ref().map(|(_, rendered)| rendered)
    }
}

/// Spreads callers over the slots.
fn place(told: &Told) -> usize {
    let caller = told.principal.as_ref().map_or(0, |principal| Arc::as_ptr(principal).addr());
    let tier = told.tier.map_or(0, |tier| tier.position().saturating_add(1));
    let mixed = (caller >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    mixed.wrapping_add(tier)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{caller, snapshot};
    use super::super::outcome::Answer;
    use super::super::tests::{headers_of, view};
    use super::*;
    use crate::check::Checker;
    use crate::check::fixture::checker_with;
    use crate::types::Protocol;

    fn allowed(checker: &Checker, target: &str, principal: Option<&Arc<Principal>>) -> Option<Allow> {
        match checker.check_shared(&view(Protocol::Grpc, "GET", target, &[]), principal).answer {
            Answer::Allow(allow) => Some(*allow),
            Answer::Deny(_) | Answer::Respond(_) => None,
        }
    }

    fn rendered(allow: &Allow) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        allow.each_of_caller(|name, value| headers.push((name.to_string(), value.to_owned())));
        headers
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// With two slots, callers that come and go, and settings that change.
        #[test]
        fn what_is_kept_is_what_would_be_rendered(
            steps in proptest::collection::vec((0usize..4, 0usize..4, any::<bool>()), 1..40),
        ) {
            let mut kept = PerCaller::new(2);
            let checker = checker_with(snapshot(), |ports| ports);
            let mut people: Vec<Arc<Principal>> = ["", "access:devel", "access:boss"].map(caller).to_vec();
            for (who, target, changes) in steps {
                if changes {
                    checker.replace(snapshot());
                    if let Some(person) = people.get_mut(who) {
                        let mut next = person.as_ref().clone();
                        next.subject = format!("{}x", next.subject).into_boxed_str();
                        *person = Arc::new(next);
                    }
                }
                let target = ["/public/x", "/apps/stable/x", "/apps/devel/x", "/apps/boss/x"][target];
                if let Some(allow) = allowed(&checker, target, people.get(who)) {
                    let expected = rendered(&allow);
                    prop_assert_eq!(kept.of(&allow, || rendered(&allow)), Some(&expected));
                    let mut whole = expected;
                    allow.each_of_request(|name, value| whole.push((name.to_string(), value.to_owned())));
                    whole.sort();
                    let mut all = headers_of(&allow);
                    all.sort();
                    prop_assert_eq!(whole, all);
                }
            }
        }
    }

    #[test]
    fn a_caller_is_rendered_once() {
        let mut kept = PerCaller::new(8);
        let checker = checker_with(snapshot(), |ports| ports);
        let person = caller("access:devel");
        let allow = allowed(&checker, "/apps/devel/x", Some(&person)).expect("allowed");
        assert_eq!(kept.of(&allow, || 1), Some(&1));
        let allow = allowed(&checker, "/apps/devel/x", Some(&person)).expect("allowed");
        assert_eq!(kept.of(&allow, || 2), Some(&1), "not again");
        checker.replace(snapshot());
        let allow = allowed(&checker, "/apps/devel/x", Some(&person)).expect("allowed");
        assert_eq!(kept.of(&allow, || 2), Some(&2), "other settings");
        assert_eq!(PerCaller::new(0).of(&allow, || 3), None);
    }
}
