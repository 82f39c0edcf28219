//! Users, their groups, grants and personal access tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::user_views::{GroupList, TokenList, TokenView, UserList, UserView, group_view, token_view};
use super::{AdminDesk, By, DeskError};
use crate::directory::{
    AccessTokenId, Actor, Changed, GroupQuery, Outcome, Report, TierGrant, User, UserChange, UserId, UserKey,
    UserOrder, UserQuery, UserRef,
};
use crate::types::{NameSet, Principal, TierSource, UnixTime};

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
        let actor = || Actor::Person(by.actor.clone());
        let known = directory.store().user(UserRef::Key(key.clone())).await?;
        if known.as_ref().is_some_and(|known| known.deleted_at.is_none()) {
            return Err(DeskError::AlreadyThere);
        }
        if let Some(reason) = new.disabled {
            // This makes the record, so that nobody is in it who is not refused.
            let by = By { expected_version: Some(known.as_ref().map_or(0, |known| known.version)), ..by };
            let disable = UserChange::Disable { reason };
            let made = directory.change(UserRef::Key(key.clone()), disable, actor(), by.because()).await;
            let made = made.map_err(|error| {
                let error = DeskError::from(error);
                if matches!(error, DeskError::ChangedMeanwhile) { DeskError::AlreadyThere } else { error }
            })?;
            if known.is_none() {
                return self.after(&made);
            }
        }
        // Told nothing of, who was deleted comes back, and who is there stays as they are.
        let report = Report { as_of: self.ports.clock.now(), ..Report::default() };
        let by = By { expected_version: None, ..by };
        let reported = UserChange::Reported(Box::new(report));
        let made = directory.change(UserRef::Key(key), reported, actor(), by.because()).await?;
        match made.outcome {
            Outcome::Created => self.after(&made),
            Outcome::Updated if made.before.as_ref().is_some_and(|before| before.deleted_at.is_some()) => {
                self.after(&made)
            }
            Outcome::Updated | Outcome::Unchanged | Outcome::Duplicate => Err(DeskError::AlreadyThere),
        }
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
        let valid_from = self.live_user(owner).await?.valid_from;
        let tokens = self.directory()?.store().access_tokens(owner).await?;
        let now = self.ports.clock.now();
        Ok(TokenList { tokens: tokens.iter().map(|token| token_view(token, valid_from, now)).collect() })
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
        let valid_from = self.live_user(owner).await?.valid_from;
        directory.revoke_access_token(owner, token, Actor::Person(by.actor.clone())).await?;
        let tokens = directory.store().access_tokens(owner).await?;
        let revoked = tokens.iter().find(|held| held.id == token).ok_or(DeskError::NotThere("token"))?;
        Ok(token_view(revoked, valid_from, self.ports.clock.now()))
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
}
