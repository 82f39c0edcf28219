//! What is common to the stores that are servers: one server for all tests of
//! this process, with a database for each; and one of its own for an outage.

use std::sync::Arc;
use std::time::Instant;

use tiergate::backend::causes::Causes;
use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory, SqlOpenError};
use tiergate::directory::UserDirectory;

use super::stage::{Breakable, DirectoryUnderTest, is_unavailable, key, somebody};
use crate::stores::at_once;

/// A server that tests break.
pub(crate) trait Server: Send + Sync + 'static {
    fn pause(&self);
    fn resume(&self);
    fn kill(&self);
    fn restart(&self);
    fn password(&self) -> &'static str;
}

/// An empty database.
pub(crate) struct Database {
    pub(crate) address: SqlAddress,
}

impl DirectoryUnderTest for Database {
    async fn open_replica(&self) -> Arc<dyn UserDirectory> {
        Arc::new(SqlDirectory::open(&self.address).await.unwrap())
    }
}

/// An empty database on a server of its own.
pub(crate) struct Fragile {
    pub(crate) address: SqlAddress,
    pub(crate) server: Box<dyn Server>,
    /// Whether the server is frozen, else it is ended.
    pub(crate) freezes: bool,
}

impl DirectoryUnderTest for Fragile {
    async fn open_replica(&self) -> Arc<dyn UserDirectory> {
        Arc::new(SqlDirectory::open(&self.address).await.unwrap())
    }
}

impl Breakable for Fragile {
    async fn break_it(&self) {
        if self.freezes { self.server.pause() } else { self.server.kill() }
    }

    async fn mend(&self) {
        if self.freezes { self.server.resume() } else { self.server.restart() }
    }
}

pub(crate) async fn replicas_that_start_at_once_agree_on_the_tables(stage: &Database) {
    let address = stage.address.clone();
    let opened = at_once(8, move |number| {
        let address = address.clone();
        async move {
            let store = SqlDirectory::open(&address).await.unwrap();
            somebody(&store, &format!("user-{number}")).await;
        }
    });
    assert_eq!(opened.await.len(), 8);
    assert_eq!(stage.open_replica().await.sequence().await.unwrap(), 8);
    let again = SqlDirectory::migrate(&stage.address).await.unwrap();
    assert_eq!((again.from, again.to), (1, 1));
}

/// Beside a start that has the tables for itself and does not get on with them.
pub(crate) async fn a_start_that_hangs_holds_up_others_for_a_while_only(address: &SqlAddress, hung: impl Future) {
    let start = Instant::now();
    let opened = SqlDirectory::open(address).await;
    let took = start.elapsed();
    let Err(error @ SqlOpenError::Locked(secs)) = opened else { panic!("{opened:?}") };
    assert!(error.is_outage(), "a service tries again");
    assert!(error.to_string().contains("try again when it is done"), "{error}");
    assert!((secs..secs + 15).contains(&took.as_secs()), "{took:?}");
    hung.await;
    SqlDirectory::open(address).await.unwrap();
}

/// Everything that an error or a value of ours can print.
pub(crate) async fn no_error_tells_the_password(stage: &Fragile) {
    let store = stage.open_replica().await;
    somebody(store.as_ref(), "joe").await;
    stage.server.kill();
    let opened = SqlDirectory::open(&stage.address).await;
    assert!(matches!(&opened, Err(error @ SqlOpenError::Unreachable(_)) if error.is_outage()), "{opened:?}");
    let failed = store.standing(key("joe")).await;
    assert!(is_unavailable(&failed));
    let (opened, failed) = (opened.unwrap_err(), failed.unwrap_err());
    let texts = [
        format!("{opened} {opened:?} {}", Causes(&opened)),
        format!("{failed} {failed:?} {}", Causes(&failed)),
        format!("{:?} {store_kind}", stage.address, store_kind = store.kind()),
    ];
    for text in texts {
        assert!(!text.contains(stage.server.password()) && !text.contains("p%40ss"), "{text}");
    }
    stage.server.restart();
}
