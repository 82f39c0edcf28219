//! The store in a SQLite file, which several processes may share.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;
use tiergate::backend::causes::Causes;
use tiergate::backend::sqlite_store::{SqliteOpenError, SqliteStore};
use tiergate::session::{SessionStore, StoreError};
use tokio::sync::Mutex;

use super::stage::{Breakable, Outage, StoreUnderTest, at_once, new_key, new_once, now, quick_folder, run, session};

struct Sqlite {
    folder: TempDir,
    /// Holds the lock of the file while the store is broken.
    lock: Mutex<Option<SqliteConnection>>,
}

impl StoreUnderTest for Sqlite {
    async fn open_replica(&self) -> Arc<dyn SessionStore> {
        Arc::new(SqliteStore::open(&self.folder.path().join("sessions.db")).await.unwrap())
    }
}

impl Breakable for Sqlite {
    async fn break_it(&self) -> Outage {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("sessions.db"));
        let mut connection = options.connect().await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        *self.lock.lock().await = Some(connection);
        Outage::Writes
    }

    async fn mend(&self) {
        if let Some(connection) = self.lock.lock().await.take() {
            connection.close().await.unwrap();
        }
    }
}

async fn start() -> Sqlite {
    Sqlite { folder: quick_folder(), lock: Mutex::new(None) }
}

conformance!(start, outages);

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn raw(path: &Path, sql: &'static str) {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[test]
fn the_files_are_for_their_owner_alone() {
    run(async {
        let stage = start().await;
        let store = stage.open_replica().await;
        store.insert(new_key(), session(now()), now()).await.unwrap();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(stage.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        assert_eq!(names, ["sessions.db", "sessions.db-shm", "sessions.db-wal"]);
    });
}

#[test]
fn a_file_that_is_not_ours_to_use_is_refused() {
    run(async {
        let folder = quick_folder();
        let path = folder.path().join("sessions.db");
        let missing = SqliteStore::open_existing(&path).await.unwrap_err();
        assert!(matches!(missing, SqliteOpenError::Missing), "{missing:?}");
        assert!(!path.exists());

        drop(SqliteStore::open(&path).await.unwrap());
        drop(SqliteStore::open_existing(&path).await.unwrap());
        for open in [0o604, 0o602, 0o666] {
            std::fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let refused = SqliteStore::open(&path).await.unwrap_err();
            assert!(matches!(refused, SqliteOpenError::Exposed(_)), "{refused:?}");
        }
        // A volume of a cluster gives files to a group.
        std::fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        drop(SqliteStore::open(&path).await.unwrap());

        raw(&path, "UPDATE tiergate_schema SET version = 99").await;
        let newer = SqliteStore::open(&path).await.unwrap_err();
        insta::assert_snapshot!(newer, @"the sessions in it have schema 99, and this version knows 1: run the version that wrote it, or name another file");

        let text = folder.path().join("text.db");
        std::fs::write(&text, "This is no database, but long enough to be looked at as if it were one.").unwrap();
        std::fs::set_permissions(&text, Permissions::from_mode(0o600)).unwrap();
        let foreign = SqliteStore::open(&text).await.unwrap_err();
        assert!(matches!(foreign, SqliteOpenError::Sqlite(_)), "{foreign:?}");
    });
}

#[test]
fn the_user_directory_may_stand_in_the_same_file() {
    run(async {
        let folder = quick_folder();
        let path = folder.path().join("shared.db");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        raw(&path, "CREATE TABLE users (id TEXT); INSERT INTO users VALUES ('joe'); PRAGMA user_version = 7").await;
        let store = SqliteStore::open(&path).await.unwrap();
        store.probe(now()).await.unwrap();
        drop(store);
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let users = sqlx::query("SELECT * FROM users").fetch_all(&mut connection).await.unwrap();
        let version = sqlx::query("PRAGMA user_version").fetch_one(&mut connection).await.unwrap();
        assert_eq!((users.len(), version.get::<i64, _>(0)), (1, 7));
    });
}

#[test]
fn replicas_that_start_at_once_agree_on_the_file() {
    run(async {
        let stage = Arc::new(start().await);
        let path: Arc<Path> = stage.folder.path().join("sessions.db").into();
        let opened = at_once(8, move |_| {
            let path = Arc::clone(&path);
            async move {
                let store = SqliteStore::open(&path).await.unwrap();
                store.insert(new_key(), session(now()), now()).await.unwrap();
            }
        });
        assert_eq!(opened.await.len(), 8);
        assert_eq!(stage.open_replica().await.list(100, now()).await.unwrap().len(), 8);
    });
}

#[test]
fn a_broken_row_is_an_error_and_not_a_missing_session() {
    run(async {
        let stage = start().await;
        let store = stage.open_replica().await;
        let key = new_key();
        store.insert(key, session(now()), now()).await.unwrap();
        let path = stage.folder.path().join("sessions.db");
        raw(&path, "PRAGMA ignore_check_constraints = ON; UPDATE session SET subject = x'00'").await;
        let found = store.find(key, now()).await;
        assert!(matches!(found, Err(StoreError::Corrupt)), "{found:?}");
        assert!(matches!(store.list(10, now()).await, Err(StoreError::Corrupt)));
        assert!(store.remove(key, now()).await.unwrap(), "it can be ended");
    });
}

#[test]
fn what_was_told_as_failed_does_not_happen_late() {
    run(async {
        let stage = start().await;
        let store = stage.open_replica().await;
        let (kept, late) = (new_key(), new_key());
        store.insert(kept, session(now()), now()).await.unwrap();
        stage.break_it().await;
        let failed = [
            store.insert(late, session(now()), now()).await.map(|()| true),
            store.remove(kept, now()).await,
            store.replace(kept, 1, session(now()), now()).await,
        ];
        for failed in failed {
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        }
        stage.mend().await;
        store.probe(now()).await.unwrap();
        assert!(store.find(late, now()).await.unwrap().is_none());
        assert_eq!(store.find(kept, now()).await.unwrap().unwrap().version, 1);
    });
}

#[test]
fn an_error_keeps_its_cause() {
    run(async {
        let stage = start().await;
        let store = stage.open_replica().await;
        raw(&stage.folder.path().join("sessions.db"), "DROP TABLE session; DROP TABLE session_once").await;
        let of_read = store.find(new_key(), now()).await.unwrap_err();
        let of_write = store.take(new_once(), now()).await.unwrap_err();
        for (error, table) in [(of_read, "session"), (of_write, "session_once")] {
            let causes = Causes(&error).to_string();
            assert!(causes.contains(&format!("no such table: {table}")), "{causes}");
        }
    });
}
