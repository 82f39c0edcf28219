//! Rules that are added to a policy as one: those of an app.

use std::sync::Arc;

use super::document::RuleFile;
use super::error::PolicyError;
use super::fingerprint;
use super::matcher::Matcher;
use super::names::Names;
use super::rule::Rule;
use super::{Policy, Tiers};

/// Compiled rules without a tie among them. They fit the tiers and providers of
/// the policy that compiled them.
#[derive(Debug, Clone)]
pub struct RuleSet {
    tiers: Arc<Tiers>,
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
    /// providers.
    ///
    /// # Errors
    /// Every fault, with pointers into `/rules` as if `written` stood there.
    pub fn compile_rules(&self, written: &[RuleFile]) -> Result<RuleSet, Vec<PolicyError>> {
        let mut errors = Vec::new();
        let rules = compile(written, &Names::of(&self.tiers, &self.providers), &mut errors);
        // Only for its ties.
        Matcher::build(&rules, &mut errors);
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        if errors.is_empty() { Ok(RuleSet { tiers: Arc::clone(&self.tiers), rules }) } else { Err(errors) }
    }

    /// The policy with further rules. A set of which a rule ties with one that is
    /// there already stays out whole: its tie stands in the list at its position.
    /// So does a set that another policy compiled, though without a tie to name.
    #[must_use]
    pub fn with<'s>(&self, sets: impl IntoIterator<Item = &'s RuleSet>) -> (Self, Vec<Result<(), Option<Tie>>>) {
        let mut rules = self.rules.to_vec();
        let mut set_of: Vec<Option<usize>> = vec![None; rules.len()];
        let mut matcher = self.matcher.clone();
        let mut outcomes = Vec::new();
        for (position, set) in sets.into_iter().enumerate() {
            if !Arc::ptr_eq(&set.tiers, &self.tiers) {
                outcomes.push(Err(None));
                continue;
            }
            let tie = set.rules.iter().find_map(|rule| Some((rule, matcher.tie(rule)?)));
            if let Some((rule, other)) = tie {
                outcomes.push(Err(Some(Tie {
                    rule: rule.name().to_owned(),
                    other: rules.get(other).map(|rule| rule.name().to_owned()).unwrap_or_default(),
                    other_set: set_of.get(other).copied().flatten(),
                })));
                continue;
            }
            for rule in &set.rules {
                matcher.insert(rules.len(), rule);
                rules.push(Arc::clone(rule));
                set_of.push(Some(position));
            }
            outcomes.push(Ok(()));
        }
        let rules = rules.into_boxed_slice();
        let fingerprint = fingerprint(&self.tiers, &rules);
        let tiers = Arc::clone(&self.tiers);
        (Self { tiers, providers: Arc::clone(&self.providers), rules, matcher, fingerprint }, outcomes)
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
