//! The health of the apps: asked all the time by the service, once by a command.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream;
use metrics::gauge;
use tokio::sync::watch;

use super::supervise::stopped;
use crate::apps::App;
use crate::backend::app_health::{AT_ONCE, AppProbe, KnownHealth, health_url, is_well};
use crate::check::Checker;
use crate::types::{Clock, Random};

/// Whether an app can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Why nothing listens at its upstream, if so.
    pub upstream: Result<(), String>,
    /// What its health path answered, where it names one and something listens:
    /// the status, or why there is none.
    pub health: Option<Result<u16, String>>,
}

impl Reach {
    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.upstream.is_ok()
            && self.health.as_ref().is_none_or(|health| health.as_ref().is_ok_and(|status| is_well(*status)))
    }
}

/// Asks each app once whether it can be reached.
///
/// # Errors
/// When nothing can be asked at all: no runtime, no TLS roots.
pub fn reach(apps: &[Arc<App>]) -> anyhow::Result<Vec<Reach>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    let probe = &AppProbe::new().context("apps cannot be asked")?;
    Ok(runtime.block_on(async {
        let asked = apps.iter().map(async |app| {
            let upstream = probe.connect(&app.upstream).await;
            let health = match (health_url(app), &upstream) {
                (Some(url), Ok(())) => Some(probe.ask(&url).await),
                (Some(_) | None, _) => None,
            };
            Reach { upstream, health }
        });
        stream::iter(asked).buffered(AT_ONCE).collect().await
    }))
}

/// Keeps asking on a thread of its own, until the service stops.
pub(super) struct HealthKeeper {
    pub(super) known: Arc<KnownHealth>,
    pub(super) checker: Arc<Checker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl HealthKeeper {
    /// Runs until the service stops; trouble at the start costs the apps' health
    /// only, by which nothing is decided.
    pub(super) fn run(self, stopping: watch::Receiver<bool>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let probe = AppProbe::new();
        let (runtime, probe) = match (runtime, probe) {
            (Ok(runtime), Ok(probe)) => (runtime, probe),
            (Err(error), _) => return tracing::warn!(%error, "the health of apps stays unknown"),
            (_, Err(error)) => return tracing::warn!(%error, "the health of apps stays unknown"),
        };
        runtime.block_on(async {
            let live = || Arc::clone(&self.checker.snapshot().catalogue);
            let keep = self.known.keep(&probe, live, self.clock.as_ref(), self.random.as_ref(), |catalogue| {
                for (health, count) in self.known.count(catalogue) {
                    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                    gauge!("tiergate_app_health", "state" => health.as_str()).set(count);
                }
            });
            tokio::select! {
                () = keep => {}
                () = stopped(stopping) => {}
            }
        });
    }
}
