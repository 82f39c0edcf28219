//! The port of the session stores.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::id::SessionKey;
use super::index::IndexKey;
use crate::types::UnixTime;

/// What a store gives back, later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A session as a store keeps it. Without the cookie `sealed` is noise.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The record, sealed with the id of the session.
    pub sealed: Vec<u8>,
    /// What an operator may see of it, sealed with a secret of the service.
    pub card: Vec<u8>,
    /// Rises by one with each [`SessionStore::replace`]; a new session has 1.
    pub version: u64,
    /// From then on the session is over unless it is used before.
    pub idle_until: UnixTime,
    /// From then on the session is over.
    pub ends_at: UnixTime,
    /// Whose session it is.
    pub subject: IndexKey,
    /// The provider's own session that it came from, where the provider told.
    pub sid: Option<IndexKey>,
}

impl StoredSession {
    /// Whether the session still counts. Every reader asks this, whatever a
    /// store has or has not swept away.
    #[must_use]
    pub fn is_live(&self, now: UnixTime) -> bool {
        now < self.idle_until && now < self.ends_at
    }
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("version", &self.version)
            .field("idle_until", &self.idle_until)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// The key of something that counts once: a login attempt, the `jti` of a
/// logout token. A hash, made by whoever keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OnceKey(pub [u8; 32]);

/// The name of one holder of a lease, drawn for each claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease(pub [u8; 16]);

/// Why a store did not answer. It never means that a session is over.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, no answer in time, no room.
    #[error("the session store does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store answered something that no session is.
    #[error("the session store holds something broken")]
    Corrupt,
    /// A bounded store holds as many as it may.
    #[error("the session store is full")]
    Full,
}

/// Keeps sessions, login attempts and the marks of what was used up.
///
/// Security contract, which one suite holds every backend to:
///
/// - What was removed, replaced or taken is gone for every later call, on every
///   replica within 100 ms, and does not come back by a restart or failover
///   that the store survives.
/// - `replace`, `claim_refresh`, `put_once` and `take` are atomic: of any
///   number of callers at once, on any number of replicas, one wins.
/// - A session that is not live ([`StoredSession::is_live`]) is not found.
/// - An error is an error: it is never told as "not found", nor the other way.
/// - Each call ends within 250 ms, if need be with [`StoreError::Unavailable`].
/// - Keys are looked up whole; nothing in them is ever a pattern or a command.
pub trait SessionStore: Send + Sync {
    /// What kind of store it is: `memory`, `sqlite` or `redis`.
    fn kind(&self) -> &'static str;

    /// Keeps a new session. A key that is there already is an error
    /// ([`StoreError::Corrupt`]); ids are random, so nobody meets it by chance.
    fn insert(&self, key: SessionKey, session: StoredSession, now: UnixTime) -> StoreFuture<'_, ()>;

    /// The live session with this key.
    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>>;

    /// Puts `session` in the place of the one with the version `seen`; `false`
    /// when that is not the version there (any more), or there is none. What is
    /// kept has the version `seen + 1`, whatever `session` says.
    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, now: UnixTime) -> StoreFuture<'_, bool>;

    /// Moves `idle_until` of a live session, only ever forward and never past
    /// `ends_at`. The version stays.
    fn touch(&self, key: SessionKey, idle_until: UnixTime, now: UnixTime) -> StoreFuture<'_, ()>;

    /// Ends one session; whether there was a live one.
    fn remove(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, bool>;

    /// The keys of the live sessions under an index key, at most `limit`.
    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>>;

    /// Live sessions in no order, at most `limit`; for operators, never on the
    /// way of a request.
    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>>;

    /// How many sessions are live, for the metrics; it may lag by a few seconds.
    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64>;

    /// Claims the refresh of a session until `until`; `false` while somebody
    /// else holds it. A holder that died loses it at `until`.
    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool>;

    /// Gives the claim back, if `lease` still holds it.
    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()>;

    /// Keeps `value` until `expires`, unless something is there under the key
    /// already: then `false`, and what is there stays.
    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool>;

    /// Takes what [`Self::put_once`] kept away with it: one caller gets it.
    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>>;

    /// Whether the store works: writes, reads and removes something of its own.
    fn probe(&self, now: UnixTime) -> StoreFuture<'_, ()>;

    /// Drops what is over. Nothing depends on it but space.
    fn sweep(&self, now: UnixTime) -> StoreFuture<'_, ()>;
}
