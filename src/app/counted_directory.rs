//! The database of the user directory, with its errors counted; it may be there
//! later than the service.

use std::sync::{Arc, OnceLock};

use metrics::counter;

use crate::backend::causes::Causes;
use crate::directory::{
    AccessToken, AccessTokenId, Actor, AuditPage, AuditQuery, ChangeRequest, Changed, Changes, DirectoryError,
    DirectoryFuture, Group, GroupChange, GroupId, GroupPage, GroupQuery, NewAccessToken, NewAuditEntry, NewGroup,
    ReportRequest, Standing, StoredAccessToken, TokenHash, User, UserDirectory, UserId, UserKey, UserPage, UserQuery,
    UserRef,
};
use crate::types::UnixTime;

/// Counts the errors of a store; until there is one, it does not answer.
pub(super) struct CountedDirectory {
    kind: &'static str,
    /// `directory_` and the kind, for the metric.
    label: &'static str,
    store: OnceLock<Arc<dyn UserDirectory>>,
}

/// The database could not be opened so far.
#[derive(Debug, thiserror::Error)]
#[error("the database of the user directory has not been opened")]
struct NotOpened;

impl CountedDirectory {
    /// Of a store of this kind, which is not there.
    pub(super) const fn new(kind: &'static str, label: &'static str) -> Self {
        Self { kind, label, store: OnceLock::new() }
    }

    /// Gives it the store.
    pub(super) fn opened(&self, store: Arc<dyn UserDirectory>) {
        // Only who opens it calls this, and only until it has worked.
        let _ = self.store.set(store);
    }

    pub(super) fn is_open(&self) -> bool {
        self.store.get().is_some()
    }

    fn counted<'a, T: 'a>(
        &'a self,
        op: &'static str,
        call: impl FnOnce(&'a dyn UserDirectory) -> DirectoryFuture<'a, T>,
    ) -> DirectoryFuture<'a, T> {
        let answer = self.store.get().map(|store| call(store.as_ref()));
        Box::pin(async move {
            let answer = match answer {
                Some(answer) => answer.await,
                None => Err(DirectoryError::Unavailable(Box::new(NotOpened))),
            };
            if let Err(error @ (DirectoryError::Unavailable(_) | DirectoryError::Corrupt)) = &answer {
                counter!("tiergate_store_errors_total", "store" => self.label, "op" => op).increment(1);
                tracing::debug!(op, error = %Causes(error), "user directory");
            }
            answer
        })
    }
}

impl UserDirectory for CountedDirectory {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn standing(&self, key: UserKey) -> DirectoryFuture<'_, Option<Standing>> {
        self.counted("standing", |store| store.standing(key))
    }

    fn access_token(&self, hash: TokenHash) -> DirectoryFuture<'_, Option<StoredAccessToken>> {
        self.counted("access_token", |store| store.access_token(hash))
    }

    fn changes(&self, after: u64, limit: usize) -> DirectoryFuture<'_, Changes> {
        self.counted("changes", |store| store.changes(after, limit))
    }

    fn sequence(&self) -> DirectoryFuture<'_, u64> {
        self.counted("sequence", |store| store.sequence())
    }

    fn user(&self, whom: UserRef) -> DirectoryFuture<'_, Option<User>> {
        self.counted("user", |store| store.user(whom))
    }

    fn users(&self, query: UserQuery) -> DirectoryFuture<'_, UserPage> {
        self.counted("users", |store| store.users(query))
    }

    fn change(&self, request: ChangeRequest) -> DirectoryFuture<'_, Changed> {
        self.counted("change", |store| store.change(request))
    }

    fn report(
        &self,
        reports: Vec<ReportRequest>,
        actor: Actor,
        dry_run: bool,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Vec<Changed>> {
        self.counted("report", move |store| store.report(reports, actor, dry_run, now))
    }

    fn group(&self, id: GroupId) -> DirectoryFuture<'_, Option<Group>> {
        self.counted("group", move |store| store.group(id))
    }

    fn groups(&self, query: GroupQuery) -> DirectoryFuture<'_, GroupPage> {
        self.counted("groups", |store| store.groups(query))
    }

    fn members(&self, id: GroupId, after: Option<UserId>, limit: usize) -> DirectoryFuture<'_, Vec<(UserId, String)>> {
        self.counted("members", move |store| store.members(id, after, limit))
    }

    fn create_group(&self, group: NewGroup, actor: Actor, now: UnixTime) -> DirectoryFuture<'_, Group> {
        self.counted("create_group", move |store| store.create_group(group, actor, now))
    }

    fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Group> {
        self.counted("change_group", move |store| store.change_group(id, change, expected_version, actor, now))
    }

    fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, ()> {
        self.counted("delete_group", move |store| store.delete_group(id, expected_version, actor, now))
    }

    fn access_tokens(&self, owner: UserId) -> DirectoryFuture<'_, Vec<AccessToken>> {
        self.counted("access_tokens", move |store| store.access_tokens(owner))
    }

    fn create_access_token(
        &self,
        token: NewAccessToken,
        limit: usize,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, AccessToken> {
        self.counted("create_access_token", move |store| store.create_access_token(token, limit, actor, now))
    }

    fn revoke_access_token(
        &self,
        owner: UserId,
        token: AccessTokenId,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, bool> {
        self.counted("revoke_access_token", move |store| store.revoke_access_token(owner, token, actor, now))
    }

    fn access_tokens_used(&self, used: Vec<(AccessTokenId, UnixTime)>) -> DirectoryFuture<'_, ()> {
        self.counted("access_tokens_used", |store| store.access_tokens_used(used))
    }

    fn note(&self, entry: NewAuditEntry, now: UnixTime) -> DirectoryFuture<'_, ()> {
        self.counted("note", move |store| store.note(entry, now))
    }

    fn audit(&self, query: AuditQuery) -> DirectoryFuture<'_, AuditPage> {
        self.counted("audit", |store| store.audit(query))
    }

    fn bookmark(&self, name: String) -> DirectoryFuture<'_, Option<String>> {
        self.counted("bookmark", |store| store.bookmark(name))
    }

    fn set_bookmark(&self, name: String, value: Option<String>) -> DirectoryFuture<'_, ()> {
        self.counted("set_bookmark", move |store| store.set_bookmark(name, value))
    }

    fn probe(&self, now: UnixTime) -> DirectoryFuture<'_, ()> {
        self.counted("probe", move |store| store.probe(now))
    }

    fn sweep(&self, now: UnixTime, audit_from: UnixTime) -> DirectoryFuture<'_, ()> {
        self.counted("sweep", move |store| store.sweep(now, audit_from))
    }
}
