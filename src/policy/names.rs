//! The names a policy may refer to, and the nearest one to a slip.

use super::document::PolicyDocument;
use super::error::PolicyErrorKind;
use super::tiers::Tiers;
use crate::types::TierIndex;

/// What is declared around a document of which only a part could be read.
/// `None`: that cannot be told, so no name of the kind is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared<'a> {
    /// The names of the tiers, also of those that the document itself lacks.
    pub tiers: Option<&'a [String]>,
    /// The ids of the identity providers.
    pub providers: Option<&'a [String]>,
}

/// The names to which a document may refer.
pub(crate) struct Names<'a> {
    tiers: Vec<&'a str>,
    /// `None`: any other name may be a tier, too.
    more_tiers: Option<Vec<&'a str>>,
    providers: Option<Vec<&'a str>>,
}

impl<'a> Names<'a> {
    /// The names around a whole document.
    pub(crate) fn whole(document: &'a PolicyDocument, providers: &[&'a str]) -> Self {
        Self { tiers: tiers(document), more_tiers: Some(Vec::new()), providers: Some(providers.to_vec()) }
    }

    /// The names of a policy that is whole already.
    pub(crate) fn of(tiers: &'a Tiers, providers: &'a [Box<str>]) -> Self {
        let tiers = tiers.iter().map(|tier| tiers.name(tier)).collect();
        let providers = providers.iter().map(AsRef::as_ref).collect();
        Self { tiers, more_tiers: Some(Vec::new()), providers: Some(providers) }
    }

    /// The names around a part of a document.
    pub(crate) fn around(document: &'a PolicyDocument, declared: &Declared<'a>) -> Self {
        let names = |list: Option<&'a [String]>| list.map(|list| list.iter().map(String::as_str).collect());
        Self { tiers: tiers(document), more_tiers: names(declared.tiers), providers: names(declared.providers) }
    }

    /// The tier called `name`; `None` when it is none of the document's and
    /// may be one all the same.
    pub(crate) fn tier(&self, name: &str) -> Result<Option<TierIndex>, PolicyErrorKind> {
        if let Some(position) = self.tiers.iter().position(|held| *held == name) {
            return Ok(TierIndex::new(position));
        }
        match &self.more_tiers {
            None => Ok(None),
            Some(more) if more.contains(&name) => Ok(None),
            Some(more) => {
                let known = self.tiers.iter().chain(more).copied();
                let nearest = nearest(name, known).map(str::to_owned);
                Err(PolicyErrorKind::UnknownTier { name: name.to_owned(), nearest })
            }
        }
    }

    pub(crate) fn provider(&self, id: &str) -> Result<(), PolicyErrorKind> {
        match &self.providers {
            Some(known) if !known.contains(&id) => {
                let nearest = nearest(id, known.iter().copied()).map(str::to_owned);
                Err(PolicyErrorKind::UnknownProvider { id: id.to_owned(), nearest })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn tiers(document: &PolicyDocument) -> Vec<&str> {
    document.tiers.0.iter().map(|(name, _)| name.as_str()).collect()
}

/// The known name most like `name`, when a slip of the pen explains the
/// difference: case and `-` for `_` count for nothing, and a long name has room
/// for more slips than a short one.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let name = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5 && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}
