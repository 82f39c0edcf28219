//! Users, their groups, grants and personal access tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::views::Timestamp;
use super::{AdminDesk, By, DeskError};
use crate::directory::{
    AccessToken, AccessTokenId, Actor, Changed, Group, GroupQuery, Outcome, Report, TierGrant, User, UserChange,
    UserId, UserKey, UserOrder, UserQuery, UserRef,
};
use crate::types::{Email, NameSet, Principal, TierSource, UnixTime};

/// Which users; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct UserSearch {
    /// Users whose name, address, user name or subject holds this text.
    pub search: Option<String>,
    /// Users of the provider with this id.
    pub provider: Option<String>,
    /// Users who are refused, or those who are not.
    pub disabled: Option<bool>,
    /// Users in the group with this name.
    pub group: Option<String>,
    /// Users with a grant of this tier, ended or not.
    pub tier: Option<String>,
    /// The order.
    pub order: UserOrder,
    /// Those after this one.
    pub after: Option<UserId>,
    /// How many at most.
    pub limit: usize,
}

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

/// Somebody to make a record for who never came.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id of the provider.
    pub provider: String,
    /// Its `sub`.
    pub subject: String,
    /// Whether they are refused from the start, and why.
    pub disabled: Option<Option<String>>,
}

/// Which groups.
#[derive(Debug, Clone, Default)]
pub struct GroupSearch {
    /// Those after this name, which is the order.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
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
    /// The most users on one page.
    pub const MAX_USERS: usize = 200;

    /// Users.
    ///
    /// # Errors
    /// Without a directory, or when it does not answer.
    pub async fn users(&self, search: UserSearch) -> Result<UserList, DeskError> {
        let UserSearch { search, provider, disabled, group, tier, order, after, limit } = search;
        let query = UserQuery {
            search,
            provider: provider.as_deref().map(crate::types::ProviderId::new),
            disabled,
            group,
            granted_tier: tier,
            order,
            after,
            limit: limit.clamp(1, Self::MAX_USERS),
            ..UserQuery::default()
        };
        let page = self.directory()?.store().users(query).await?;
        let next = page.users.last().filter(|_| page.more).map(|user| user.id.to_string());
        Ok(UserList { users: page.users.iter().map(|user| self.user_view(user)).collect(), total: page.total, next })
    }

    /// One user.
    ///
    /// # Errors
    /// When there is none, or that cannot be told.
    pub async fn user(&self, id: UserId) -> Result<UserView, DeskError> {
        Ok(self.user_view(&self.live_user(id).await?))
    }

    /// Makes a record for somebody who never came, to refuse or to prepare them.
    ///
    /// # Errors
    /// When there is one, or it was not done.
    pub async fn create_user(&self, by: By<'_>, new: NewUser) -> Result<UserView, DeskError> {
        let directory = self.directory()?;
        let key = UserKey::new(&self.provider(&new.provider)?.id, &new.subject);
        if new.disabled.is_some() && key == *by.actor {
            return Err(DeskError::Yourself);
        }
        let by = By { expected_version: None, ..by };
        let actor = || Actor::Person(by.actor.clone());
        // Told nothing of, somebody who is there stays as they are.
        let report = Report { as_of: self.ports.clock.now(), ..Report::default() };
        let reported = UserChange::Reported(Box::new(report));
        let made = directory.change(UserRef::Key(key.clone()), reported, actor(), by.because()).await?;
        let is_new = match made.outcome {
            Outcome::Created => true,
            Outcome::Updated => made.before.as_ref().is_some_and(|before| before.deleted_at.is_some()),
            Outcome::Unchanged | Outcome::Duplicate => false,
        };
        if !is_new {
            return Err(DeskError::AlreadyThere);
        }
        let changed = match new.disabled {
            Some(reason) => {
                directory.change(UserRef::Key(key), UserChange::Disable { reason }, actor(), by.because()).await?
            }
            None => made,
        };
        self.after(&changed)
    }

    /// Refuses somebody from now on.
    ///
    /// # Errors
    /// For the administrator's own record, when there is no such user, or it was not done.
    pub async fn disable(&self, by: By<'_>, id: UserId, reason: Option<String>) -> Result<UserView, DeskError> {
        if self.live_user(id).await?.key == *by.actor {
            return Err(DeskError::Yourself);
        }
        self.change(by, id, UserChange::Disable { reason }).await
    }

    /// Lets somebody in again, whoever refused them.
    ///
    /// # Errors
    /// When there is no such user, or it was not done.
    pub async fn enable(&self, by: By<'_>, id: UserId) -> Result<UserView, DeskError> {
        self.change(by, id, UserChange::Enable).await
    }

    /// Gives a tier, or gives it anew with another end.
    ///
    /// # Errors
    /// When the policy has no such tier, the end is past, there is no such user, or it was not done.
    pub async fn grant(
        &self,
        by: By<'_>,
        id: UserId,
        tier: String,
        until: Option<UnixTime>,
    ) -> Result<UserView, DeskError> {
        self.live_user(id).await?;
        if self.ports.checker.snapshot().policy.tiers().index(&tier).is_none() {
            return Err(DeskError::NotThere("tier"));
        }
        let now = self.ports.clock.now();
        if until.is_some_and(|until| until <= now) {
            return Err(DeskError::Unfit(format!("`until` is past: it is {now} now")));
        }
        let given_by = Actor::Person(by.actor.clone()).to_string();
        self.change(by, id, UserChange::Grant(TierGrant { tier, until, given_by, given_at: now })).await
    }

    /// Takes a tier back that was given here; also one that the policy does not know any more.
    ///
    /// # Errors
    /// When there is no such user or they were not given it, or it was not done.
    pub async fn revoke(&self, by: By<'_>, id: UserId, tier: String) -> Result<UserView, DeskError> {
        if !self.live_user(id).await?.grants.iter().any(|grant| grant.tier == tier) {
            return Err(DeskError::NotThere("grant"));
        }
        self.change(by, id, UserChange::Revoke { tier }).await
    }

    /// Says which groups somebody is in.
    ///
    /// # Errors
    /// When there is no such user, or it was not done.
    pub async fn set_groups(&self, by: By<'_>, id: UserId, groups: BTreeSet<String>) -> Result<UserView, DeskError> {
        self.change(by, id, UserChange::SetGroups(groups)).await
    }

    /// Says what else is known of somebody.
    ///
    /// # Errors
    /// When there is no such user, or it was not done.
    pub async fn set_attributes(
        &self,
        by: By<'_>,
        id: UserId,
        attributes: Map<String, Value>,
    ) -> Result<UserView, DeskError> {
        self.change(by, id, UserChange::SetAttributes(attributes)).await
    }

    /// Groups.
    ///
    /// # Errors
    /// Without a directory, or when it does not answer.
    pub async fn groups(&self, search: GroupSearch) -> Result<GroupList, DeskError> {
        let limit = search.limit.clamp(1, Self::MAX_USERS);
        let query = GroupQuery { after: search.after, limit: limit.saturating_add(1), ..GroupQuery::default() };
        let page = self.directory()?.store().groups(query).await?;
        let next = (page.groups.len() > limit).then(|| page.groups.get(limit.saturating_sub(1))).flatten();
        let next = next.map(|group| group.name.clone());
        let groups = page.groups.iter().take(limit).map(group_view).collect();
        Ok(GroupList { groups, total: page.total, next })
    }

    /// The personal access tokens of somebody.
    ///
    /// # Errors
    /// When there is no such user, or that cannot be told.
    pub async fn access_tokens(&self, owner: UserId) -> Result<TokenList, DeskError> {
        self.live_user(owner).await?;
        let tokens = self.directory()?.store().access_tokens(owner).await?;
        let now = self.ports.clock.now();
        Ok(TokenList { tokens: tokens.iter().map(|token| token_view(token, now)).collect() })
    }

    /// Revokes a personal access token.
    ///
    /// # Errors
    /// When there is no such user or token, or it was not done.
    pub async fn revoke_access_token(
        &self,
        by: By<'_>,
        owner: UserId,
        token: AccessTokenId,
    ) -> Result<TokenView, DeskError> {
        let directory = self.directory()?;
        self.live_user(owner).await?;
        let now = self.ports.clock.now();
        directory.store().revoke_access_token(owner, token, Actor::Person(by.actor.clone()), now).await?;
        // Checks of this process know it before this is answered.
        directory.follow().await?;
        let tokens = directory.store().access_tokens(owner).await?;
        let revoked = tokens.iter().find(|held| held.id == token).ok_or(DeskError::NotThere("token"))?;
        Ok(token_view(revoked, now))
    }

    /// The record of somebody who was not deleted.
    pub(super) async fn live_user(&self, id: UserId) -> Result<User, DeskError> {
        let found = self.directory()?.store().user(UserRef::Id(id)).await?;
        found.filter(|user| user.deleted_at.is_none()).ok_or(DeskError::NotThere("user"))
    }

    pub(super) async fn change(&self, by: By<'_>, id: UserId, change: UserChange) -> Result<UserView, DeskError> {
        let actor = Actor::Person(by.actor.clone());
        let changed = self.directory()?.change(UserRef::Id(id), change, actor, by.because()).await?;
        self.after(&changed)
    }

    fn after(&self, changed: &Changed) -> Result<UserView, DeskError> {
        changed.after.as_ref().map(|user| self.user_view(user)).ok_or(DeskError::NotThere("user"))
    }

    /// Somebody as a check knows them whose tokens say what they said last.
    pub(super) fn principal_of(&self, user: &User) -> Principal {
        let now = self.ports.clock.now();
        let groups: NameSet = user.rights.groups.iter().chain(user.groups.iter().map(String::as_str)).collect();
        let granted = user.grants.iter().filter(|grant| grant.until.is_none_or(|until| now < until));
        Principal {
            provider: user.key.provider.clone(),
            issuer: self.issuer(&user.key.provider).map_or_else(|| Arc::from(""), Arc::clone),
            subject: user.key.subject.clone(),
            email: user.email.clone(),
            name: user.name.as_deref().map(Box::from),
            scopes: user.rights.scopes.clone(),
            permissions: user.rights.permissions.clone(),
            groups,
            claims: Arc::default(),
            tiers: TierSource::Grants(granted.map(|grant| grant.tier.as_str()).collect()),
            attributes: Arc::new(user.attributes.clone()),
        }
    }

    fn user_view(&self, user: &User) -> UserView {
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

fn group_view(group: &Group) -> GroupView {
    GroupView {
        id: group.id.to_string(),
        name: group.name.clone(),
        external_id: group.external_id.clone(),
        created_at: Timestamp(group.created_at),
        updated_at: Timestamp(group.updated_at),
    }
}

fn token_view(token: &AccessToken, now: UnixTime) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        name: token.name.clone(),
        tiers: token.tiers.clone(),
        created_at: Timestamp(token.created_at),
        expires_at: Timestamp(token.expires_at),
        revoked_at: token.revoked_at.map(Timestamp),
        last_used_at: token.last_used_at.map(Timestamp),
        active: token.revoked_at.is_none() && now < token.expires_at,
    }
}
