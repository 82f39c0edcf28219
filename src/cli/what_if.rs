//! Asks the checker itself about a request that nobody sent.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::load::Loaded;
use crate::app;
use crate::check::{Checker, KeyRefresh, Ports, TokenCache};
use crate::config::Config;
use crate::policy::Required;
use crate::token::{KeySet, KeySource};
use crate::types::{
    CanonicalPath, Clock, Email, Host, Monotonic, NameSet, Principal, Protocol, ProviderId, Random, RequestView,
    UnixTime,
};

/// The request in question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    method: &'a str,
    host: Option<&'a str>,
    target: &'a str,
}

impl<'a> Question<'a> {
    /// Asks about a URL, or about a path on no host in particular.
    pub(super) fn new(method: &'a str, url: &'a str) -> anyhow::Result<Self> {
        let (host, target) = split(url)?;
        Ok(Self { method, host, target })
    }

    /// Whether the URL names a host.
    pub(super) fn has_host(&self) -> bool {
        self.host.is_some()
    }
}

/// What was decided, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Explanation {
    pub(super) method: String,
    pub(super) host: Option<String>,
    /// The canonical path; of a refused target the raw one.
    pub(super) path: String,
    pub(super) rule: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) requires: Option<Requires>,
    pub(super) caller: Option<CallerHas>,
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    /// The exact cause behind the reason.
    pub(super) cause: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Requires {
    pub(super) tiers: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) permissions: Vec<String>,
    /// Everything the rule asks for, in words.
    pub(super) all: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CallerHas {
    pub(super) subject: String,
    pub(super) provider: String,
    pub(super) tiers: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) groups: Vec<String>,
}

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
            sessions: None,
            directory: None,
        };
        Ok(Self { checker: Checker::new(app::snapshot(&loaded.config, &loaded.apps)?, TokenCache::new(0), ports) })
    }

    /// What is decided about the request of `caller`.
    pub(super) fn ask(&self, question: Question<'_>, caller: Option<Arc<Principal>>) -> Explanation {
        let Question { host, target, .. } = question;
        let request = RequestView {
            protocol: Protocol::Grpc,
            method: question.method,
            target: target.as_bytes(),
            host: host.map(str::as_bytes),
            headers: &[],
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        let record = self.checker.what_if(&request, caller.as_deref());
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let requires = self.requires(question);
        let names = |set: &NameSet| set.iter().map(str::to_owned).collect::<Vec<_>>();
        let caller = caller.map(|caller| CallerHas {
            subject: caller.subject.to_string(),
            provider: caller.provider.as_str().to_owned(),
            tiers: tiers.held_by(Some(&caller)).iter().map(|tier| tiers.name(tier).to_owned()).collect(),
            scopes: names(&caller.scopes),
            permissions: names(&caller.permissions),
            groups: names(&caller.groups),
        });
        Explanation {
            method: record.method,
            host: (!record.host.is_empty()).then_some(record.host),
            // Of a target without a path, the record has nothing to show.
            path: if record.path.is_empty() { target.to_owned() } else { record.path },
            rule: record.rule,
            tier: record.tier,
            requires,
            caller,
            decision: if record.allowed { "allow" } else { "deny" },
            reason: record.reason.as_str(),
            cause: record.cause,
        }
    }

    /// What the rule asks for, to be shown; it decides nothing.
    fn requires(&self, Question { method, host, target }: Question<'_>) -> Option<Requires> {
        let snapshot = self.checker.snapshot();
        let host = host.and_then(|host| Host::parse(host.as_bytes()).ok());
        let path = CanonicalPath::parse(target.as_bytes()).ok()?;
        let matched = snapshot.policy.find(host.as_ref(), &path, method)?;
        let Required { tiers, scopes, permissions, .. } = matched.required(snapshot.policy.tiers(), None);
        let all = matched.requirement(snapshot.policy.tiers()).to_string();
        Some(Requires { tiers, scopes, permissions, all })
    }
}

/// Who asks; what is not said is not held.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CallerNames {
    /// The `sub` at the provider.
    pub(super) subject: Option<String>,
    /// The id of a configured provider; the first one when absent.
    pub(super) provider: Option<String>,
    /// A verified e-mail address.
    pub(super) email: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) groups: Vec<String>,
}

impl CallerNames {
    /// The caller as the checker would know them.
    pub(super) fn principal(&self, config: &Config) -> anyhow::Result<Principal> {
        let providers = &config.identity_providers;
        let provider = match &self.provider {
            None => providers.first(),
            Some(id) => {
                let named = providers.iter().find(|provider| provider.id().as_str() == id);
                Some(named.with_context(|| format!("there is no identity provider `{id}`"))?)
            }
        };
        let set = |names: &[String]| names.iter().map(String::as_str).collect::<NameSet>();
        Ok(Principal {
            provider: provider.map_or_else(|| ProviderId::new("none"), |provider| provider.id().clone()),
            issuer: Arc::from(provider.map_or("", |provider| provider.issuer())),
            subject: Box::from(self.subject.as_deref().unwrap_or("somebody")),
            email: self.email.as_deref().map(|address| Email::new(address, true)),
            name: None,
            scopes: set(&self.scopes),
            permissions: set(&self.permissions),
            groups: set(&self.groups),
            claims: Arc::default(),
            tiers: crate::types::TierSource::default(),
            attributes: Arc::default(),
        })
    }
}

/// Host and target of an absolute URL or a path, not normalised.
fn split(url: &str) -> anyhow::Result<(Option<&str>, &str)> {
    if url.starts_with('/') {
        return Ok((None, url));
    }
    let (scheme, rest) = url.split_once("://").context("the URL must be absolute or start with `/`")?;
    if !matches!(scheme, "http" | "https") {
        bail!("the URL must start with `http://`, `https://` or `/`");
    }
    match rest.find(['/', '?', '#']) {
        Some(end) => Ok((rest.get(..end), rest.get(end..).unwrap_or_default())),
        None => Ok((Some(rest), "/")),
    }
}

/// The world of a question that needs none: no key, no time, no chance.
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

impl Random for Nothing {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}
