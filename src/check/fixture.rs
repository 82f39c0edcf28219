//! A checker for tests: no clock, no keys, a small policy.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::{CheckService, Checker, DecisionLog, DecisionRecord, HeaderProfile, IdentityHeaders, KeyRefresh, Ports};
use super::{Snapshot, TokenCache};
use crate::policy::Policy;
use crate::policy::document::PolicyDocument;
use crate::token::{Issuers, KeySet, KeySource};
use crate::types::{Clock, Monotonic, NameSet, Principal, ProviderId, Random, UnixTime};

pub(crate) fn snapshot() -> Snapshot {
    let document = PolicyDocument {
        tiers: serde_json::from_value(json!({
            "public": { "grant": "anyone" },
            "stable": { "grant": "authenticated" },
            "devel": { "grant": { "scopes": ["access:devel"] }, "includes": ["stable"] }
        }))
        .expect("tiers"),
        rules: serde_json::from_value(json!([
            { "path": "/apps/{tier}/**", "tier": "{tier}", "cors": { "origins": ["https://app.example.com"] } },
            { "path": "/public/**", "tier": "public" },
            { "path": "/ws/**", "tier": "devel", "token_from": ["header", "query", "websocket_protocol"] },
            { "path": "/open-ws/**", "tier": "public", "token_from": ["header", "query", "websocket_protocol"] },
            { "path": "/slash/**", "tier": "public", "encoded": ["slash"] },
            { "path": "/slash/admin/**", "tier": "devel" },
            { "path": "/post", "methods": ["POST"], "permissions": ["post:x"] }
        ]))
        .expect("rules"),
    };
    Snapshot {
        policy: Policy::compile(&document, &["main"]).expect("policy"),
        issuers: Issuers::default(),
        identity: IdentityHeaders::new(
            &[HeaderProfile::XAuth, HeaderProfile::RemoteUser],
            &[],
            &["X-Forwarded-User".to_owned()],
        ),
        errors: None,
        assertion: None,
        base_path: "/_auth".to_owned(),
        login: None,
    }
}

pub(crate) fn checker() -> Checker {
    checker_in(World::default())
}

fn checker_in(world: World) -> Checker {
    let world = Arc::new(world);
    let ports =
        Ports { keys: world.clone(), refresh: world.clone(), clock: world.clone(), random: world, sessions: None };
    Checker::new(snapshot(), TokenCache::new(10), ports)
}

pub(crate) fn service() -> (CheckService, Arc<Written>) {
    service_in(World::default())
}

/// A service in which every look at a token panics.
pub(crate) fn panicking_service() -> (CheckService, Arc<Written>) {
    service_in(World { broken: true, ..World::default() })
}

fn service_in(world: World) -> (CheckService, Arc<Written>) {
    let written = Arc::new(Written::default());
    let checker = Arc::new(checker_in(world));
    (CheckService::new(checker, written.clone(), Arc::new(World::default())), written)
}

pub(crate) fn caller(scopes: &str) -> Arc<Principal> {
    Arc::new(Principal {
        provider: ProviderId::new("main"),
        issuer: Arc::from("https://idp.example.com/"),
        subject: Box::from("u-1"),
        email: None,
        name: Some(Box::from("Zoë")),
        scopes: scopes.split(' ').filter(|scope| !scope.is_empty()).collect(),
        permissions: NameSet::default(),
        groups: NameSet::default(),
        claims: Arc::default(),
    })
}

/// Keeps what is written down.
#[derive(Default)]
pub(crate) struct Written(Mutex<Vec<DecisionRecord>>);

impl Written {
    pub(crate) fn last(&self) -> DecisionRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().expect("a decision was written").clone()
    }
}

impl DecisionLog for Written {
    fn record(&self, record: &DecisionRecord, _: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
    }
}

#[derive(Default)]
struct World {
    drawn: Mutex<u8>,
    broken: bool,
}

impl KeySource for World {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        None
    }
}

impl KeyRefresh for World {
    fn refresh<'a>(&'a self, _: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

impl Clock for World {
    fn now(&self) -> UnixTime {
        assert!(!self.broken, "the clock is broken");
        UnixTime::from_secs(1_800_000_000)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

impl Random for World {
    fn fill(&self, out: &mut [u8]) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        *drawn = drawn.wrapping_add(1);
        out.fill(*drawn);
    }
}
