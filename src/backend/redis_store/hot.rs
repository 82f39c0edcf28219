//! Sessions that are kept in process, and when they may be believed.
//!
//! A session is believed as long as Redis would have told if it had changed:
//! the connection that it was read on has tracking (CLIENT TRACKING), Redis has
//! answered on that very connection within [`TRUST`], and no invalidation of
//! the key came since the moment before the read was sent. Redis sends answers
//! and invalidations of one connection in order, so an answered PING proves
//! that every invalidation from before it has arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Notify;

use super::keys::session_of;
use crate::session::{SessionKey, StoredSession};
use crate::types::Monotonic;

/// How long a connection is believed without an answer.
pub(super) const TRUST: Duration = Duration::from_secs(1);
/// After this a session is read anew whatever Redis has told or not.
const MAX_AGE: Duration = Duration::from_secs(5);
/// How many bytes of sessions are kept at most.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// What an entry takes beside its two sealed texts.
const OVERHEAD: usize = 512;
const GENERATIONS: usize = 1 << 16;

/// Whether the invalidations of one connection can be relied on.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    is_on: AtomicBool,
    is_lost: AtomicBool,
    /// When the last PING that has been answered was sent, in milliseconds.
    proven: AtomicU64,
    lost: Notify,
}

impl Tracking {
    /// Redis has said yes to CLIENT TRACKING, which was asked at `asked`.
    pub(super) fn begin(&self, asked: Monotonic) {
        self.prove(asked);
        self.is_on.store(true, Ordering::SeqCst);
    }

    /// Redis has answered something that was sent at `sent`.
    pub(super) fn prove(&self, sent: Monotonic) {
        self.proven.fetch_max(millis(sent), Ordering::SeqCst);
    }

    /// The connection is no more.
    pub(super) fn end(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.lost.notify_one();
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Ends when the connection does.
    pub(super) async fn lost(&self) {
        while !self.is_lost() {
            self.lost.notified().await;
        }
    }

    pub(super) fn is_trusted(&self, now: Monotonic) -> bool {
        let proven = Monotonic::from_start(Duration::from_millis(self.proven.load(Ordering::SeqCst)));
        self.is_on.load(Ordering::SeqCst) && !self.is_lost() && now.since(proven) < TRUST
    }
}

fn millis(moment: Monotonic) -> u64 {
    u64::try_from(moment.since(Monotonic::default()).as_millis()).unwrap_or(u64::MAX)
}

/// How often a key had been invalidated at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

#[derive(Clone)]
struct Entry {
    session: Arc<StoredSession>,
    generation: Generation,
    read: Monotonic,
    tracking: Arc<Tracking>,
}

/// The sessions in process.
pub(super) struct HotSessions {
    entries: Cache<SessionKey, Entry>,
    /// One count for each of many groups of keys: two keys in one group cost a
    /// needless read, never a stale answer.
    generations: Box<[AtomicU64]>,
    whole: AtomicU64,
}

impl HotSessions {
    pub(super) fn new() -> Self {
        let weigh = |_: &SessionKey, entry: &Entry| {
            let bytes = entry.session.sealed.len().saturating_add(entry.session.card.len());
            u32::try_from(bytes.saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
        };
        Self {
            entries: Cache::builder().max_capacity(CAPACITY).weigher(weigh).time_to_live(MAX_AGE).build(),
            generations: std::iter::repeat_with(|| AtomicU64::new(0)).take(GENERATIONS).collect(),
            whole: AtomicU64::new(0),
        }
    }

    /// To be asked before the read is sent whose answer [`Self::keep`] gets.
    pub(super) fn generation(&self, key: SessionKey) -> Generation {
        // Both only ever rise, so the sum stays the same only while both do.
        let own = self.of(key).map_or(0, |count| count.load(Ordering::SeqCst));
        Generation(own.wrapping_add(self.whole.load(Ordering::SeqCst)))
    }

    /// Keeps what was read on the connection of `tracking`. An entry that an
    /// invalidation has overtaken bears an old generation and is never believed.
    pub(super) fn keep(
        &self,
        key: SessionKey,
        session: Arc<StoredSession>,
        generation: Generation,
        read: Monotonic,
        tracking: &Arc<Tracking>,
    ) {
        if tracking.is_trusted(read) {
            self.entries.insert(key, Entry { session, generation, read, tracking: Arc::clone(tracking) });
        }
    }

    /// The session, when it may be believed at `now`.
    pub(super) fn find(&self, key: SessionKey, now: Monotonic) -> Option<Arc<StoredSession>> {
        let entry = self.entries.get(&key)?;
        let is_current = entry.generation == self.generation(key)
            && now.since(entry.read) < MAX_AGE
            && entry.tracking.is_trusted(now);
        is_current.then_some(entry.session)
    }

    /// Something about the session changes or has changed.
    pub(super) fn forget(&self, key: SessionKey) {
        if let Some(count) = self.of(key) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        self.entries.invalidate(&key);
    }

    /// Nothing that is kept may be believed any more.
    pub(super) fn forget_all(&self) {
        self.whole.fetch_add(1, Ordering::SeqCst);
        self.entries.invalidate_all();
    }

    /// What Redis says has changed; no names stand for everything.
    pub(super) fn invalidated(&self, names: &[redis::Value]) {
        let [redis::Value::Array(names)] = names else { return self.forget_all() };
        for name in names {
            if let redis::Value::BulkString(name) = name {
                session_of(name).into_iter().for_each(|key| self.forget(key));
            } else {
                self.forget_all();
            }
        }
    }

    fn of(&self, key: SessionKey) -> Option<&AtomicU64> {
        let [first, second, ..] = key.as_bytes();
        self.generations.get(usize::from(u16::from_be_bytes([*first, *second])))
    }
}

#[cfg(test)]
#[path = "hot_tests.rs"]
mod tests;
