//! The one connection that writes, on a thread of its own. Writes that wait at
//! the same time become one transaction: a commit waits for the disk, and a
//! thousand sign-ins wait for it a few times only. Each write is one statement,
//! so none sees another one half done.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::schema::is_busy;
use crate::session::StoreError;

/// Writes that may wait. More than this cannot end in time.
const WAITING: usize = 4096;
/// Writes of one transaction: another process waits no longer than this takes.
const BATCH: usize = 256;
/// Between two transactions, so that another process gets its turn.
const PAUSE: Duration = Duration::from_millis(1);

/// The way to the thread. Dropped, it lets the thread finish and waits for it.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

struct Write {
    sql: &'static str,
    values: SqliteArguments,
    /// Closed when the caller does not wait any more.
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Vec<SqliteRow>, StoreError>>;

impl Write {
    /// Who gave up was told that it failed: it must not happen late.
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }
}

impl Writer {
    pub(super) fn start(connection: SqliteConnection) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (queue, writes) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || runtime.block_on(work(connection, writes)))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs one statement; its rows, once they are on disk.
    pub(super) async fn write(&self, sql: &'static str, values: SqliteArguments) -> Result<Vec<SqliteRow>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let unavailable = |cause: &'static str| StoreError::Unavailable(cause.into());
        let queue = self.queue.as_ref().ok_or_else(|| unavailable("the writer has ended"))?;
        queue.try_send(Write { sql, values, reply }).map_err(|_| unavailable("too many writes wait"))?;
        answer.await.map_err(|_| unavailable("the writer has ended"))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was told to those who waited.
            let _ = thread.join();
        }
    }
}

async fn work(mut connection: SqliteConnection, mut writes: mpsc::Receiver<Write>) {
    // What another process keeps from being written stays in here.
    let mut batch = Vec::new();
    loop {
        let contended = !batch.is_empty();
        if batch.is_empty() && writes.recv_many(&mut batch, BATCH).await == 0 {
            break;
        }
        while batch.len() < BATCH
            && let Ok(write) = writes.try_recv()
        {
            batch.push(write);
        }
        batch.retain(Write::is_awaited);
        if batch.len() == 1 && !contended {
            run_alone(&mut connection, &mut batch).await;
        } else if !batch.is_empty() {
            run_together(&mut connection, &mut batch).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Nobody is there to be told that the last connection was not closed in order.
    let _ = connection.close().await;
}

/// Runs the only write, a transaction of itself: each way to the connection
/// costs two changes of the thread. Left in the batch when another process writes.
async fn run_alone(connection: &mut SqliteConnection, batch: &mut Vec<Write>) {
    let Some(write) = batch.pop() else { return };
    match sqlx::query_with(write.sql, write.values.clone()).fetch_all(connection).await {
        Err(error) if is_busy(&error) => batch.push(write),
        Err(error) => fail_all([write.reply], error),
        Ok(rows) => answer(write.reply, rows),
    }
}

/// Runs the writes in one transaction, all or none. Left in the batch when
/// another process writes.
async fn run_together(connection: &mut SqliteConnection, batch: &mut Vec<Write>) {
    match sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await {
        Ok(_) => {}
        Err(error) if is_busy(&error) => return,
        Err(error) => return fail_all(batch.drain(..).map(|write| write.reply), error),
    }
    // To begin may have taken longer than the callers wait.
    batch.retain(Write::is_awaited);
    let mut replies = Vec::with_capacity(batch.len());
    let mut answers = Vec::with_capacity(batch.len());
    let mut failure = None;
    for Write { sql, values, reply } in batch.drain(..) {
        replies.push(reply);
        if failure.is_none() {
            match sqlx::query_with(sql, values).fetch_all(&mut *connection).await {
                Ok(rows) => answers.push(rows),
                Err(error) => failure = Some(error),
            }
        }
    }
    if failure.is_none() {
        failure = sqlx::query("COMMIT").execute(&mut *connection).await.err();
    }
    match failure {
        None => replies.into_iter().zip(answers).for_each(|(reply, rows)| answer(reply, rows)),
        Some(error) => {
            // Some errors have ended the transaction already; then this one fails.
            let _ = sqlx::query("ROLLBACK").execute(connection).await;
            fail_all(replies, error);
        }
    }
}

fn answer(reply: Reply, rows: Vec<SqliteRow>) {
    // Who gave up in the last moment is not there to be told.
    let _ = reply.send(Ok(rows));
}

fn fail_all(replies: impl IntoIterator<Item = Reply>, error: sqlx::Error) {
    let cause = Shared(Arc::new(error));
    for reply in replies {
        let _ = reply.send(Err(StoreError::Unavailable(Box::new(cause.clone()))));
    }
}

/// One error for all writes that it failed.
#[derive(Debug, Clone)]
struct Shared(Arc<sqlx::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
