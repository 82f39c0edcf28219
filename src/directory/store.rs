//! The port of the directory's database.

use std::future::Future;
use std::pin::Pin;

use super::access_token::{AccessToken, AccessTokenId, NewAccessToken, StoredAccessToken, TokenHash};
use super::audit::{Actor, AuditPage, AuditQuery, NewAuditEntry};
use super::change::{Report, UserChange};
use super::group::{Group, GroupChange, GroupId, GroupPage, GroupQuery, NewGroup};
use super::query::{UserPage, UserQuery};
use super::standing::Standing;
use super::user::{User, UserId, UserKey};
use crate::types::UnixTime;

/// What a store answers with.
pub type DirectoryFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DirectoryError>> + Send + 'a>>;

/// Why a store does not answer, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It does not answer, or not in time.
    #[error("the user directory does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It holds something that this version cannot read.
    #[error("the user directory holds something broken")]
    Corrupt,
    /// Another user or group has this already: `user_name`, `name`, `id`.
    #[error("another one has this `{0}` already")]
    Taken(&'static str),
    /// What the change speaks of is not there: `user`, `group`, `member`, `token`.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// It was changed since the version that the change was meant for.
    #[error("it was changed meanwhile")]
    Changed,
    /// Somebody is in the group whom the SCIM client does not manage.
    #[error("somebody is in it whom this client does not manage")]
    NotManaged,
    /// There are as many as there may be.
    #[error("there are as many {0} as there may be")]
    TooMany(&'static str),
}

/// Whom a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// Somebody who has a record.
    Id(UserId),
    /// Somebody who may have none.
    Key(UserKey),
}

/// What somebody who sends an event twice calls it: the SHA-256 of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// The digest.
    pub digest: [u8; 32],
    /// Until when it is kept.
    pub expires: UnixTime,
}

/// A change of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRequest {
    /// Whom it is about.
    pub target: UserRef,
    /// What it is.
    pub change: UserChange,
    /// Who makes it.
    pub actor: Actor,
    /// The id of somebody who has no record.
    pub new_id: UserId,
    /// The version that the change is meant for, 0 for no record at all; any where
    /// there is none. Otherwise it is [`DirectoryError::Changed`].
    pub expected_version: Option<u64>,
    /// The event that it comes of, which counts once.
    pub event: Option<EventId>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
    /// When.
    pub now: UnixTime,
}

/// What the provider says of one of many users.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRequest {
    /// Whom it is about.
    pub key: UserKey,
    /// What it says.
    pub report: Report,
    /// The id of somebody who has no record.
    pub new_id: UserId,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// What it came to.
    pub outcome: Outcome,
    /// The record before.
    pub before: Option<User>,
    /// The record as it is now.
    pub after: Option<User>,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is a new record.
    Created,
    /// The record is another one.
    Updated,
    /// It is as it was.
    Unchanged,
    /// The event had been seen before, and nothing was done.
    Duplicate,
}

/// The records that changed since some moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// What changed, each once, in the order of its `sequence`; deleted users too.
    pub users: Vec<(UserKey, Standing)>,
    /// The sequence up to which this is everything.
    pub through: u64,
}

/// Keeps users, groups, personal access tokens and the audit.
///
/// Contract, which one suite holds every store to:
///
/// - `change`, `report`, and what changes groups and tokens are transactions: the
///   record is read, [`User::apply`] is run, and what comes of it is written with
///   its line of the audit, or nothing is. At the same time, on any number of
///   replicas, one comes after the other. There is one record a [`UserKey`].
/// - A SCIM client ([`Actor::Scim`]) changes, makes, renames to and deletes groups only
///   where it manages everybody who is called a member before and after
///   ([`User::is_regrouped_by`]); else it is [`DirectoryError::NotManaged`].
/// - Every change of a record raises its `version` by one and gives it the next
///   `sequence`, but for [`User::is_same_but_later`]: that is written under the
///   version and sequence as they are, and is [`Outcome::Unchanged`]. Sequences
///   become visible in their order: who has seen `n` never finds a smaller one later. A change of a group or a token gives every user
///   whom it is about a new sequence.
/// - A change that changes nothing writes nothing, no audit either; an event is
///   noted even then.
/// - Names, subjects, groups are compared byte for byte where it is not said
///   otherwise, whatever the database thinks of case, accents and blanks.
/// - An error is an error: never told as "not there", nor the other way.
/// - Each call for a check (`standing`, `access_token`, `changes`) ends within
///   150 ms, every other within 5 s (`report` 30 s), if need be with
///   [`DirectoryError::Unavailable`].
pub trait UserDirectory: Send + Sync {
    /// What it is: `memory`, `sqlite`, `mysql` or `postgres`.
    fn kind(&self) -> &'static str;

    /// What counts of somebody; deleted users too (their `valid_from` counts).
    fn standing(&self, key: UserKey) -> DirectoryFuture<'_, Option<Standing>>;

    /// The token with this hash, also one that is over.
    fn access_token(&self, hash: TokenHash) -> DirectoryFuture<'_, Option<StoredAccessToken>>;

    /// What changed after the sequence `after`, at most `limit` records;
    /// `through` is the highest sequence where there are not more.
    fn changes(&self, after: u64, limit: usize) -> DirectoryFuture<'_, Changes>;

    /// The highest sequence.
    fn sequence(&self) -> DirectoryFuture<'_, u64>;

    /// One user, deleted ones too.
    fn user(&self, whom: UserRef) -> DirectoryFuture<'_, Option<User>>;

    /// Users.
    fn users(&self, query: UserQuery) -> DirectoryFuture<'_, UserPage>;

    /// Changes one user. [`DirectoryError::Missing`] where the target is an id
    /// that is not there or deleted.
    fn change(&self, request: ChangeRequest) -> DirectoryFuture<'_, Changed>;

    /// Takes what the provider says of many users, in transactions of a size that
    /// lets others write in between. With `dry_run` nothing is written and the
    /// answer is what it would have been.
    fn report(
        &self,
        reports: Vec<ReportRequest>,
        actor: Actor,
        dry_run: bool,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Vec<Changed>>;

    /// One group.
    fn group(&self, id: GroupId) -> DirectoryFuture<'_, Option<Group>>;

    /// Groups.
    fn groups(&self, query: GroupQuery) -> DirectoryFuture<'_, GroupPage>;

    /// Who is in a group, by id, at most `limit` after `after`: id and what people type for them.
    fn members(&self, id: GroupId, after: Option<UserId>, limit: usize) -> DirectoryFuture<'_, Vec<(UserId, String)>>;

    /// Makes a group.
    fn create_group(&self, group: NewGroup, actor: Actor, now: UnixTime) -> DirectoryFuture<'_, Group>;

    /// Changes a group.
    fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Group>;

    /// Deletes a group.
    fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, ()>;

    /// The tokens of somebody, the latest first, with those that are over.
    fn access_tokens(&self, owner: UserId) -> DirectoryFuture<'_, Vec<AccessToken>>;

    /// Keeps a token, where its owner has less than `limit` that count at `now`: those from before they were signed
    /// out everywhere do not. [`made_in_a_day`](super::made_in_a_day) bounds how many somebody makes, revoked ones too.
    fn create_access_token(
        &self,
        token: NewAccessToken,
        limit: usize,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, AccessToken>;

    /// Revokes a token of `owner`; whether it counted until now.
    fn revoke_access_token(
        &self,
        owner: UserId,
        token: AccessTokenId,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, bool>;

    /// Notes when tokens were used. This is no change of their owners.
    fn access_tokens_used(&self, used: Vec<(AccessTokenId, UnixTime)>) -> DirectoryFuture<'_, ()>;

    /// Writes a line of the audit.
    fn note(&self, entry: NewAuditEntry, now: UnixTime) -> DirectoryFuture<'_, ()>;

    /// The audit.
    fn audit(&self, query: AuditQuery) -> DirectoryFuture<'_, AuditPage>;

    /// How far a walk through a provider's users has come; its own words.
    fn bookmark(&self, name: String) -> DirectoryFuture<'_, Option<String>>;

    /// Keeps how far it has come, or that it is done.
    fn set_bookmark(&self, name: String, value: Option<String>) -> DirectoryFuture<'_, ()>;

    /// Whether it works: writes, reads and removes something of its own.
    fn probe(&self, now: UnixTime) -> DirectoryFuture<'_, ()>;

    /// Drops what is over: events that are past, tokens that ended long ago, and
    /// the oldest lines of the audit as far as they were written before `audit_from`.
    fn sweep(&self, now: UnixTime, audit_from: UnixTime) -> DirectoryFuture<'_, ()>;
}
