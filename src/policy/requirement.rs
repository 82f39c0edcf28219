//! What a rule asks for, in words for the operator who wrote it.

use std::fmt;

use super::condition::{Condition, Grant};
use super::decision::Beside;
use super::tiers::Tiers;
use crate::types::TierIndex;

/// Shows every condition of a rule, such as `tier ea and any of (group audit,
/// user main/x)`. It names groups and users: it is for operators only.
#[derive(Debug, Clone, Copy)]
pub struct Requirement<'p> {
    pub(crate) conditions: &'p [Condition],
    /// The rule that has to hold as well.
    pub(crate) beside: Option<Beside<'p>>,
    /// The tier that the path names.
    pub(crate) path_tier: Option<TierIndex>,
    pub(crate) tiers: &'p Tiers,
}

impl fmt::Display for Requirement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<Words> = self.conditions.iter().map(|condition| self.words(condition)).collect();
        for condition in self.beside.iter().flat_map(Beside::conditions) {
            let part = self.words(condition);
            if !parts.iter().any(|held| held.to_string() == part.to_string()) {
                parts.push(part);
            }
        }
        match Words::all(parts) {
            Words::All(parts) => f.write_str(&told(&parts, " and ")),
            whole @ (Words::One(_) | Words::Any(_)) => whole.fmt(f),
        }
    }
}

impl Requirement<'_> {
    fn words(&self, condition: &Condition) -> Words {
        let tier = |tier: TierIndex| Words::One(format!("tier {}", self.tiers.name(tier)));
        let each = |kind: &str, names: &[Box<str>]| -> Vec<Words> {
            names.iter().map(|name| Words::One(format!("{kind} {name}"))).collect()
        };
        match condition {
            Condition::Tier(index) => tier(*index),
            Condition::PathTier => {
                self.path_tier.map_or_else(|| Words::One("the tier that the path names".to_owned()), tier)
            }
            Condition::Scopes(names) => Words::all(each("scope", names)),
            Condition::Permissions(names) => Words::all(each("permission", names)),
            Condition::Groups(names) => Words::any(each("group", names)),
            Condition::Users(users) => Words::any(
                users.iter().map(|(id, subject)| Words::One(format!("user {}/{subject}", id.as_str()))).collect(),
            ),
            Condition::Providers(ids) => {
                Words::any(ids.iter().map(|id| Words::One(format!("provider {}", id.as_str()))).collect())
            }
            Condition::EmailDomains(names) => Words::any(each("e-mail domain", names)),
            Condition::Any(conditions) => Words::any(conditions.iter().map(|inner| self.words(inner)).collect()),
            Condition::All(conditions) => self.all(conditions),
        }
    }

    fn all(&self, conditions: &[Condition]) -> Words {
        Words::all(conditions.iter().map(|condition| self.words(condition)).collect())
    }
}

impl Tiers {
    /// Who holds `tier` by itself, in words; `None` where only a wider tier, or a
    /// grant of an administrator, brings it. It names groups and users: it is for operators only.
    #[must_use]
    pub fn granted_to(&self, tier: TierIndex) -> Option<String> {
        let words = Requirement { conditions: &[], beside: None, path_tier: None, tiers: self };
        match self.grant(tier)? {
            Grant::Anyone => Some("anyone".to_owned()),
            Grant::Authenticated => Some("anyone who is signed in".to_owned()),
            Grant::AnyOf(conditions) => {
                Some(Words::any(conditions.iter().map(|condition| words.words(condition)).collect()).to_string())
            }
        }
    }
}

/// A condition in words, without lists in lists of their own kind.
enum Words {
    One(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Words {
    fn all(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::All(inner) => inner,
            other @ (Self::One(_) | Self::Any(_)) => vec![other],
        });
        Self::only(flat.collect()).unwrap_or_else(Self::All)
    }

    fn any(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::Any(inner) => inner,
            other @ (Self::One(_) | Self::All(_)) => vec![other],
        });
        Self::only(flat.collect()).unwrap_or_else(Self::Any)
    }

    /// The part that stands alone.
    fn only(mut parts: Vec<Self>) -> Result<Self, Vec<Self>> {
        match parts.pop() {
            Some(part) if parts.is_empty() => Ok(part),
            last => {
                parts.extend(last);
                Err(parts)
            }
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::All(parts) => write!(f, "all of ({})", told(parts, ", ")),
            Self::Any(parts) => write!(f, "any of ({})", told(parts, ", ")),
        }
    }
}

fn told(parts: &[Words], between: &str) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
