//! Envoy's routes and clusters as files that it watches.
//!
//! Envoy takes the two files apart from each other, and says to nobody when it
//! has. A route to a cluster that is not there is answered 503. So a change is
//! made in steps, with a wait between them:
//!
//! ```text
//! clusters: old and new ──SETTLE──▶ routes: new ──LINGER──▶ clusters: new
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use super::routes::{Target, Wanted};
use crate::backend::route_files;
use crate::routes::{ClusterNames, EnvoyResources};

/// From the rename of the clusters' file to the rename of the routes': Envoy
/// hears of a rename at once and takes a file of some clusters within
/// milliseconds. More clusters take longer to parse, see [`settle`].
const SETTLE: Duration = Duration::from_millis(250);
/// What 1000 clusters add to it, measured at 5000 on one busy core with room to spare.
const SETTLE_PER_THOUSAND: Duration = Duration::from_millis(100);
/// The wait where a new cluster is a name: until its first DNS answer it has no
/// address, and a request to it is answered 503.
const SETTLE_NAME: Duration = Duration::from_secs(1);
/// How long a cluster outlives the last route to it. A request keeps the route
/// that it began with, and waits up to 7 s for its check.
const LINGER: Duration = Duration::from_secs(15);

pub(super) struct EnvoyRoutes {
    dir: PathBuf,
    /// What the files say, once it is known.
    written: Option<Written>,
}

struct Written {
    routes: String,
    clusters: ClusterNames,
    /// When the clusters that no route needs may go.
    prune_at: Option<Instant>,
}

impl EnvoyRoutes {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, written: None }
    }

    async fn replace(&self, file: &'static str, text: String) -> anyhow::Result<()> {
        let path = self.dir.join(file);
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || route_files::replace(&path, &text)).await?;
        written.with_context(|| format!("`{shown}` (`routes.envoy.dir`) cannot be written"))
    }

    /// What an earlier run left: an Envoy that goes on running has its routes and needs its clusters.
    async fn left_behind(&self) -> Written {
        let read = |file: &str| {
            let path = self.dir.join(file);
            async move {
                let read = tokio::task::spawn_blocking(move || route_files::read(&path)).await;
                read.ok().and_then(Result::ok).flatten().unwrap_or_default()
            }
        };
        let routes = read(EnvoyResources::ROUTES_FILE).await;
        let clusters = ClusterNames::of_file(&read(EnvoyResources::CLUSTERS_FILE).await);
        Written { routes, clusters, prune_at: None }
    }
}

impl Target for EnvoyRoutes {
    const PROXY: &'static str = "envoy";

    async fn bring(&mut self, wanted: &Wanted) -> anyhow::Result<Option<Duration>> {
        let Wanted { settings, catalogue } = wanted.clone();
        let (resources, routes) = tokio::task::spawn_blocking(move || {
            let resources = EnvoyResources::of(&settings, &catalogue);
            let routes = resources.routes_file();
            (resources, routes)
        })
        .await?;
        let is_first = self.written.is_none();
        let mut written = match self.written.take() {
            Some(written) => written,
            None => self.left_behind().await,
        };
        let result = self.step(&mut written, &resources, routes, is_first).await;
        self.written = Some(written);
        result
    }
}

impl EnvoyRoutes {
    async fn step(
        &self,
        written: &mut Written,
        resources: &EnvoyResources,
        routes: String,
        is_first: bool,
    ) -> anyhow::Result<Option<Duration>> {
        let needed = resources.clusters();
        let clusters_file = |clusters: &ClusterNames| resources.clusters_file(clusters);
        if is_first || !written.clusters.contains(needed) {
            let both = written.clusters.with(needed);
            let grows = both.len() > written.clusters.len();
            let names = both.holds_name_beyond(&written.clusters);
            self.replace(EnvoyResources::CLUSTERS_FILE, clusters_file(&both)).await?;
            written.clusters = both;
            // Before anything was written, no Envoy can have read it.
            if grows && !written.routes.is_empty() {
                tokio::time::sleep(settle(written.clusters.len(), names)).await;
            }
        }
        if written.routes != routes {
            self.replace(EnvoyResources::ROUTES_FILE, routes.clone()).await?;
            written.routes = routes;
            written.prune_at = None;
            tracing::info!(clusters = needed.len(), "routes written for Envoy");
        }
        if written.clusters == *needed {
            written.prune_at = None;
            return Ok(None);
        }
        let now = now();
        let prune_at = *written.prune_at.get_or_insert_with(|| now.checked_add(LINGER).unwrap_or(now));
        if now < prune_at {
            return Ok(Some(prune_at.saturating_duration_since(now)));
        }
        self.replace(EnvoyResources::CLUSTERS_FILE, clusters_file(needed)).await?;
        written.clusters = needed.clone();
        written.prune_at = None;
        Ok(None)
    }
}

fn settle(clusters: usize, names: bool) -> Duration {
    let thousands = u32::try_from(clusters / 1000).unwrap_or(u32::MAX);
    let least = if names { SETTLE_NAME } else { SETTLE };
    least.saturating_add(SETTLE_PER_THOUSAND.saturating_mul(thousands))
}

#[expect(clippy::disallowed_methods, reason = "waits are measured on the clock that the runtime sleeps by")]
fn now() -> Instant {
    Instant::now()
}
