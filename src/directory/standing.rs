//! What a decision asks of a user.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::user::{Rights, User, UserId};
use crate::types::{Email, NameSet, UnixTime};

/// What counts of a user in a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The directory's own name for them.
    pub id: UserId,
    /// Whether they are refused.
    pub is_disabled: bool,
    /// Tokens and sessions from before count no more.
    pub valid_from: Option<UnixTime>,
    /// The groups of the directory.
    pub groups: NameSet,
    /// The tiers that administrators gave.
    pub grants: Box<[Grant]>,
    /// What else is known, for headers.
    pub attributes: Arc<Map<String, Value>>,
    /// What the provider's tokens said last, for personal access tokens.
    pub rights: Rights,
    /// Their address.
    pub email: Option<Email>,
    /// Their display name.
    pub name: Option<Box<str>>,
    /// Where this stands among all changes of the directory.
    pub sequence: u64,
}

/// A tier that an administrator gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name.
    pub tier: Box<str>,
    /// Until when.
    pub until: Option<UnixTime>,
}

impl Standing {
    /// What counts of `user`.
    #[must_use]
    pub fn of(user: &User) -> Self {
        Self {
            id: user.id,
            is_disabled: user.is_disabled(),
            valid_from: user.valid_from,
            groups: user.groups.iter().map(String::as_str).collect(),
            grants: user
                .grants
                .iter()
                .map(|grant| Grant { tier: Box::from(grant.tier.as_str()), until: grant.until })
                .collect(),
            attributes: Arc::new(user.attributes.clone()),
            rights: user.rights.clone(),
            email: user.email.clone(),
            name: user.name.as_deref().map(Box::from),
            sequence: user.sequence,
        }
    }

    /// The tiers that are given at `now`, whether or not the policy knows them.
    pub fn granted(&self, now: UnixTime) -> impl Iterator<Item = &str> {
        let held = self.grants.iter().filter(move |grant| grant.until.is_none_or(|until| now < until));
        held.map(|grant| grant.tier.as_ref())
    }
}
