//! Uses of sessions that are written down while nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;

use super::id::SessionKey;
use super::store::SessionStore;
use crate::types::{Tasks, UnixTime};

/// How many may be on their way at once. One that finds no room is left out: the
/// next use of that session is written down in its place.
const MAX_ON_THEIR_WAY: usize = 256;

/// Writes uses down in the background.
#[derive(Clone)]
pub(super) struct Touches {
    tasks: Arc<dyn Tasks>,
    on_their_way: Arc<AtomicUsize>,
}

/// Counts a write for as long as it is on its way.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < MAX_ON_THEIR_WAY).then_some(taken)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Touches {
    pub(super) fn new(tasks: Arc<dyn Tasks>) -> Self {
        Self { tasks, on_their_way: Arc::default() }
    }

    /// Says that the session was used; what the store does not take at once goes
    /// on by itself. A use that could not be written down is written at the next one.
    pub(super) fn write(&self, store: &Arc<dyn SessionStore>, key: SessionKey, idle_until: UnixTime, now: UnixTime) {
        let Some(place) = Place::take(&self.on_their_way) else { return };
        let store = Arc::clone(store);
        let mut write = Box::pin(async move {
            let _ = store.touch(key, idle_until, now).await;
            drop(place);
        });
        if write.as_mut().now_or_never().is_none() {
            self.tasks.spawn(write);
        }
    }
}
