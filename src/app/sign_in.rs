//! The parts of the service that sign people in: the session store, the relying
//! party, and the sessions as checks and pages see them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use metrics::counter;

use super::background::Background;
use super::build;
use super::counted_store::CountedStore;
use super::stores;
use crate::backend::http_client::HttpClient;
use crate::config::Config;
use crate::directory::Directory;
use crate::http::pages::SigningIn;
use crate::oidc::{LivePorts, LiveSessions, RefreshWatch, Refreshed, RelyingParty, RelyingPartyPorts};
use crate::session::{Lifetimes, Session, SessionPorts, SessionStore, Sessions};
use crate::token::{KeyRefresh, KeySource};
use crate::types::{Clock, Random};

/// What signing in needs of the rest of the service.
pub(super) struct World {
    pub(super) http: HttpClient,
    pub(super) keys: Arc<dyn KeySource>,
    pub(super) key_refresh: Arc<dyn KeyRefresh>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) background: Background,
    /// The people, told of each sign-in.
    pub(super) directory: Option<Arc<Directory>>,
}

/// Everything that signs people in.
pub(super) struct SignIn {
    pub(super) relying_party: Arc<RelyingParty>,
    pub(super) sessions: Sessions,
    pub(super) live: Arc<LiveSessions>,
    pub(super) store: Arc<dyn SessionStore>,
    /// Whether the store answered when it was last asked.
    pub(super) store_works: Arc<AtomicBool>,
    /// Scheme, host and port that browsers see.
    pub(super) public_origin: String,
}

impl SignIn {
    /// The parts that the config asks for; none where no provider has a `login`.
    ///
    /// # Errors
    /// When the store cannot be opened, or clients and issuers do not fit, which a
    /// valid config excludes.
    pub(super) async fn open(config: &Config, world: World) -> anyhow::Result<Option<Self>> {
        let clients = build::clients(config);
        let (Some(settings), Some(public_url)) = (&config.sessions, &config.public_url) else { return Ok(None) };
        if clients.is_empty() {
            return Ok(None);
        }
        let World { http, keys, key_refresh, clock, random, background, directory } = world;
        let opened = stores::open(settings, &clock, &random).await.context("the session store cannot be opened")?;
        let store: Arc<dyn SessionStore> = Arc::new(CountedStore::new(opened.store));
        let ports = SessionPorts { store: Arc::clone(&store), random: Arc::clone(&random), clock: Arc::clone(&clock) };
        let lifetimes = Lifetimes { idle: settings.idle_timeout, absolute: settings.lifetime };
        let sessions = Sessions::new(ports, opened.seals, lifetimes);
        let tasks = Arc::new(background);
        let ports = RelyingPartyPorts {
            http: Arc::new(http),
            keys,
            key_refresh,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            tasks: tasks.clone(),
            directory,
        };
        let issuers = Arc::new(build::issuers(config)?);
        let public_origin = public_url.origin().to_owned();
        let relying_party =
            RelyingParty::new(clients, issuers, sessions.clone(), ports, &public_origin, &config.base_path)?;
        let relying_party = Arc::new(relying_party);
        let ports = LivePorts { vouch: relying_party.clone(), clock, random, tasks, watch: Arc::new(CountRefreshes) };
        let live = Arc::new(LiveSessions::new(sessions.clone(), ports));
        Ok(Some(Self {
            relying_party,
            sessions,
            live,
            store,
            store_works: Arc::new(AtomicBool::new(false)),
            public_origin,
        }))
    }

    /// What the pages need of it.
    pub(super) fn of_pages(&self) -> SigningIn {
        SigningIn {
            relying_party: Arc::<RelyingParty>::clone(&self.relying_party),
            source: Arc::<LiveSessions>::clone(&self.live),
            sessions: self.sessions.clone(),
            public_origin: self.public_origin.clone(),
        }
    }
}

struct CountRefreshes;

impl RefreshWatch for CountRefreshes {
    fn refreshed(&self, session: &Session, result: Refreshed) {
        let provider = session.provider.as_str().to_owned();
        counter!("tiergate_session_refresh_total", "provider" => provider.clone(), "result" => result.as_str())
            .increment(1);
        match result {
            Refreshed::Renewed => tracing::debug!(provider, "session refreshed"),
            Refreshed::Ended => tracing::info!(provider, "the provider ended the grant of a session"),
            Refreshed::Passing => tracing::warn!(provider, "a session could not be refreshed, it goes on"),
            Refreshed::Lost => {
                tracing::error!(provider, "new tokens could not be stored: the session ends at its next refresh");
            }
        }
    }
}
