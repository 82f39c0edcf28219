//! Rows read back. One that is not what was written is an error, never a
//! session that is not there.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::session::{IndexKey, SessionKey, StoreError, StoredSession};
use crate::types::UnixTime;

pub(super) fn session_of(row: &SqliteRow) -> Result<StoredSession, StoreError> {
    let sid: Option<Vec<u8>> = row.try_get("sid").map_err(|_| StoreError::Corrupt)?;
    Ok(StoredSession {
        sealed: bytes(row, "sealed")?,
        card: bytes(row, "card")?,
        version: u64::try_from(number(row, "version")?).map_err(|_| StoreError::Corrupt)?,
        idle_until: UnixTime::from_millis(number(row, "idle_until")?),
        ends_at: UnixTime::from_millis(number(row, "ends_at")?),
        subject: IndexKey::from_bytes(exact(&bytes(row, "subject")?)?),
        sid: sid.map(|sid| exact(&sid).map(IndexKey::from_bytes)).transpose()?,
    })
}

pub(super) fn key_of(row: &SqliteRow) -> Result<SessionKey, StoreError> {
    Ok(SessionKey::from_bytes(exact(&bytes(row, "key")?)?))
}

pub(super) fn bytes(row: &SqliteRow, column: &str) -> Result<Vec<u8>, StoreError> {
    row.try_get(column).map_err(|_| StoreError::Corrupt)
}

pub(super) fn number(row: &SqliteRow, column: &str) -> Result<i64, StoreError> {
    row.try_get(column).map_err(|_| StoreError::Corrupt)
}

/// SQLite's truth: 0 or 1.
pub(super) fn flag(row: &SqliteRow, column: &str) -> Result<bool, StoreError> {
    Ok(number(row, column)? != 0)
}

fn exact(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt)
}
