//! How users, their groups and their personal access tokens are shown.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::AdminDesk;
use super::views::Timestamp;
use crate::directory::{AccessToken, Group, TierGrant, User};
use crate::types::{Email, NameSet, UnixTime};

/// Users in the order that was asked for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserList {
    /// The users.
    pub users: Vec<UserView>,
    /// How many fit in all.
    pub total: u64,
    /// The `cursor` of the next page, where there is one.
    pub next: Option<String>,
}

/// A user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserView {
    /// The directory's own name for them.
    pub id: String,
    /// The id of the provider.
    pub provider: String,
    /// Its `sub`.
    pub subject: String,
    /// What people call them: by name, else by address, else as they sign in.
    pub shown_name: String,
    /// What people type for them.
    pub user_name: String,
    /// The address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The URL of the picture.
    pub picture: Option<String>,
    /// The tiers that they hold now, by what their tokens said last, groups and grants.
    pub tiers: Vec<String>,
    /// The groups that count.
    pub groups: Vec<String>,
    /// The tiers that administrators gave.
    pub grants: Vec<GrantView>,
    /// What the provider's tokens said last.
    pub rights: RightsView,
    /// Whatever else is known.
    pub attributes: Map<String, Value>,
    /// Whether they are refused, whoever says so.
    pub disabled: bool,
    /// Whether an administrator refused them.
    pub disabled_here: bool,
    /// Whether the provider says that they are not active.
    pub disabled_there: bool,
    /// Why an administrator refused them.
    pub disabled_reason: Option<String>,
    /// Whether a SCIM client manages them.
    pub scim: bool,
    /// When they first signed in.
    pub first_seen: Option<Timestamp>,
    /// When they last signed in or had their tokens renewed.
    pub last_seen: Option<Timestamp>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Tokens and sessions from before count no more.
    pub valid_from: Option<Timestamp>,
    /// Counts the changes; the `ETag` is made of it.
    pub version: u64,
}

/// A tier that an administrator gave.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GrantView {
    /// Its name.
    pub tier: String,
    /// Until when; for good where there is none.
    pub until: Option<Timestamp>,
    /// Who gave it.
    pub given_by: String,
    /// When.
    pub given_at: Timestamp,
    /// Whether it counts now: it has not ended, and the policy knows the tier.
    pub active: bool,
}

/// What a provider's tokens said last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RightsView {
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// The granted permissions.
    pub permissions: Vec<String>,
    /// The groups that the tokens named.
    pub groups: Vec<String>,
}

/// Groups in the order of their names.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupList {
    /// The groups.
    pub groups: Vec<GroupView>,
    /// How many there are in all.
    pub total: u64,
    /// The `cursor` of the next page, where there is one.
    pub next: Option<String>,
}

/// A group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupView {
    /// The directory's own name for it.
    pub id: String,
    /// What rules call it.
    pub name: String,
    /// The SCIM client's own name for it.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it, or who is in it, was changed last.
    pub updated_at: Timestamp,
}

/// The personal access tokens of somebody, the latest first.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TokenList {
    /// The tokens.
    pub tokens: Vec<TokenView>,
}

/// A personal access token; the token itself is kept nowhere.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TokenView {
    /// The directory's own name for it.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The tiers that it is for.
    pub tiers: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, give or take some minutes.
    pub last_used_at: Option<Timestamp>,
    /// Whether it counts now.
    pub active: bool,
}

impl AdminDesk {
    pub(super) fn user_view(&self, user: &User) -> UserView {
        let snapshot = self.ports.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let now = self.ports.clock.now();
        let grant = |grant: &TierGrant| GrantView {
            tier: grant.tier.clone(),
            until: grant.until.map(Timestamp),
            given_by: grant.given_by.clone(),
            given_at: Timestamp(grant.given_at),
            active: grant.until.is_none_or(|until| now < until) && tiers.index(&grant.tier).is_some(),
        };
        let names = |set: &NameSet| set.iter().map(str::to_owned).collect::<Vec<_>>();
        let held = tiers.held_by(Some(&self.principal_of(user)));
        UserView {
            id: user.id.to_string(),
            provider: user.key.provider.as_str().to_owned(),
            subject: user.key.subject.to_string(),
            shown_name: user.shown_name().to_owned(),
            user_name: user.user_name.clone(),
            email: user.email.as_ref().map(Email::address).map(str::to_owned),
            name: user.name.clone(),
            picture: user.picture.clone(),
            tiers: held.iter().map(|tier| tiers.name(tier).to_owned()).collect(),
            groups: user.groups.iter().cloned().collect(),
            grants: user.grants.iter().map(grant).collect(),
            rights: RightsView {
                scopes: names(&user.rights.scopes),
                permissions: names(&user.rights.permissions),
                groups: names(&user.rights.groups),
            },
            attributes: user.attributes.clone(),
            disabled: user.is_disabled(),
            disabled_here: user.disabled_here,
            disabled_there: user.disabled_there,
            disabled_reason: user.disabled_reason.clone(),
            scim: user.scim.is_some(),
            first_seen: user.first_seen.map(Timestamp),
            last_seen: user.last_seen.map(Timestamp),
            created_at: Timestamp(user.created_at),
            updated_at: Timestamp(user.updated_at),
            valid_from: user.valid_from.map(Timestamp),
            version: user.version,
        }
    }
}

pub(super) fn group_view(group: &Group) -> GroupView {
    GroupView {
        id: group.id.to_string(),
        name: group.name.clone(),
        external_id: group.external_id.clone(),
        created_at: Timestamp(group.created_at),
        updated_at: Timestamp(group.updated_at),
    }
}

pub(super) fn token_view(token: &AccessToken, valid_from: Option<UnixTime>, now: UnixTime) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        name: token.name.clone(),
        tiers: token.tiers.clone(),
        created_at: Timestamp(token.created_at),
        expires_at: Timestamp(token.expires_at),
        revoked_at: token.revoked_at.map(Timestamp),
        last_used_at: token.last_used_at.map(Timestamp),
        active: token.counts(valid_from, now),
    }
}
