//! One connection, whichever database it leads to. Numbers and bytes are all
//! that goes over it: what a database thinks of text never matters.

use std::path::Path;

use sqlx::database::HasStatementCache;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteError, SqliteJournalMode};
use sqlx::{
    AssertSqlSafe, ColumnIndex, ConnectOptions as _, Connection as _, Database, Decode, Encode, Executor as _,
    IntoArguments, MySqlConnection, PgConnection, SqliteConnection, Type, TypeInfo as _, ValueRef as _,
};

use super::statement::{Cell, Dialect, Row, Statement, Value};
use crate::backend::sqlite_store::schema::{is_busy, options};

/// A connection.
pub(super) enum Link {
    Sqlite(Box<SqliteConnection>),
    Mysql(Box<MySqlConnection>),
    Postgres(Box<PgConnection>),
}

/// Where connections lead to.
#[derive(Clone)]
pub(super) enum Target {
    Sqlite(Box<Path>),
    Mysql(Box<MySqlConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Reading,
    Writing,
    /// To bring the tables up to date, which takes its time.
    Migrating,
}

/// What the server itself ends, where this process is gone without a word: a
/// transaction that nobody goes on with would hold up every other one.
const MYSQL_SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION innodb_lock_wait_timeout = 5 /*M!100300 , SESSION idle_write_transaction_timeout = 10 */";
const POSTGRES_SESSION: &str =
    "SET statement_timeout = '30s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";

impl Target {
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Mysql(_) => Dialect::Mysql,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) async fn connect(&self, purpose: Use) -> Result<Link, sqlx::Error> {
        let mut link = match self {
            Self::Sqlite(path) => {
                let options = match purpose {
                    Use::Reading => options(path).pragma("query_only", "ON"),
                    Use::Writing | Use::Migrating => options(path).journal_mode(SqliteJournalMode::Wal),
                };
                Link::Sqlite(Box::new(options.connect().await?))
            }
            Self::Mysql(options) => Link::Mysql(Box::new(options.connect().await?)),
            Self::Postgres(options) => Link::Postgres(Box::new(options.connect().await?)),
        };
        match (&link, purpose) {
            (Link::Sqlite(_), _) | (Link::Postgres(_), Use::Migrating) => {}
            (Link::Mysql(_), _) => link.command(MYSQL_SESSION).await?,
            (Link::Postgres(_), Use::Reading | Use::Writing) => link.command(POSTGRES_SESSION).await?,
        }
        Ok(link)
    }
}

impl Link {
    /// The rows of a statement.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let rows = bound::<sqlx::Sqlite>(statement, Dialect::Sqlite).fetch_all(connection.as_mut()).await?;
                rows.iter().map(cells).collect()
            }
            Self::Mysql(_) if !statement.is_kept => self.query(&statement.spelled_out()).await,
            Self::Mysql(connection) => {
                let rows = bound::<sqlx::MySql>(statement, Dialect::Mysql).fetch_all(connection.as_mut()).await?;
                rows.iter().map(cells).collect()
            }
            Self::Postgres(connection) => {
                let rows = bound::<sqlx::Postgres>(statement, Dialect::Postgres).fetch_all(connection.as_mut()).await?;
                rows.iter().map(cells).collect()
            }
        }
    }

    /// The only row of a statement, where there is one.
    pub(super) async fn row(&mut self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs a statement; how many rows it concerned.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(connection) => {
                bound::<sqlx::Sqlite>(statement, Dialect::Sqlite).execute(connection.as_mut()).await?.rows_affected()
            }
            Self::Mysql(connection) if !statement.is_kept => {
                let sql = sqlx::raw_sql(AssertSqlSafe(statement.spelled_out()));
                connection.execute(sql).await?.rows_affected()
            }
            Self::Mysql(connection) => {
                bound::<sqlx::MySql>(statement, Dialect::Mysql).execute(connection.as_mut()).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                let query = bound::<sqlx::Postgres>(statement, Dialect::Postgres);
                query.execute(connection.as_mut()).await?.rows_affected()
            }
        })
    }

    /// The rows of commands of this house that have no values, or have them written out.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite(connection) => connection.fetch_all(sql).await?.iter().map(cells).collect(),
            Self::Mysql(connection) => connection.fetch_all(sql).await?.iter().map(cells).collect(),
            Self::Postgres(connection) => connection.fetch_all(sql).await?.iter().map(cells).collect(),
        }
    }

    /// Runs commands of this house that have no values and no rows.
    pub(super) async fn command(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite(connection) => connection.execute(sql).await.map(drop),
            Self::Mysql(connection) => connection.execute(sql).await.map(drop),
            Self::Postgres(connection) => connection.execute(sql).await.map(drop),
        }
    }

    /// Closes it in order.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Mysql(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

fn bound<'q, DB>(statement: Statement, dialect: Dialect) -> Query<'q, DB, DB::Arguments>
where
    DB: Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    Option<i64>: Encode<'q, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
{
    let Statement { sql, values, is_kept } = statement;
    let query = sqlx::query(AssertSqlSafe(dialect.placed(sql))).persistent(is_kept);
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

fn cells<R>(row: &R) -> Result<Row, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database>,
{
    let cell = |index: usize| {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let is_number = value.type_info().name().contains("INT");
        if is_number {
            row.try_get_unchecked(index).map(Cell::Int)
        } else {
            row.try_get_unchecked(index).map(Cell::Bytes)
        }
    };
    Ok(Row::new((0..row.len()).map(cell).collect::<Result<_, sqlx::Error>>()?))
}

/// What comes of trying the same once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing else.
    No,
    /// Another transaction was in the way; it may be gone then.
    Soon,
    /// The connection is gone; a new one may lead to a server that is there.
    Anew,
}

/// Whether it may help to try again, as long as nothing was committed.
#[expect(clippy::wildcard_enum_match_arm, reason = "of the errors of a library those count that are named")]
pub(super) fn again(error: &sqlx::Error) -> Again {
    if is_busy(error)
        && error.as_database_error().is_some_and(|error| error.try_downcast_ref::<SqliteError>().is_some())
    {
        return Again::Soon;
    }
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Tls(_) => Again::Anew,
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                return match error.number() {
                    // Waited for a lock too long; deadlock; changed since it was read.
                    1205 | 1213 | 1020 => Again::Soon,
                    // The server shuts down, or has ended this connection.
                    1053 | 1927 | 2006 | 2013 | 4031 => Again::Anew,
                    _ => Again::No,
                };
            }
            match error.code().as_deref() {
                // Not serializable; deadlock; a lock is not to be had.
                Some("40001" | "40P01" | "55P03") => Again::Soon,
                // The server shuts down or starts; this connection was ended.
                Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "08006" | "08003") => Again::Anew,
                Some(_) | None => Again::No,
            }
        }
        _ => Again::No,
    }
}
