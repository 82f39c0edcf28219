//! The thread that all connections live on. Who calls has a runtime that may
//! end before that of others, or be busy with checks: neither may keep a
//! transaction open that everybody waits for, and its steps change no thread.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::lane::Lane;

/// Why a call comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDone {
    #[error("the database did not answer in time")]
    TooLate,
    #[error("the call was ended before its time")]
    Ended,
}

/// The thread. It ends with the value, and what it does with it.
pub(super) struct Engine {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("directory".to_owned()).spawn(move || {
            // Dropping the sender stops it too.
            let _ = runtime.block_on(stopped);
            // A name that is being looked up for a connection is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// What `work` comes to, where it ends within `limit`. Work that nobody waits
    /// for any more is dropped where it is; where it is late, the connections of
    /// its `lane` that wait are taken for as broken as the one that it had.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        lane: &Lane,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NotDone> {
        let mut task = JoinSet::new();
        task.spawn_on(work, &self.handle);
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(Ok(ended))) => Ok(ended),
            Ok(Some(Err(_)) | None) => Err(NotDone::Ended),
            Err(_) => {
                lane.drop_idle();
                Err(NotDone::TooLate)
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was told to those who waited.
            let _ = thread.join();
        }
    }
}
