//! One refresh in flight for each session of this process.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;

use crate::session::SessionKey;
use crate::types::{Monotonic, Tasks};

/// How a refresh ended, as far as the session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    /// The store holds a newer session.
    Done,
    /// The session is over.
    Ended,
    /// Nothing has changed.
    Passing,
}

/// A refresh that others may wait for too.
pub(super) type Flight = Shared<Pin<Box<dyn Future<Output = Landed> + Send>>>;

/// Sessions whose refresh is in flight, or pauses after a failure.
#[derive(Default)]
pub(super) struct Flights(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    states: HashMap<SessionKey, State>,
    /// When it was last looked which pauses are over.
    cleaned: Monotonic,
}

enum State {
    InFlight(Flight),
    PausedUntil(Monotonic),
}

/// Sessions that are remembered at once; where there are more, a failure is
/// followed by no pause.
const MAX_STATES: usize = 10_000;
/// How often it is looked which pauses are over, when there are many.
const CLEANING: Duration = Duration::from_secs(1);

impl Flights {
    /// The flight of this session, begun with `start` when there is none; `None`
    /// while it pauses. `start` says how it landed and until when to pause.
    pub(super) fn join_or_start<F, Work>(
        &self,
        key: SessionKey,
        now: Monotonic,
        tasks: &dyn Tasks,
        start: F,
    ) -> Option<Flight>
    where
        F: FnOnce() -> Work,
        Work: Future<Output = (Landed, Option<Monotonic>)> + Send + 'static,
    {
        let mut held = lock(&self.0);
        match held.states.get(&key) {
            Some(State::InFlight(flight)) => return Some(flight.clone()),
            Some(State::PausedUntil(until)) if now < *until => return None,
            Some(State::PausedUntil(_)) | None => {}
        }
        if held.states.len() >= MAX_STATES && now.since(held.cleaned) >= CLEANING {
            held.cleaned = now;
            held.states.retain(|_, state| match state {
                State::InFlight(_) => true,
                State::PausedUntil(until) => now < *until,
            });
        }
        let (work, mut place) = (start(), Place { flights: Arc::clone(&self.0), key, pause: None });
        let flight: Pin<Box<dyn Future<Output = Landed> + Send>> = Box::pin(async move {
            let (landed, pause) = AssertUnwindSafe(work).catch_unwind().await.unwrap_or((Landed::Passing, None));
            place.pause = pause;
            // Before anybody learns of the end, so that the next one begins anew.
            drop(place);
            landed
        });
        let flight = flight.shared();
        held.states.insert(key, State::InFlight(flight.clone()));
        drop(held);
        tasks.spawn(Box::pin(flight.clone().map(|_| ())));
        Some(flight)
    }
}

/// Takes a flight off the list, however it ends.
struct Place {
    flights: Arc<Mutex<Held>>,
    key: SessionKey,
    pause: Option<Monotonic>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = lock(&self.flights);
        match self.pause {
            Some(until) if held.states.len() <= MAX_STATES => held.states.insert(self.key, State::PausedUntil(until)),
            Some(_) | None => held.states.remove(&self.key),
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
