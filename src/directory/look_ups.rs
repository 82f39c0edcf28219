//! Look-ups in the store: one at a time for each key, and not too many of all.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

/// A look-up that others may wait for too. Whoever waits drives it; one that
/// nobody waits for ends.
pub(super) type LookUp<V> = Shared<Pin<Box<dyn Future<Output = V> + Send>>>;

type Flying<T, V> = (T, WeakShared<Pin<Box<dyn Future<Output = V> + Send>>>);

/// The look-ups under way.
pub(super) struct LookUps<K, T, V> {
    flying: Mutex<HashMap<K, Flying<T, V>>>,
    places: Arc<AtomicUsize>,
    limit: usize,
}

/// Given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<K, T, V> LookUps<K, T, V>
where
    K: Hash + Eq + Clone,
    T: Copy + PartialEq,
    V: Clone + Send + 'static,
{
    pub(super) fn new(limit: usize) -> Self {
        Self { flying: Mutex::default(), places: Arc::default(), limit }
    }

    /// The look-up of `key` that began with the same ticket, or the one that
    /// `begin` makes; `None` where there are too many. What began under another
    /// ticket may bring what was so before a change.
    pub(super) fn join<F>(&self, key: &K, ticket: T, begin: impl FnOnce() -> F) -> Option<LookUp<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flying = self.flying();
        if let Some((began, look_up)) = flying.get(key)
            && *began == ticket
            && let Some(look_up) = look_up.upgrade()
            && look_up.peek().is_none()
        {
            return Some(look_up);
        }
        let place = self.place()?;
        let work = begin();
        let work: Pin<Box<dyn Future<Output = V> + Send>> = Box::pin(async move {
            let found = work.await;
            drop(place);
            found
        });
        let look_up = work.shared();
        if flying.len() >= self.limit.saturating_mul(2) {
            flying.retain(|_, (_, look_up)| look_up.upgrade().is_some());
        }
        if let Some(weak) = look_up.downgrade() {
            flying.insert(key.clone(), (ticket, weak));
        }
        Some(look_up)
    }

    fn place(&self) -> Option<Place> {
        let taken = self.places.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.places));
        (taken < self.limit).then_some(place)
    }

    fn flying(&self) -> MutexGuard<'_, HashMap<K, Flying<T, V>>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
