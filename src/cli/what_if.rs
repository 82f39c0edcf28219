//! Asks the checker itself about a request that nobody sent.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::app;
use crate::check::{Checker, KeyRefresh, Ports, TokenCache};
use crate::config::Config;
use crate::policy::Required;
use crate::token::{KeySet, KeySource};
use crate::types::{
    CanonicalPath, Clock, Host, Monotonic, NameSet, Principal, Protocol, ProviderId, Random, RequestView, UnixTime,
};

/// The request in question, as a URL or a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
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
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let ports = Ports {
            keys: Arc::new(Nothing),
            refresh: Arc::new(Nothing),
            clock: Arc::new(Nothing),
            random: Arc::new(Nothing),
        };
        Ok(Self { checker: Checker::new(app::snapshot(config)?, TokenCache::new(0), ports) })
    }

    /// What is decided about the request of `caller`.
    pub(super) fn ask(&self, question: Question<'_>, caller: Option<Arc<Principal>>) -> anyhow::Result<Explanation> {
        let (host, target) = split(question.url)?;
        let request = RequestView {
            protocol: Protocol::Grpc,
            method: question.method,
            target: target.as_bytes(),
            host: host.map(str::as_bytes),
            headers: &[],
            route_tier: None,
            request_id: None,
        };
        let record = self.checker.what_if(&request, caller.as_deref());
        let snapshot = self.checker.snapshot();
        let tiers = snapshot.policy.tiers();
        let requires = self.required(question.method, host, target).map(|required| Requires {
            tiers: required.tiers,
            scopes: required.scopes,
            permissions: required.permissions,
        });
        let names = |set: &NameSet| set.iter().map(str::to_owned).collect::<Vec<_>>();
        let caller = caller.map(|caller| CallerHas {
            subject: caller.subject.to_string(),
            provider: caller.provider.as_str().to_owned(),
            tiers: tiers.held_by(Some(&caller)).iter().map(|tier| tiers.name(tier).to_owned()).collect(),
            scopes: names(&caller.scopes),
            permissions: names(&caller.permissions),
            groups: names(&caller.groups),
        });
        Ok(Explanation {
            method: record.method,
            host: (!record.host.is_empty()).then_some(record.host),
            path: record.path,
            rule: record.rule,
            tier: record.tier,
            requires,
            caller,
            decision: if record.allowed { "allow" } else { "deny" },
            reason: record.reason.as_str(),
            cause: record.cause,
        })
    }

    /// What the rule asks for, to be shown; it decides nothing.
    fn required(&self, method: &str, host: Option<&str>, target: &str) -> Option<Required> {
        let snapshot = self.checker.snapshot();
        let host = host.and_then(|host| Host::parse(host.as_bytes()).ok());
        let path = CanonicalPath::parse(target.as_bytes()).ok()?;
        let matched = snapshot.policy.find(host.as_ref(), &path, method)?;
        Some(matched.required(snapshot.policy.tiers(), None))
    }
}

/// A caller with these names, of the first configured provider.
pub(super) fn caller(config: &Config, scopes: &[String], permissions: &[String], groups: &[String]) -> Principal {
    let provider = config.identity_providers.first();
    let set = |names: &[String]| names.iter().map(String::as_str).collect::<NameSet>();
    Principal {
        provider: provider.map_or_else(|| ProviderId::new("none"), |provider| provider.id().clone()),
        issuer: Arc::from(provider.map_or("", |provider| provider.issuer())),
        subject: Box::from("somebody"),
        email: None,
        name: None,
        scopes: set(scopes),
        permissions: set(permissions),
        groups: set(groups),
        claims: Arc::default(),
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
