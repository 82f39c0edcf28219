//! The tiers as a graph, compiled to bit sets.

use std::fmt;

use super::by_name::ByName;
use super::condition::{Condition, Grant};
use super::document::{GrantFile, GrantKeyword, TiersFile};
use super::error::{PolicyError, PolicyErrorKind};
use super::names::Names;
use crate::types::{NameSet, Principal, TierIndex, TierSet, TierSource};

/// The declared tiers, in written order.
#[derive(Clone, Default)]
pub struct Tiers {
    tiers: Box<[Tier]>,
    positions: ByName<TierIndex>,
    shortcuts: Shortcuts,
}

/// The grants in the order in which they are asked: not tier by tier, so that
/// a caller costs the same however many tiers there are.
#[derive(Debug, Clone, Default)]
struct Shortcuts {
    /// What everybody holds.
    anyone: TierSet,
    /// What everybody with a verified identity holds.
    authenticated: TierSet,
    /// What one scope alone grants.
    by_scope: ByName<TierSet>,
    /// The tiers with other grants, which are evaluated.
    evaluated: Box<[TierIndex]>,
}

#[derive(Debug, Clone)]
struct Tier {
    name: Box<str>,
    label: Option<Box<str>>,
    grant: Option<Grant>,
    /// The tier itself and all that it includes, however deep.
    contains: TierSet,
}

impl Tiers {
    pub(crate) fn compile(file: &TiersFile, names: &Names<'_>, errors: &mut Vec<PolicyError>) -> Self {
        if file.0.len() > TierIndex::MAX_TIERS {
            errors.push(PolicyError::new("/tiers", PolicyErrorKind::TooManyTiers { found: file.0.len() }));
            return Self::default();
        }
        let includes: Vec<TierSet> = file
            .0
            .iter()
            .map(|(name, tier)| {
                let mut set = TierSet::EMPTY;
                for (position, included) in tier.includes.iter().enumerate() {
                    match names.tier(included) {
                        Ok(Some(index)) => set = set.union(TierSet::of(index)),
                        Ok(None) => {}
                        Err(kind) => {
                            errors.push(PolicyError::new(format!("/tiers/{}/includes/{position}", escape(name)), kind));
                        }
                    }
                }
                set
            })
            .collect();
        report_cycles(file, &includes, errors);
        let tiers = file
            .0
            .iter()
            .enumerate()
            .map(|(position, (name, tier))| {
                let pointer = format!("/tiers/{}", escape(name));
                if !is_tier_name(name) {
                    errors.push(PolicyError::new(&pointer, PolicyErrorKind::BadTierName { name: name.clone() }));
                }
                let grant = tier.grant.as_ref().map(|grant| match grant {
                    GrantFile::Keyword(GrantKeyword::Anyone) => Grant::Anyone,
                    GrantFile::Keyword(GrantKeyword::Authenticated) => Grant::Authenticated,
                    GrantFile::Conditions(conditions) => Grant::AnyOf(
                        Condition::compile_grant(conditions, &format!("{pointer}/grant"), names, errors)
                            .into_boxed_slice(),
                    ),
                });
                Tier {
                    name: Box::from(name.as_str()),
                    label: tier.label.as_deref().map(Box::from),
                    grant,
                    contains: closure(position, &includes),
                }
            })
            .collect();
        Self::of(tiers)
    }

    fn of(tiers: Box<[Tier]>) -> Self {
        let indexes = || tiers.iter().enumerate().filter_map(|(at, tier)| Some((TierIndex::new(at)?, tier)));
        let mut positions = ByName::default();
        for (index, tier) in indexes() {
            positions.entry(tier.name.clone()).or_insert(index);
        }
        let mut shortcuts = Shortcuts::default();
        let mut evaluated = Vec::new();
        for (index, tier) in indexes() {
            match tier.grant.as_ref() {
                None => {}
                Some(Grant::Anyone) => shortcuts.anyone = shortcuts.anyone.union(tier.contains),
                Some(Grant::Authenticated) => {
                    shortcuts.authenticated = shortcuts.authenticated.union(tier.contains);
                }
                Some(Grant::AnyOf(conditions)) => match alone(conditions) {
                    Some(scopes) => {
                        for scope in scopes {
                            let held = shortcuts.by_scope.entry(Box::from(scope)).or_default();
                            *held = held.union(tier.contains);
                        }
                    }
                    None => evaluated.push(index),
                },
            }
        }
        shortcuts.evaluated = evaluated.into_boxed_slice();
        Self { tiers, positions, shortcuts }
    }

    /// What gives `tier` by itself.
    pub(super) fn grant(&self, tier: TierIndex) -> Option<&Grant> {
        self.tiers.get(tier.position())?.grant.as_ref()
    }

    /// The tier called `name`, with case.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<TierIndex> {
        self.positions.get(name).copied()
    }

    /// The name of `tier`.
    #[must_use]
    pub fn name(&self, tier: TierIndex) -> &str {
        self.tiers.get(tier.position()).map_or("", |tier| &tier.name)
    }

    /// What people read for `tier`: its label, else its name.
    #[must_use]
    pub fn label(&self, tier: TierIndex) -> &str {
        self.tiers.get(tier.position()).map_or("", |tier| tier.label.as_deref().unwrap_or(&tier.name))
    }

    /// Every tier in written order.
    pub fn iter(&self) -> impl Iterator<Item = TierIndex> {
        (0..self.tiers.len()).filter_map(TierIndex::new)
    }

    /// The tier itself and all that it includes, however deep.
    #[must_use]
    pub fn contained(&self, tier: TierIndex) -> TierSet {
        self.tiers.get(tier.position()).map_or(TierSet::EMPTY, |tier| tier.contains)
    }

    /// All tiers the caller holds: those granted, by the policy or to the person,
    /// and all that they include. Names that no tier has open nothing.
    #[must_use]
    pub fn held_by(&self, caller: Option<&Principal>) -> TierSet {
        let (judged, named) = match caller.map(|caller| &caller.tiers) {
            None => (None, None),
            Some(TierSource::Grants(named)) => (caller, Some(named)),
            // What anybody may is theirs too.
            Some(TierSource::Only(named)) => (None, Some(named)),
        };
        let mut held = self.shortcuts.anyone;
        if let Some(caller) = judged {
            held = held.union(self.shortcuts.granted_to(caller, &self.tiers));
        }
        for name in named.into_iter().flat_map(NameSet::iter) {
            held = held.union(self.index(name).map_or(TierSet::EMPTY, |tier| self.contained(tier)));
        }
        held
    }

    /// The highest of the tiers that somebody holds: the one that contains most of
    /// them, and of several such ones the last in written order.
    #[must_use]
    pub fn highest(&self, held: TierSet) -> Option<TierIndex> {
        let contained = |tier: &TierIndex| {
            let contains = self.tiers.get(tier.position()).map_or(TierSet::EMPTY, |tier| tier.contains);
            held.iter().filter(|other| contains.contains(*other)).count()
        };
        held.iter().max_by_key(contained)
    }

    /// The scopes of which the grant of `tier` wants all, for the `scope`
    /// attribute of a challenge; empty when it is granted otherwise.
    #[must_use]
    pub fn granting_scopes(&self, tier: TierIndex) -> &[Box<str>] {
        let Some(Grant::AnyOf(conditions)) = self.tiers.get(tier.position()).and_then(|tier| tier.grant.as_ref())
        else {
            return &[];
        };
        conditions
            .iter()
            .find_map(|condition| if let Condition::Scopes(scopes) = condition { Some(scopes.as_ref()) } else { None })
            .unwrap_or_default()
    }
}

/// As it was before there were shortcuts: the fingerprint of a policy is made of it.
impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("tiers", &self.tiers).finish()
    }
}

impl Shortcuts {
    /// What the policy grants to `caller` beyond what it grants to anyone.
    fn granted_to(&self, caller: &Principal, tiers: &[Tier]) -> TierSet {
        let by_scope = caller.scopes.iter().filter_map(|scope| self.by_scope.get(scope));
        let held = by_scope.fold(self.authenticated, |held, granted| held.union(*granted));
        let evaluated = self.evaluated.iter().filter_map(|tier| tiers.get(tier.position()));
        let granted = evaluated.filter(|tier| tier.grant.as_ref().is_some_and(|grant| grant.holds(Some(caller))));
        granted.fold(held, |held, tier| held.union(tier.contains))
    }
}

/// The scopes of which each alone is enough, where nothing else is.
fn alone(conditions: &[Condition]) -> Option<Vec<&str>> {
    conditions
        .iter()
        .map(|condition| match condition {
            Condition::Scopes(scopes) => scopes.first().filter(|_| scopes.len() == 1).map(AsRef::as_ref),
            Condition::Tier(_)
            | Condition::PathTier
            | Condition::Permissions(_)
            | Condition::Groups(_)
            | Condition::Users(_)
            | Condition::Providers(_)
            | Condition::EmailDomains(_)
            | Condition::Any(_)
            | Condition::All(_) => None,
        })
        .collect()
}

/// A name as one step of a JSON pointer (RFC 6901 section 3).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn is_tier_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Everything that can be reached over `includes` from `start`, with itself.
fn closure(start: usize, includes: &[TierSet]) -> TierSet {
    let mut reached = TierIndex::new(start).map_or(TierSet::EMPTY, TierSet::of);
    loop {
        let next = reached
            .iter()
            .filter_map(|tier| includes.get(tier.position()))
            .fold(reached, |all, included| all.union(*included));
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

/// Names each cycle once, at the tier of it that was written first.
fn report_cycles(file: &TiersFile, includes: &[TierSet], errors: &mut Vec<PolicyError>) {
    let name = |position: usize| file.0.get(position).map_or("", |(name, _)| name.as_str()).to_owned();
    let mut reported = TierSet::EMPTY;
    for start in 0..includes.len() {
        let Some(index) = TierIndex::new(start) else { continue };
        if reported.contains(index) {
            continue;
        }
        if let Some(cycle) = way_back(start, includes) {
            for position in &cycle {
                reported = TierIndex::new(*position).map_or(reported, |tier| reported.union(TierSet::of(tier)));
            }
            let cycle = cycle.into_iter().map(name).collect();
            errors.push(PolicyError::new(
                format!("/tiers/{}/includes", escape(&name(start))),
                PolicyErrorKind::TierCycle { cycle },
            ));
        }
    }
}

/// The shortest way from `start` over `includes` back to it.
fn way_back(start: usize, includes: &[TierSet]) -> Option<Vec<usize>> {
    let mut ways = std::collections::VecDeque::from([vec![start]]);
    let mut seen = TierSet::EMPTY;
    while let Some(way) = ways.pop_front() {
        let here = *way.last()?;
        for next in includes.get(here)?.iter() {
            let mut longer = way.clone();
            longer.push(next.position());
            if next.position() == start {
                return Some(longer);
            }
            if !seen.contains(next) {
                seen = seen.union(TierSet::of(next));
                ways.push_back(longer);
            }
        }
    }
    None
}
