//! Sessions that were opened before, so that a check opens none.
//!
//! The store is asked on every check all the same. Where it holds the very record
//! that was opened before, what that record says is known: who asks has shown the
//! id again, because its hash is the key. Kept is what a check asks for, whom it
//! speaks of and until when; of the id, of tokens and of keys nothing is. A record
//! that leads elsewhere, is to be written anew, or whose provider has to be asked
//! is never kept.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use moka::sync::Cache;

use super::id::{SessionKey, sha256};
use super::sessions::{Found, Opened};
use super::source::LiveSession;
use super::store::StoredSession;
use crate::types::UnixTime;

/// About how many bytes are kept at most.
const CAPACITY: u64 = 24 * 1024 * 1024;
/// About what one takes besides the claims, which grow with the record.
const OVERHEAD: usize = 1024;
/// How long one is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Bounded; the least used sessions go first.
#[derive(Debug, Clone)]
pub struct KnownSessions(Cache<SessionKey, Arc<Known>>);

#[derive(Debug)]
struct Known {
    record: SameRecord,
    counts_until: UnixTime,
    live: Arc<LiveSession>,
}

/// Tells a record from every other one.
#[derive(Debug)]
struct SameRecord {
    /// Where it was seen last. As long as this is held, no other record stands in
    /// that place in memory.
    place: Mutex<Weak<StoredSession>>,
    sealed: [u8; 32],
    length: usize,
    ends_at: UnixTime,
}

impl SameRecord {
    fn of(stored: &Arc<StoredSession>) -> Self {
        Self {
            place: Mutex::new(Arc::downgrade(stored)),
            sealed: sha256(&stored.sealed),
            length: stored.sealed.len(),
            ends_at: stored.ends_at,
        }
    }

    fn is(&self, stored: &Arc<StoredSession>) -> bool {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.as_ptr() == Arc::as_ptr(stored) {
            return true;
        }
        let is_same = self.ends_at == stored.ends_at
            && self.length == stored.sealed.len()
            && self.sealed == sha256(&stored.sealed);
        if is_same {
            *place = Arc::downgrade(stored);
        }
        is_same
    }
}

impl KnownSessions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let weigh = |_: &SessionKey, known: &Arc<Known>| {
            u32::try_from(known.record.length.saturating_mul(2).saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(CAPACITY).weigher(weigh).time_to_idle(IDLE).build())
    }

    /// The session that was `found`, where it would be opened as before.
    #[must_use]
    pub fn recall(&self, found: &Found<'_>) -> Option<Arc<LiveSession>> {
        let stored = found.live()?;
        let known = self.0.get(&found.key())?;
        (found.now() < known.counts_until && known.record.is(stored)).then(|| Arc::clone(&known.live))
    }

    /// Keeps what `opened` came to, which counts until then. `live` is what is
    /// answered for it from now on, to whoever shows its id.
    pub fn remember(&self, opened: &Opened, live: &Arc<LiveSession>, counts_until: UnixTime) {
        if opened.is_settled() && live.set_cookie.is_none() {
            let record = SameRecord::of(&opened.stored);
            self.0.insert(opened.key, Arc::new(Known { record, counts_until, live: Arc::clone(live) }));
        }
    }
}

impl Default for KnownSessions {
    fn default() -> Self {
        Self::new()
    }
}
