//! What a command needs once: the clock, and every provider's keys.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::build;
use crate::backend::causes::Causes;
use crate::backend::http_client::HttpClient;
use crate::backend::jwks_fetch::{JwksWorld, ProviderKeys, RefreshObserver};
use crate::backend::jwks_source::{RefreshError, RefreshResult};
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config::Config;
use crate::token::KeySource;
use crate::types::{Clock, ProviderId, UnixTime};

/// The wall clock.
#[must_use]
pub fn now() -> UnixTime {
    SystemClock::new().now()
}

/// What came of asking every provider for its keys.
pub struct FetchedKeys {
    /// The keys that came.
    pub keys: Arc<dyn KeySource>,
    /// The providers whose keys did not come, and why, with every cause.
    pub missing: Vec<(ProviderId, String)>,
}

/// Asks every provider for its keys once, and waits at most `timeout`.
///
/// # Errors
/// When nothing can be fetched at all: no runtime, no TLS roots.
pub fn fetch_keys(config: &Config, timeout: Duration) -> anyhow::Result<FetchedKeys> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    let (ended, mut endings) = mpsc::unbounded_channel();
    let world = JwksWorld {
        client: HttpClient::new()?,
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        observer: Arc::new(Endings(ended)),
    };
    let (keys, fetchers) = ProviderKeys::open(build::key_settings(config), &world);
    let mut waiting: Vec<ProviderId> = config.identity_providers.iter().map(|provider| provider.id().clone()).collect();
    let mut missing = Vec::new();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for fetcher in fetchers {
            tasks.spawn(fetcher.run(std::future::pending()));
        }
        let all = async {
            while !waiting.is_empty() {
                let Some(ending) = endings.recv().await else { break };
                if let Some(error) = ending.error {
                    missing.push((ending.provider, error));
                } else {
                    waiting.retain(|provider| *provider != ending.provider);
                }
            }
        };
        // Past the timeout the keys that came are used.
        let _ = tokio::time::timeout(timeout, all).await;
    });
    let late = format!("nothing came within {} s", timeout.as_secs());
    missing.extend(waiting.into_iter().map(|provider| (provider, late.clone())));
    Ok(FetchedKeys { keys, missing })
}

/// How a refresh ended; one that failed says so twice, first with its error.
struct Ending {
    provider: ProviderId,
    error: Option<String>,
}

struct Endings(mpsc::UnboundedSender<Ending>);

impl RefreshObserver for Endings {
    fn refreshed(&self, provider: &ProviderId, _: RefreshResult) {
        // Nobody waits any more once the timeout is over.
        let _ = self.0.send(Ending { provider: provider.clone(), error: None });
    }

    fn failed(&self, provider: &ProviderId, error: &RefreshError) {
        let error = Some(Causes(error).to_string());
        let _ = self.0.send(Ending { provider: provider.clone(), error });
    }
}
