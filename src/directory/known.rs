//! What is known of users, as a check asks for it.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::access_token::{AccessToken, AccessTokenId, NewAccessToken, StoredAccessToken, TokenHash};
use super::audit::Actor;
use super::change::UserChange;
use super::group::{Group, GroupChange, GroupId, NewGroup};
use super::look_ups::LookUps;
use super::standing::Standing;
use super::standings::{Recalled, Standings, Ticket};
use super::store::{ChangeRequest, Changed, DirectoryError, EventId, ReportRequest, UserDirectory, UserRef};
use super::token_uses::TokenUses;
use super::user::{UserId, UserKey};
use crate::types::{Clock, ProviderId, Random};

/// Look-ups of people at once.
const LOOK_UPS: usize = 128;
/// Look-ups of tokens at once: to make up a token costs nothing, and must not
/// take the places of people.
const TOKEN_LOOK_UPS: usize = 32;
/// How many hashes of tokens that are none are remembered, and for how long.
const UNKNOWN_TOKENS: u64 = 4096;
const UNKNOWN_TOKEN: Duration = Duration::from_secs(5);
/// How many records are asked for at a time when changes are followed.
const PAGE: usize = 500;
/// After as many pages it is less work to forget everything.
const MAX_PAGES: usize = 20;
/// How often a token is read again because its owner changed meanwhile.
const TOKEN_READS: usize = 3;

/// What the directory needs of the world.
#[derive(Clone)]
pub struct DirectoryPorts {
    /// Where it is kept.
    pub store: Arc<dyn UserDirectory>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For new ids.
    pub random: Arc<dyn Random>,
}

/// How much is remembered, and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembering {
    /// How many users, and how many tokens.
    pub users: u64,
    /// How long what was known last counts while it cannot be told what changed.
    pub max_stale: Duration,
}

impl Default for Remembering {
    fn default() -> Self {
        Self { users: 20_000, max_stale: Duration::from_secs(600) }
    }
}

type Found<T> = Result<Option<Arc<T>>, Arc<DirectoryError>>;

/// The user directory of one process.
pub struct Directory {
    ports: DirectoryPorts,
    standings: Arc<Standings>,
    look_ups: LookUps<UserKey, Ticket, Found<Standing>>,
    /// Each with the generation in which its read began.
    tokens: Cache<TokenHash, (u64, Arc<StoredAccessToken>)>,
    unknown_tokens: Cache<TokenHash, ()>,
    /// By generation and by the sequence of the owner that is known, so that what
    /// is too old for these is not joined.
    token_look_ups: LookUps<TokenHash, (u64, u64), Found<StoredAccessToken>>,
    uses: TokenUses,
}

/// An error that several waited for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Together(Arc<DirectoryError>);

impl Directory {
    /// The directory in a store.
    #[must_use]
    pub fn new(ports: DirectoryPorts) -> Self {
        Self::remembering(ports, Remembering::default())
    }

    /// The directory in a store, with as much remembered as it says.
    #[must_use]
    pub fn remembering(ports: DirectoryPorts, Remembering { users, max_stale }: Remembering) -> Self {
        Self {
            ports,
            standings: Arc::new(Standings::new(users, max_stale)),
            look_ups: LookUps::new(LOOK_UPS),
            tokens: Cache::new(users),
            unknown_tokens: Cache::builder().max_capacity(UNKNOWN_TOKENS).time_to_live(UNKNOWN_TOKEN).build(),
            token_look_ups: LookUps::new(TOKEN_LOOK_UPS),
            uses: TokenUses::default(),
        }
    }

    /// Where it is kept; for everything that is not on the way of a check. After
    /// a change that goes by it, [`Self::catch_up`] tells the checks.
    #[must_use]
    pub fn store(&self) -> &dyn UserDirectory {
        self.ports.store.as_ref()
    }

    /// When personal access tokens were used.
    #[must_use]
    pub const fn uses(&self) -> &TokenUses {
        &self.uses
    }

    /// Whether what is remembered counts: changes are followed, or were not long ago.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.standings.counts(self.ports.clock.monotonic())
    }

    /// What counts of somebody now; `None` where the directory does not know
    /// them. Answers at once, without the store, where that is remembered.
    ///
    /// # Errors
    /// When it cannot be told; [`DirectoryError::TooMany`] where too many look
    /// somebody up.
    pub async fn standing(&self, key: &UserKey) -> Result<Option<Arc<Standing>>, DirectoryError> {
        let last = match self.standings.recall(key, self.ports.clock.monotonic()) {
            Recalled::Known(standing) => return Ok(standing),
            Recalled::Stale(standing) => standing,
            Recalled::Nothing => None,
        };
        match self.look_up(key).await {
            Ok(standing) => Ok(standing),
            // Nobody who was refused is let in because it cannot be told any more.
            Err(_) if last.as_ref().is_some_and(|last| last.is_disabled) => Ok(last),
            Err(error) => Err(error),
        }
    }

    /// What counts of somebody now, where that is remembered: as [`Self::standing`]
    /// without the way to the store.
    #[must_use]
    pub fn remembered(&self, provider: &ProviderId, subject: &str) -> Option<Option<Arc<Standing>>> {
        match self.standings.recall(&(provider, subject), self.ports.clock.monotonic()) {
            Recalled::Known(standing) => Some(standing),
            Recalled::Stale(_) | Recalled::Nothing => None,
        }
    }

    async fn look_up(&self, key: &UserKey) -> Result<Option<Arc<Standing>>, DirectoryError> {
        let ticket = self.standings.ticket(key);
        let begin = || {
            let (store, standings, key) = (Arc::clone(&self.ports.store), Arc::clone(&self.standings), key.clone());
            async move {
                let found = store.standing(key.clone()).await.map_err(Arc::new)?.map(Arc::new);
                standings.settle(&key, ticket, found.clone());
                Ok(found)
            }
        };
        let look_up = self.look_ups.join(key, ticket, begin).ok_or(DirectoryError::TooMany("look-ups"))?;
        look_up.await.map_err(together)
    }

    /// The personal access token with this hash, as it is as long as the standing
    /// of its owner is what it is now.
    ///
    /// # Errors
    /// When it cannot be told; [`DirectoryError::TooMany`] where too many look
    /// tokens up.
    pub async fn access_token(&self, hash: TokenHash) -> Result<Option<Arc<StoredAccessToken>>, DirectoryError> {
        if self.unknown_tokens.contains_key(&hash) {
            return Ok(None);
        }
        let mut at_least = 0;
        for _ in 0..TOKEN_READS {
            let generation = self.standings.generation();
            let counts = |kept: &(u64, Arc<StoredAccessToken>)| kept.0 == generation && kept.1.sequence >= at_least;
            let token = match self.tokens.get(&hash).filter(counts) {
                Some((_, token)) => token,
                None => match self.look_up_token(hash, (generation, at_least)).await? {
                    Some(token) => token,
                    None => {
                        self.unknown_tokens.insert(hash, ());
                        return Ok(None);
                    }
                },
            };
            let Some(owner) = self.standing(&token.owner).await? else { return Ok(None) };
            // Every change of a token is one of its owner.
            if owner.sequence <= token.sequence {
                return Ok(Some(token));
            }
            at_least = owner.sequence;
        }
        Err(DirectoryError::Unavailable(Box::new(NeverStill)))
    }

    async fn look_up_token(
        &self,
        hash: TokenHash,
        ticket: (u64, u64),
    ) -> Result<Option<Arc<StoredAccessToken>>, DirectoryError> {
        let begin = || {
            let (store, tokens) = (Arc::clone(&self.ports.store), self.tokens.clone());
            async move {
                let found = store.access_token(hash).await.map_err(Arc::new)?.map(Arc::new);
                if let Some(token) = &found {
                    tokens.insert(hash, (ticket.0, Arc::clone(token)));
                }
                Ok(found)
            }
        };
        let look_up = self.token_look_ups.join(&hash, ticket, begin).ok_or(DirectoryError::TooMany("look-ups"))?;
        look_up.await.map_err(together)
    }

    /// Changes one user; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn change(
        &self,
        target: UserRef,
        change: UserChange,
        actor: Actor,
        because: Because,
    ) -> Result<Changed, DirectoryError> {
        let Because { expected_version, event, request_id } = because;
        let (new_id, now) = (UserId::draw(self.ports.random.as_ref()), self.ports.clock.now());
        let whom = target.clone();
        let request = ChangeRequest { target, change, actor, new_id, expected_version, event, request_id, now };
        let changed = self.ports.store.change(request).await;
        match (&changed, whom) {
            (Ok(changed), _) => self.tell(changed),
            (Err(DirectoryError::Unavailable(_) | DirectoryError::Corrupt), UserRef::Key(key)) => {
                self.standings.forget(&key);
            }
            (Err(DirectoryError::Unavailable(_) | DirectoryError::Corrupt), UserRef::Id(id)) => {
                self.standings.forget_id(id);
            }
            (
                Err(
                    DirectoryError::Taken(_)
                    | DirectoryError::Missing(_)
                    | DirectoryError::Changed
                    | DirectoryError::NotManaged
                    | DirectoryError::TooMany(_),
                ),
                _,
            ) => {}
        }
        changed
    }

    /// Takes what the provider says of many users; every check that begins after
    /// the answer knows it.
    ///
    /// # Errors
    /// When not all of it was done, or that cannot be told.
    pub async fn report(
        &self,
        reports: Vec<ReportRequest>,
        actor: Actor,
        dry_run: bool,
    ) -> Result<Vec<Changed>, DirectoryError> {
        let keys: Vec<UserKey> = reports.iter().map(|report| report.key.clone()).collect();
        let reported = self.ports.store.report(reports, actor, dry_run, self.ports.clock.now()).await;
        match &reported {
            Ok(_) if dry_run => {}
            Ok(changed) => changed.iter().for_each(|changed| self.tell(changed)),
            Err(_) => keys.iter().for_each(|key| self.standings.forget(key)),
        }
        reported
    }

    fn tell(&self, changed: &Changed) {
        if let Some(user) = &changed.after {
            self.standings.apply(&user.key, Arc::new(Standing::of(user)));
        }
    }

    /// Keeps a token, where its owner has less than `limit` that count.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn create_access_token(
        &self,
        token: NewAccessToken,
        limit: usize,
        actor: Actor,
    ) -> Result<AccessToken, DirectoryError> {
        let hash = token.hash;
        let created = self.ports.store.create_access_token(token, limit, actor, self.ports.clock.now()).await;
        self.unknown_tokens.invalidate(&hash);
        created
    }

    /// Revokes a token of `owner`; whether it counted until now. Every check that
    /// begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn revoke_access_token(
        &self,
        owner: UserId,
        token: AccessTokenId,
        actor: Actor,
    ) -> Result<bool, DirectoryError> {
        let revoked = self.ports.store.revoke_access_token(owner, token, actor, self.ports.clock.now()).await;
        // It is one of the owner's record too: with that, the token is read again.
        self.standings.forget_id(owner);
        revoked
    }

    /// Makes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn create_group(&self, group: NewGroup, actor: Actor) -> Result<Group, DirectoryError> {
        let made = self.ports.store.create_group(group, actor, self.ports.clock.now()).await;
        self.catch_up_after(made).await
    }

    /// Changes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
    ) -> Result<Group, DirectoryError> {
        let now = self.ports.clock.now();
        let changed = self.ports.store.change_group(id, change, expected_version, actor, now).await;
        self.catch_up_after(changed).await
    }

    /// Deletes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
    ) -> Result<(), DirectoryError> {
        let now = self.ports.clock.now();
        let deleted = self.ports.store.delete_group(id, expected_version, actor, now).await;
        self.catch_up_after(deleted).await
    }

    /// After a change of many: what was refused changed nobody.
    async fn catch_up_after<T>(&self, changed: Result<T, DirectoryError>) -> Result<T, DirectoryError> {
        match &changed {
            Ok(_) => self.catch_up().await,
            // Nobody was promised anything: what is known counts on.
            Err(DirectoryError::Unavailable(_) | DirectoryError::Corrupt) => drop(self.follow().await),
            Err(
                DirectoryError::Taken(_)
                | DirectoryError::Missing(_)
                | DirectoryError::Changed
                | DirectoryError::NotManaged
                | DirectoryError::TooMany(_),
            ) => {}
        }
        changed
    }

    /// Takes over what other replicas changed, or this one without
    /// [`Self::change`]. To be called again and again.
    ///
    /// # Errors
    /// When it cannot be told what changed.
    pub async fn follow(&self) -> Result<(), DirectoryError> {
        let followed = self.follow_pages().await;
        if followed.is_err() {
            self.standings.failed();
        }
        followed
    }

    async fn follow_pages(&self) -> Result<(), DirectoryError> {
        let store = self.ports.store.as_ref();
        for _ in 0..MAX_PAGES {
            let started = self.ports.clock.monotonic();
            let Some(mark) = self.standings.mark(started) else {
                break;
            };
            let changes = store.changes(mark.through, PAGE).await?;
            let is_all = changes.users.len() < PAGE;
            if !self.standings.take(mark, changes, started, is_all) {
                break;
            }
            if is_all {
                return Ok(());
            }
        }
        let started = self.ports.clock.monotonic();
        self.standings.begin(store.sequence().await?, started);
        Ok(())
    }

    /// Takes over what was changed in [`Self::store`]: every check that begins
    /// after this knows it, also where it cannot be told what it was.
    pub async fn catch_up(&self) {
        if self.follow().await.is_err() && self.follow().await.is_err() {
            self.standings.lose();
        }
    }
}

fn together(error: Arc<DirectoryError>) -> DirectoryError {
    match error.as_ref() {
        DirectoryError::Corrupt => DirectoryError::Corrupt,
        DirectoryError::Unavailable(_)
        | DirectoryError::Taken(_)
        | DirectoryError::Missing(_)
        | DirectoryError::Changed
        | DirectoryError::NotManaged
        | DirectoryError::TooMany(_) => DirectoryError::Unavailable(Box::new(Together(error))),
    }
}

/// The owner of a token changes faster than the token can be read.
#[derive(Debug, thiserror::Error)]
#[error("the owner of the token changes without a pause")]
struct NeverStill;

/// What a change comes of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Because {
    /// The version that it is meant for, 0 for no record at all; any where there is none.
    pub expected_version: Option<u64>,
    /// The event, which counts once.
    pub event: Option<EventId>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
