//! The decision: a value with its rule and its reason.

use super::condition::{Condition, Facts};
use super::requirement::Requirement;
use super::rule::{Rule, RuleTier};
use super::tiers::Tiers;
use crate::types::{Principal, Reason, TierIndex, TierSet, TierSource};

/// The rule that covers a request, and the tier the path names in it.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'p> {
    pub(crate) rule: &'p Rule,
    /// A further rule that has to hold as well.
    pub(crate) beside: Option<Beside<'p>>,
    pub(crate) path_tier: Option<TierIndex>,
}

/// A rule that has to hold beside the one that matched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside<'p> {
    pub(crate) rule: &'p Rule,
    /// Whether it is a written rule beside that of a set, and not the implied one
    /// of a place. Then a tier that it reads from the path is not asked for.
    pub(crate) is_written: bool,
}

impl<'p> Beside<'p> {
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &'p Condition> + use<'p> {
        let is_written = self.is_written;
        self.rule.conditions.iter().filter(move |condition| !(is_written && **condition == Condition::PathTier))
    }
}

impl<'p> Matched<'p> {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &'p Rule {
        self.rule
    }

    /// Whether the very same rules matched.
    #[must_use]
    pub fn asks_what(&self, other: &Self) -> bool {
        let beside = [self.beside, other.beside].map(|beside| beside.map(|beside| std::ptr::from_ref(beside.rule)));
        std::ptr::eq(self.rule, other.rule) && beside[0] == beside[1]
    }

    fn conditions(&self) -> impl Iterator<Item = &'p Condition> + use<'p> {
        self.rule.conditions.iter().chain(self.beside.into_iter().flat_map(|beside| beside.conditions()))
    }

    /// The tiers that the rules ask for here: that of the app first.
    fn tiers(&self) -> impl Iterator<Item = TierIndex> + use<'p> {
        let own = match self.rule.tier {
            Some(RuleTier::Fixed(tier)) => Some(tier),
            Some(RuleTier::FromSegment(_)) => self.path_tier,
            None => None,
        };
        let beside = self.beside.and_then(|beside| match beside.rule.tier? {
            RuleTier::Fixed(tier) => Some((tier, beside.is_written)),
            RuleTier::FromSegment(_) => None,
        });
        let (first, second) = match beside {
            Some((tier, false)) => (Some(tier), own),
            Some((tier, true)) => (own, Some(tier)),
            None => (own, None),
        };
        first.into_iter().chain(second.filter(|second| Some(*second) != first))
    }

    /// The tier that is asked for here, if one is; that of an app before that of a
    /// rule for more.
    #[must_use]
    pub fn tier(&self) -> Option<TierIndex> {
        self.tiers().next()
    }

    /// Judges a caller. `route_tier` is a further tier that the proxy's route
    /// asks for; it can only add to what the rule asks.
    #[must_use]
    pub fn decide(&self, tiers: &Tiers, caller: Option<&Principal>, route_tier: Option<TierIndex>) -> Decision {
        let held = tiers.held_by(caller);
        let by_more_than_tiers = |caller: &&Principal| match caller.tiers {
            TierSource::Grants(_) => true,
            TierSource::Only(_) => false,
        };
        let facts = Facts { caller: caller.filter(by_more_than_tiers), tiers: held, path_tier: self.path_tier };
        let lack = self.conditions().find_map(|condition| condition.lack(&facts));
        let lack = lack.or_else(|| route_tier.and_then(|tier| Condition::Tier(tier).lack(&facts)));
        match (lack, caller) {
            // A rule without conditions does not compile; were there one, it would not admit anybody.
            (None, _) if self.rule.conditions.is_empty() => Decision::Deny(Reason::NoRule),
            (None, _) => Decision::Allow(held),
            (Some(_), None) => Decision::Deny(Reason::NoCredentials),
            (Some(reason), Some(_)) => Decision::Deny(reason),
        }
    }

    /// Everything the rule asks for here, for the operator: it names groups
    /// and users, so it never belongs into an answer to a client.
    #[must_use]
    pub fn requirement(&self, tiers: &'p Tiers) -> Requirement<'p> {
        Requirement { conditions: &self.rule.conditions, beside: self.beside, path_tier: self.path_tier, tiers }
    }

    /// What the rule asks for, for the caller who was refused.
    #[must_use]
    pub fn required(&self, tiers: &Tiers, route_tier: Option<TierIndex>) -> Required {
        let mut required = Required::default();
        for tier in self.tiers().chain(route_tier) {
            required.tiers.push(tiers.name(tier).to_owned());
            required.challenge_scopes.extend(tiers.granting_scopes(tier).iter().map(|scope| scope.to_string()));
        }
        for condition in self.conditions() {
            required.note(condition);
        }
        required
    }
}

/// The end of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Let the request pass; the caller holds these tiers.
    Allow(TierSet),
    /// Refuse it.
    Deny(Reason),
}

/// What a rule asks for, in the words of the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Required {
    /// Tiers to hold.
    pub tiers: Vec<String>,
    /// Scopes to hold, all of them.
    pub scopes: Vec<String>,
    /// Permissions to hold, all of them.
    pub permissions: Vec<String>,
    /// Scopes by which the tiers are granted.
    pub(crate) challenge_scopes: Vec<String>,
}

impl Required {
    fn note(&mut self, condition: &Condition) {
        match condition {
            Condition::Scopes(scopes) => self.scopes.extend(scopes.iter().map(|scope| scope.to_string())),
            Condition::Permissions(names) => self.permissions.extend(names.iter().map(|name| name.to_string())),
            // Who may pass by group, name or address is not told to strangers.
            Condition::Tier(_)
            | Condition::PathTier
            | Condition::Groups(_)
            | Condition::Users(_)
            | Condition::Providers(_)
            | Condition::EmailDomains(_)
            | Condition::Any(_)
            | Condition::All(_) => {}
        }
    }

    /// The `scope` attribute of a challenge (RFC 6750 section 3): the scopes
    /// with which the request would pass, as far as scopes decide it.
    #[must_use]
    pub fn challenge_scope(&self) -> Option<String> {
        let mut scopes: Vec<&str> = Vec::new();
        for scope in self.challenge_scopes.iter().chain(&self.scopes) {
            if !scopes.contains(&scope.as_str()) {
                scopes.push(scope);
            }
        }
        (!scopes.is_empty()).then(|| scopes.join(" "))
    }

    /// Whether nothing is asked for by name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tiers.is_empty() && self.scopes.is_empty() && self.permissions.is_empty()
    }
}
