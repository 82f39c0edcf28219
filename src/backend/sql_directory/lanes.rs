//! What reads of users ask for.

use std::collections::HashMap;

use super::calls::read;
use super::changes::{of_key, of_reports, reported};
use super::lane::Lane;
use super::rows::{USER, user_of};
use super::statement::{Dialect, Statement};
use crate::directory::{Changed, Changes, DirectoryError, ReportRequest, Standing, User, UserKey, UserRef};
use crate::types::UnixTime;

/// The connections of each kind of call.
pub(super) struct Lanes {
    pub(super) dialect: Dialect,
    pub(super) checks: Lane,
    pub(super) follows: Lane,
    pub(super) reads: Lane,
    pub(super) writes: Lane,
}

impl Lanes {
    pub(super) async fn find_user(&self, whom: UserRef) -> Result<Option<User>, DirectoryError> {
        let condition = match &whom {
            UserRef::Id(id) => Statement::new("id = ?").bind(id.as_bytes()),
            UserRef::Key(key) => of_key(key),
        };
        Ok(users(&self.reads, condition).await?.pop())
    }

    pub(super) async fn following(&self, after: u64, limit: usize) -> Result<Changes, DirectoryError> {
        // Read before the users: whatever is counted up to here is visible then. Who
        // changed once more in between is among them by that change.
        let through = self.count(&self.follows).await?;
        let some = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let later = Statement::new("sequence > ? ORDER BY sequence LIMIT ?");
        let mut users = users(&self.follows, later.bind(after).bind(some)).await?;
        let is_all = users.len() <= limit;
        users.truncate(limit);
        let last = users.last().map_or(after, |user| user.sequence);
        let users = users.into_iter().map(|user| (user.key.clone(), Standing::of(&user))).collect();
        Ok(Changes { users, through: if is_all { through.max(last) } else { last } })
    }

    pub(super) async fn count(&self, lane: &Lane) -> Result<u64, DirectoryError> {
        let rows = read(lane, &Statement::new("SELECT value FROM directory_sequence WHERE id = 1")).await?;
        rows.into_iter().next().ok_or(DirectoryError::Corrupt)?.count()
    }

    /// What reports would come to.
    pub(super) async fn rehearse(
        &self,
        reports: &[ReportRequest],
        now: UnixTime,
    ) -> Result<Vec<Changed>, DirectoryError> {
        let mut sequence = self.count(&self.reads).await?;
        let mut known: HashMap<UserKey, User> = HashMap::new();
        let mut all = Vec::with_capacity(reports.len());
        for some in reports.chunks(super::REPORTS) {
            for user in users(&self.reads, of_reports(some)).await? {
                known.entry(user.key.clone()).or_insert(user);
            }
            for one in some {
                let (changed, _) = reported(&known, one, now, |before, after| {
                    sequence = sequence.saturating_add(1);
                    let version = before.map_or(0, |user| user.version).saturating_add(1);
                    User { version, sequence, ..after }
                });
                known.extend(changed.after.clone().map(|after| (one.key.clone(), after)));
                all.push(changed);
            }
        }
        Ok(all)
    }
}

pub(super) async fn users(lane: &Lane, condition: Statement) -> Result<Vec<User>, DirectoryError> {
    let Statement { sql, values, is_kept } = condition;
    let sql = format!("SELECT {USER} FROM directory_user WHERE {sql}");
    let rows = read(lane, &Statement { sql, values, is_kept }).await?;
    rows.into_iter().map(|mut row| user_of(&mut row)).collect()
}
