//! The administrator's area, as the service runs it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::counter;

use super::areas::AreaParts;
use crate::apps::AppHealth;
use crate::backend::app_health::KnownHealth;
use crate::backend::jwks_fetch::{ProviderKeys, RefreshObserver};
use crate::backend::jwks_source::RefreshResult;
use crate::http::admin::desk::{KeyState, KeyStatus, KnownProvider};
use crate::http::admin::pages::{AdminPages, PagePorts};
use crate::http::admin::{Admin, AdminDesk, DeskPorts, Gate, RecentDecisions};
use crate::token::{Freshness, KeySource as _};
use crate::types::{Clock, ProviderId, UnixTime};

/// Counts the refreshes of keys, and remembers how the last one of each provider ended.
pub(super) struct Refreshes {
    clock: Arc<dyn Clock>,
    last: Mutex<HashMap<ProviderId, (RefreshResult, UnixTime)>>,
}

impl Refreshes {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::default() }
    }
}

impl RefreshObserver for Refreshes {
    fn refreshed(&self, provider: &ProviderId, result: RefreshResult) {
        counter!(
            "tiergate_jwks_refresh_total",
            "provider" => provider.as_str().to_owned(),
            "result" => result.as_str()
        )
        .increment(1);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(provider.clone(), (result, self.clock.now()));
    }
}

/// The keys of the providers, as administrators see them.
struct Keys {
    keys: Arc<ProviderKeys>,
    refreshes: Arc<Refreshes>,
}

impl KeyStatus for Keys {
    fn of(&self, provider: &ProviderId) -> KeyState {
        let age = self.keys.ages().find(|(held, _, _)| *held == provider);
        let counts = |freshness: &Freshness| matches!(freshness, Freshness::Fresh | Freshness::Stale);
        let last = self.refreshes.last.lock().unwrap_or_else(PoisonError::into_inner).get(provider).copied();
        KeyState {
            ready: age.as_ref().is_some_and(|(_, freshness, _)| counts(freshness)),
            count: self.keys.key_set(provider).map_or(0, |keys| keys.usable()),
            age_seconds: age.and_then(|(_, _, age)| age).map(|age| age.as_secs()),
            last_refresh: last.map(|(result, at)| (result.as_str(), at)),
        }
    }
}

/// What the area is made of beside what all areas are.
pub(super) struct AdminParts {
    pub(super) decisions: Arc<RecentDecisions>,
    pub(super) health: Arc<KnownHealth>,
    pub(super) keys: Arc<ProviderKeys>,
    pub(super) refreshes: Arc<Refreshes>,
}

impl AreaParts<'_> {
    /// The area, where the policy has the tier of administrators.
    pub(super) fn admin(&self) -> Option<Admin> {
        let tier = self.config.admin.tier.clone()?;
        let AdminParts { decisions, health, keys, refreshes } = self.admin;
        let providers = self.config.identity_providers.iter().map(|provider| KnownProvider {
            id: provider.id().clone(),
            issuer: Arc::clone(&provider.tokens.issuer),
            login: provider.login.is_some(),
        });
        let keys = Keys { keys: Arc::clone(keys), refreshes: Arc::clone(refreshes) };
        let desk = AdminDesk::new(DeskPorts {
            checker: Arc::clone(self.checker),
            clock: Arc::clone(self.clock),
            directory: self.directory.map(Arc::clone),
            sessions: self.sessions.cloned(),
            health: Some(Arc::clone(health) as Arc<dyn AppHealth>),
            decisions: Arc::clone(decisions),
            keys: Arc::new(keys),
            providers: providers.collect(),
            tier: tier.clone(),
            instance: self.checker.draw_id().to_string(),
        });
        let gate = Gate::new(Arc::clone(self.checker), tier);
        let desk = Arc::new(desk);
        let managed = self.config.identity_providers.iter().filter(|provider| provider.management.is_some());
        let pages = AdminPages::new(PagePorts {
            desk: Arc::clone(&desk),
            checker: Arc::clone(self.checker),
            clock: Arc::clone(self.clock),
            base_path: self.config.base_path.clone(),
            managed: managed.map(|provider| provider.id().as_str().to_owned()).collect(),
        });
        let admin = Admin::new(gate, desk, &self.config.base_path).with_pages(Arc::new(pages));
        Some(match self.management_passage() {
            Some(passage) => admin.with_part("/idp", Arc::new(passage)),
            None => admin,
        })
    }
}
