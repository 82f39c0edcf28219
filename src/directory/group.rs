//! Groups, as SCIM speaks of them (RFC 7643 section 4.2).

use std::collections::BTreeSet;
use std::fmt;

use super::audit::Actor;
use super::change::UserChange;
use super::user::{User, UserId, parse_hex};
use crate::types::{Random, UnixTime};

/// The directory's own name for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId([u8; 16]);

impl GroupId {
    /// A new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut id = [0u8; 16];
        random.fill(&mut id);
        Self(id)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that [`fmt::Display`] wrote; nothing else is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A group. Users carry its name; two groups never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The directory's own name for it.
    pub id: GroupId,
    /// What rules call it (SCIM `displayName`); unique, with case.
    pub name: String,
    /// The SCIM client's own name for it.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it, or who is in it, was changed last.
    pub updated_at: UnixTime,
    /// Counts its changes, from 1.
    pub version: u64,
}

/// A group to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// The name that it gets.
    pub id: GroupId,
    /// What rules call it.
    pub name: String,
    /// The SCIM client's own name for it.
    pub external_id: Option<String>,
    /// Who is in it. Users that are not there are an error.
    pub members: Vec<UserId>,
}

/// A change of a group; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupChange {
    /// Another name; every member's groups follow.
    pub name: Option<String>,
    /// Another external id, or none.
    pub external_id: Option<Option<String>>,
    /// These in place of all members, before `add` and `remove`.
    pub members: Option<Vec<UserId>>,
    /// These too.
    pub add: Vec<UserId>,
    /// These no more; who is not in it, or not there at all, does not matter.
    pub remove: Vec<UserId>,
}

/// Which groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupQuery {
    /// The one with this name.
    pub name: Option<String>,
    /// The one with this external id.
    pub external_id: Option<String>,
    /// Those that this user is in.
    pub member: Option<UserId>,
    /// Those after this name, which is the order.
    pub after: Option<String>,
    /// How many to leave out; for clients that page by number (SCIM `startIndex`).
    pub offset: u64,
    /// How many at most.
    pub limit: usize,
}

/// Groups in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupPage {
    /// The groups.
    pub groups: Vec<Group>,
    /// How many the query finds without `after`, `offset` and `limit`.
    pub total: u64,
}

impl NewGroup {
    /// The group as it begins.
    #[must_use]
    pub fn begun(&self, now: UnixTime) -> Group {
        Group {
            id: self.id,
            name: self.name.clone(),
            external_id: self.external_id.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

impl GroupChange {
    /// Who is in the group after it.
    #[must_use]
    pub fn members_of(&self, members: &BTreeSet<UserId>) -> BTreeSet<UserId> {
        let mut members =
            self.members.as_ref().map_or_else(|| members.clone(), |members| members.iter().copied().collect());
        members.extend(&self.add);
        for member in &self.remove {
            members.remove(member);
        }
        members
    }

    /// What it makes of the group's own fields, which count one change more.
    #[must_use]
    pub fn applied_to(&self, group: &Group, now: UnixTime) -> Group {
        Group {
            name: self.name.clone().unwrap_or_else(|| group.name.clone()),
            external_id: self.external_id.clone().unwrap_or_else(|| group.external_id.clone()),
            updated_at: now,
            version: group.version.saturating_add(1),
            ..group.clone()
        }
    }
}

impl User {
    /// Whether `actor` may change a group that they are in: a SCIM client may
    /// where it manages them, or it would decide on users of other providers.
    #[must_use]
    pub fn is_regrouped_by(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Scim(provider) => self.is_managed_at(provider),
            Actor::Person(_) | Actor::Hook(_) | Actor::Sync(_) | Actor::SignIn | Actor::Shell => true,
        }
    }

    /// The user as they are when a group that was called `old` is called `new`
    /// and they are in it or not; `None` where that changes nothing.
    #[must_use]
    pub fn regrouped(&self, old: Option<&str>, new: Option<&str>, now: UnixTime) -> Option<Self> {
        let mut groups = self.groups.clone();
        if let Some(old) = old {
            groups.remove(old);
        }
        groups.extend(new.map(str::to_owned));
        if groups == self.groups {
            return None;
        }
        Self::apply(Some(self), &self.key, self.id, &UserChange::SetGroups(groups), now)
    }
}
