//! What the service tells about itself: its log, the decision lines, metrics.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{Counter, Histogram, counter, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use super::decision_line::{self, decision};
use super::lines::Lines;
use crate::check::{CacheResult, DecisionLog, DecisionRecord};
use crate::config::{Log, LogFormat};
use crate::http::admin::RecentDecisions;
use crate::policy::Policy;
use crate::types::{Clock, Protocol, Reason};

/// How long the end of a log may take to be written when the service stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The service's own log, on stderr; what waits is written when it is dropped.
pub struct ServiceLog(Lines);

impl Drop for ServiceLog {
    fn drop(&mut self) {
        self.0.drain(DRAIN);
    }
}

/// Starts the service's own log. Of libraries it holds warnings only: at finer
/// levels some write down what passes through them, tokens and cookies too, and
/// strangers could fill the log with what the HTTP libraries say of each faulty
/// peer.
///
/// # Errors
/// When its writer cannot be started.
pub fn init_tracing(log: Log) -> io::Result<ServiceLog> {
    let lines = Lines::start("service-log", io::stderr(), Counter::noop())?;
    let level = log.level.as_str();
    let libraries = if level == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{libraries},tiergate={level},h2=error,hyper=error,hyper_util=error"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone()).with_target(false);
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    // A second start in one process, as in tests, keeps the first log.
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    Ok(ServiceLog(lines))
}

/// Installs the metrics of the process; what is measured from then on is shown.
pub(super) fn install_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    const BOUNDS: [f64; 11] =
        [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("tiergate_check_duration_seconds".to_owned()), &BOUNDS)?
        .install_recorder()
}

/// Writes down decisions: a line for each, and the metrics.
///
/// Every label comes from a closed set, so each series is looked up once.
pub(super) struct Decisions {
    lines: Lines,
    clock: Arc<dyn Clock>,
    series: ArcSwap<Series>,
    durations: Vec<Histogram>,
    cache: [Counter; 4],
}

/// The series of `tiergate_decisions_total`.
struct Series {
    /// Every tier that was declared since the start: a check that began before a
    /// change of the tiers is counted with the tier that it was decided by.
    tiers: Vec<String>,
    counters: Vec<OnceLock<Counter>>,
}

impl Series {
    fn new(tiers: Vec<String>) -> Self {
        let count = Protocol::ALL.len() * Reason::ALL.len() * (tiers.len() + 1);
        Self { tiers, counters: (0..count).map(|_| OnceLock::new()).collect() }
    }
}

impl Decisions {
    /// Starts the writer of decision lines, to stdout; `recent` keeps the last ones.
    pub(super) fn start(clock: Arc<dyn Clock>, recent: Arc<RecentDecisions>) -> io::Result<Self> {
        let dropped = counter!("tiergate_decision_lines_dropped_total");
        let lines =
            Lines::start_with("decision-log", io::stdout(), dropped, move |lines, count| recent.push(lines, count))?;
        let durations = Protocol::ALL
            .map(|protocol| histogram!("tiergate_check_duration_seconds", "protocol" => protocol.as_str()))
            .to_vec();
        let cache = ["hit", "miss", "rejected", "unseen"]
            .map(|result| counter!("tiergate_token_cache_total", "result" => result));
        let series = ArcSwap::from_pointee(Series::new(Vec::new()));
        Ok(Self { lines, clock, series, durations, cache })
    }

    /// Counts by the tiers of this policy, too; to be called before it decides.
    pub(super) fn follow(&self, policy: &Policy) {
        let mut tiers = self.series.load().tiers.clone();
        let declared = policy.tiers();
        let new: Vec<String> = declared
            .iter()
            .map(|tier| declared.name(tier))
            .filter(|name| !tiers.iter().any(|held| held == name))
            .map(str::to_owned)
            .collect();
        if !new.is_empty() {
            tiers.extend(new);
            self.series.store(Arc::new(Series::new(tiers)));
        }
    }

    fn count(&self, record: &DecisionRecord, took: Duration) {
        let protocol = Protocol::ALL.iter().position(|protocol| *protocol == record.protocol).unwrap_or_default();
        let reason = Reason::ALL.iter().position(|reason| *reason == record.reason).unwrap_or_default();
        let series = self.series.load();
        let named = record.tier().and_then(|tier| series.tiers.iter().position(|held| held == tier));
        let tier = named.map_or(0, |position| position + 1);
        let index = (protocol * Reason::ALL.len() + reason) * (series.tiers.len() + 1) + tier;
        if let Some(counter) = series.counters.get(index) {
            let counter = counter.get_or_init(|| {
                counter!(
                    "tiergate_decisions_total",
                    "protocol" => record.protocol.as_str(),
                    "decision" => decision(record),
                    "reason" => record.reason.as_str(),
                    "tier" => named.and_then(|position| series.tiers.get(position)).cloned().unwrap_or_default()
                )
            });
            counter.increment(1);
        }
        if let Some(duration) = self.durations.get(protocol) {
            duration.record(took.as_secs_f64());
        }
        if let Some(cache) = record.token {
            let [hit, miss, rejected, unseen] = &self.cache;
            match cache {
                CacheResult::Hit => hit,
                CacheResult::Miss => miss,
                CacheResult::Rejected => rejected,
                CacheResult::Unseen => unseen,
            }
            .increment(1);
        }
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        self.lines.drain(DRAIN);
    }
}

impl DecisionLog for Decisions {
    fn record(&self, record: &DecisionRecord, took: Duration) {
        self.count(record, took);
        decision_line::with(record, self.clock.now(), took, |line| self.lines.send(line));
    }
}
