//! `user sync`: everything a provider's management API says of its users, taken
//! over page by page, so that it can go on where it was interrupted.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::directory::{
    Actor, Changed, Outcome, Report, ReportRequest, User, UserChange, UserDirectory, UserId, UserKey, UserOrder,
    UserQuery,
};
use crate::management::{
    Call, ManagementApi, ManagementError, TokenError, TransportError, Walk, groups_path, pause, read_groups, user_path,
};
use crate::types::{Clock, Random, UnixTime};

/// How long a walk that was interrupted can go on.
const RESUMABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many users of the directory are looked through at a time.
const LOOK: usize = 500;

/// What a synchronisation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncMode {
    /// Each user's groups are asked for too.
    pub groups: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// It begins anew, wherever an earlier one was interrupted.
    pub restart: bool,
    /// Users whom the provider does not know are refused from now on.
    pub disable_missing: bool,
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum SyncEvent<'a> {
    /// It goes on with a walk that began then.
    Resumed(UnixTime),
    /// So many users were read.
    Read(u64),
    /// The API wants to be left alone for so long.
    Waiting(Duration),
    /// A user is another one than before.
    Changed {
        /// What became of them.
        what: SyncChange,
        /// What of them changed.
        parts: Vec<&'static str>,
        /// The record now.
        user: &'a User,
    },
    /// What the API says of this user cannot be read.
    Unread(&'a str, String),
    /// The API does not know this user.
    Missing(&'a User),
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncChange {
    /// They have a record now.
    Created,
    /// They were deleted, and are back.
    Returned,
    /// They are refused now.
    Disabled,
    /// The provider refuses them no more.
    Enabled,
    /// Something else is another way.
    Updated,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncSummary {
    /// Users that the API showed.
    pub read: u64,
    /// New records, also of those who are back.
    pub created: u64,
    /// Records that are another way.
    pub updated: u64,
    /// Users who are refused now.
    pub disabled: u64,
    /// Users whom the provider refuses no more.
    pub enabled: u64,
    /// Users whom the API described in a way that cannot be read.
    pub unread: u64,
    /// Users of the directory whom the API does not know.
    pub missing: u64,
}

/// What it takes to synchronise.
pub(super) struct UserSync<'a> {
    pub(super) api: &'a ManagementApi,
    pub(super) store: &'a dyn UserDirectory,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a dyn Random,
    pub(super) mode: SyncMode,
    pub(super) tell: &'a mut dyn FnMut(SyncEvent<'_>),
    pub(super) summary: SyncSummary,
    pub(super) seen: HashSet<Box<str>>,
}

impl UserSync<'_> {
    /// Walks through all users, then looks for those whom the walk did not see.
    ///
    /// # Errors
    /// When the API or the directory does not answer, or not so that it can go on.
    pub(super) async fn run(mut self) -> anyhow::Result<SyncSummary> {
        let name = format!("sync:{}", self.api.provider().as_str());
        let mut walk = self.start(&name).await?;
        while let Some(path) = walk.next() {
            // What the page says is as of a moment at which it was not yet asked for.
            let as_of = self.clock.now();
            let page = self.ask(path).await?.context("the management API has no users: check `management.url`")?;
            let mut reports = Vec::new();
            for found in walk.take(&page, as_of)? {
                self.summary.read = self.summary.read.saturating_add(1);
                match found.told {
                    Ok(told) => {
                        // Searches overlap, and whoever was read is read.
                        if let UserChange::Reported(report) = told.change
                            && self.seen.insert(told.subject.clone())
                        {
                            reports.push(self.whole(&told.subject, *report).await?);
                        }
                    }
                    Err(fault) => {
                        self.summary.unread = self.summary.unread.saturating_add(1);
                        (self.tell)(SyncEvent::Unread(&found.name, fault.to_string()));
                    }
                }
            }
            self.take(reports).await?;
            if !self.mode.dry_run {
                self.store.set_bookmark(name.clone(), walk.bookmark()).await?;
            }
            (self.tell)(SyncEvent::Read(self.summary.read));
        }
        self.look_for_missing(walk.started()).await?;
        Ok(self.summary)
    }

    async fn start(&mut self, name: &str) -> anyhow::Result<Walk> {
        let (kind, now) = (self.api.kind(), self.clock.now());
        if !self.mode.restart && !self.mode.dry_run {
            let bookmark = self.store.bookmark(name.to_owned()).await?;
            let walk = bookmark.and_then(|bookmark| Walk::resume(kind, &bookmark));
            if let Some(walk) = walk.filter(|walk| now.since(walk.started()) < RESUMABLE) {
                (self.tell)(SyncEvent::Resumed(walk.started()));
                return Ok(walk);
            }
        }
        Ok(Walk::begin(kind, now))
    }

    /// The report with the user's groups, where these are asked for.
    async fn whole(&mut self, subject: &str, mut report: Report) -> anyhow::Result<ReportRequest> {
        if self.mode.groups {
            let mut groups = BTreeSet::new();
            let mut page = 0u32;
            loop {
                // Whoever is gone since the page was asked for has none.
                let Some(answer) = self.ask(groups_path(self.api.kind(), subject, page)).await? else { break };
                if !read_groups(self.api.kind(), &answer, &mut groups)? {
                    break;
                }
                page = page.saturating_add(1);
            }
            report.groups = Some(groups);
        }
        Ok(self.request(UserKey::new(self.api.provider(), subject), report))
    }

    fn request(&self, key: UserKey, report: Report) -> ReportRequest {
        ReportRequest { key, report, new_id: UserId::draw(self.random) }
    }

    async fn take(&mut self, reports: Vec<ReportRequest>) -> anyhow::Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        let actor = Actor::Sync(self.api.provider().clone());
        let changed = self.store.report(reports, actor, self.mode.dry_run, self.clock.now()).await?;
        for changed in &changed {
            self.count(changed);
        }
        Ok(())
    }

    fn count(&mut self, changed: &Changed) {
        let Some(user) = &changed.after else { return };
        let parts = changed.before.as_ref().map(|before| difference(before, user)).unwrap_or_default();
        let what = match (&changed.before, changed.outcome) {
            (_, Outcome::Unchanged | Outcome::Duplicate) => return,
            (_, Outcome::Created) | (None, Outcome::Updated) => SyncChange::Created,
            (Some(before), Outcome::Updated) if before.deleted_at.is_some() => SyncChange::Returned,
            (Some(before), Outcome::Updated) => match (before.disabled_there, user.disabled_there) {
                (false, true) => SyncChange::Disabled,
                (true, false) => SyncChange::Enabled,
                // Only the moment as of which it is known is another.
                _ if parts.is_empty() => return,
                _ => SyncChange::Updated,
            },
        };
        let counted = match what {
            SyncChange::Created | SyncChange::Returned => &mut self.summary.created,
            SyncChange::Disabled => &mut self.summary.disabled,
            SyncChange::Enabled => &mut self.summary.enabled,
            SyncChange::Updated => &mut self.summary.updated,
        };
        *counted = counted.saturating_add(1);
        (self.tell)(SyncEvent::Changed { what, parts, user });
    }

    /// Whom the walk did not see may have moved between its pages: each of them
    /// is asked for alone before they count as missing.
    async fn look_for_missing(&mut self, started: UnixTime) -> anyhow::Result<()> {
        let provider = self.api.provider().clone();
        let mut after = None;
        loop {
            let query = UserQuery {
                provider: Some(provider.clone()),
                order: UserOrder::Id,
                after,
                limit: LOOK,
                ..UserQuery::default()
            };
            let page = self.store.users(query).await?;
            after = page.users.last().map(|user| user.id);
            for user in &page.users {
                let is_fresh = user.as_of.profile >= Some(started);
                if !is_fresh && !self.seen.contains(&user.key.subject) {
                    self.look_for(user).await?;
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    async fn look_for(&mut self, user: &User) -> anyhow::Result<()> {
        let as_of = self.clock.now();
        if let Some(answer) = self.ask(user_path(&user.key.subject)).await? {
            let told = self.api.kind().read_user(&answer, as_of);
            match told {
                Ok(told) if told.subject == user.key.subject => {
                    if let UserChange::Reported(report) = told.change {
                        let report = self.whole(&told.subject, *report).await?;
                        self.take(vec![report]).await?;
                    }
                }
                // An account that was linked to another one answers as that one.
                Ok(_) => {}
                Err(fault) => {
                    self.summary.unread = self.summary.unread.saturating_add(1);
                    (self.tell)(SyncEvent::Unread(&user.key.subject, fault.to_string()));
                }
            }
            return Ok(());
        }
        self.summary.missing = self.summary.missing.saturating_add(1);
        (self.tell)(SyncEvent::Missing(user));
        if self.mode.disable_missing {
            let report = Report { as_of, disabled: Some(true), ..Report::default() };
            let report = self.request(user.key.clone(), report);
            self.take(vec![report]).await?;
        }
        Ok(())
    }

    /// The answer at a path; `None` where there is nothing. It waits as the API asks.
    async fn ask(&mut self, path: String) -> anyhow::Result<Option<Bytes>> {
        let call = Call::read(path);
        let mut tries = 0u32;
        loop {
            tries = tries.saturating_add(1);
            let answer = self.api.send(&call).await;
            let (status, headers) = match &answer {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(Some(answer.body().clone())),
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
                Ok(answer) => (Some(answer.status()), answer.headers().clone()),
                Err(error) if is_passing(error) => (None, HeaderMap::new()),
                Err(_) => return answer.map(|_| None).context("the management API cannot be asked"),
            };
            match pause(status, &headers, tries, self.clock.now()) {
                Some(pause) => {
                    (self.tell)(SyncEvent::Waiting(pause));
                    tokio::time::sleep(pause).await;
                }
                None => match answer {
                    Ok(answer) => bail!(refused(answer.status())),
                    Err(error) => return Err(error).context("the management API cannot be asked"),
                },
            }
        }
    }
}

fn is_passing(error: &ManagementError) -> bool {
    match error {
        ManagementError::Transport(error) | ManagementError::Token(TokenError::Transport(error)) => {
            matches!(error, TransportError::Unreachable(_))
        }
        ManagementError::Token(TokenError::Refused(status)) => matches!(status, 429 | 500..),
        ManagementError::Token(TokenError::Malformed | TokenError::NoEndpoint) | ManagementError::Path => false,
    }
}

fn refused(status: StatusCode) -> String {
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "it refuses the token of the service: check `management.audience` and `management.url`"
        }
        StatusCode::FORBIDDEN => {
            "the client of the service may not read users: give it `read:users` and `read:roles` (Auth0) or `view-users` (Keycloak)"
        }
        _ => "run the command again to go on from here",
    };
    format!("the management API answered with status {}: {hint}", status.as_u16())
}

/// What of a user is another way, as far as people see it.
fn difference(before: &User, after: &User) -> Vec<&'static str> {
    [
        ("user_name", before.user_name != after.user_name),
        ("email", before.email != after.email),
        ("name", before.name != after.name),
        ("picture", before.picture != after.picture),
        ("groups", before.groups != after.groups),
        ("attributes", before.attributes != after.attributes),
        ("disabled", before.disabled_there != after.disabled_there),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

#[cfg(test)]
#[path = "user_sync_tests.rs"]
mod tests;
