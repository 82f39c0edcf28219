//! The tables. What each version adds to the one before it is never changed,
//! only added to. The version is kept by the name of the part, for a SQLite
//! file may hold the sessions too.

use std::time::Duration;

use sqlx::Error;

use super::SqlOpenError;
use super::link::{Again, Link, Target, Use, again};
use super::statement::{Dialect, Statement};

/// Statements that each version adds, with the types of [`typed`].
const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE IF NOT EXISTS directory_sequence (
        id INT NOT NULL PRIMARY KEY,
        value INT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS directory_user (
        id ID NOT NULL PRIMARY KEY,
        key_digest DIGEST NOT NULL,
        version INT NOT NULL,
        sequence INT NOT NULL,
        is_live INT NOT NULL,
        is_disabled INT NOT NULL,
        sort_name SORTED NOT NULL,
        seen_rank INT NOT NULL,
        user_name_digest DIGEST NOT NULL,
        email_digest DIGEST,
        external_digest DIGEST,
        provider SORTED NOT NULL,
        created_at INT NOT NULL,
        search BYTES NOT NULL,
        subject BYTES NOT NULL,
        user_name BYTES NOT NULL,
        email BYTES,
        email_verified INT NOT NULL,
        display_name BYTES,
        picture BYTES,
        group_names BYTES NOT NULL,
        rights BYTES NOT NULL,
        disabled_here INT NOT NULL,
        disabled_there INT NOT NULL,
        disabled_reason BYTES,
        attributes BYTES NOT NULL,
        tier_grants BYTES NOT NULL,
        scim BYTES,
        first_seen INT,
        last_seen INT,
        updated_at INT NOT NULL,
        valid_from INT,
        deleted_at INT,
        profile_as_of INT,
        groups_as_of INT,
        state_as_of INT,
        rights_as_of INT
    )",
    "CREATE UNIQUE INDEX directory_user_key ON directory_user (key_digest)",
    "CREATE INDEX directory_user_sequence ON directory_user (sequence)",
    "CREATE INDEX directory_user_sorted ON directory_user (is_live, sort_name, id SEARCHED)",
    "CREATE INDEX directory_user_of_provider ON directory_user (provider, is_live, sort_name, id)",
    "CREATE INDEX directory_user_seen ON directory_user (is_live, seen_rank, id)",
    "CREATE INDEX directory_user_created ON directory_user (is_live, created_at, id)",
    "CREATE INDEX directory_user_disabled ON directory_user (is_live, is_disabled, sort_name, id)",
    "CREATE INDEX directory_user_name ON directory_user (user_name_digest)",
    "CREATE INDEX directory_user_email ON directory_user (email_digest)",
    "CREATE INDEX directory_user_external ON directory_user (external_digest)",
    "CREATE TABLE IF NOT EXISTS directory_user_group (
        name_digest DIGEST NOT NULL,
        user_id ID NOT NULL,
        PRIMARY KEY (name_digest, user_id)
    )",
    "CREATE INDEX directory_user_group_user ON directory_user_group (user_id)",
    "CREATE TABLE IF NOT EXISTS directory_user_grant (
        tier_digest DIGEST NOT NULL,
        user_id ID NOT NULL,
        PRIMARY KEY (tier_digest, user_id)
    )",
    "CREATE INDEX directory_user_grant_user ON directory_user_grant (user_id)",
    "CREATE TABLE IF NOT EXISTS directory_group (
        id ID NOT NULL PRIMARY KEY,
        name_digest DIGEST NOT NULL,
        name BYTES NOT NULL,
        external_digest DIGEST,
        external_id BYTES,
        created_at INT NOT NULL,
        updated_at INT NOT NULL,
        version INT NOT NULL
    )",
    "CREATE UNIQUE INDEX directory_group_name ON directory_group (name_digest)",
    "CREATE INDEX directory_group_external ON directory_group (external_digest)",
    "CREATE TABLE IF NOT EXISTS directory_token (
        id ID NOT NULL PRIMARY KEY,
        hash DIGEST NOT NULL,
        owner ID NOT NULL,
        name BYTES NOT NULL,
        tiers BYTES NOT NULL,
        created_at INT NOT NULL,
        expires_at INT NOT NULL,
        revoked_at INT,
        last_used_at INT
    )",
    "CREATE UNIQUE INDEX directory_token_hash ON directory_token (hash)",
    "CREATE INDEX directory_token_owner ON directory_token (owner, created_at)",
    "CREATE TABLE IF NOT EXISTS directory_event (
        digest DIGEST NOT NULL PRIMARY KEY,
        expires INT NOT NULL
    )",
    "CREATE INDEX directory_event_expires ON directory_event (expires)",
    "CREATE TABLE IF NOT EXISTS directory_audit (
        number SERIAL,
        written_at INT NOT NULL,
        actor_digest DIGEST NOT NULL,
        actor BYTES NOT NULL,
        action SORTED NOT NULL,
        target BYTES NOT NULL,
        user_id ID,
        was BYTES,
        is_now BYTES,
        request_id BYTES
    )",
    "CREATE INDEX directory_audit_user ON directory_audit (user_id, number)",
    "CREATE INDEX directory_audit_actor ON directory_audit (actor_digest, number)",
    "CREATE TABLE IF NOT EXISTS directory_bookmark (
        name_digest DIGEST NOT NULL PRIMARY KEY,
        value BYTES NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS directory_probe (
        number SERIAL,
        written_at INT NOT NULL
    )",
    "INSERT INTO directory_sequence (id, value) VALUES (1, 0)",
]];

/// A server that takes longer to let somebody in does not answer.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a start that meets another one at the same file tries again.
const ATTEMPTS: u32 = 200;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(25);

/// How long a start waits for another one, in seconds.
const LOCK_WAIT: u64 = 20;
/// One start after the other: the lock is one of the database, not of the server.
const MYSQL_LOCK: &str = "SELECT GET_LOCK(CONCAT('tiergate.', SHA1(DATABASE())), ?)";
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(7310591274501143)";

/// From which version to which one the tables were brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; 0 where there was none.
    pub from: i64,
    /// The version that it is now.
    pub to: i64,
}

/// Brings the tables up to this version. Where they are, no right to change
/// them is needed.
pub(super) async fn migrate(target: &Target) -> Result<Migrated, SqlOpenError> {
    let mut attempts = ATTEMPTS;
    loop {
        match migrate_once(target).await {
            // Another one starts at the same file: the switch to WAL needs it alone.
            Err(SqlOpenError::Unreachable(error) | SqlOpenError::Migration(error))
                if target.dialect() == Dialect::Sqlite && again(&error) == Again::Soon && attempts > 0 =>
            {
                attempts = attempts.saturating_sub(1);
            }
            ended => return ended,
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

async fn migrate_once(target: &Target) -> Result<Migrated, SqlOpenError> {
    let connected = tokio::time::timeout(CONNECT, target.connect(Use::Migrating)).await;
    let mut link = connected.unwrap_or(Err(Error::PoolTimedOut)).map_err(SqlOpenError::Unreachable)?;
    let dialect = target.dialect();
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let migrated = match version(&mut link).await {
        Ok(Some(found)) if found >= known => Ok(found),
        Ok(_) | Err(_) => match lock(&mut link, dialect).await {
            Ok(true) => bring_up(&mut link, dialect, known).await,
            Ok(false) => return Err(SqlOpenError::Locked(LOCK_WAIT)),
            Err(error) => return Err(error),
        },
    };
    // Closing it lets go of the lock; that it fails changes nothing of what was done.
    let _ = link.close().await;
    let found = migrated.map_err(locked_or_not_allowed)?;
    if found > known { Err(SqlOpenError::Newer { found, known }) } else { Ok(Migrated { from: found, to: known }) }
}

async fn version(link: &mut Link) -> Result<Option<i64>, Error> {
    let row = link.row(Statement::new("SELECT version FROM tiergate_schema WHERE part = 'directory'")).await?;
    Ok(row.and_then(|mut row| row.int().ok()))
}

/// The version that was found.
async fn bring_up(link: &mut Link, dialect: Dialect, known: i64) -> Result<i64, Error> {
    match dialect {
        Dialect::Sqlite => link.command("BEGIN IMMEDIATE").await?,
        Dialect::Mysql => {}
        Dialect::Postgres => link.command("BEGIN ISOLATION LEVEL READ COMMITTED").await?,
    }
    let done = bring_up_inside(link, dialect, known).await;
    match (dialect, &done) {
        (Dialect::Mysql, _) => {}
        (Dialect::Sqlite | Dialect::Postgres, Ok(_)) => link.command("COMMIT").await?,
        // The error that there was says more than one of this.
        (Dialect::Sqlite | Dialect::Postgres, Err(_)) => drop(link.command("ROLLBACK").await),
    }
    done
}

/// Waits until no other start is at the tables of a server; whether none is.
async fn lock(link: &mut Link, dialect: Dialect) -> Result<bool, SqlOpenError> {
    match dialect {
        // The transaction is the lock, and SQLite bounds the wait for it.
        Dialect::Sqlite => Ok(true),
        Dialect::Mysql => {
            let row = link.row(Statement::new(MYSQL_LOCK).bind(LOCK_WAIT)).await.map_err(SqlOpenError::Migration)?;
            is_given(row.and_then(|mut row| row.int().ok()))
        }
        Dialect::Postgres => {
            // It bounds the wait for a table that somebody reads, too.
            let bound = format!("SET lock_timeout = '{LOCK_WAIT}s'");
            link.command(&bound).await.map_err(SqlOpenError::Migration)?;
            link.command(POSTGRES_LOCK).await.map_err(locked_or_not_allowed)?;
            Ok(true)
        }
    }
}

/// What MySQL's `GET_LOCK` says: nothing where the server failed at it.
const fn is_given(lock: Option<i64>) -> Result<bool, SqlOpenError> {
    match lock {
        Some(1) => Ok(true),
        Some(0) => Ok(false),
        Some(_) | None => Err(SqlOpenError::LockFailed),
    }
}

/// Why the tables could not be brought up to date: somebody else is at them, if
/// not for what the server says.
fn locked_or_not_allowed(error: Error) -> SqlOpenError {
    if is_lock_timeout(&error) { SqlOpenError::Locked(LOCK_WAIT) } else { SqlOpenError::Migration(error) }
}

fn is_lock_timeout(error: &Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(LOCK_NOT_AVAILABLE))
}

async fn bring_up_inside(link: &mut Link, dialect: Dialect, known: i64) -> Result<i64, Error> {
    let part = match dialect {
        Dialect::Sqlite | Dialect::Postgres => "TEXT",
        Dialect::Mysql => "VARCHAR(64)",
    };
    let schema =
        format!("CREATE TABLE IF NOT EXISTS tiergate_schema (part {part} NOT NULL PRIMARY KEY, version INT NOT NULL)");
    link.command(&typed(&schema, dialect)).await?;
    let found = version(link).await?.unwrap_or(0);
    if found >= known {
        return Ok(found);
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        for statement in *migration {
            match link.command(&typed(statement, dialect)).await {
                // MySQL cannot take back what it made of tables: a start that was
                // cut off left this index, or this row.
                Err(error) if dialect == Dialect::Mysql && is_there(&error) => {}
                ended => ended?,
            }
        }
    }
    let row = Statement::new("INSERT INTO tiergate_schema (part, version) VALUES ('directory', ?)").bind(known);
    link.run(row.sql(&dialect.on_conflict("part", &["version"]))).await?;
    Ok(found)
}

fn is_there(error: &Error) -> bool {
    const DUPLICATE_KEY_NAME: u16 = 1061;
    const DUPLICATE_ENTRY: u16 = 1062;
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>());
    error.is_some_and(|error| matches!(error.number(), DUPLICATE_KEY_NAME | DUPLICATE_ENTRY))
}

/// A statement with the types of a dialect.
fn typed(sql: &str, dialect: Dialect) -> String {
    let types = match dialect {
        Dialect::Sqlite => [
            ("BYTES", "BLOB"),
            ("DIGEST", "BLOB"),
            ("SORTED", "BLOB"),
            ("INT", "INTEGER"),
            ("SERIAL", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            // A search reads the index alone.
            ("SEARCHED", ", search"),
            ("ID", "BLOB"),
        ],
        Dialect::Mysql => [
            ("BYTES", "LONGBLOB"),
            ("DIGEST", "BINARY(32)"),
            ("SORTED", "VARBINARY(255)"),
            ("INT", "BIGINT"),
            ("SERIAL", "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"),
            ("SEARCHED", ""),
            ("ID", "BINARY(16)"),
        ],
        Dialect::Postgres => [
            ("BYTES", "BYTEA"),
            ("DIGEST", "BYTEA"),
            ("SORTED", "BYTEA"),
            ("INT", "BIGINT"),
            ("SERIAL", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
            ("SEARCHED", ""),
            ("ID", "BYTEA"),
        ],
    };
    let mut typed = String::new();
    for word in sql.split_inclusive(|letter: char| !letter.is_ascii_alphabetic() && letter != '_') {
        let name = word.trim_end_matches(|letter: char| !letter.is_ascii_alphabetic() && letter != '_');
        let end = word.strip_prefix(name).unwrap_or_default();
        let known = types.iter().find(|(token, _)| *token == name);
        typed.push_str(known.map_or(name, |(_, written)| written));
        typed.push_str(end);
    }
    if typed.trim_start().starts_with("CREATE TABLE") {
        typed.push_str(match dialect {
            Dialect::Sqlite => " STRICT",
            Dialect::Mysql => " ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
            Dialect::Postgres => "",
        });
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_or_held_by_another_or_failed() {
        assert!(matches!(is_given(Some(1)), Ok(true)));
        assert!(matches!(is_given(Some(0)), Ok(false)));
        for failed in [None, Some(-1), Some(2)] {
            let error = is_given(failed).unwrap_err();
            assert!(matches!(error, SqlOpenError::LockFailed), "{failed:?}");
            assert!(error.is_outage(), "a service tries again");
        }
    }
}
