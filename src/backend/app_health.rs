//! Asks apps how they are, at the path that each of them names.
//!
//! Nothing of anybody's goes along: no cookie, no token. No redirect is
//! followed, no body is read, and nothing is decided by the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::{redirect, retry};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::causes::Causes;
use super::http_client::Names;
use super::system::jitter;
use crate::apps::{App, AppHealth, Catalogue, Health, Upstream};
use crate::types::{Clock, Monotonic, Random};

/// How long an app may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// How many apps are asked at once.
pub const AT_ONCE: usize = 16;
/// How often each app is asked.
const PERIOD: Duration = Duration::from_secs(15);
/// How far the times of the apps are spread.
const SPREAD: Duration = Duration::from_secs(4);
/// How long a new app waits until it is asked first.
const TICK: Duration = Duration::from_secs(1);

/// Asks.
#[derive(Debug, Clone)]
pub struct AppProbe(reqwest::Client);

impl AppProbe {
    /// Makes the client, with the certificate roots of the platform.
    ///
    /// # Errors
    /// When TLS or its roots cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .dns_resolver(Names)
            .timeout(LIMIT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("tiergate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(client))
    }

    /// The status of `GET url`, as soon as it is there.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn ask(&self, url: &str) -> Result<u16, String> {
        match self.0.get(url).send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) if error.is_timeout() => Err(too_late()),
            Err(error) => Err(Causes(&error.without_url()).to_string()),
        }
    }

    /// Whether something listens there.
    ///
    /// # Errors
    /// Why not, in words.
    pub async fn connect(&self, upstream: &Upstream) -> Result<(), String> {
        match timeout(LIMIT, TcpStream::connect((upstream.address(), upstream.port()))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(too_late()),
        }
    }
}

fn too_late() -> String {
    format!("not answered within {} s", LIMIT.as_secs())
}

/// Whether an answer with this status says that all is well.
#[must_use]
pub const fn is_well(status: u16) -> bool {
    matches!(status, 200..400)
}

/// The URL that an app answers while all is well.
#[must_use]
pub fn health_url(app: &App) -> Option<String> {
    app.health.as_ref().map(|path| format!("{}{path}", app.upstream))
}

/// What is known of the apps' health, by the URLs that are asked.
#[derive(Default)]
pub struct KnownHealth(ArcSwap<HashMap<String, Health>>);

impl AppHealth for KnownHealth {
    fn of(&self, app: &App) -> Health {
        let known = || self.0.load().get(&health_url(app)?).copied();
        known().unwrap_or(Health::Unknown)
    }
}

impl KnownHealth {
    /// How many apps are up, down and unknown.
    #[must_use]
    pub fn count(&self, catalogue: &Catalogue) -> [(Health, usize); 3] {
        let states: Vec<Health> = catalogue.apps().iter().map(|app| self.of(app)).collect();
        [Health::Up, Health::Down, Health::Unknown]
            .map(|health| (health, states.iter().filter(|state| **state == health).count()))
    }

    /// Asks every app of the live catalogue in its turn, for ever; `tell` is
    /// called after each round.
    pub async fn keep(
        &self,
        probe: &AppProbe,
        live: impl Fn() -> Arc<Catalogue>,
        clock: &dyn Clock,
        random: &dyn Random,
        tell: impl Fn(&Catalogue),
    ) {
        let mut due: HashMap<String, Monotonic> = HashMap::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let catalogue = live();
            let now = clock.monotonic();
            let urls: HashMap<String, Monotonic> = catalogue
                .apps()
                .iter()
                .filter_map(|app| health_url(app))
                .map(|url| {
                    let at = due.get(&url).copied().unwrap_or(now);
                    (url, at)
                })
                .collect();
            due = urls;
            let turn: Vec<String> = due.iter().filter(|(_, at)| **at <= now).map(|(url, _)| url.clone()).collect();
            let asked: Vec<(String, Health)> = stream::iter(turn)
                .map(|url| async move {
                    let health = if probe.ask(&url).await.is_ok_and(is_well) { Health::Up } else { Health::Down };
                    (url, health)
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let asked_at = clock.monotonic();
            let mut known: HashMap<String, Health> = HashMap::clone(&self.0.load());
            known.retain(|url, _| due.contains_key(url));
            for (url, health) in asked {
                let pause = PERIOD.saturating_sub(SPREAD / 2).saturating_add(jitter(random, SPREAD));
                due.insert(url.clone(), asked_at.plus(pause));
                known.insert(url, health);
            }
            self.0.store(Arc::new(known));
            tell(&catalogue);
        }
    }
}

#[cfg(test)]
#[path = "app_health_tests.rs"]
mod tests;
