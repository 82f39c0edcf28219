//! Asks the checker itself about a request that nobody sent.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::load::Loaded;
use crate::app;
use crate::check::{CallerNames, Checker, Explanation, KeyRefresh, Ports, Question, TokenCache};
use crate::config::Config;
use crate::token::{KeySet, KeySource};
use crate::types::{Clock, Monotonic, Principal, ProviderId, Random, Tasks, UnixTime};

/// Asks one config about many requests.
pub(super) struct WhatIf {
    checker: Checker,
}

impl WhatIf {
    pub(super) fn new(loaded: &Loaded) -> anyhow::Result<Self> {
        let ports = Ports {
            keys: Arc::new(Nothing),
            refresh: Arc::new(Nothing),
            clock: Arc::new(Nothing),
            random: Arc::new(Nothing),
            tasks: Arc::new(Nothing),
            sessions: None,
            directory: None,
            access_tokens: false,
            opaque_tokens: None,
        };
        Ok(Self { checker: Checker::new(app::snapshot(&loaded.config, &loaded.apps)?, TokenCache::new(0), ports) })
    }

    /// What is decided about the request of `caller`.
    pub(super) fn ask(&self, question: Question<'_>, caller: Option<&Principal>) -> Explanation {
        self.checker.explain(question, caller)
    }
}

/// The caller of these names under a config.
pub(super) fn principal(names: &CallerNames, config: &Config) -> anyhow::Result<Principal> {
    let providers = config.identity_providers.iter();
    let providers: Vec<_> =
        providers.map(|provider| (provider.id().clone(), Arc::clone(&provider.tokens.issuer))).collect();
    Ok(names.principal(&providers)?)
}

/// The world of a question that needs none: no key, no time, no chance, nothing to wait for.
struct Nothing;

impl KeySource for Nothing {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        None
    }
}

impl KeyRefresh for Nothing {
    fn refresh<'a>(&'a self, _: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

impl Clock for Nothing {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

impl Tasks for Nothing {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

impl Random for Nothing {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
