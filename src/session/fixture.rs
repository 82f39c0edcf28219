//! Sessions for tests: a clock that is set, a store that can be broken, tasks
//! on the runtime of the test.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::types::{Clock, Monotonic, ProviderId, Random, Secret, Tasks, UnixTime};

/// Both clocks, moved by hand.
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) const START: UnixTime = UnixTime::from_secs(1_800_000_000);

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Self::START.as_millis())))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(self.now().since(Self::START))
    }
}

/// Counts, so that no two draws are alike, whoever draws.
#[derive(Default)]
pub(crate) struct CountingRandom;

static DRAWN: AtomicU64 = AtomicU64::new(0);

impl Random for CountingRandom {
    fn fill(&self, out: &mut [u8]) {
        let drawn = DRAWN.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (byte, from) in out.iter_mut().zip(drawn.iter().rev().cycle()) {
            *byte = *from;
        }
    }
}

/// Tasks on the runtime of the test; a sleep is a real one.
pub(crate) struct TestTasks;

impl Tasks for TestTasks {
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(work);
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A store in a few maps.
#[derive(Default)]
pub(crate) struct TestStore {
    pub(crate) broken: AtomicBool,
    losing: AtomicBool,
    pub(crate) calls: AtomicU64,
    fault: Mutex<Option<Fault>>,
    /// Where no use is written down before the test says so: how many wait for that.
    stalled: Mutex<Option<usize>>,
    writes: Notify,
    held: Mutex<Held>,
}

/// One call that is answered with an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// How many calls go well before it.
    pub(crate) after: u64,
    /// Whether the work is done all the same.
    pub(crate) works: bool,
}

#[derive(Default)]
struct Held {
    sessions: HashMap<SessionKey, Arc<StoredSession>>,
    leases: HashMap<SessionKey, (Lease, UnixTime)>,
    once: HashMap<OnceKey, (Vec<u8>, UnixTime)>,
}

impl TestStore {
    pub(crate) fn break_it(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// From now on each replacement is done and told as an error.
    pub(crate) fn lose_answers(&self, losing: bool) {
        self.losing.store(losing, Ordering::SeqCst);
    }

    /// Lets one of the next calls fail.
    pub(crate) fn fail_once(&self, fault: Fault) {
        *lock(&self.fault) = Some(fault);
    }

    /// No use is written down until [`Self::write_on`].
    pub(crate) fn stall_touches(&self) {
        *lock(&self.stalled) = Some(0);
    }

    /// Writes down what was held up: how many uses that are.
    pub(crate) fn write_on(&self) -> usize {
        let stalled = lock(&self.stalled).take().unwrap_or_default();
        self.writes.notify_waiters();
        stalled
    }

    pub(crate) fn idle_until(&self, key: SessionKey) -> Option<UnixTime> {
        lock(&self.held).sessions.get(&key).map(|session| session.idle_until)
    }

    /// No call fails any more.
    pub(crate) fn heal(&self) {
        *lock(&self.fault) = None;
    }

    /// The fault of this call.
    fn fault(&self) -> Option<Fault> {
        let mut fault = lock(&self.fault);
        match &mut *fault {
            Some(Fault { after: 0, .. }) => fault.take(),
            Some(later) => {
                later.after -= 1;
                None
            }
            None => None,
        }
    }

    fn answer<T: Send + 'static>(&self, work: impl FnOnce(&mut Held) -> T) -> StoreFuture<'_, T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let broken = || Err(StoreError::Unavailable("broken by the test".into()));
        let answer = match self.fault() {
            _ if self.broken.load(Ordering::SeqCst) => broken(),
            Some(Fault { works: true, .. }) => {
                work(&mut lock(&self.held));
                broken()
            }
            Some(Fault { works: false, .. }) => broken(),
            None => Ok(work(&mut lock(&self.held))),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl SessionStore for TestStore {
    fn kind(&self) -> &'static str {
        "test"
    }

    fn insert(&self, key: SessionKey, session: StoredSession, _: UnixTime) -> StoreFuture<'_, ()> {
        self.answer(|held| drop(held.sessions.insert(key, Arc::new(session))))
    }

    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>> {
        self.answer(|held| held.sessions.get(&key).filter(|held| held.is_live(now)).cloned())
    }

    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, _: UnixTime) -> StoreFuture<'_, bool> {
        let answer = self.answer(move |held| match held.sessions.get_mut(&key) {
            Some(there) if there.version == seen => {
                *there = Arc::new(StoredSession { version: seen + 1, ..session });
                true
            }
            _ => false,
        });
        if self.losing.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::Unavailable("lost by the test".into()))));
        }
        answer
    }

    fn touch(&self, key: SessionKey, idle_until: UnixTime, _: UnixTime) -> StoreFuture<'_, ()> {
        let touch = move |held: &mut Held| {
            if let Some(there) = held.sessions.get_mut(&key) {
                let session = StoredSession::clone(there);
                *there = Arc::new(StoredSession { idle_until: session.idle_until.max(idle_until), ..session });
            }
        };
        let mut stalled = lock(&self.stalled);
        let Some(stalled) = stalled.as_mut() else { return self.answer(touch) };
        *stalled += 1;
        let mut goes_on = Box::pin(self.writes.notified());
        goes_on.as_mut().enable();
        Box::pin(async move {
            goes_on.await;
            self.answer(touch).await
        })
    }

    fn remove(&self, key: SessionKey, _: UnixTime) -> StoreFuture<'_, bool> {
        self.answer(|held| held.sessions.remove(&key).is_some())
    }

    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>> {
        self.answer(move |held| {
            let of_index = |session: &StoredSession| session.subject == index || session.sid == Some(index);
            let live = held.sessions.iter().filter(|(_, session)| session.is_live(now) && of_index(session));
            live.map(|(key, _)| *key).take(limit).collect()
        })
    }

    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>> {
        self.answer(move |held| {
            let live = held.sessions.iter().filter(|(_, session)| session.is_live(now));
            live.map(|(key, session)| (*key, Arc::clone(session))).take(limit).collect()
        })
    }

    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64> {
        self.answer(move |held| held.sessions.values().filter(|session| session.is_live(now)).count() as u64)
    }

    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.answer(move |held| {
            let free = held.leases.get(&key).is_none_or(|(holder, until)| *holder == lease || now >= *until);
            if free {
                held.leases.insert(key, (lease, until));
            }
            free
        })
    }

    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()> {
        self.answer(move |held| {
            if held.leases.get(&key).is_some_and(|(holder, _)| *holder == lease) {
                held.leases.remove(&key);
            }
        })
    }

    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.answer(move |held| {
            let free = held.once.get(&key).is_none_or(|(_, expires)| now >= *expires);
            if free {
                held.once.insert(key, (value, expires));
            }
            free
        })
    }

    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.answer(move |held| held.once.remove(&key).filter(|(_, expires)| now < *expires).map(|(value, _)| value))
    }

    fn probe(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        self.answer(|_| ())
    }

    fn sweep(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        self.answer(|_| ())
    }
}

pub(crate) const LIFETIMES: Lifetimes =
    Lifetimes { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(12 * 60 * 60) };

pub(crate) fn seals() -> Seals {
    Seals::new(&[Secret::new("a secret of the tests, long enough".to_owned())]).unwrap()
}

pub(crate) fn sessions(store: &Arc<TestStore>, clock: &Arc<SetClock>) -> Sessions {
    let ports = SessionPorts { store: store.clone(), random: Arc::new(CountingRandom), clock: clock.clone() };
    Sessions::new(ports, seals(), LIFETIMES)
}

/// A session whose authority ends after five minutes.
pub(crate) fn session(subject: &str) -> Session {
    let claims = json!({ "sub": subject, "scope": "access:ea", "iat": SetClock::START.as_secs() });
    Session {
        provider: ProviderId::new("main"),
        issuer: "https://idp.example.com/".to_owned(),
        subject: subject.to_owned(),
        sid: Some("sid-1".to_owned()),
        authority: Authority {
            from_access_token: true,
            claims: claims.as_object().unwrap().clone(),
            expires_at: SetClock::START.plus(Duration::from_secs(300)),
        },
        profile: serde_json::Map::new(),
        refresh_token: Some(Secret::new("refresh-1".to_owned())),
        id_token: Some(Secret::new("id-token".to_owned())),
        signed_in_at: SetClock::START,
        user_agent: "a browser".to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
