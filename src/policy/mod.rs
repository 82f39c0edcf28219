//! Layer 1: the policy, from its written form to a decision. Pure: no clock,
//! no file, no log, no await.
//!
//! [`document`] is what people write. [`Policy::compile`] turns it into trees
//! and bit sets, or says everything that is wrong with it. [`Policy::find`]
//! gives the most specific rule for a request and [`Matched::decide`] judges a
//! caller by it.

mod by_name;
mod condition;
mod decision;
pub mod document;
mod error;
mod matcher;
mod names;
mod pattern;
mod requirement;
mod rule;
mod rule_set;
mod tiers;

use std::sync::Arc;

pub(crate) use condition::is_scope;
use decision::Beside;
pub use decision::{Decision, Matched, Required};
use document::PolicyDocument;
pub use error::{PolicyError, PolicyErrorKind};
use matcher::Matcher;
use names::Names;
pub use names::{Declared, nearest};
pub use requirement::Requirement;
use rule::RuleTier;
pub use rule::{Rule, TokenPlaces};
pub use rule_set::{RuleSet, Tie};
pub use tiers::Tiers;

use crate::types::{CanonicalPath, Host};

/// A compiled policy: immutable, shared by every check.
#[derive(Debug, Clone)]
pub struct Policy {
    tiers: Arc<Tiers>,
    /// The ids of the configured identity providers.
    providers: Arc<[Box<str>]>,
    rules: Box<[Kept]>,
    /// Every rule but the implied ones.
    matcher: Matcher,
    /// Those of no set.
    written: Arc<Matcher>,
    /// The implied rules.
    implied: Matcher,
    fingerprint: Box<str>,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOrigin {
    /// It was written in the policy.
    Written,
    /// It came with a set.
    Set {
        /// Which one, by its position in [`Policy::with`].
        set: usize,
        /// Whether it is the one of the set's whole place.
        is_implied: bool,
    },
}

/// A rule of a policy.
#[derive(Debug, Clone)]
struct Kept {
    rule: Arc<Rule>,
    /// The set that it came with, by its position.
    set: Option<usize>,
    implied: bool,
}

impl Policy {
    /// Compiles the written policy. `providers` are the ids of the configured
    /// identity providers, to which conditions may refer.
    ///
    /// # Errors
    /// Every fault of the document, in the order in which it was written.
    pub fn compile(document: &PolicyDocument, providers: &[&str]) -> Result<Self, Vec<PolicyError>> {
        let (policy, errors) = Self::read(document, &Names::whole(document, providers), providers);
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    /// Every fault of a document of which a part could not be read, save those
    /// that only follow from what is missing.
    #[must_use]
    pub fn faults_of_part(document: &PolicyDocument, declared: &Declared<'_>) -> Vec<PolicyError> {
        Self::read(document, &Names::around(document, declared), &[]).1
    }

    /// The policy is whole only without a fault and with every name known.
    fn read(document: &PolicyDocument, names: &Names<'_>, providers: &[&str]) -> (Self, Vec<PolicyError>) {
        let mut errors = Vec::new();
        let tiers = Tiers::compile(&document.tiers, names, &mut errors);
        let rules = rule_set::compile(&document.rules, names, &mut errors);
        let matcher = Matcher::build(&rules, &mut errors);
        let written = Arc::new(matcher.clone());
        let rules: Box<[Kept]> = rules.into_iter().map(|(_, rule)| Kept { rule, set: None, implied: false }).collect();
        let fingerprint = fingerprint(&tiers, &rules);
        let providers = providers.iter().map(|id| Box::from(*id)).collect();
        (
            Self {
                tiers: Arc::new(tiers),
                providers,
                rules,
                matcher,
                written,
                implied: Matcher::default(),
                fingerprint,
            },
            errors,
        )
    }

    /// The declared tiers.
    #[must_use]
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// The rules in written order, then those of each set that was added.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter().map(|kept| kept.rule.as_ref())
    }

    /// The same with where each comes from.
    pub fn rules_with_origin(&self) -> impl ExactSizeIterator<Item = (&Rule, RuleOrigin)> {
        self.rules.iter().map(|kept| {
            let origin = match kept.set {
                None => RuleOrigin::Written,
                Some(set) => RuleOrigin::Set { set, is_implied: kept.implied },
            };
            (kept.rule.as_ref(), origin)
        })
    }

    /// The rules that are about a part of the place below `front`, so that they
    /// stand alone beside the implied rule of all of it.
    pub fn rules_within<'p>(
        &'p self,
        host: Option<&'p Host>,
        front: &CanonicalPath,
    ) -> impl Iterator<Item = &'p Rule> + use<'p> {
        let place: Vec<String> =
            front.match_key().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        self.rules().filter(move |rule| rule.is_within(host, &place))
    }

    /// Twelve hexadecimal digits that are the same for the same policy,
    /// whatever the order of its rules.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether some rule is for certain hosts only, so that a request without a
    /// host cannot be judged.
    #[must_use]
    pub fn knows_hosts(&self) -> bool {
        self.matcher.knows_hosts() || self.implied.knows_hosts()
    }

    /// The most specific rule that covers the request, or `None`: then it is
    /// refused. A path segment that should name a tier and names none is
    /// covered by no written rule at all, however wide another one is.
    ///
    /// Where the request is at a place with an implied rule, that one has to hold
    /// as well. Only a rule of the same set does without it, and a rule of no set
    /// that is about a part of the place. Where a rule of a set is the most
    /// specific one, the rule that would be it without sets has to hold as well,
    /// but for a tier that it reads from the path: that is the set's to say.
    #[must_use]
    pub fn find(&self, host: Option<&Host>, path: &CanonicalPath, method: &str) -> Option<Matched<'_>> {
        let path = path.match_key();
        let kept = |matcher: &Matcher| self.rules.get(matcher.find(host, &path, method)?);
        let implied = kept(&self.implied);
        let path_tier = |rule: &Rule| match rule.tier {
            Some(RuleTier::FromSegment(at)) => Some(Some(self.tiers.index(path.split('/').skip(1).nth(at)?)?)),
            Some(RuleTier::Fixed(_)) | None => Some(None),
        };
        let written = || kept(&self.written);
        let found = kept(&self.matcher).and_then(|found| {
            let own_set = implied.and_then(|implied| implied.set);
            // What an app says of a place within another app counts for nothing.
            let found = if found.set.is_some() && found.set != own_set { written()? } else { found };
            let from_path = path_tier(&found.rule)?;
            let beside = if found.set.is_some() {
                // One whose segment names no tier covers nothing here.
                let written = written().filter(|written| path_tier(&written.rule).is_some());
                written.map(|written| Beside { rule: &written.rule, is_written: true })
            } else {
                let implied = implied.filter(|implied| !found.stands_alone_beside(implied));
                implied.map(|implied| Beside { rule: &implied.rule, is_written: false })
            };
            Some(Matched { rule: &found.rule, beside, path_tier: from_path })
        });
        found.or_else(|| Some(Matched { rule: &implied?.rule, beside: None, path_tier: None }))
    }
}

impl Kept {
    /// Whether it is a rule of no set that is about a part of the place.
    fn stands_alone_beside(&self, implied: &Self) -> bool {
        self.set.is_none()
            && self.rule.pattern.is_more_specific_than(&implied.rule.pattern)
            && implied.rule.host.rank() <= self.rule.host.rank()
    }
}

fn fingerprint(tiers: &Tiers, rules: &[Kept]) -> Box<str> {
    let mut digests: Vec<(&[u8; 32], bool)> = rules.iter().map(|kept| (kept.rule.digest(), kept.implied)).collect();
    digests.sort_unstable();
    let mut text = format!("{tiers:?}").into_bytes();
    for (digest, implied) in digests {
        text.extend_from_slice(digest);
        text.push(u8::from(implied));
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests;
