//! What this process has removed and no replica has confirmed: it stays removed
//! for this process, and is removed again wherever it could have come back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::keys::Key;
use crate::session::{OnceKey, SessionKey};
use crate::types::Monotonic;

/// How long a removal is remembered.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// How many are remembered at most; the oldest go first.
const AT_MOST: usize = 50_000;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Removal {
    Session(SessionKey),
    Once(OnceKey),
}

impl Removal {
    pub(super) fn key(self) -> Key {
        match self {
            Self::Session(key) => Key::session(key),
            Self::Once(key) => Key::once(key),
        }
    }
}

#[derive(Default)]
pub(super) struct Removed {
    held: Mutex<Held>,
    /// Read alone by a check, so that it takes no lock while there is nothing.
    count: AtomicUsize,
}

#[derive(Default)]
struct Held {
    /// Each with whether it was acknowledged: before that, the thing still counts.
    removals: HashMap<Removal, bool>,
    order: VecDeque<(Monotonic, Removal)>,
}

impl Removed {
    /// A removal begins; whether it was not remembered before.
    pub(super) fn begin(&self, removal: Removal, now: Monotonic) -> bool {
        let mut held = self.held();
        let is_new = !held.removals.contains_key(&removal);
        if is_new {
            held.removals.insert(removal, false);
            held.order.push_back((now, removal));
        }
        while held.order.len() > AT_MOST || held.order.front().is_some_and(|(then, _)| now.since(*then) > REMEMBERED) {
            if let Some((_, oldest)) = held.order.pop_front() {
                held.removals.remove(&oldest);
            }
        }
        self.count.store(held.removals.len(), Ordering::SeqCst);
        is_new
    }

    /// The removal is done, as far as the server goes that did it.
    pub(super) fn acknowledge(&self, removal: Removal) {
        if let Some(is_acknowledged) = self.held().removals.get_mut(&removal) {
            *is_acknowledged = true;
        }
    }

    /// These removals are safe, or no removals any more.
    pub(super) fn forget(&self, removals: &[Removal]) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut held = self.held();
        let gone: Vec<bool> = removals.iter().map(|removal| held.removals.remove(removal).is_some()).collect();
        if gone.contains(&true) {
            let Held { removals, order } = &mut *held;
            order.retain(|(_, removal)| removals.contains_key(removal));
            self.count.store(removals.len(), Ordering::SeqCst);
        }
    }

    /// Whether the removal was acknowledged and is not known to be safe.
    pub(super) fn holds(&self, removal: Removal) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.held().removals.get(&removal).copied().unwrap_or(false)
    }

    /// All that is remembered, oldest first.
    pub(super) fn all(&self) -> Vec<Removal> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        self.held().order.iter().map(|(_, removal)| *removal).collect()
    }

    /// Never held while waiting; a panic elsewhere leaves plain collections.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(secs))
    }

    fn removal(number: u8) -> Removal {
        Removal::Once(OnceKey([number; 32]))
    }

    #[test]
    fn a_removal_is_remembered_until_it_is_safe_or_old() {
        let removed = Removed::default();
        assert!(!removed.holds(removal(1)) && removed.all().is_empty());
        assert!(removed.begin(removal(1), at(0)) && !removed.begin(removal(1), at(1)));
        assert!(!removed.holds(removal(1)), "it may fail still");
        removed.acknowledge(removal(1));
        removed.begin(removal(2), at(2));
        assert!(removed.holds(removal(1)) && !removed.holds(Removal::Session(SessionKey::from_bytes([1; 32]))));
        assert_eq!(removed.all(), [removal(1), removal(2)]);
        removed.forget(&[removal(2), removal(9)]);
        assert_eq!(removed.all(), [removal(1)]);
        removed.begin(removal(3), at(601));
        assert_eq!(removed.all(), [removal(3)], "the first is older than ten minutes");
    }
}
