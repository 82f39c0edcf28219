//! Where a directory is kept, and why it is not opened.

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::ConnectOptions as _;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::link::Target;
use crate::backend::sqlite_store::SqliteOpenError;
use crate::types::Secret;

/// Where the directory is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlAddress {
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In MySQL or MariaDB, at this URL.
    Mysql(Secret),
    /// In PostgreSQL, at this URL.
    Postgres(Secret),
}

/// Why a directory is not opened. No message repeats the URL.
#[derive(Debug, thiserror::Error)]
pub enum SqlOpenError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SqliteOpenError),
    /// The URL cannot be read.
    #[error("the URL cannot be read: write it as `{0}://user:password@host/database`, with special characters as %XX")]
    Address(&'static str),
    /// The database does not let anybody in, or is not there.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The thread that the connections live on cannot be started.
    #[error("the thread of the user directory cannot be started")]
    Thread(#[source] std::io::Error),
    /// The tables cannot be brought up to date.
    #[error(
        "the tables of the user directory cannot be made or changed: the user of the database may need more rights"
    )]
    Migration(#[source] sqlx::Error),
    /// Another process brings the tables up to date, and takes its time.
    #[error(
        "another process has been bringing the tables of the user directory up to date for {0} s: \
         try again when it is done, or end its session in the database if it is gone"
    )]
    Locked(u64),
    /// The server failed at the lock that keeps starts apart.
    #[error(
        "the server failed at the lock that keeps starts of this service apart: \
         see the server's log for its memory or an ended session, and try again"
    )]
    LockFailed,
    /// A later version of the service has used it.
    #[error(
        "the users in it have schema {found}, and this version knows {known}: \
         run the version that wrote it, or name another database"
    )]
    Newer {
        /// What stands in the database.
        found: i64,
        /// The highest one known here.
        known: i64,
    },
}

impl SqlOpenError {
    /// Whether it may be opened later without anybody doing anything here: the
    /// server does not answer, or somebody else is at the tables.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Locked(_) | Self::LockFailed => true,
            Self::File(_) | Self::Address(_) | Self::Thread(_) | Self::Migration(_) | Self::Newer { .. } => false,
        }
    }
}

impl SqlAddress {
    pub(super) fn target(&self) -> Result<Target, SqlOpenError> {
        match self {
            Self::Sqlite(path) => Ok(Target::Sqlite(path.as_path().into())),
            Self::Mysql(url) => {
                // What the parser says could repeat a part of the URL.
                let options =
                    MySqlConnectOptions::from_str(url.expose()).map_err(|_| SqlOpenError::Address("mysql"))?;
                Ok(Target::Mysql(Box::new(options.disable_statement_logging())))
            }
            Self::Postgres(url) => {
                let options =
                    PgConnectOptions::from_str(url.expose()).map_err(|_| SqlOpenError::Address("postgres"))?;
                let options = options.application_name("tiergate");
                Ok(Target::Postgres(Box::new(options.disable_statement_logging())))
            }
        }
    }
}
