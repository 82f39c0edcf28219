//! The directory in a SQLite file.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;
use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory, SqlOpenError};
use tiergate::backend::sqlite_store::SqliteStore;
use tiergate::directory::{DirectoryError, UserDirectory};
use tiergate::session::SessionStore as _;
use tokio::sync::Mutex;

use super::stage::{Breakable, DirectoryUnderTest, at, key, patiently, somebody};
use crate::stores::{at_once, quick_folder, run};

struct InSqlite {
    folder: TempDir,
    /// Holds the file, while it is broken.
    holder: Mutex<Option<SqliteConnection>>,
}

impl InSqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("tiergate.db")
    }

    fn address(&self) -> SqlAddress {
        SqlAddress::Sqlite(self.path())
    }

    async fn raw(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }
}

impl DirectoryUnderTest for InSqlite {
    async fn open_replica(&self) -> Arc<dyn UserDirectory> {
        Arc::new(SqlDirectory::open(&self.address()).await.unwrap())
    }
}

impl Breakable for InSqlite {
    async fn break_it(&self) {
        let mut connection = self.raw().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        *self.holder.lock().await = Some(connection);
    }

    async fn mend(&self) {
        if let Some(connection) = self.holder.lock().await.take() {
            connection.close().await.unwrap();
        }
    }
}

async fn start() -> InSqlite {
    InSqlite { folder: quick_folder(), holder: Mutex::default() }
}

directory_conformance!(start);

/// What a column or a whole table was made into.
async fn spoil(stage: &InSqlite, sql: &'static str) {
    let mut connection = stage.raw().await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[test]
fn the_file_is_its_owners_alone_and_one_that_all_may_read_is_refused() {
    run(async {
        let stage = start().await;
        drop(stage.open_replica().await);
        let mode = std::fs::metadata(stage.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        std::fs::set_permissions(stage.path(), Permissions::from_mode(0o644)).unwrap();
        let refused = SqlDirectory::open(&stage.address()).await;
        assert!(matches!(refused, Err(SqlOpenError::File(_))), "{refused:?}");
    });
}

#[test]
fn sessions_and_users_share_a_file() {
    run(async {
        let stage = start().await;
        let sessions = SqliteStore::open(&stage.path()).await.unwrap();
        let store = stage.open_replica().await;
        somebody(store.as_ref(), "joe").await;
        sessions.probe(at(1)).await.unwrap();
        drop((sessions, store));
        // In either order.
        SqliteStore::open(&stage.path()).await.unwrap().probe(at(1)).await.unwrap();
        assert!(stage.open_replica().await.standing(key("joe")).await.unwrap().is_some());
    });
}

#[test]
fn a_later_version_is_refused_and_left_as_it_is() {
    run(async {
        let stage = start().await;
        let migrated = SqlDirectory::migrate(&stage.address()).await.unwrap();
        assert_eq!((migrated.from, migrated.to), (0, 1));
        let again = SqlDirectory::migrate(&stage.address()).await.unwrap();
        assert_eq!((again.from, again.to), (1, 1));
        spoil(&stage, "UPDATE tiergate_schema SET version = 99 WHERE part = 'directory'").await;
        for refused in
            [SqlDirectory::open(&stage.address()).await.err(), SqlDirectory::migrate(&stage.address()).await.err()]
        {
            assert!(matches!(refused, Some(SqlOpenError::Newer { found: 99, known: 1 })), "{refused:?}");
        }
    });
}

#[test]
fn replicas_that_start_at_once_agree_on_the_tables() {
    run(async {
        let stage = Arc::new(start().await);
        let opened = at_once(8, {
            let address = stage.address();
            move |number| {
                let address = address.clone();
                async move {
                    let store = SqlDirectory::open(&address).await.unwrap();
                    somebody(&store, &format!("user-{number}")).await;
                }
            }
        });
        assert_eq!(opened.await.len(), 8);
        assert_eq!(stage.open_replica().await.sequence().await.unwrap(), 8);
    });
}

#[test]
fn a_broken_row_is_an_error_and_nobody_missing() {
    run(async {
        for sql in [
            "UPDATE directory_user SET tier_grants = CAST('[{\"tier\":\"a\",\"until\":\"x\",\"given_by\":\"\",\"given_at\":1}]' AS BLOB)",
            "UPDATE directory_user SET group_names = CAST('{' AS BLOB)",
            "UPDATE directory_user SET subject = x'ff'",
            "UPDATE directory_user SET id = x'00'",
        ] {
            let stage = start().await;
            let store = stage.open_replica().await;
            somebody(store.as_ref(), "joe").await;
            spoil(&stage, sql).await;
            let found = store.standing(key("joe")).await;
            assert!(matches!(found, Err(DirectoryError::Corrupt)), "{sql}: {found:?}");
            assert!(matches!(store.changes(0, 5).await, Err(DirectoryError::Corrupt)));
        }
    });
}

#[test]
fn who_holds_the_file_stops_writers_and_no_reader() {
    run(async {
        let stage = start().await;
        let store = stage.open_replica().await;
        somebody(store.as_ref(), "joe").await;
        stage.break_it().await;
        assert!(patiently(|| store.standing(key("joe"))).await.is_some());
        let refused = store.probe(at(1)).await;
        assert!(matches!(refused, Err(DirectoryError::Unavailable(_))), "{refused:?}");
        stage.mend().await;
        store.probe(at(1)).await.unwrap();
    });
}
