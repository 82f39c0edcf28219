//! What may happen to a user, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::query::fold;
use super::user::{AsOf, Rights, ScimResource, TierGrant, User, UserId, UserKey};
use crate::types::{Email, UnixTime};

/// One change of one user.
#[derive(Debug, Clone, PartialEq)]
pub enum UserChange {
    /// They signed in, or had their tokens renewed.
    SignedIn(SignedIn),
    /// The provider, or whoever speaks for it, says how they are.
    Reported(Box<Report>),
    /// The provider says that they are gone.
    Gone {
        /// As of when.
        as_of: UnixTime,
    },
    /// An administrator refuses them.
    Disable {
        /// Why, for other administrators.
        reason: Option<String>,
    },
    /// An administrator lets them in again, whoever refused them.
    Enable,
    /// An administrator gives a tier, or gives it anew with another end.
    Grant(TierGrant),
    /// An administrator takes a tier back.
    Revoke {
        /// The tier.
        tier: String,
    },
    /// An administrator says which groups they are in.
    SetGroups(BTreeSet<String>),
    /// An administrator says what else is known of them.
    SetAttributes(Map<String, Value>),
    /// Tokens and sessions from before now count no more.
    SignOut,
}

/// What a sign-in tells.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedIn {
    /// When the provider said it: the time of the tokens.
    pub as_of: UnixTime,
    /// What the tokens grant.
    pub rights: Rights,
    /// The address.
    pub email: Option<Email>,
    /// The display name.
    pub name: Option<String>,
    /// The URL of the picture.
    pub picture: Option<String>,
}

/// What somebody who speaks for the provider says of a user. `None` says nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// As of when. What is known as of later stays.
    pub as_of: UnixTime,
    /// What people type for them.
    pub user_name: Option<String>,
    /// The address, or that there is none.
    pub email: Option<Option<Email>>,
    /// The display name, or that there is none.
    pub name: Option<Option<String>>,
    /// The URL of the picture, or that there is none.
    pub picture: Option<Option<String>>,
    /// All groups they are in.
    pub groups: Option<BTreeSet<String>>,
    /// Groups that they came into or left, after `groups`; the others stay.
    pub membership: Option<Membership>,
    /// Whether they are not active.
    pub disabled: Option<bool>,
    /// What else is known.
    pub attributes: Option<AttributesChange>,
    /// What SCIM keeps.
    pub scim: Option<ScimResource>,
}

/// Groups that somebody came into or left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// They are in these now.
    pub joined: BTreeSet<String>,
    /// They are in these no more. This counts also where it comes late: keeping
    /// a group too long would be worse than losing it too early.
    pub left: BTreeSet<String>,
}

/// How attributes change.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributesChange {
    /// These in place of all.
    Replace(Map<String, Value>),
    /// These besides the others; a `null` takes one away.
    Merge(Map<String, Value>),
}

impl User {
    /// What `change` makes of `before` at `now`; `None` where there is nothing
    /// to change. A user who is not there is made, with `id`, by whoever vouches
    /// for them and by an administrator. Version and sequence are the store's.
    ///
    /// Where nothing is new but as of when it is known, that comes of it alone: it
    /// has to be kept, or an older report that comes late would undo what was said
    /// twice. It is no other user for that: see [`Self::is_same_but_later`].
    #[must_use]
    pub fn apply(before: Option<&Self>, key: &UserKey, id: UserId, change: &UserChange, now: UnixTime) -> Option<Self> {
        let known = match (before, change) {
            (Some(user), _) => user.clone(),
            (None, UserChange::Gone { .. } | UserChange::SignOut | UserChange::Revoke { .. } | UserChange::Enable) => {
                return None;
            }
            (
                None,
                UserChange::SignedIn(_)
                | UserChange::Reported(_)
                | UserChange::Disable { .. }
                | UserChange::Grant(_)
                | UserChange::SetGroups(_)
                | UserChange::SetAttributes(_),
            ) => Self::new(id, key, now),
        };
        let mut user = known;
        user.take(change, now);
        if before == Some(&user) {
            return None;
        }
        if !before.is_some_and(|before| user.is_same_but_later(before)) {
            user.updated_at = now;
        }
        Some(user)
    }

    /// Whether nothing differs from `before` but as of when it is known. Stores
    /// keep that under the same version and sequence: nobody sees another user,
    /// and no check decides otherwise.
    #[must_use]
    pub fn is_same_but_later(&self, before: &Self) -> bool {
        self.as_of != before.as_of && *before == Self { as_of: before.as_of, ..self.clone() }
    }

    /// Whether SCIM gives this user a name by `change` that it may give to one
    /// user of a provider only (RFC 7643 section 4.1.1).
    #[must_use]
    pub fn claims_user_name(&self, before: Option<&Self>, change: &UserChange) -> bool {
        let by_scim = matches!(change, UserChange::Reported(report) if report.scim.is_some());
        let held = before.filter(|user| user.is_managed_at(&self.key.provider));
        by_scim
            && self.is_managed_at(&self.key.provider)
            && held.is_none_or(|user| fold(&user.user_name) != fold(&self.user_name))
    }

    fn new(id: UserId, key: &UserKey, now: UnixTime) -> Self {
        Self {
            id,
            key: key.clone(),
            user_name: key.subject.to_string(),
            email: None,
            name: None,
            picture: None,
            groups: BTreeSet::new(),
            rights: Rights::default(),
            disabled_here: false,
            disabled_there: false,
            disabled_reason: None,
            attributes: Map::new(),
            grants: Vec::new(),
            scim: None,
            first_seen: None,
            last_seen: None,
            created_at: now,
            updated_at: now,
            valid_from: None,
            deleted_at: None,
            as_of: AsOf::default(),
            version: 0,
            sequence: 0,
        }
    }

    fn take(&mut self, change: &UserChange, now: UnixTime) {
        match change {
            UserChange::SignedIn(told) => self.signed_in(told),
            UserChange::Reported(report) => self.reported(report),
            UserChange::Gone { as_of } => self.gone(*as_of, now),
            UserChange::Disable { reason } => {
                self.disabled_here = true;
                self.disabled_reason.clone_from(reason);
            }
            UserChange::Enable => {
                self.disabled_here = false;
                self.disabled_there = false;
                self.disabled_reason = None;
            }
            UserChange::Grant(grant) => {
                self.grants.retain(|held| held.tier != grant.tier);
                self.grants.push(grant.clone());
                self.grants.sort_by(|one, other| one.tier.cmp(&other.tier));
            }
            UserChange::Revoke { tier } => self.grants.retain(|held| held.tier != *tier),
            UserChange::SetGroups(groups) => {
                self.groups.clone_from(groups);
                self.as_of.groups = self.as_of.groups.max(Some(now));
            }
            UserChange::SetAttributes(attributes) => {
                self.attributes.clone_from(attributes);
                self.as_of.profile = self.as_of.profile.max(Some(now));
            }
            UserChange::SignOut => self.valid_from = self.valid_from.max(Some(now)),
        }
    }

    /// Brings back who was deleted, where somebody vouches for them as of later.
    /// Whether they are there then.
    fn is_there(&mut self, as_of: UnixTime) -> bool {
        match self.deleted_at {
            Some(deleted_at) if as_of <= deleted_at => false,
            Some(_) => {
                self.deleted_at = None;
                self.disabled_there = false;
                true
            }
            None => true,
        }
    }

    fn signed_in(&mut self, told: &SignedIn) {
        if !self.is_there(told.as_of) {
            return;
        }
        self.first_seen = Some(self.first_seen.map_or(told.as_of, |seen| seen.min(told.as_of)));
        self.last_seen = self.last_seen.max(Some(told.as_of));
        if self.as_of.rights <= Some(told.as_of) {
            self.as_of.rights = Some(told.as_of);
            self.rights.clone_from(&told.rights);
        }
        // Where SCIM manages them it is SCIM that says what they are called.
        if self.scim.is_none() && self.as_of.profile <= Some(told.as_of) {
            self.as_of.profile = Some(told.as_of);
            self.email = told.email.clone().or_else(|| self.email.clone());
            self.name = told.name.clone().or_else(|| self.name.clone());
            self.picture = told.picture.clone().or_else(|| self.picture.clone());
            if let Some(email) = &told.email {
                email.address().clone_into(&mut self.user_name);
            }
        }
    }

    fn reported(&mut self, report: &Report) {
        if !self.is_there(report.as_of) {
            return;
        }
        let Report { as_of, user_name, email, name, picture, groups, membership, disabled, attributes, scim } = report;
        let as_of = Some(*as_of);
        // Where SCIM manages them it is SCIM that says what they are called.
        let names = scim.is_some() || self.scim.is_none();
        let tells = user_name.is_some() || email.is_some() || name.is_some() || picture.is_some();
        if ((tells && names) || attributes.is_some() || scim.is_some()) && self.as_of.profile <= as_of {
            self.as_of.profile = as_of;
            if names {
                take_over(&mut self.user_name, user_name.as_ref());
                take_over(&mut self.email, email.as_ref());
                take_over(&mut self.name, name.as_ref());
                take_over(&mut self.picture, picture.as_ref());
            }
            if scim.is_some() {
                self.scim.clone_from(scim);
            }
            match attributes {
                Some(AttributesChange::Replace(all)) => self.attributes.clone_from(all),
                Some(AttributesChange::Merge(some)) => merge(&mut self.attributes, some),
                None => {}
            }
        }
        if groups.is_some() && self.as_of.groups <= as_of {
            self.as_of.groups = as_of;
            take_over(&mut self.groups, groups.as_ref());
        }
        if let Some(Membership { joined, left }) = membership {
            if self.as_of.groups <= as_of {
                self.as_of.groups = as_of;
                self.groups.extend(joined.iter().cloned());
            }
            self.groups.retain(|group| !left.contains(group));
        }
        if let Some(disabled) = disabled
            && self.as_of.state <= as_of
        {
            // Of two that speak of the same moment, who refuses is believed.
            let is_refused = self.disabled_there && self.as_of.state == as_of;
            self.as_of.state = as_of;
            self.disabled_there = *disabled || is_refused;
        }
    }

    /// What stays of somebody who is deleted is that they were, that an
    /// administrator had refused them, and that no token from before counts. Where
    /// the provider, or an administrator, has spoken of them as of later, they are
    /// there again already: then only what is known as of before goes.
    fn gone(&mut self, as_of: UnixTime, now: UnixTime) {
        if self.deleted_at >= Some(as_of) {
            return;
        }
        let held = self.as_of;
        let stays = |known: Option<UnixTime>| known > Some(as_of);
        let is_back = [held.profile, held.groups, held.state, held.rights].into_iter().any(stays);
        let is_deleted = self.deleted_at.is_some() || !is_back;
        let forgets = |known: Option<UnixTime>| is_deleted || !stays(known);
        let nobody = Self::new(self.id, &self.key, now);
        if forgets(held.profile) {
            self.user_name = nobody.user_name;
            (self.email, self.name, self.picture) = (None, None, None);
            (self.attributes, self.scim) = (nobody.attributes, None);
        }
        if forgets(held.groups) {
            self.groups = nobody.groups;
        }
        if forgets(held.state) {
            self.disabled_there = false;
        }
        if forgets(held.rights) {
            self.rights = nobody.rights;
        }
        self.grants.retain(|grant| !is_deleted && grant.given_at > as_of);
        // The next moment: a report of the very moment of the deletion is not as of later.
        let after = Some(as_of.plus(Duration::from_millis(1)));
        self.as_of = AsOf {
            profile: held.profile.max(after),
            groups: held.groups.max(after),
            state: held.state.max(after),
            rights: held.rights.max(after),
        };
        self.deleted_at = is_deleted.then_some(as_of);
        self.valid_from = self.valid_from.max(Some(if is_deleted { now } else { as_of }));
    }
}

fn take_over<T: Clone>(held: &mut T, told: Option<&T>) {
    if let Some(told) = told {
        held.clone_from(told);
    }
}

fn merge(held: &mut Map<String, Value>, told: &Map<String, Value>) {
    for (name, value) in told {
        if value.is_null() {
            held.remove(name);
        } else {
            held.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
