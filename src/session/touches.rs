//! Uses of sessions that are written down while nobody waits for it.

use std::sync::Arc;

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
    /// The inner one is held once more by each write on its way.
    on_their_way: Arc<Arc<()>>,
}

impl Touches {
    pub(super) fn new(tasks: Arc<dyn Tasks>) -> Self {
        Self { tasks, on_their_way: Arc::default() }
    }

    /// Says that the session was used; what the store does not take at once goes
    /// on by itself. A use that could not be written down is written at the next one.
    pub(super) fn write(&self, store: &Arc<dyn SessionStore>, key: SessionKey, idle_until: UnixTime, now: UnixTime) {
        if Arc::strong_count(&self.on_their_way) > MAX_ON_THEIR_WAY {
            return;
        }
        let (store, place) = (Arc::clone(store), Arc::clone(&self.on_their_way));
        let mut write = Box::pin(async move {
            let _ = store.touch(key, idle_until, now).await;
            drop(place);
        });
        if write.as_mut().now_or_never().is_none() {
            self.tasks.spawn(write);
        }
    }
}
