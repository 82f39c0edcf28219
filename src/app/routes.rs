//! Keeps the routes of the proxies in step with the apps, in the background: a
//! check never waits for it.
//!
//! ```text
//! publish ──the latest of both wins──▶ one task a proxy ──▶ files, reload
//! ```

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::envoy_routes::EnvoyRoutes;
use super::nginx_routes::NginxRoutes;
use super::route_settings::route_settings;
use super::supervise::stopped;
use crate::apps::Catalogue;
use crate::config::Config;
use crate::routes::RouteSettings;

/// The first and the longest wait before something that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the files of routes are made from.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) settings: Arc<RouteSettings>,
    pub(super) catalogue: Arc<Catalogue>,
}

/// Hands each new catalogue to those who write the routes.
pub(super) struct RouteWriter(Option<watch::Sender<Wanted>>);

/// One proxy's routes.
pub(super) trait Target: Send + 'static {
    /// The proxy, as the metrics name it.
    const PROXY: &'static str;

    /// Brings the proxy nearer to what is wanted. Returns after how long there is
    /// more to do, when there is.
    fn bring(&mut self, wanted: &Wanted) -> impl Future<Output = anyhow::Result<Option<Duration>>> + Send;
}

impl RouteWriter {
    /// Writes the routes of the first catalogue, and keeps them up to date until
    /// the service stops. What cannot be written is logged, counted and tried
    /// again: people are let in and kept out all the same.
    ///
    /// # Errors
    /// When the config holds something that no proxy's config can.
    pub(super) async fn start(
        config: &Config,
        catalogue: &Arc<Catalogue>,
        tasks: &mut JoinSet<&'static str>,
        stopping: &watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        if config.routes.envoy.is_none() && config.routes.nginx.is_none() {
            return Ok(Self(None));
        }
        let settings = Arc::new(route_settings(config, None)?);
        let wanted = Wanted { settings, catalogue: Arc::clone(catalogue) };
        let (sender, receiver) = watch::channel(wanted.clone());
        if let Some(dir) = &config.routes.envoy {
            let mut target = EnvoyRoutes::new(dir.clone());
            let next = target.first(&wanted).await;
            tasks.spawn(keep(target, next, receiver.clone(), stopping.clone()));
        }
        if let Some(nginx) = &config.routes.nginx {
            let mut target = NginxRoutes::new(nginx.clone());
            let next = target.first(&wanted).await;
            tasks.spawn(keep(target, next, receiver, stopping.clone()));
        }
        Ok(Self(Some(sender)))
    }

    /// Has the routes of these apps written soon. Call it after the snapshot of
    /// the checks was swapped: what is routed is checked then.
    pub(super) fn publish(&self, config: &Config, catalogue: &Arc<Catalogue>) {
        let Some(sender) = &self.0 else { return };
        match route_settings(config, None) {
            Ok(settings) => {
                sender.send_replace(Wanted { settings: Arc::new(settings), catalogue: Arc::clone(catalogue) });
            }
            Err(error) => tracing::error!(%error, "the routes stay as they are"),
        }
    }
}

/// The first step of a target, before anything listens.
trait First: Target {
    fn first(&mut self, wanted: &Wanted) -> impl Future<Output = Option<Duration>> + Send;
}

impl<T: Target> First for T {
    async fn first(&mut self, wanted: &Wanted) -> Option<Duration> {
        tell(T::PROXY, self.bring(wanted).await).unwrap_or(Some(RETRY.0))
    }
}

async fn keep<T: Target>(
    mut target: T,
    mut next: Option<Duration>,
    mut wanted: watch::Receiver<Wanted>,
    stopping: watch::Receiver<bool>,
) -> &'static str {
    let mut stopped = Box::pin(stopped(stopping));
    let mut retry = RETRY.0;
    loop {
        // Without anything to do it waits for what is wanted next.
        let wait = next.unwrap_or(Duration::from_secs(u32::MAX.into()));
        tokio::select! {
            () = &mut stopped => return T::PROXY,
            changed = wanted.changed() => if changed.is_err() {
                stopped.await;
                return T::PROXY;
            },
            () = tokio::time::sleep(wait) => {}
        }
        let latest = wanted.borrow_and_update().clone();
        let brought = tokio::select! {
            () = &mut stopped => return T::PROXY,
            brought = target.bring(&latest) => brought,
        };
        next = match tell(T::PROXY, brought) {
            Ok(more) => {
                retry = RETRY.0;
                more
            }
            Err(()) => {
                let wait = retry;
                retry = retry.saturating_mul(2).min(RETRY.1);
                Some(wait)
            }
        };
    }
}

fn tell(proxy: &'static str, brought: anyhow::Result<Option<Duration>>) -> Result<Option<Duration>, ()> {
    let result = if brought.is_ok() { "ok" } else { "error" };
    counter!("tiergate_routes_written_total", "proxy" => proxy, "result" => result).increment(1);
    brought.map_err(|error| tracing::error!(proxy, error = format!("{error:#}"), "the routes could not be written"))
}
