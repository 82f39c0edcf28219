//! Sessions in a SQLite file: a restart logs nobody out, and several processes
//! on one host may share it.
//!
//! ```text
//! find, indexed, list, count ─▶ reader (a few connections, never waiting for a writer: WAL)
//! insert, replace, remove …  ─▶ writer (one connection: what waits together is committed together)
//! ```
//!
//! What was answered is on disk (`synchronous=FULL`). Each call ends within
//! [`CALL`]; a write that nobody waits for any more is dropped, not done late.

mod reader;
mod rows;
pub(super) mod schema;
mod writer;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Arguments as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

pub use self::schema::SqliteOpenError;

use self::reader::Readers;
use self::rows::{key_of, session_of};
use self::writer::Writer;
use crate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreError, StoreFuture, StoredSession};
use crate::types::UnixTime;

/// A call that takes longer has failed. The rest up to the 250 ms that the port
/// allows is for being woken late.
const CALL: Duration = Duration::from_millis(235);
/// Rows that one step of a sweep drops, and steps of one sweep: others write in between.
const SWEEP_ROWS: i64 = 500;
const SWEEP_STEPS: usize = 8;

/// The store in a SQLite file.
pub struct SqliteStore {
    readers: Readers,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file, or makes it, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be opened, is another program's, of a later version, or
    /// open to everybody.
    pub async fn open(path: &Path) -> Result<Self, SqliteOpenError> {
        schema::create(path)?;
        Self::open_existing(path).await
    }

    /// Opens the file, which has to be there.
    ///
    /// # Errors
    /// As [`Self::open`], and when there is none.
    pub async fn open_existing(path: &Path) -> Result<Self, SqliteOpenError> {
        schema::check_mode(path)?;
        let writer = Writer::start(schema::connect(path).await?).map_err(SqliteOpenError::File)?;
        Ok(Self { readers: Readers::open(path).await?, writer })
    }

    /// One write: whether a row came of it.
    async fn changes(&self, sql: &'static str, values: Values) -> Result<bool, StoreError> {
        Ok(!self.writer.write(sql, values.done()?).await?.is_empty())
    }

    async fn read(&self, sql: &'static str, values: Values) -> Result<Vec<SqliteRow>, StoreError> {
        self.readers.read(sql, values.done()?).await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// The values of a statement, in the order of its numbers.
#[derive(Default)]
struct Values(SqliteArguments, Option<sqlx::error::BoxDynError>);

impl Values {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.1 = self.0.add(bytes).err().or(self.1);
        self
    }

    fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        self.1 = self.0.add(bytes).err().or(self.1);
        self
    }

    fn number(mut self, number: i64) -> Self {
        self.1 = self.0.add(number).err().or(self.1);
        self
    }

    fn time(self, time: UnixTime) -> Self {
        self.number(time.as_millis())
    }

    fn limit(self, limit: usize) -> Self {
        self.number(i64::try_from(limit).unwrap_or(i64::MAX))
    }

    /// What both ways to write a session have in common: numbers 2 to 7.
    fn session(self, session: &StoredSession) -> Self {
        self.bytes(&session.sealed)
            .bytes(&session.card)
            .time(session.idle_until)
            .time(session.ends_at)
            .bytes(session.subject.as_bytes())
            .optional(session.sid.as_ref().map(|sid| sid.as_bytes().as_slice()))
    }

    fn done(self) -> Result<SqliteArguments, StoreError> {
        self.1.map_or(Ok(self.0), |error| Err(StoreError::Unavailable(error)))
    }
}

fn values(key: &[u8]) -> Values {
    Values::default().bytes(key)
}

/// Ends the call in time.
fn call<'a, T: Send + 'a>(work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> StoreFuture<'a, T> {
    Box::pin(async move {
        match tokio::time::timeout(CALL, work).await {
            Ok(result) => result,
            Err(late) => Err(StoreError::Unavailable(Box::new(late))),
        }
    })
}

// A session is live before the sooner of its two ends; `session_end` is an index of just that.
const INSERT: &str = "INSERT INTO session (key, sealed, card, idle_until, ends_at, subject, sid, version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1) ON CONFLICT DO NOTHING RETURNING 1";
const FIND: &str = "SELECT key, sealed, card, version, idle_until, ends_at, subject, sid FROM session
    WHERE key = ?1 AND min(idle_until, ends_at) > ?2";
const REPLACE: &str =
    "UPDATE session SET sealed = ?2, card = ?3, idle_until = ?4, ends_at = ?5, subject = ?6, sid = ?7,
    version = version + 1 WHERE key = ?1 AND version = ?8 AND min(idle_until, ends_at) > ?9 RETURNING 1";
const TOUCH: &str = "UPDATE session SET idle_until = min(?2, ends_at)
    WHERE key = ?1 AND min(idle_until, ends_at) > ?3 AND min(?2, ends_at) > idle_until RETURNING 1";
const REMOVE: &str = "DELETE FROM session WHERE key = ?1 RETURNING min(idle_until, ends_at) > ?2 AS live";
const INDEXED: &str = "SELECT key FROM session
    WHERE (subject = ?1 OR sid = ?1) AND min(idle_until, ends_at) > ?2 LIMIT ?3";
const LIST: &str = "SELECT key, sealed, card, version, idle_until, ends_at, subject, sid FROM session
    WHERE min(idle_until, ends_at) > ?1 LIMIT ?2";
const COUNT: &str = "SELECT count(*) AS live FROM session WHERE min(idle_until, ends_at) > ?1";
const CLAIM: &str = "INSERT INTO session_refresh (key, holder, until)
    SELECT ?1, ?2, ?3 FROM session WHERE key = ?1 AND min(idle_until, ends_at) > ?4
    ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until
        WHERE session_refresh.until <= ?4 OR session_refresh.holder = excluded.holder RETURNING 1";
const RELEASE: &str = "DELETE FROM session_refresh WHERE key = ?1 AND holder = ?2 RETURNING 1";
const PUT_ONCE: &str = "INSERT INTO session_once (key, value, expires) VALUES (?1, ?2, ?3)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
        WHERE session_once.expires <= ?4 RETURNING 1";
const TAKE: &str = "DELETE FROM session_once WHERE key = ?1 RETURNING value, expires > ?2 AS live";
const PROBE_WRITE: &str = "INSERT INTO session_probe (written_at) VALUES (?1) RETURNING number";
const PROBE_READ: &str = "SELECT written_at FROM session_probe WHERE number = ?1";
// Probes that their process did not live to remove go with the next one.
const PROBE_REMOVE: &str = "DELETE FROM session_probe WHERE number = ?1 OR written_at < ?2 - 3600000 RETURNING number";
const SWEEP: [&str; 3] = [
    "DELETE FROM session WHERE rowid IN
        (SELECT rowid FROM session WHERE min(idle_until, ends_at) <= ?1 LIMIT ?2) RETURNING 1",
    "DELETE FROM session_once WHERE rowid IN
        (SELECT rowid FROM session_once WHERE expires <= ?1 LIMIT ?2) RETURNING 1",
    "DELETE FROM session_refresh WHERE rowid IN
        (SELECT rowid FROM session_refresh WHERE until <= ?1 LIMIT ?2) RETURNING 1",
];

impl SessionStore for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn insert(&self, key: SessionKey, session: StoredSession, _: UnixTime) -> StoreFuture<'_, ()> {
        call(async move {
            let new = self.changes(INSERT, values(key.as_bytes()).session(&session)).await?;
            if new { Ok(()) } else { Err(StoreError::Corrupt) }
        })
    }

    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>> {
        call(async move {
            let rows = self.read(FIND, values(key.as_bytes()).time(now)).await?;
            rows.first().map(|row| session_of(row).map(Arc::new)).transpose()
        })
    }

    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, now: UnixTime) -> StoreFuture<'_, bool> {
        call(async move {
            // A version that no row can have is not there.
            let Ok(seen) = i64::try_from(seen) else { return Ok(false) };
            self.changes(REPLACE, values(key.as_bytes()).session(&session).number(seen).time(now)).await
        })
    }

    fn touch(&self, key: SessionKey, idle_until: UnixTime, now: UnixTime) -> StoreFuture<'_, ()> {
        call(async move {
            self.changes(TOUCH, values(key.as_bytes()).time(idle_until).time(now)).await?;
            Ok(())
        })
    }

    fn remove(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, bool> {
        call(async move {
            let rows = self.writer.write(REMOVE, values(key.as_bytes()).time(now).done()?).await?;
            rows.first().map_or(Ok(false), |row| rows::flag(row, "live"))
        })
    }

    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>> {
        call(async move {
            let rows = self.read(INDEXED, values(index.as_bytes()).time(now).limit(limit)).await?;
            rows.iter().map(key_of).collect()
        })
    }

    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>> {
        call(async move {
            let rows = self.read(LIST, Values::default().time(now).limit(limit)).await?;
            rows.iter().map(|row| Ok((key_of(row)?, Arc::new(session_of(row)?)))).collect()
        })
    }

    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64> {
        call(async move {
            let rows = self.read(COUNT, Values::default().time(now)).await?;
            let live = rows::number(rows.first().ok_or(StoreError::Corrupt)?, "live")?;
            u64::try_from(live).map_err(|_| StoreError::Corrupt)
        })
    }

    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        call(async move { self.changes(CLAIM, values(key.as_bytes()).bytes(&lease.0).time(until).time(now)).await })
    }

    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()> {
        call(async move {
            self.changes(RELEASE, values(key.as_bytes()).bytes(&lease.0)).await?;
            Ok(())
        })
    }

    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        call(async move { self.changes(PUT_ONCE, values(&key.0).bytes(&value).time(expires).time(now)).await })
    }

    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>> {
        call(async move {
            let rows = self.writer.write(TAKE, values(&key.0).time(now).done()?).await?;
            let Some(row) = rows.first() else { return Ok(None) };
            if rows::flag(row, "live")? { rows::bytes(row, "value").map(Some) } else { Ok(None) }
        })
    }

    fn probe(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        call(async move {
            let rows = self.writer.write(PROBE_WRITE, Values::default().time(now).done()?).await?;
            let number = rows::number(rows.first().ok_or(StoreError::Corrupt)?, "number")?;
            let rows = self.read(PROBE_READ, Values::default().number(number)).await?;
            let written = rows::number(rows.first().ok_or(StoreError::Corrupt)?, "written_at")?;
            let removed = self.changes(PROBE_REMOVE, Values::default().number(number).time(now)).await?;
            if written == now.as_millis() && removed { Ok(()) } else { Err(StoreError::Corrupt) }
        })
    }

    fn sweep(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        call(async move {
            for sql in SWEEP {
                for _ in 0..SWEEP_STEPS {
                    let values = Values::default().time(now).number(SWEEP_ROWS).done()?;
                    let dropped = self.writer.write(sql, values).await?.len();
                    if i64::try_from(dropped).is_ok_and(|dropped| dropped < SWEEP_ROWS) {
                        break;
                    }
                }
            }
            Ok(())
        })
    }
}
