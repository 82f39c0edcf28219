//! The names a policy may refer to, and the nearest one to a slip.

use super::error::PolicyErrorKind;
use crate::types::TierIndex;

/// What is declared outside a rule: tiers and identity providers.
pub(crate) struct Names<'a> {
    tiers: Vec<&'a str>,
    providers: &'a [&'a str],
}

impl<'a> Names<'a> {
    pub(crate) fn new(tiers: impl Iterator<Item = &'a str>, providers: &'a [&'a str]) -> Self {
        Self { tiers: tiers.collect(), providers }
    }

    pub(crate) fn tier(&self, name: &str) -> Result<TierIndex, PolicyErrorKind> {
        self.tiers
            .iter()
            .position(|held| *held == name)
            .and_then(TierIndex::new)
            .ok_or_else(|| PolicyErrorKind::UnknownTier { name: name.to_owned(), nearest: nearest(name, &self.tiers) })
    }

    pub(crate) fn provider(&self, id: &str) -> Result<(), PolicyErrorKind> {
        if self.providers.contains(&id) {
            return Ok(());
        }
        Err(PolicyErrorKind::UnknownProvider { id: id.to_owned(), nearest: nearest(id, self.providers) })
    }
}

fn nearest(name: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
