//! Sessions in this process, gone with it. One lock holds all of them: a call
//! takes microseconds, and none waits for anything while it holds the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreError, StoreFuture, StoredSession};
use crate::types::UnixTime;

/// The bounded store in memory.
///
/// A new session on top of the limit is refused ([`StoreError::Full`]); one
/// more login attempt drops the oldest attempt. The two never take room from
/// each other, so a flood of attempts ends no session.
#[derive(Debug)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
    limits: MemoryLimits,
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Sessions.
    pub sessions: usize,
    /// Login attempts and marks of what was used up.
    pub once: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { sessions: 100_000, once: 100_000 }
    }
}

impl MemoryStore {
    /// A store with the limits that suit one instance.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(MemoryLimits::default())
    }

    /// A store with limits of its own.
    #[must_use]
    pub fn with_limits(limits: MemoryLimits) -> Self {
        Self { kept: Mutex::default(), limits }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No call leaves the maps half written: a panic in one is none of the others.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

fn done<'a, T: Send + 'a>(result: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok(result)))
}

impl SessionStore for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn insert(&self, key: SessionKey, session: StoredSession, now: UnixTime) -> StoreFuture<'_, ()> {
        Box::pin(ready(self.kept().insert(key, session, now, self.limits.sessions)))
    }

    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>> {
        done(self.kept().live(key, now).cloned())
    }

    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, now: UnixTime) -> StoreFuture<'_, bool> {
        let mut kept = self.kept();
        let fits = kept.live(key, now).is_some_and(|there| there.version == seen);
        if fits {
            kept.put(key, StoredSession { version: seen.saturating_add(1), ..session });
        }
        done(fits)
    }

    fn touch(&self, key: SessionKey, idle_until: UnixTime, now: UnixTime) -> StoreFuture<'_, ()> {
        let mut kept = self.kept();
        if let Some(there) = kept.live(key, now) {
            let idle_until = idle_until.min(there.ends_at);
            if idle_until > there.idle_until {
                let touched = StoredSession { idle_until, ..StoredSession::clone(there) };
                kept.put(key, touched);
            }
        }
        done(())
    }

    fn remove(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, bool> {
        done(self.kept().remove(key).is_some_and(|there| there.is_live(now)))
    }

    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>> {
        let kept = self.kept();
        let first = (index, SessionKey::from_bytes([0; 32]));
        let last = (index, SessionKey::from_bytes([0xff; 32]));
        let keys = kept.indexes.range(first..=last).map(|(_, key)| *key);
        done(keys.filter(|key| kept.live(*key, now).is_some()).take(limit).collect())
    }

    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>> {
        let kept = self.kept();
        let live = kept.sessions.iter().filter(|(_, session)| session.is_live(now));
        done(live.take(limit).map(|(key, session)| (*key, Arc::clone(session))).collect())
    }

    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64> {
        let kept = self.kept();
        let over = kept.ends.range(..=(now, SessionKey::from_bytes([0xff; 32]))).count();
        done(u64::try_from(kept.sessions.len().saturating_sub(over)).unwrap_or(u64::MAX))
    }

    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        let mut kept = self.kept();
        let free = kept.leases.get(&key).is_none_or(|(holder, until)| *until <= now || *holder == lease);
        // A session that is over has nothing to refresh, and no room here.
        let claimed = free && kept.live(key, now).is_some();
        if claimed {
            kept.leases.insert(key, (lease, until));
        }
        done(claimed)
    }

    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()> {
        let mut kept = self.kept();
        if kept.leases.get(&key).is_some_and(|(holder, _)| *holder == lease) {
            kept.leases.remove(&key);
        }
        done(())
    }

    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        done(self.kept().put_once(key, value, expires, now, self.limits.once))
    }

    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>> {
        let taken = self.kept().take(key).filter(|entry| now < entry.expires);
        done(taken.map(|entry| entry.value))
    }

    fn probe(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        done(())
    }

    fn sweep(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        let mut kept = self.kept();
        kept.drop_over(now, usize::MAX);
        kept.leases.retain(|_, (_, until)| now < *until);
        let expired: Vec<OnceKey> =
            kept.once.iter().filter(|(_, entry)| entry.expires <= now).map(|(key, _)| *key).collect();
        for key in expired {
            kept.take(key);
        }
        done(())
    }
}

/// What is under the lock. The other maps follow `sessions` and `once`.
#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<SessionKey, Arc<StoredSession>>,
    /// Subject and `sid` of every session.
    indexes: BTreeSet<(IndexKey, SessionKey)>,
    /// When each session is over, soonest first.
    ends: BTreeSet<(UnixTime, SessionKey)>,
    leases: HashMap<SessionKey, (Lease, UnixTime)>,
    once: HashMap<OnceKey, OnceEntry>,
    /// By the number each entry was put under: the oldest first.
    once_by_age: BTreeMap<u64, OnceKey>,
    put: u64,
}

struct OnceEntry {
    value: Vec<u8>,
    expires: UnixTime,
    number: u64,
}

impl std::fmt::Debug for OnceEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnceEntry").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Kept {
    fn live(&self, key: SessionKey, now: UnixTime) -> Option<&Arc<StoredSession>> {
        self.sessions.get(&key).filter(|session| session.is_live(now))
    }

    fn insert(
        &mut self,
        key: SessionKey,
        session: StoredSession,
        now: UnixTime,
        limit: usize,
    ) -> Result<(), StoreError> {
        if self.sessions.contains_key(&key) {
            return Err(StoreError::Corrupt);
        }
        if self.sessions.len() >= limit {
            // One goes for each that comes: nobody waits while many are dropped.
            self.drop_over(now, 2);
        }
        if self.sessions.len() >= limit {
            return Err(StoreError::Full);
        }
        self.put(key, session);
        Ok(())
    }

    /// Writes a session with its places in the other maps.
    fn put(&mut self, key: SessionKey, session: StoredSession) {
        self.forget_places(key);
        self.indexes.insert((session.subject, key));
        self.indexes.extend(session.sid.map(|sid| (sid, key)));
        self.ends.insert((end_of(&session), key));
        self.sessions.insert(key, Arc::new(session));
    }

    fn remove(&mut self, key: SessionKey) -> Option<Arc<StoredSession>> {
        self.forget_places(key);
        self.leases.remove(&key);
        self.sessions.remove(&key)
    }

    fn forget_places(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get(&key) {
            self.indexes.remove(&(session.subject, key));
            if let Some(sid) = session.sid {
                self.indexes.remove(&(sid, key));
            }
            self.ends.remove(&(end_of(session), key));
        }
    }

    /// Drops at most `limit` sessions that are over.
    fn drop_over(&mut self, now: UnixTime, limit: usize) {
        let over = self.ends.iter().take_while(|(end, _)| *end <= now).take(limit);
        let keys: Vec<SessionKey> = over.map(|(_, key)| *key).collect();
        for key in keys {
            self.remove(key);
        }
    }

    fn put_once(&mut self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime, limit: usize) -> bool {
        if self.once.get(&key).is_some_and(|entry| now < entry.expires) {
            return false;
        }
        self.take(key);
        while self.once.len() >= limit.max(1) {
            let Some((_, oldest)) = self.once_by_age.pop_first() else { break };
            self.once.remove(&oldest);
        }
        self.put = self.put.saturating_add(1);
        self.once_by_age.insert(self.put, key);
        self.once.insert(key, OnceEntry { value, expires, number: self.put });
        true
    }

    fn take(&mut self, key: OnceKey) -> Option<OnceEntry> {
        let entry = self.once.remove(&key)?;
        self.once_by_age.remove(&entry.number);
        Some(entry)
    }
}

fn end_of(session: &StoredSession) -> UnixTime {
    session.idle_until.min(session.ends_at)
}

#[cfg(test)]
#[path = "memory_store_tests.rs"]
mod tests;
