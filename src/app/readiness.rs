//! Whether the service can do its work, as operators and proxies ask: readiness,
//! the gRPC health service, metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tonic_health::ServingStatus;

use super::supervise::stopped;
use crate::backend::jwks_fetch::ProviderKeys;
use crate::check::Checker;
use crate::directory::Directory;
use crate::http::{Readiness, Status};
use crate::token::Freshness;

/// How often readiness is told to the gRPC health service.
const HEALTH_PERIOD: Duration = Duration::from_millis(250);
/// How often measured samples are folded into their buckets.
const METRICS_PERIOD: Duration = Duration::from_secs(2);
/// The gRPC service whose health is told besides that of the whole process.
const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

/// What the admin listener shows.
pub(super) struct Operator {
    pub(super) keys: Arc<ProviderKeys>,
    pub(super) metrics: PrometheusHandle,
    /// Whose policy is told.
    pub(super) checker: Arc<Checker>,
    /// Whether the session store answered when it was last asked.
    pub(super) store: Option<Arc<AtomicBool>>,
    /// The user directory.
    pub(super) directory: Option<Arc<Directory>>,
}

impl Readiness for Operator {
    fn status(&self) -> Status {
        let providers = providers(&self.keys);
        let session_store = self.store.as_ref().map(|works| works.load(Ordering::Relaxed));
        // A load balancer should send people with browsers to an instance that
        // can open their sessions. Envoy's own health checks ask by gRPC, where
        // a store that is down takes nothing from bearer tokens.
        let directory = self.directory.as_ref().map(|directory| directory.is_current());
        // What is known of people counts for a while without the database: an
        // instance that knows them is better than none.
        let ready = can_decide(&providers) && session_store != Some(false) && directory != Some(false);
        Status { ready, providers, session_store, directory }
    }

    fn metrics(&self) -> String {
        for (provider, _, age) in self.keys.ages() {
            if let Some(age) = age {
                gauge!("tiergate_jwks_age_seconds", "provider" => provider.as_str().to_owned()).set(age.as_secs_f64());
            }
        }
        // A recorder keeps every series it ever showed: this one is written here,
        // so that the hash of a policy goes when the policy goes.
        let snapshot = self.checker.snapshot();
        let hash = snapshot.policy.fingerprint();
        let info = format!("# TYPE tiergate_policy_info gauge\ntiergate_policy_info{{hash=\"{hash}\"}} 1\n");
        self.metrics.render() + &info
    }
}

/// The providers, and whether their keys can be used.
fn providers(keys: &ProviderKeys) -> Vec<(String, bool)> {
    let mut providers: Vec<(String, bool)> =
        keys.ages().map(|(provider, freshness, _)| (provider.as_str().to_owned(), is_usable(freshness))).collect();
    providers.sort();
    providers
}

/// One provider with keys is enough to decide about its tokens; that another
/// one is down must not take the service away from everybody.
fn can_decide(providers: &[(String, bool)]) -> bool {
    providers.is_empty() || providers.iter().any(|(_, usable)| *usable)
}

const fn is_usable(freshness: Freshness) -> bool {
    match freshness {
        Freshness::Fresh | Freshness::Stale => true,
        Freshness::NeverLoaded | Freshness::TooOld => false,
    }
}

/// Folds measured samples into their buckets; without it they would pile up
/// between two looks at the metrics.
pub(super) async fn keep_metrics(metrics: PrometheusHandle, stopping: watch::Receiver<bool>) -> &'static str {
    let mut stopped = Box::pin(stopped(stopping));
    let mut period = tokio::time::interval(METRICS_PERIOD);
    loop {
        tokio::select! {
            () = &mut stopped => return "metrics",
            _ = period.tick() => metrics.run_upkeep(),
        }
    }
}

/// Tells the gRPC health service whether checks can be decided.
pub(super) async fn tell_health(
    health: tonic_health::server::HealthReporter,
    keys: Arc<ProviderKeys>,
    stopping: watch::Receiver<bool>,
) -> &'static str {
    let mut stopped = Box::pin(stopped(stopping));
    let mut period = tokio::time::interval(HEALTH_PERIOD);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            _ = period.tick() => {}
        }
        let status = if can_decide(&providers(&keys)) { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", AUTHORIZATION] {
            health.set_service_status(service, status).await;
        }
    }
    for service in ["", AUTHORIZATION] {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    "health reporter"
}
