//! A checker for tests: no clock, no keys, a small policy.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::{
    CheckService, Checker, DecisionLog, DecisionRecord, HeaderProfile, IdentityHeaders, KeyRefresh, LoginPlace,
};
use super::{OwnPages, Page, PageRequest, Ports, Snapshot, TokenCache};
use crate::directory::Directory;
use crate::directory::fixture::{GuardedStore, Replicas, TestWorld};
use crate::policy::Policy;
use crate::policy::document::PolicyDocument;
use crate::session::fixture::TestTasks;
use crate::session::{LiveSession, NoSession, SESSION_COOKIE, SessionId, SessionKey, SessionSource, SetCookie};
use crate::token::{ClaimPath, Issuers, KeySet, KeySource};
use crate::types::{Clock, Monotonic, NameSet, Principal, ProviderId, Random, UnixTime};

pub(crate) fn snapshot() -> Snapshot {
    snapshot_with(json!([]))
}

/// With further rules.
pub(crate) fn snapshot_with(more: serde_json::Value) -> Snapshot {
    let mut document = PolicyDocument {
        tiers: serde_json::from_value(json!({
            "public": { "grant": "anyone" },
            "stable": { "grant": "authenticated" },
            "devel": { "grant": { "scopes": ["access:devel"] }, "includes": ["stable"] },
            "boss": { "grant": { "scopes": ["access:boss"] }, "includes": ["devel"] }
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
    document.rules.extend(serde_json::from_value::<Vec<_>>(more).expect("rules"));
    Snapshot {
        policy: Arc::new(Policy::compile(&document, &["main"]).expect("policy")),
        catalogue: Arc::default(),
        earlier: Vec::new(),
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
        ui: Arc::default(),
        show_locked: false,
    }
}

pub(crate) fn checker() -> Checker {
    checker_in(World::default())
}

fn checker_in(world: World) -> Checker {
    Checker::new(snapshot(), TokenCache::new(10), ports(world, None))
}

/// A checker under a snapshot, with other ports than the usual ones.
pub(crate) fn checker_with(snapshot: Snapshot, change: impl FnOnce(Ports) -> Ports) -> Checker {
    Checker::new(snapshot, TokenCache::new(10), change(ports(World::default(), None)))
}

fn ports(world: World, sessions: Option<Arc<dyn SessionSource>>) -> Ports {
    let world = Arc::new(world);
    Ports {
        keys: world.clone(),
        refresh: world.clone(),
        clock: world.clone(),
        random: world,
        tasks: Arc::new(TestTasks),
        sessions,
        directory: None,
        access_tokens: false,
        opaque_tokens: None,
    }
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

/// A service behind `https://gate.example.com` where browsers sign in.
pub(crate) fn browser_service() -> (CheckService, Arc<Written>, Arc<FakeSessions>) {
    let written = Arc::new(Written::default());
    let sessions = Arc::new(FakeSessions::default());
    let hosted = json!([{ "host": "api.example.com", "path": "/hosted/**", "tier": "devel" }]);
    let login = LoginPlace::new("https://gate.example.com", "/_auth");
    let snapshot = Snapshot { login, ..snapshot_with(hosted) };
    let checker = Checker::new(snapshot, TokenCache::new(10), ports(World::default(), Some(sessions.clone())));
    let service = CheckService::new(Arc::new(checker), written.clone(), Arc::new(World::default()));
    (service.with_pages(Arc::new(FakePages)), written, sessions)
}

/// A service with a user directory, where `/_auth/admin` asks for the tier
/// `boss` and the group `audit` opens `/audit`.
pub(crate) struct DirectoryStage {
    pub(crate) service: CheckService,
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<GuardedStore>,
    world: Arc<TestWorld>,
}

impl DirectoryStage {
    pub(crate) fn now(&self) -> UnixTime {
        self.world.now()
    }

    pub(crate) fn pass(&self, secs: u64) {
        self.world.pass(Duration::from_secs(secs));
    }
}

pub(crate) async fn directory_stage() -> DirectoryStage {
    let Replicas { store, world } = Replicas::default();
    let directory = Replicas { store: store.clone(), world: world.clone() }.start();
    directory.follow().await.expect("the store answers");
    let mut snapshot = snapshot_with(json!([{ "path": "/audit/**", "groups": ["audit"] }]));
    snapshot.login = LoginPlace::new("https://gate.example.com", "/_auth");
    let claims = [("X-Auth-Plan".to_owned(), ClaimPath::parse("/directory/plan").expect("a pointer"))];
    snapshot.identity = IdentityHeaders::new(&[HeaderProfile::XAuth], &claims, &[]);
    let ports = ports(World::default(), Some(Arc::new(FakeSessions::default())));
    let ports = Ports { clock: world.clone(), directory: Some(directory.clone()), ..ports };
    let checker = Arc::new(Checker::new(snapshot, TokenCache::new(10), ports));
    let service = CheckService::new(checker, Arc::new(Written::default()), Arc::new(World::default()));
    DirectoryStage { service: service.with_pages(Arc::new(FakePages)), directory, store, world }
}

/// A session cookie of the right form; the word says what becomes of it.
pub(crate) fn session_cookie(word: &str) -> String {
    format!("{SESSION_COOKIE}={word:A<43}")
}

/// Opens `live`, and `renewed` with a new cookie; `broken`, `expired` and `down`
/// fail as they say, and there is no other.
#[derive(Default)]
pub(crate) struct FakeSessions(AtomicUsize);

impl FakeSessions {
    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl SessionSource for FakeSessions {
    fn find<'a>(
        &'a self,
        id: &'a SessionId,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<LiveSession>, NoSession>> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let written = id.written();
        let word = written.expose().trim_end_matches('A');
        let live = |set_cookie| {
            let ends_at = UnixTime::from_secs(1_800_040_000);
            Ok(Arc::new(LiveSession {
                key: SessionKey::of(id),
                principal: caller("access:devel"),
                signed_in_at: UnixTime::from_secs(1_799_990_000),
                ends_at,
                set_cookie,
            }))
        };
        let found = match word {
            "live" => live(None),
            "renewed" => {
                let next = SessionId::parse(&format!("{:A<43}", "next")).expect("an id");
                live(Some(SetCookie::session(&next, Duration::from_secs(60))))
            }
            "broken" => Err(NoSession::Broken),
            "expired" => Err(NoSession::Expired),
            "down" => Err(NoSession::Unavailable),
            _ => Err(NoSession::Unknown),
        };
        Box::pin(std::future::ready(found))
    }
}

/// Owns `/_auth` and `/login`, and shows what it was asked. A path that ends in
/// a number has no page: it is answered with that status.
struct FakePages;

fn status_of(path: &str) -> Option<u16> {
    path.rsplit('/').next()?.parse().ok()
}

impl OwnPages for FakePages {
    fn owns(&self, path: &str) -> bool {
        path == "/login" || path == "/_auth" || path.starts_with("/_auth/")
    }

    fn has_page(&self, path: &str) -> bool {
        self.owns(path) && status_of(path).is_none()
    }

    fn tier(&self, path: &str) -> Option<&str> {
        path.starts_with("/_auth/admin").then_some("boss")
    }

    fn answer<'a>(&'a self, request: &'a PageRequest<'a>) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        let PageRequest { method, path, query, headers, body, sender: _ } = request;
        let body = format!("{method} {path} {} {} {}", query.escape_ascii(), headers.len(), body.is_some());
        let headers = vec![("set-cookie", "a=1".to_owned()), ("set-cookie", "b=2".to_owned())];
        Box::pin(std::future::ready(Page { status: status_of(path).unwrap_or(303), headers, body }))
    }
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
        tiers: crate::types::TierSource::default(),
        attributes: Arc::default(),
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
