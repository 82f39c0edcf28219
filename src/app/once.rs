//! What a command needs once: the clock, and every provider's keys.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::build;
use crate::backend::http_client::HttpClient;
use crate::backend::jwks_fetch::{JwksWorld, ProviderKeys, RefreshObserver};
use crate::backend::jwks_source::RefreshResult;
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config::Config;
use crate::token::KeySource;
use crate::types::{Clock, ProviderId, UnixTime};

/// The wall clock.
#[must_use]
pub fn now() -> UnixTime {
    SystemClock::new().now()
}

/// Asks every provider for its keys once, and waits at most `timeout`. What
/// went wrong with one is in the log; its keys are missing then.
///
/// # Errors
/// When nothing can be fetched at all: no runtime, no TLS roots.
pub fn fetch_keys(config: &Config, timeout: Duration) -> anyhow::Result<Arc<dyn KeySource>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    let (ended, mut endings) = mpsc::unbounded_channel();
    let world = JwksWorld {
        client: HttpClient::new()?,
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        observer: Arc::new(Endings(ended)),
    };
    let (keys, fetchers) = ProviderKeys::open(build::key_settings(config)?, &world);
    runtime.block_on(async {
        let mut waiting = fetchers.len();
        let mut tasks = JoinSet::new();
        for fetcher in fetchers {
            tasks.spawn(fetcher.run(std::future::pending()));
        }
        let all = async {
            while waiting > 0 && endings.recv().await.is_some() {
                waiting = waiting.saturating_sub(1);
            }
        };
        // Past the timeout the keys that came are used.
        let _ = tokio::time::timeout(timeout, all).await;
    });
    Ok(keys)
}

struct Endings(mpsc::UnboundedSender<()>);

impl RefreshObserver for Endings {
    fn refreshed(&self, _: &ProviderId, _: RefreshResult) {
        // Nobody waits any more once the timeout is over.
        let _ = self.0.send(());
    }
}
