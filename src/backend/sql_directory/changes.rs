//! Changes of users.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::rows::digest_of;
use super::statement::Statement;
use super::writing::{Failure, Work, Writing};
use crate::directory::{
    Actor, ChangeRequest, Changed, DirectoryError, EventId, NewAuditEntry, Outcome, ReportRequest, User, UserChange,
    UserId, UserKey, UserRef, fold,
};
use crate::types::UnixTime;

/// What became of somebody in this transaction.
type Steps = BTreeMap<UserId, (Option<User>, User)>;

impl Work for ChangeRequest {
    type Output = Changed;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<Changed, Failure> {
        let Self { target, change, actor, new_id, expected_version, event, request_id, now } = self;
        let before = find(writing, target).await?;
        if let Some(event) = event
            && has_seen(writing, event, *now).await?
        {
            return Ok(Changed { outcome: Outcome::Duplicate, before: before.clone(), after: before });
        }
        let key = match (target, &before) {
            (UserRef::Id(_), Some(user)) if user.deleted_at.is_none() => user.key.clone(),
            (UserRef::Id(_), _) => return Err(DirectoryError::Missing("user").into()),
            (UserRef::Key(key), _) => key.clone(),
        };
        if expected_version.is_some_and(|expected| before.as_ref().map_or(0, |user| user.version) != expected) {
            return Err(DirectoryError::Changed.into());
        }
        if let Some(event) = event {
            keep(writing, event).await?;
        }
        let Some(after) = User::apply(before.as_ref(), &key, *new_id, change, *now) else {
            return Ok(Changed { outcome: Outcome::Unchanged, after: before.clone(), before });
        };
        if before.as_ref().is_some_and(|before| after.is_same_but_later(before)) {
            writing.save(&[(before.as_ref(), &after)]).await?;
            return Ok(Changed { outcome: Outcome::Unchanged, before, after: Some(after) });
        }
        if after.claims_user_name(before.as_ref(), change) && has_rival(writing, &after).await? {
            return Err(DirectoryError::Taken("user_name").into());
        }
        let after = writing.numbered(before.as_ref(), after);
        writing.save(&[(before.as_ref(), &after)]).await?;
        let entry = NewAuditEntry::of_user(change.action(), before.as_ref(), &after, actor, request_id.as_deref());
        writing.note(entry.as_slice(), *now).await?;
        let mut moved = BTreeMap::new();
        count_moves(&mut moved, before.as_ref(), &after);
        writing.touch_groups(&moved, *now).await?;
        let outcome = if before.is_some() { Outcome::Updated } else { Outcome::Created };
        Ok(Changed { outcome, before, after: Some(after) })
    }
}

pub(super) fn of_key(key: &UserKey) -> Statement {
    Statement::new("key_digest = ?").bind(&key.digest())
}

async fn find(writing: &mut Writing<'_>, whom: &UserRef) -> Result<Option<User>, Failure> {
    let condition = match whom {
        UserRef::Id(id) => Statement::new("id = ?").bind(id.as_bytes()),
        UserRef::Key(key) => of_key(key),
    };
    Ok(writing.users(condition).await?.pop())
}

async fn has_seen(writing: &mut Writing<'_>, event: &EventId, now: UnixTime) -> Result<bool, Failure> {
    let select = Statement::new("SELECT expires FROM directory_event WHERE digest = ? AND expires > ?");
    Ok(writing.link.row(select.bind(&event.digest).bind(now)).await?.is_some())
}

async fn keep(writing: &mut Writing<'_>, event: &EventId) -> Result<(), Failure> {
    let insert = Statement::new("INSERT INTO directory_event (digest, expires) VALUES (?, ?)");
    let insert =
        insert.bind(&event.digest).bind(event.expires).sql(&writing.dialect.on_conflict("digest", &["expires"]));
    writing.link.run(insert).await?;
    Ok(())
}

/// Whether SCIM manages another user of the provider by this name.
async fn has_rival(writing: &mut Writing<'_>, user: &User) -> Result<bool, Failure> {
    let named = Statement::new("user_name_digest = ? AND is_live = 1").bind(&digest_of(&fold(&user.user_name)));
    let rivals = writing.users(named).await?;
    Ok(rivals.iter().any(|rival| rival.id != user.id && rival.is_managed_at(&user.key.provider)))
}

/// Counts the groups that somebody came into or left.
fn count_moves(moved: &mut BTreeMap<String, u64>, before: Option<&User>, after: &User) {
    let none = BTreeSet::new();
    let groups = before.map_or(&none, |user| &user.groups);
    for name in groups.symmetric_difference(&after.groups) {
        let times = moved.entry(name.clone()).or_insert(0u64);
        *times = times.saturating_add(1);
    }
}

/// Some of many reports, in one transaction.
pub(super) struct Reports<'a> {
    pub(super) reports: &'a [ReportRequest],
    pub(super) actor: &'a Actor,
    pub(super) now: UnixTime,
}

impl Work for Reports<'_> {
    type Output = Vec<Changed>;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<Vec<Changed>, Failure> {
        let found = writing.users(of_reports(self.reports)).await?;
        let mut known: HashMap<UserKey, User> = found.into_iter().map(|user| (user.key.clone(), user)).collect();
        let (mut steps, mut moved, mut entries) = (Steps::new(), BTreeMap::new(), Vec::new());
        let mut all = Vec::with_capacity(self.reports.len());
        for one in self.reports {
            let (changed, action) = reported(&known, one, self.now, |before, after| writing.numbered(before, after));
            if let Some(after) = changed.after.as_ref().filter(|after| changed.before.as_ref() != Some(after)) {
                entries.extend(NewAuditEntry::of_user(action, changed.before.as_ref(), after, self.actor, None));
                count_moves(&mut moved, changed.before.as_ref(), after);
                known.insert(one.key.clone(), after.clone());
                // Two new users with one id are not one that changed.
                let step = steps.entry(after.id).or_insert_with(|| (changed.before.clone(), after.clone()));
                if step.1.key != after.key {
                    return Err(DirectoryError::Taken("id").into());
                }
                step.1 = after.clone();
            }
            all.push(changed);
        }
        let records: Vec<_> = steps.values().map(|(before, after)| (before.as_ref(), after)).collect();
        writing.save(&records).await?;
        writing.note(&entries, self.now).await?;
        writing.touch_groups(&moved, self.now).await?;
        Ok(all)
    }
}

/// The records that reports are about.
pub(super) fn of_reports(reports: &[ReportRequest]) -> Statement {
    Statement::new("key_digest IN ").list(reports.iter().map(|one| (&one.key.digest()).into()))
}

/// What comes of one report, with the word of the audit for it.
pub(super) fn reported(
    known: &HashMap<UserKey, User>,
    request: &ReportRequest,
    now: UnixTime,
    number: impl FnOnce(Option<&User>, User) -> User,
) -> (Changed, &'static str) {
    let ReportRequest { key, report, new_id } = request;
    let change = UserChange::Reported(Box::new(report.clone()));
    let before = known.get(key).cloned();
    let changed = match User::apply(before.as_ref(), key, *new_id, &change, now) {
        None => Changed { outcome: Outcome::Unchanged, after: before.clone(), before },
        Some(after) if before.as_ref().is_some_and(|before| after.is_same_but_later(before)) => {
            Changed { outcome: Outcome::Unchanged, before, after: Some(after) }
        }
        Some(after) => {
            let outcome = if before.is_some() { Outcome::Updated } else { Outcome::Created };
            let after = number(before.as_ref(), after);
            Changed { outcome, before, after: Some(after) }
        }
    };
    (changed, change.action())
}
