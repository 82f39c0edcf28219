//! The connections that read. In WAL mode they wait for no writer.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::SqliteConnection;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use tokio::sync::Mutex;

use super::schema::{self, SqliteOpenError};
use crate::session::StoreError;

/// Reads that run side by side.
const READERS: usize = 4;

pub(super) struct Readers {
    connections: Vec<Mutex<SqliteConnection>>,
    next: AtomicUsize,
}

impl Readers {
    pub(super) async fn open(path: &Path) -> Result<Self, SqliteOpenError> {
        let mut connections = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            connections.push(Mutex::new(schema::connect_reader(path).await?));
        }
        Ok(Self { connections, next: AtomicUsize::new(0) })
    }

    pub(super) async fn read(&self, sql: &'static str, values: SqliteArguments) -> Result<Vec<SqliteRow>, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        let in_turn = self.connections.iter().cycle().skip(turn).take(READERS);
        let free = in_turn.clone().find_map(|connection| connection.try_lock().ok());
        let mut connection = match (free, in_turn.clone().next()) {
            (Some(connection), _) => connection,
            (None, Some(connection)) => connection.lock().await,
            (None, None) => return Err(StoreError::Unavailable("no connection to read with".into())),
        };
        let rows = sqlx::query_with(sql, values).fetch_all(&mut *connection).await;
        rows.map_err(|error| StoreError::Unavailable(Box::new(error)))
    }
}
