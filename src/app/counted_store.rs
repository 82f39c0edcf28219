//! The session store with its errors counted, and looked at now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;

use super::supervise::stopped;
use crate::backend::causes::Causes;
use crate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreFuture, StoredSession};
use crate::types::{Clock, UnixTime};

/// How often the store is asked whether it works.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// As many failures in a row are an outage.
const FAILURES_OF_OUTAGE: u32 = 2;
/// After how many probes it is swept and counted.
const PROBES_TO_SWEEP: u32 = 15;

/// Counts the errors of a store.
pub(super) struct CountedStore(Arc<dyn SessionStore>);

impl CountedStore {
    /// Counts the errors of `store`.
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        Self(store)
    }

    fn counted<'a, T: 'a>(&'a self, op: &'static str, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let answer = answer.await;
            if let Err(error) = &answer {
                counter!("tiergate_store_errors_total", "store" => self.0.kind(), "op" => op).increment(1);
                tracing::debug!(op, error = %Causes(error), "session store");
            }
            answer
        })
    }
}

impl SessionStore for CountedStore {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn insert(&self, key: SessionKey, session: StoredSession, now: UnixTime) -> StoreFuture<'_, ()> {
        self.counted("insert", self.0.insert(key, session, now))
    }

    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>> {
        self.counted("find", self.0.find(key, now))
    }

    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, now: UnixTime) -> StoreFuture<'_, bool> {
        self.counted("replace", self.0.replace(key, seen, session, now))
    }

    fn touch(&self, key: SessionKey, idle_until: UnixTime, now: UnixTime) -> StoreFuture<'_, ()> {
        self.counted("touch", self.0.touch(key, idle_until, now))
    }

    fn remove(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, bool> {
        self.counted("remove", self.0.remove(key, now))
    }

    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>> {
        self.counted("indexed", self.0.indexed(index, limit, now))
    }

    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>> {
        self.counted("list", self.0.list(limit, now))
    }

    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64> {
        self.counted("count", self.0.count(now))
    }

    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.counted("claim_refresh", self.0.claim_refresh(key, lease, until, now))
    }

    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()> {
        self.counted("release_refresh", self.0.release_refresh(key, lease))
    }

    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.counted("put_once", self.0.put_once(key, value, expires, now))
    }

    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.counted("take", self.0.take(key, now))
    }

    fn probe(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        self.counted("probe", self.0.probe(now))
    }

    fn sweep(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        self.counted("sweep", self.0.sweep(now))
    }
}

/// Asks the store whether it works, and sweeps it, until the service stops. One
/// late answer, as of a busy machine, is no outage: two in a row are.
pub(super) async fn watch_store(
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    works: Arc<AtomicBool>,
    stopping: watch::Receiver<bool>,
) -> &'static str {
    let mut stopped = Box::pin(stopped(stopping));
    let mut period = tokio::time::interval(PROBE_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut probes, mut failures) = (0u32, 0u32);
    loop {
        tokio::select! {
            () = &mut stopped => return "store watch",
            _ = period.tick() => {}
        }
        match store.probe(clock.now()).await {
            Ok(()) => {
                failures = 0;
                if !works.swap(true, Ordering::Relaxed) && probes > 0 {
                    tracing::info!(store = store.kind(), "the session store answers");
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                if failures == FAILURES_OF_OUTAGE {
                    works.store(false, Ordering::Relaxed);
                    tracing::error!(
                        store = store.kind(),
                        error = %Causes(&error),
                        "the session store does not answer: what needs it is refused (503) until it does"
                    );
                }
            }
        }
        if probes.is_multiple_of(PROBES_TO_SWEEP) && failures == 0 {
            // Both are counted as errors of the store where they fail.
            let _ = store.sweep(clock.now()).await;
            if let Ok(count) = store.count(clock.now()).await {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                gauge!("tiergate_sessions_active").set(count as f64);
            }
        }
        probes = probes.wrapping_add(1);
    }
}
