//! Small writes, and what keeps the tables small.

use super::statement::{Statement, Value};
use super::writing::{Failure, Work, Writing};
use crate::directory::{DirectoryError, KEPT_AFTER_END};
use crate::types::UnixTime;

/// Rows that one step of a sweep drops, and steps of one sweep: others write in between.
const SWEEP_ROWS: i64 = 500;
pub(super) const SWEEP_STEPS: usize = 8;

/// Statements that depend on nothing.
pub(super) struct Plain(pub(super) Vec<Statement>);

impl Work for Plain {
    type Output = ();

    async fn run(&self, writing: &mut Writing<'_>) -> Result<(), Failure> {
        for statement in &self.0 {
            writing.link.run(statement.clone()).await?;
        }
        Ok(())
    }
}

/// Writes, reads and removes a row.
pub(super) struct Probe {
    pub(super) now: UnixTime,
}

impl Work for Probe {
    type Output = ();

    async fn run(&self, writing: &mut Writing<'_>) -> Result<(), Failure> {
        let insert = Statement::new("INSERT INTO directory_probe (written_at) VALUES (?)");
        writing.link.run(insert.bind(self.now)).await?;
        let read = Statement::new("SELECT written_at FROM directory_probe WHERE written_at = ?").bind(self.now);
        let found = writing.link.row(read).await?.ok_or(DirectoryError::Corrupt)?.time()?;
        let removed = writing.link.run(Statement::new("DELETE FROM directory_probe")).await?;
        if found == self.now && removed > 0 { Ok(()) } else { Err(DirectoryError::Corrupt.into()) }
    }
}

/// A step of a sweep: whether it was the last.
pub(super) struct Sweep {
    pub(super) now: UnixTime,
    /// Lines of the audit from before are over.
    pub(super) audit_from: UnixTime,
}

impl Work for Sweep {
    type Output = bool;

    async fn run(&self, writing: &mut Writing<'_>) -> Result<bool, Failure> {
        let past = Statement::new("SELECT digest FROM directory_event WHERE expires <= ?").bind(self.now);
        let events = drop_rows(writing, past, "DELETE FROM directory_event WHERE digest IN ").await?;
        let long_ago = self.now.minus(KEPT_AFTER_END);
        let ended = Statement::new("SELECT id FROM directory_token WHERE (expires_at <= ? OR revoked_at <= ?)");
        let ended = ended.bind(long_ago).bind(long_ago);
        let tokens = drop_rows(writing, ended, "DELETE FROM directory_token WHERE id IN ").await?;
        let audit = drop_audit(writing, self.audit_from).await?;
        Ok(events && tokens && audit)
    }
}

/// Drops some of the oldest lines of the audit; whether there are no more. The
/// first ones are looked at and no others, for there is no order by time but
/// that of the numbers.
async fn drop_audit(writing: &mut Writing<'_>, from: UnixTime) -> Result<bool, Failure> {
    let first = Statement::new("SELECT number, written_at FROM directory_audit ORDER BY number LIMIT ?");
    let (mut last, mut count) = (None, 0i64);
    for mut row in writing.link.rows(first.bind(SWEEP_ROWS)).await? {
        let number = row.count()?;
        if row.time()? >= from {
            break;
        }
        (last, count) = (Some(number), count.saturating_add(1));
    }
    if let Some(last) = last {
        writing.link.run(Statement::new("DELETE FROM directory_audit WHERE number <= ?").bind(last)).await?;
    }
    Ok(count < SWEEP_ROWS)
}

/// Drops some of the rows that `which` names; whether there are no more.
async fn drop_rows(writing: &mut Writing<'_>, which: Statement, delete: &str) -> Result<bool, Failure> {
    let rows = writing.link.rows(which.sql(" LIMIT ?").bind(SWEEP_ROWS)).await?;
    let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < SWEEP_ROWS);
    let keys: Vec<Value> =
        rows.into_iter().map(|mut row| row.maybe_bytes().map(Value::Bytes)).collect::<Result<_, _>>()?;
    if !keys.is_empty() {
        writing.link.run(Statement::new(delete).list(keys)).await?;
    }
    Ok(is_last)
}
