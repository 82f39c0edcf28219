//! The file: made for its owner alone, opened, and brought to the schema of
//! this version. The user directory may stand in the same file, so the version
//! is kept in a table by the name of the part.

#![expect(clippy::disallowed_methods, reason = "this module makes the file of the store")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};

/// How long SQLite itself waits for a lock. Short, for its steps grow, and the
/// writer asks again anyway.
const BUSY: Duration = Duration::from_millis(10);
/// How often a start that meets another one at the same file tries again.
const ATTEMPTS: u32 = 200;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(25);

/// What each version adds to the one before it. Never changed, only added to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE session (
        key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
        sealed BLOB NOT NULL,
        card BLOB NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        idle_until INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        subject BLOB NOT NULL CHECK (length(subject) = 32),
        sid BLOB CHECK (length(sid) = 32)
    ) STRICT;
    CREATE INDEX session_subject ON session (subject);
    CREATE INDEX session_sid ON session (sid) WHERE sid IS NOT NULL;
    CREATE INDEX session_end ON session (min(idle_until, ends_at));
    CREATE TABLE session_refresh (
        key BLOB NOT NULL PRIMARY KEY,
        holder BLOB NOT NULL,
        until INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE session_once (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX session_once_expires ON session_once (expires);
    CREATE TABLE session_probe (number INTEGER PRIMARY KEY AUTOINCREMENT, written_at INTEGER NOT NULL) STRICT;
"];

/// Why the file is not used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// It cannot be made or looked at.
    #[error("the file cannot be made or read")]
    File(#[source] io::Error),
    /// It is not there, and was not to be made.
    #[error("there is no such file: the service makes it when it starts")]
    Missing,
    /// Its permissions let everybody at it.
    #[error("everybody may read or write `{}`: run `chmod 600` on it", .0.display())]
    Exposed(PathBuf),
    /// SQLite does not open it.
    #[error("SQLite does not open the file")]
    Sqlite(#[from] sqlx::Error),
    /// A later version of the service has used it.
    #[error(
        "the sessions in it have schema {found}, and this version knows {known}: \
         run the version that wrote it, or name another file"
    )]
    Newer {
        /// What stands in the file.
        found: i64,
        /// The highest one known here.
        known: i64,
    },
}

/// Makes the file when there is none. SQLite gives the files that it puts
/// beside it the same permissions.
pub(in crate::backend) fn create(path: &Path) -> Result<(), SqliteOpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(SqliteOpenError::File(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A group may share the file, as a volume of a cluster makes it; everybody may not.
pub(in crate::backend) fn check_mode(path: &Path) -> Result<(), SqliteOpenError> {
    let mode = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SqliteOpenError::Missing),
        found => found.map_err(SqliteOpenError::File)?.permissions().mode(),
    };
    if mode & 0o007 == 0 { Ok(()) } else { Err(SqliteOpenError::Exposed(path.to_owned())) }
}

/// The connection that writes, on a file with the schema of this version.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, SqliteOpenError> {
    let mut attempts = ATTEMPTS;
    loop {
        // The first switch to WAL needs the file alone, and does not wait for it.
        match connect_and_migrate(path).await {
            Err(SqliteOpenError::Sqlite(error)) if is_busy(&error) && attempts > 0 => attempts -= 1,
            ended => return ended,
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

async fn connect_and_migrate(path: &Path) -> Result<SqliteConnection, SqliteOpenError> {
    let mut connection = options(path).journal_mode(SqliteJournalMode::Wal).connect().await?;
    migrate(&mut connection).await?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) async fn connect_reader(path: &Path) -> Result<SqliteConnection, SqliteOpenError> {
    let mut attempts = ATTEMPTS;
    loop {
        match options(path).pragma("query_only", "ON").connect().await {
            Err(error) if is_busy(&error) && attempts > 0 => attempts -= 1,
            ended => return Ok(ended?),
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

pub(in crate::backend) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), SqliteOpenError> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let migrated = migrate_inside(connection).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(connection).await;
    migrated?;
    ended?;
    Ok(())
}

async fn migrate_inside(connection: &mut SqliteConnection) -> Result<(), SqliteOpenError> {
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS tiergate_schema (part TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query("SELECT version FROM tiergate_schema WHERE part = 'sessions'")
        .fetch_optional(&mut *connection)
        .await?;
    let found: i64 = row.map_or(Ok(0), |row| row.try_get("version"))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(SqliteOpenError::Newer { found, known });
    }
    if found == known {
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    sqlx::query(
        "INSERT INTO tiergate_schema VALUES ('sessions', ?1) ON CONFLICT DO UPDATE SET version = excluded.version",
    )
    .bind(known)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether another connection holds the lock (`SQLITE_BUSY`, `SQLITE_LOCKED`
/// and their extended codes).
pub(in crate::backend) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
