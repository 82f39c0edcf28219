//! A transaction, and what all of them write.
//!
//! Each one begins with the row that counts the sequence and holds it to its
//! end: so they come one after the other, no two wait for each other, and
//! sequences become visible in their order.

use std::collections::BTreeMap;
use std::future::Future;

use super::link::Link;
use super::rows::{DERIVED, NEW_AUDIT, USER, digest_of, entry_values, user_of, values_of};
use super::statement::{Dialect, Statement};
use crate::directory::{DirectoryError, NewAuditEntry, User, UserId};
use crate::types::UnixTime;

/// Rows of one statement.
const ROWS: usize = 100;
const COUNT: &str = "SELECT value FROM directory_sequence WHERE id = 1";

/// What is to be done in a transaction; it may be done more than once, and
/// counts once.
pub(super) trait Work: Sync {
    type Output: Send;

    fn run(&self, writing: &mut Writing<'_>) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// Why a transaction is not committed.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(sqlx::Error),
    Refused(DirectoryError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self::Refused(error)
    }
}

/// A transaction that is under way.
pub(super) struct Writing<'a> {
    pub(super) link: &'a mut Link,
    pub(super) dialect: Dialect,
    sequence: u64,
    begun_at: u64,
}

impl<'a> Writing<'a> {
    pub(super) async fn begin(link: &'a mut Link, dialect: Dialect) -> Result<Self, Failure> {
        let (begin, end) = match dialect {
            Dialect::Sqlite => ("BEGIN IMMEDIATE", ""),
            Dialect::Mysql => ("START TRANSACTION", " FOR UPDATE"),
            Dialect::Postgres => ("BEGIN ISOLATION LEVEL READ COMMITTED", " FOR UPDATE"),
        };
        let rows = link.query(&format!("{begin}; {COUNT}{end}")).await?;
        let sequence = rows.into_iter().next().ok_or(DirectoryError::Corrupt)?.count()?;
        Ok(Self { link, dialect, sequence, begun_at: sequence })
    }

    /// The commands that end it. They go out together: others wait for the row.
    pub(super) fn commit(self) -> String {
        if self.sequence == self.begun_at {
            return "COMMIT".to_owned();
        }
        format!("UPDATE directory_sequence SET value = {} WHERE id = 1; COMMIT", self.sequence)
    }

    /// The next sequence.
    pub(super) fn next(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    /// `after` as the next version of `before`.
    pub(super) fn numbered(&mut self, before: Option<&User>, after: User) -> User {
        let version = before.map_or(0, |user| user.version).saturating_add(1);
        User { version, sequence: self.next(), ..after }
    }

    pub(super) async fn users(&mut self, condition: Statement) -> Result<Vec<User>, Failure> {
        let Statement { sql, values, is_kept } = condition;
        let sql = format!("SELECT {USER} FROM directory_user WHERE {sql}");
        let rows = self.link.rows(Statement { sql, values, is_kept }).await?;
        Ok(rows.into_iter().map(|mut row| user_of(&mut row)).collect::<Result<_, _>>()?)
    }

    /// Writes records, with what they were before; where there was none, it is a new one.
    pub(super) async fn save(&mut self, users: &[(Option<&User>, &User)]) -> Result<(), Failure> {
        let made: Vec<&User> = users.iter().filter(|(before, _)| before.is_none()).map(|(_, after)| *after).collect();
        let kept: Vec<&User> = users.iter().filter(|(before, _)| before.is_some()).map(|(_, after)| *after).collect();
        let insert = format!("INSERT INTO directory_user ({USER}, {DERIVED}) VALUES ");
        for some in made.chunks(ROWS) {
            let rows = some.iter().map(|user| values_of(user));
            match self.link.run(Statement::new(insert.as_str()).table(rows)).await {
                // The lock keeps everybody else from making the same user.
                Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                    return Err(DirectoryError::Taken("id").into());
                }
                ended => ended?,
            };
        }
        let update = self.update_clause();
        for some in kept.chunks(ROWS) {
            let rows = some.iter().map(|user| values_of(user));
            self.link.run(Statement::new(insert.as_str()).table(rows).sql(&update)).await?;
        }
        self.save_names(users, "directory_user_group (name_digest, user_id)", "directory_user_group", |user| {
            user.groups.iter().map(String::as_str).collect()
        })
        .await?;
        self.save_names(users, "directory_user_grant (tier_digest, user_id)", "directory_user_grant", |user| {
            user.grants.iter().map(|grant| grant.tier.as_str()).collect()
        })
        .await
    }

    /// The place of somebody in the order of names stays when they are deleted.
    fn update_clause(&self) -> String {
        let columns: Vec<&str> = USER.split(", ").chain(DERIVED.split(", ")).collect();
        let fixed = ["id", "key_digest", "provider", "subject", "sort_name"];
        let free: Vec<&str> = columns.into_iter().filter(|column| !fixed.contains(column)).collect();
        let (new, live) = (self.dialect.inserted("sort_name"), self.dialect.inserted("is_live"));
        let place = format!(", sort_name = CASE WHEN {live} = 1 THEN {new} ELSE directory_user.sort_name END");
        self.dialect.on_conflict("id", &free) + &place
    }

    /// Writes the names of one kind where they are others than before.
    async fn save_names(
        &mut self,
        users: &[(Option<&User>, &User)],
        columns: &str,
        table: &str,
        names: impl for<'u> Fn(&'u User) -> Vec<&'u str>,
    ) -> Result<(), Failure> {
        let other: Vec<_> = users.iter().filter(|(old, new)| old.map_or_else(Vec::new, &names) != names(new)).collect();
        let had: Vec<UserId> = other
            .iter()
            .filter(|(old, _)| old.is_some_and(|old| !names(old).is_empty()))
            .map(|(_, new)| new.id)
            .collect();
        for some in had.chunks(ROWS) {
            let ids = some.iter().map(|id| id.as_bytes().into());
            self.link.run(Statement::new(format!("DELETE FROM {table} WHERE user_id IN ")).list(ids)).await?;
        }
        let rows: Vec<_> = other
            .iter()
            .flat_map(|(_, user)| names(user).into_iter().map(|name| (digest_of(name), user.id)).collect::<Vec<_>>())
            .collect();
        for some in rows.chunks(ROWS) {
            let rows = some.iter().map(|(digest, id)| vec![digest.into(), id.as_bytes().into()]);
            self.link.run(Statement::new(format!("INSERT INTO {columns} VALUES ")).table(rows)).await?;
        }
        Ok(())
    }

    /// Writes lines of the audit, in their order.
    pub(super) async fn note(&mut self, entries: &[NewAuditEntry], now: UnixTime) -> Result<(), Failure> {
        for some in entries.chunks(ROWS) {
            let rows = some.iter().map(|entry| entry_values(entry, now));
            let insert = Statement::new(format!("INSERT INTO directory_audit ({NEW_AUDIT}) VALUES "));
            self.link.run(insert.table(rows)).await?;
        }
        Ok(())
    }

    /// Counts a change of each of these groups, as many as it is named.
    pub(super) async fn touch_groups(&mut self, moved: &BTreeMap<String, u64>, now: UnixTime) -> Result<(), Failure> {
        for (name, times) in moved {
            let update = "UPDATE directory_group SET version = version + ?, updated_at = ? WHERE name_digest = ?";
            self.link.run(Statement::new(update).bind(*times).bind(now).bind(&digest_of(name))).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "writing_tests.rs"]
mod tests;
