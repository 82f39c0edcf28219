//! Rules that are added to a policy as one: those of an app.

use std::sync::Arc;

use super::document::RuleFile;
use super::error::PolicyError;
use super::fingerprint;
use super::matcher::Matcher;
use super::names::Names;
use super::rule::Rule;
use super::{Kept, Policy, Tiers};

/// Compiled rules without a tie among them. They fit the tiers and providers of
/// the policy that compiled them.
#[derive(Debug, Clone)]
pub struct RuleSet {
    tiers: Arc<Tiers>,
    /// What is asked of the whole place that the set is about.
    implied: Arc<Rule>,
    rules: Box<[Arc<Rule>]>,
}

/// Two rules of equal specificity that cover one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// The name of the rule that was to be added.
    pub rule: String,
    /// The name of the one that is there.
    pub other: String,
    /// The set that the other one came with, by its position; `None` for a rule
    /// that stood in the policy before.
    pub other_set: Option<usize>,
}

impl Policy {
    /// Compiles further rules for this policy. `written` may name its tiers and
    /// providers. `implied` asks for the tier of a whole place, and takes nothing
    /// away: see [`Policy::find`].
    ///
    /// # Errors
    /// Every fault, with pointers into `/rules` as if `written` stood there, and
    /// into `/implied`.
    pub fn compile_rules(&self, implied: &RuleFile, written: &[RuleFile]) -> Result<RuleSet, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let names = Names::of(&self.tiers, &self.providers);
        let implied = Rule::compile(implied, "/implied", &names, &mut errors).map(Arc::new);
        let rules = compile(written, &names, &mut errors);
        // Only for its ties.
        Matcher::build(&rules, &mut errors);
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        match implied {
            Some(implied) if errors.is_empty() => Ok(RuleSet { tiers: Arc::clone(&self.tiers), implied, rules }),
            Some(_) | None => Err(errors),
        }
    }

    /// The policy with further rules. A set of which a rule ties with one that is
    /// there already stays out whole: its tie stands in the list at its position.
    /// So does a set that another policy compiled, though without a tie to name.
    #[must_use]
    pub fn with<'s>(&self, sets: impl IntoIterator<Item = &'s RuleSet>) -> (Self, Vec<Result<(), Option<Tie>>>) {
        let mut rules = self.rules.to_vec();
        let mut matcher = self.matcher.clone();
        let mut implied = self.implied.clone();
        let mut outcomes = Vec::new();
        for (position, set) in sets.into_iter().enumerate() {
            let outcome = if Arc::ptr_eq(&set.tiers, &self.tiers) {
                let added = set.rules.iter().find_map(|rule| Some((rule, matcher.tie(rule)?)));
                let whole = implied.tie(&set.implied).map(|other| (&set.implied, other));
                added.or(whole).map_or(Ok(()), |(rule, other)| {
                    let other = rules.get(other);
                    Err(Some(Tie {
                        rule: rule.name().to_owned(),
                        other: other.map(|other| other.rule.name().to_owned()).unwrap_or_default(),
                        other_set: other.and_then(|other| other.set),
                    }))
                })
            } else {
                Err(None)
            };
            if outcome.is_ok() {
                let kept = |rule: &Arc<Rule>, implied| Kept { rule: Arc::clone(rule), set: Some(position), implied };
                for rule in &set.rules {
                    matcher.insert(rules.len(), rule);
                    rules.push(kept(rule, false));
                }
                implied.insert(rules.len(), &set.implied);
                rules.push(kept(&set.implied, true));
            }
            outcomes.push(outcome);
        }
        let rules = rules.into_boxed_slice();
        let fingerprint = fingerprint(&self.tiers, &rules);
        let tiers = Arc::clone(&self.tiers);
        (
            Self {
                tiers,
                providers: Arc::clone(&self.providers),
                rules,
                matcher,
                written: Arc::clone(&self.written),
                implied,
                fingerprint,
            },
            outcomes,
        )
    }
}

/// The rules that are right, each with its position.
pub(super) fn compile(
    written: &[RuleFile],
    names: &Names<'_>,
    errors: &mut Vec<PolicyError>,
) -> Vec<(usize, Arc<Rule>)> {
    written
        .iter()
        .enumerate()
        .filter_map(|(position, file)| {
            let rule = Rule::compile(file, &format!("/rules/{position}"), names, errors)?;
            Some((position, Arc::new(rule)))
        })
        .collect()
}
