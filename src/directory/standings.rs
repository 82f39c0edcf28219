//! What is remembered of people: bounded, and without a gap through which
//! something old could come back. No IO, and the time is passed in.
//!
//! ```text
//! load      ticket ─▶ read the store ─▶ settle     kept where nothing changed since the ticket
//! change    write the store ─▶ apply               kept in place of what was there
//! follow    mark ─▶ changes after the mark ─▶ take  the same for everybody who changed
//! ```
//!
//! Three things may write of one person at the same time. Each change of a shard
//! raises its epoch, so that a load which began before it keeps nothing; a change
//! never replaces a record of a higher sequence. Whatever is evicted leaves the
//! epoch behind. What is remembered counts as long as changes are followed, and
//! for `max_stale` after the last time that they were.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use super::standing::Standing;
use super::store::Changes;
use super::user::{KeyParts, UserId, UserKey};
use crate::types::Monotonic;

/// Changes of one person make loads of others in the same shard keep nothing.
const SHARDS: usize = 256;
/// Where following failed for longer than this, the database that answers then
/// may be one that lost changes: nothing from before counts.
const GAP: Duration = Duration::from_secs(2);

/// What is remembered.
pub(super) struct Standings {
    kept: Cache<UserKey, Kept>,
    shards: Box<[Mutex<u64>]>,
    hasher: RandomState,
    max_stale: Duration,
    /// Raised where everything is dropped.
    generation: AtomicU64,
    /// When the last good look at the changes began: 0 for never, else one more
    /// than the nanoseconds on the monotonic clock.
    followed_at: AtomicU64,
    progress: Mutex<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Up to which sequence everything is taken over; `None` where nothing is known.
    through: Option<u64>,
    /// Since when following fails.
    fails: bool,
}

#[derive(Clone)]
struct Kept {
    /// `None`: the directory does not know them.
    standing: Option<Arc<Standing>>,
    generation: u64,
}

/// What is remembered of somebody.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Recalled {
    /// It counts; `None` where the directory does not know them.
    Known(Option<Arc<Standing>>),
    /// It was so, too long ago to let anybody in by it.
    Stale(Option<Arc<Standing>>),
    /// Nothing.
    Nothing,
}

/// What was so when a load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    epoch: u64,
    generation: u64,
}

/// From where changes are to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) through: u64,
    generation: u64,
}

impl Standings {
    pub(super) fn new(capacity: u64, max_stale: Duration) -> Self {
        Self {
            kept: Cache::new(capacity),
            shards: (0..SHARDS).map(|_| Mutex::new(0)).collect(),
            hasher: RandomState::new(),
            max_stale,
            generation: AtomicU64::new(0),
            followed_at: AtomicU64::new(0),
            progress: Mutex::default(),
        }
    }

    /// Another number each time that everything is dropped.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is remembered of somebody.
    pub(super) fn recall(&self, key: &dyn KeyParts, now: Monotonic) -> Recalled {
        // Read before the generation: with the time of a new one comes that one.
        let counts = self.counts(now);
        let generation = self.generation();
        match self.kept.get(key).filter(|kept| kept.generation == generation) {
            Some(kept) if counts => Recalled::Known(kept.standing),
            Some(kept) => Recalled::Stale(kept.standing),
            None => Recalled::Nothing,
        }
    }

    /// Whether what is remembered counts.
    pub(super) fn counts(&self, now: Monotonic) -> bool {
        let followed_at = self.followed_at.load(Ordering::Acquire);
        followed_at > 0 && nanos(now).saturating_sub(followed_at) <= nanos_of(self.max_stale)
    }

    /// To be drawn before the store is read.
    pub(super) fn ticket(&self, key: &UserKey) -> Ticket {
        let epoch = *self.shard(key);
        Ticket { epoch, generation: self.generation() }
    }

    /// Keeps what the store said, unless something changed since the ticket, or
    /// changes are not followed at all.
    pub(super) fn settle(&self, key: &UserKey, ticket: Ticket, standing: Option<Arc<Standing>>) {
        let epoch = self.shard(key);
        if *epoch == ticket.epoch && self.generation() == ticket.generation && self.progress().through.is_some() {
            self.kept.insert(key.clone(), Kept { standing, generation: ticket.generation });
        }
    }

    /// Takes over a record after a change: where somebody is remembered, and as
    /// something older.
    pub(super) fn apply(&self, key: &UserKey, standing: Arc<Standing>) {
        self.apply_in(self.generation(), key, standing);
    }

    fn apply_in(&self, generation: u64, key: &UserKey, standing: Arc<Standing>) {
        let mut epoch = self.shard(key);
        *epoch = epoch.wrapping_add(1);
        let Some(kept) = self.kept.get(key) else { return };
        let known = kept.standing.as_ref().map_or(0, |known| known.sequence);
        if kept.generation == generation && known <= standing.sequence {
            self.kept.insert(key.clone(), Kept { standing: Some(standing), generation });
        }
    }

    /// Forgets somebody of whom it cannot be told what a change came to.
    pub(super) fn forget(&self, key: &UserKey) {
        let mut epoch = self.shard(key);
        *epoch = epoch.wrapping_add(1);
        self.kept.invalidate(key);
    }

    /// The same, of somebody whose key is not at hand.
    pub(super) fn forget_id(&self, id: UserId) {
        for shard in &self.shards {
            let mut epoch = lock(shard);
            *epoch = epoch.wrapping_add(1);
        }
        let is_theirs = |kept: &Kept| kept.standing.as_ref().is_some_and(|known| known.id == id);
        for (key, _) in self.kept.iter().filter(|(_, kept)| is_theirs(kept)) {
            self.forget(&key);
        }
    }

    /// From where changes are to be asked for; `None` where there is no such place
    /// and [`Self::begin`] makes one.
    pub(super) fn mark(&self, now: Monotonic) -> Option<Mark> {
        let progress = *self.progress();
        let followed_at = self.followed_at.load(Ordering::Acquire);
        let is_gap = progress.fails && nanos(now).saturating_sub(followed_at) > nanos_of(GAP);
        let through = progress.through.filter(|_| !is_gap)?;
        Some(Mark { through, generation: self.generation() })
    }

    /// Begins to follow: after `through`, which was asked for at `started`.
    /// Nothing from before counts any more.
    pub(super) fn begin(&self, through: u64, started: Monotonic) {
        let mut progress = self.progress();
        self.drop_all();
        *progress = Progress { through: Some(through), fails: false };
        self.followed_at.store(nanos(started), Ordering::Release);
    }

    /// Takes over what changed after `mark`, asked for at `started`. `is_all` says
    /// that there was not more. Whether it was the same database as before.
    pub(super) fn take(&self, mark: Mark, changes: Changes, started: Monotonic, is_all: bool) -> bool {
        let Changes { users, through } = changes;
        if through < mark.through {
            self.lose();
            return false;
        }
        for (key, standing) in users {
            self.apply_in(mark.generation, &key, Arc::new(standing));
        }
        let mut progress = self.progress();
        // Whoever began anew meanwhile knows better.
        if self.generation() == mark.generation {
            progress.through = progress.through.max(Some(through));
            if is_all {
                progress.fails = false;
                self.followed_at.fetch_max(nanos(started), Ordering::AcqRel);
            }
        }
        true
    }

    /// It could not be asked what changed.
    pub(super) fn failed(&self) {
        self.progress().fails = true;
    }

    /// Forgets everything: it is not known any more what changed.
    pub(super) fn lose(&self) {
        let mut progress = self.progress();
        self.drop_all();
        *progress = Progress { through: None, fails: progress.fails };
    }

    fn drop_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.kept.invalidate_all();
    }

    fn shard(&self, key: &UserKey) -> MutexGuard<'_, u64> {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "there are as many, and the place is below that")]
        lock(&self.shards[place])
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    #[cfg(test)]
    fn evict(&self, key: &UserKey) {
        self.kept.invalidate(key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One more than the nanoseconds on the clock, so that 0 is free.
fn nanos(at: Monotonic) -> u64 {
    nanos_of(at.since(Monotonic::default())).saturating_add(1)
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "standings_tests.rs"]
mod tests;
