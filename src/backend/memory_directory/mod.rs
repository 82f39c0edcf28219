//! The user directory in this process, gone with it. One lock holds all of it:
//! it is what the other stores are compared with, and is made to be read.

mod kept;

use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::kept::{Kept, Trace};
use crate::directory::{
    AccessToken, AccessTokenId, Actor, AuditPage, AuditQuery, ChangeRequest, Changed, Changes, DirectoryError,
    DirectoryFuture, Group, GroupChange, GroupId, GroupPage, GroupQuery, KEPT_AFTER_END, NewAccessToken, NewAuditEntry,
    NewGroup, ReportRequest, Standing, StoredAccessToken, TokenHash, User, UserChange, UserDirectory, UserId, UserKey,
    UserPage, UserQuery, UserRef,
};
use crate::types::UnixTime;

/// The directory in memory.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    kept: Mutex<Kept>,
}

impl MemoryDirectory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What may fail comes before anything is written: a panic in one call is none of the others.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(result: Result<T, DirectoryError>) -> DirectoryFuture<'a, T> {
    Box::pin(ready(result))
}

impl UserDirectory for MemoryDirectory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn standing(&self, key: UserKey) -> DirectoryFuture<'_, Option<Standing>> {
        done(Ok(self.kept().of_key(&key).map(Standing::of)))
    }

    fn access_token(&self, hash: TokenHash) -> DirectoryFuture<'_, Option<StoredAccessToken>> {
        let kept = self.kept();
        let found = kept.tokens.values().find(|(held, _)| *held == hash);
        done(Ok(found.and_then(|(_, token)| {
            let owner = kept.users.get(&token.owner)?;
            Some(StoredAccessToken { token: token.clone(), owner: owner.key.clone(), sequence: owner.sequence })
        })))
    }

    fn changes(&self, after: u64, limit: usize) -> DirectoryFuture<'_, Changes> {
        let kept = self.kept();
        let mut later: Vec<&User> = kept.users.values().filter(|user| user.sequence > after).collect();
        later.sort_by_key(|user| user.sequence);
        let is_all = later.len() <= limit;
        later.truncate(limit);
        let last = later.last().map_or(after, |user| user.sequence);
        let users = later.into_iter().map(|user| (user.key.clone(), Standing::of(user))).collect();
        done(Ok(Changes { users, through: if is_all { kept.sequence } else { last } }))
    }

    fn sequence(&self) -> DirectoryFuture<'_, u64> {
        done(Ok(self.kept().sequence))
    }

    fn user(&self, whom: UserRef) -> DirectoryFuture<'_, Option<User>> {
        done(Ok(self.kept().find(&whom).cloned()))
    }

    fn users(&self, query: UserQuery) -> DirectoryFuture<'_, UserPage> {
        done(self.kept().page(&query))
    }

    fn change(&self, request: ChangeRequest) -> DirectoryFuture<'_, Changed> {
        done(self.kept().change(&request))
    }

    fn report(
        &self,
        reports: Vec<ReportRequest>,
        actor: Actor,
        dry_run: bool,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Vec<Changed>> {
        let mut kept = self.kept();
        let mut rehearsed = dry_run.then(|| kept.clone());
        let stage = rehearsed.as_mut().unwrap_or(&mut *kept);
        let changed = reports.into_iter().map(|ReportRequest { key, report, new_id }| {
            let change = UserChange::Reported(Box::new(report));
            stage.apply(&key, new_id, &change, &Trace { actor: &actor, request_id: None, now })
        });
        done(changed.collect())
    }

    fn group(&self, id: GroupId) -> DirectoryFuture<'_, Option<Group>> {
        done(Ok(self.kept().groups.get(&id).cloned()))
    }

    fn groups(&self, query: GroupQuery) -> DirectoryFuture<'_, GroupPage> {
        done(Ok(self.kept().group_page(&query)))
    }

    fn members(&self, id: GroupId, after: Option<UserId>, limit: usize) -> DirectoryFuture<'_, Vec<(UserId, String)>> {
        let kept = self.kept();
        let Some(group) = kept.groups.get(&id) else { return done(Ok(Vec::new())) };
        let members = kept.members(&group.name).into_iter().filter(|id| after.is_none_or(|after| *id > after));
        let users = members.filter_map(|id| kept.users.get(&id)).take(limit);
        done(Ok(users.map(|user| (user.id, user.user_name.clone())).collect()))
    }

    fn create_group(&self, group: NewGroup, actor: Actor, now: UnixTime) -> DirectoryFuture<'_, Group> {
        done(self.kept().create_group(&group, &actor, now))
    }

    fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, Group> {
        done(self.kept().change_group(id, &change, expected_version, &actor, now))
    }

    fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, ()> {
        done(self.kept().delete_group(id, expected_version, &actor, now))
    }

    fn access_tokens(&self, owner: UserId) -> DirectoryFuture<'_, Vec<AccessToken>> {
        let kept = self.kept();
        let of_owner = kept.tokens.values().map(|(_, token)| token).filter(|token| token.owner == owner);
        let mut tokens: Vec<AccessToken> = of_owner.cloned().collect();
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.created_at), token.id.to_string()));
        done(Ok(tokens))
    }

    fn create_access_token(
        &self,
        token: NewAccessToken,
        limit: usize,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, AccessToken> {
        done(self.kept().create_token(token, limit, &actor, now))
    }

    fn revoke_access_token(
        &self,
        owner: UserId,
        token: AccessTokenId,
        actor: Actor,
        now: UnixTime,
    ) -> DirectoryFuture<'_, bool> {
        done(Ok(self.kept().revoke_token(owner, token, &actor, now)))
    }

    fn access_tokens_used(&self, used: Vec<(AccessTokenId, UnixTime)>) -> DirectoryFuture<'_, ()> {
        let mut kept = self.kept();
        for (id, at) in used {
            if let Some((_, token)) = kept.tokens.get_mut(&id) {
                token.last_used_at = token.last_used_at.max(Some(at));
            }
        }
        done(Ok(()))
    }

    fn note(&self, entry: NewAuditEntry, now: UnixTime) -> DirectoryFuture<'_, ()> {
        self.kept().note(entry, now);
        done(Ok(()))
    }

    fn audit(&self, query: AuditQuery) -> DirectoryFuture<'_, AuditPage> {
        done(Ok(self.kept().audit_page(&query)))
    }

    fn bookmark(&self, name: String) -> DirectoryFuture<'_, Option<String>> {
        done(Ok(self.kept().bookmarks.get(&name).cloned()))
    }

    fn set_bookmark(&self, name: String, value: Option<String>) -> DirectoryFuture<'_, ()> {
        let mut kept = self.kept();
        match value {
            Some(value) => kept.bookmarks.insert(name, value),
            None => kept.bookmarks.remove(&name),
        };
        done(Ok(()))
    }

    fn probe(&self, _: UnixTime) -> DirectoryFuture<'_, ()> {
        done(Ok(()))
    }

    fn sweep(&self, now: UnixTime, audit_from: UnixTime) -> DirectoryFuture<'_, ()> {
        let mut kept = self.kept();
        kept.events.retain(|_, expires| now < *expires);
        let long_ago = now.minus(KEPT_AFTER_END);
        kept.tokens.retain(|_, (_, token)| token.ended_at() > long_ago);
        let old = kept.audit.iter().take_while(|entry| entry.at < audit_from).count();
        kept.audit.drain(..old);
        done(Ok(()))
    }
}
