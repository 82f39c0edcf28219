//! Keeps the key sets of all providers: one task a provider fetches, the check
//! path reads what it published without a lock.
//!
//! When to fetch and how long a set counts is decided by
//! [`JwksCache`](crate::token::JwksCache); here are the timer, the network and
//! the single flight.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};

use super::causes::Causes;
use super::http_client::HttpClient;
use super::jwks_copy::JwksCopy;
use super::jwks_source::{JwksSource, RefreshError, RefreshResult};
use super::system::jitter;
use crate::token::{Freshness, Held, JwksCache, KeySet, KeySource, UnknownKid};
use crate::types::{Clock, Monotonic, ProviderId, Random};

/// How long a request waits for a fetch that its unknown `kid` brought about. All
/// that a check waits for has 170 ms together (`check::deadline`): what is left is
/// for the user directory, which is asked about a token that verifies after it.
pub const UNKNOWN_KID_WAIT: Duration = Duration::from_millis(100);
/// How long a sign-in waits for a fetch that its own token needs.
pub const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The keys of one provider, as configured.
#[derive(Debug, Clone)]
pub struct JwksSettings {
    /// The provider.
    pub provider: ProviderId,
    /// Its issuer.
    pub issuer: Arc<str>,
    /// Where its keys are published.
    pub source: JwksSource,
    /// How often they are fetched.
    pub refresh: Duration,
    /// How long the last good set counts.
    pub max_stale: Duration,
    /// Where a copy outlives the process.
    pub cache_dir: Option<PathBuf>,
}

/// Who counts refreshes.
pub trait RefreshObserver: Send + Sync {
    /// A refresh of the keys of `provider` has ended.
    fn refreshed(&self, provider: &ProviderId, result: RefreshResult);

    /// A refresh is about to end with this failure.
    fn failed(&self, _provider: &ProviderId, _error: &RefreshError) {}
}

/// What fetching needs of the world.
#[derive(Clone)]
pub struct JwksWorld {
    /// The client for discovery documents and key sets.
    pub client: HttpClient,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The randomness that keeps retries apart.
    pub random: Arc<dyn Random>,
    /// Who counts refreshes.
    pub observer: Arc<dyn RefreshObserver>,
}

/// The live key sets of all providers.
pub struct ProviderKeys {
    /// A few: found by looking at each, as every check does.
    slots: Box<[(ProviderId, Arc<Slot>)]>,
    clock: Arc<dyn Clock>,
}

/// What the task of a provider and the check path share.
struct Slot {
    /// What the check path reads.
    live: ArcSwapOption<Held>,
    cache: Mutex<JwksCache>,
    /// Wakes the task before its timer does.
    asked: Notify,
    /// Whether a fetch is claimed or under way.
    busy: watch::Sender<bool>,
}

impl Slot {
    /// Never held while waiting. A panic elsewhere leaves a whole state behind,
    /// for every change is one assignment after another of plain values.
    fn cache(&self) -> MutexGuard<'_, JwksCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, cache: &JwksCache) {
        self.live.store(cache.held().cloned().map(Arc::new));
    }
}

impl KeySource for ProviderKeys {
    fn key_set(&self, provider: &ProviderId) -> Option<Arc<KeySet>> {
        let live = self.slot(provider)?.live.load();
        live.as_ref()?.current(self.clock.monotonic()).cloned()
    }
}

impl ProviderKeys {
    /// Reads the copies on disk and makes one task for each provider; nothing
    /// is fetched before the tasks run.
    #[must_use]
    pub fn open(settings: Vec<JwksSettings>, world: &JwksWorld) -> (Arc<Self>, Vec<JwksFetcher>) {
        let fetchers: Vec<_> =
            settings.into_iter().map(|settings| JwksFetcher::open(settings, world.clone())).collect();
        let slots = fetchers.iter().map(|fetcher| (fetcher.settings.provider.clone(), Arc::clone(&fetcher.slot)));
        let keys = Self { slots: slots.collect(), clock: Arc::clone(&world.clock) };
        (Arc::new(keys), fetchers)
    }

    fn slot(&self, provider: &ProviderId) -> Option<&Slot> {
        self.slots.iter().find(|(held, _)| held == provider).map(|(_, slot)| slot.as_ref())
    }

    /// A token names a `kid` that the provider's set does not hold. Fetches it
    /// anew unless that was done within the cooldown, and waits for the fetch
    /// under way, though never longer than [`UNKNOWN_KID_WAIT`]. Says whether a
    /// fetch has ended, so that the token deserves a second look.
    pub async fn refresh_for_unknown_kid(&self, provider: &ProviderId) -> bool {
        self.refresh_once(provider, JwksCache::on_unknown_kid, UNKNOWN_KID_WAIT).await
    }

    /// The same for a token that the provider itself has just answered with;
    /// waits up to [`ANSWER_WAIT`].
    pub async fn refresh_for_answer(&self, provider: &ProviderId) -> bool {
        self.refresh_once(provider, JwksCache::on_unknown_kid_in_answer, ANSWER_WAIT).await
    }

    async fn refresh_once(
        &self,
        provider: &ProviderId,
        claim: fn(&mut JwksCache, Monotonic) -> UnknownKid,
        wait: Duration,
    ) -> bool {
        let Some(slot) = self.slot(provider) else { return false };
        let mut busy = slot.busy.subscribe();
        {
            let mut cache = slot.cache();
            if claim(&mut cache, self.clock.monotonic()) == UnknownKid::Refresh {
                // Said under the lock: who comes next waits for this fetch.
                slot.busy.send_replace(true);
                slot.asked.notify_one();
            }
        }
        if !*busy.borrow_and_update() {
            return false;
        }
        let ended = busy.wait_for(|busy| !busy);
        tokio::time::timeout(wait, ended).await.is_ok_and(|ended| ended.is_ok())
    }

    /// The providers with how good their keys are, and how old.
    pub fn ages(&self) -> impl Iterator<Item = (&ProviderId, Freshness, Option<Duration>)> {
        let now = self.clock.monotonic();
        self.slots.iter().map(move |(provider, slot)| {
            let cache = slot.cache();
            (provider, cache.freshness(now), cache.held().map(|held| held.age(now)))
        })
    }

    /// Whether every provider has keys that count.
    #[must_use]
    pub fn all_loaded(&self) -> bool {
        self.slots.iter().all(|(provider, _)| self.key_set(provider).is_some())
    }
}

/// Fetches the keys of one provider; [`Self::run`] is its task.
pub struct JwksFetcher {
    settings: JwksSettings,
    world: JwksWorld,
    slot: Arc<Slot>,
    copy: Option<JwksCopy>,
}

impl JwksFetcher {
    fn open(settings: JwksSettings, world: JwksWorld) -> Self {
        let now = world.clock.monotonic();
        let mut cache = JwksCache::new(settings.refresh, settings.max_stale, now);
        let copy = match (&settings.cache_dir, &settings.source) {
            (None, _) | (_, JwksSource::File(_)) => None,
            (Some(directory), source) => Some(JwksCopy::new(directory, &settings.issuer, source.describe())),
        };
        let provider = settings.provider.as_str();
        match copy.as_ref().map(|copy| copy.load(settings.max_stale, world.clock.now())) {
            Some(Ok(Some((keys, age)))) => {
                tracing::info!(provider, age_seconds = age.as_secs(), "read the copy of the key set");
                cache.on_restored(Arc::new(keys), age, now);
            }
            Some(Err(error)) => {
                tracing::warn!(provider, error = %Causes(&error), "copy of the key set not used");
            }
            None | Some(Ok(None)) => {}
        }
        let slot = Slot {
            live: ArcSwapOption::empty(),
            cache: Mutex::new(cache),
            asked: Notify::new(),
            busy: watch::Sender::new(false),
        };
        slot.publish(&slot.cache());
        Self { settings, world, slot: Arc::new(slot), copy }
    }

    /// Fetches until `shutdown`, beginning at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = self.due() => {}
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = self.refresh() => {}
            }
        }
    }

    async fn due(&self) {
        let pause = {
            let cache = self.slot.cache();
            let pause = cache.next_refresh().since(self.world.clock.monotonic());
            let spread = if cache.is_failing() { jitter(&*self.world.random, pause / 4) } else { Duration::ZERO };
            pause.saturating_add(spread)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.slot.asked.notified() => {}
        }
    }

    /// One fetch, good or bad.
    async fn refresh(&self) {
        self.slot.busy.send_replace(true);
        let fetched = isolate(self.fetch()).await;
        let (result, document) = match fetched {
            Ok((keys, document)) => {
                self.accept(keys);
                (RefreshResult::Ok, Some(document))
            }
            Err(error) => {
                self.keep(&error);
                (error.result(), None)
            }
        };
        self.slot.busy.send_replace(false);
        self.world.observer.refreshed(&self.settings.provider, result);
        if let Some(document) = document {
            self.store(document).await;
        }
    }

    async fn fetch(&self) -> Result<(KeySet, Bytes), RefreshError> {
        let document = self.settings.source.fetch(&self.world.client).await?;
        Ok((KeySet::parse(&document)?, document))
    }

    fn accept(&self, keys: KeySet) {
        let keys = Arc::new(keys);
        let now = self.world.clock.monotonic();
        let mut cache = self.slot.cache();
        let before = cache.held().map(|held| Arc::clone(held.keys()));
        cache.on_success(Arc::clone(&keys), now);
        self.slot.publish(&cache);
        drop(cache);

        let same_skipped =
            before.is_some_and(|before| before.skipped() == keys.skipped() && before.ignored() == keys.ignored());
        if !same_skipped {
            self.report(&keys);
        }
    }

    fn keep(&self, error: &RefreshError) {
        self.slot.cache().on_failure(self.world.clock.monotonic());
        let provider = self.settings.provider.as_str();
        let result = error.result().as_str();
        let from = self.settings.source.describe();
        tracing::warn!(provider, result, from, error = %Causes(error), "key set not refreshed");
        self.world.observer.failed(&self.settings.provider, error);
    }

    fn report(&self, keys: &KeySet) {
        let provider = self.settings.provider.as_str();
        for key in keys.skipped() {
            tracing::warn!(provider, position = key.position, reason = key.reason.as_str(), "key not used");
        }
        if keys.ignored() > 0 {
            tracing::warn!(provider, ignored = keys.ignored(), "key set has more keys than are considered");
        }
        tracing::info!(provider, keys = keys.usable(), "key set loaded");
    }

    async fn store(&self, document: Bytes) {
        let Some(copy) = self.copy.clone() else { return };
        let random = Arc::clone(&self.world.random);
        let fetched_at = self.world.clock.now();
        let stored = tokio::task::spawn_blocking(move || copy.store(&document, fetched_at, &*random)).await;
        let provider = self.settings.provider.as_str();
        match stored {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(provider, error = %Causes(&error), "copy of the key set not written");
            }
            Err(_) => tracing::warn!(provider, "copy of the key set not written"),
        }
    }
}

/// A panic while fetching is one more way to fail; the task goes on.
async fn isolate<T>(fetch: impl Future<Output = Result<T, RefreshError>>) -> Result<T, RefreshError> {
    AssertUnwindSafe(fetch).catch_unwind().await.unwrap_or(Err(RefreshError::Panic))
}

#[cfg(test)]
#[path = "jwks_fetch_tests.rs"]
mod tests;
