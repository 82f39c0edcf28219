//! What the stories share: a store to try, sessions to keep in it, and many
//! callers at once.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tempfile::TempDir;
use tiergate::backend::causes::Causes;
use tiergate::backend::system::SystemRandom;
use tiergate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreError, StoredSession};
use tiergate::types::{Random as _, UnixTime};

/// What an outage of a store stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Every call that writes fails; others may still answer.
    Writes,
    /// Every call fails.
    All,
}

/// One store, empty at the start of each story.
pub(crate) trait StoreUnderTest {
    /// A handle of its own, as another replica of the service would have one. A
    /// store that lives in its process gives the same handle each time.
    async fn open_replica(&self) -> Arc<dyn SessionStore>;
}

/// A store that can be broken from outside of its process.
pub(crate) trait Breakable: StoreUnderTest {
    /// Makes the store fail from now on, for the handles that are open.
    async fn break_it(&self) -> Outage;

    /// Ends the outage.
    async fn mend(&self);
}

/// Runs a story to its end.
pub(crate) fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story);
}

/// Runs `count` callers at once on four threads, each with a runtime of its own
/// as the workers of the service have; what each came back with, in order.
pub(crate) async fn at_once<T, F>(count: usize, call: impl Fn(usize) -> F + Send + Sync + 'static) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    const THREADS: usize = 4;
    let (call, start) = (Arc::new(call), Arc::new(Barrier::new(THREADS)));
    let mut parts = Vec::new();
    for thread in 0..THREADS {
        let (call, start) = (Arc::clone(&call), Arc::clone(&start));
        let (done, part) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            start.wait();
            let own = (0..count).filter(|number| number % THREADS == thread);
            let results = runtime.block_on(join_all(own.map(|number| {
                let call = call(number);
                async move { (number, call.await) }
            })));
            done.send(results).map_err(|_| "nobody waits").unwrap();
        });
        // The story's own runtime goes on meanwhile: a store may have tasks on it.
        parts.push(part);
    }
    let mut all = Vec::new();
    for part in parts {
        all.extend(part.await.expect("the thread ended well"));
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Asks until `holds` says so, at most for `within`; whether it came to hold.
pub(crate) async fn comes_true<F: Future<Output = bool>>(within: Duration, holds: impl Fn() -> F) -> bool {
    let start = Instant::now();
    loop {
        // Asked once more after the time is over, for a machine that was busy.
        let late = start.elapsed() > within;
        if holds().await {
            return true;
        }
        if late {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What a call comes to that may be refused for a while: a store that has too
/// much to do in its 250 ms says so, and the caller tries again.
pub(crate) async fn patiently<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = Instant::now() + 30 * SECOND;
    loop {
        match call().await {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {}
            ended => return ended.unwrap_or_else(|error| panic!("{}", Causes(&error))),
        }
    }
}

/// A folder whose files wait for no disk: with many builds on one machine, a
/// disk alone takes longer than a call may.
pub(crate) fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The time of the wall clock: a store may have a clock of its own, which the
/// times of the stories must not contradict.
pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(0).plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// As short as a time can be.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

pub(crate) fn drawn<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom.fill(&mut bytes);
    bytes
}

pub(crate) fn new_key() -> SessionKey {
    SessionKey::from_bytes(drawn())
}

pub(crate) fn new_index() -> IndexKey {
    IndexKey::from_bytes(drawn())
}

pub(crate) fn new_once() -> OnceKey {
    OnceKey(drawn())
}

pub(crate) fn new_lease() -> Lease {
    Lease(drawn())
}

/// A session that began `now`: idle after half an hour, over after twelve hours.
pub(crate) fn session(now: UnixTime) -> StoredSession {
    StoredSession {
        sealed: drawn::<64>().to_vec(),
        card: drawn::<32>().to_vec(),
        version: 1,
        idle_until: now.plus(30 * MINUTE),
        ends_at: now.plus(12 * 60 * MINUTE),
        subject: new_index(),
        sid: Some(new_index()),
    }
}
