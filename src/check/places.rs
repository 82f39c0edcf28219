//! A bounded number of places; one is given back when it is dropped.

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    limit: usize,
}

#[derive(Debug)]
pub(super) struct Place<'a>(&'a AtomicUsize);

impl Places {
    pub(super) const fn new(limit: usize) -> Self {
        Self { taken: AtomicUsize::new(0), limit }
    }

    /// A place, unless all are taken.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.taken);
        (taken < self.limit).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let places = Places::new(1);
        let first = places.take();
        assert!(first.is_some() && places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
    }
}
