//! The world that the cases run in: the README's config, a token as the demo's
//! provider makes it, a clock that stands.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tiergate::app;
use tiergate::backend::memory_store::MemoryStore;
use tiergate::backend::system::SystemRandom;
use tiergate::check::{CheckService, Checker, DecisionLog, DecisionRecord, Ports, TokenCache};
use tiergate::config::{Config, NoFiles, Sources};
use tiergate::http::pages::{PageSettings, Pages, SigningIn};
use tiergate::oidc::{
    HttpClient, HttpError, LivePorts, LiveSessions, RefreshWatch, Refreshed, RelyingParty, RelyingPartyPorts,
};
use tiergate::session::{Authority, Lifetimes, Seals, Session, SessionId, SessionPorts, SessionSource, Sessions};
use tiergate::token::{KeyRefresh, KeySet, KeySource};
use tiergate::types::{Clock, Monotonic, ProviderId, Secret, Tasks, UnixTime};

/// When everything happens: five seconds after the tokens were issued.
pub const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Signed once, for the README's issuer and audience, with the claims of the
/// demo's account `devel`; the private keys are gone. A fixed signature makes a
/// fixed count: that of an elliptic curve depends on its numbers.
const TOKENS: &str = include_str!("tokens.json");

/// What the README's provider gets so that browsers can sign in.
const AUDIENCE: &str = "    audience: [https://api.example.com]\n";
const LOGIN: &str = "    login: { client_id: tiergate, client_secret: development-only-secret }\n";
const SIGN_IN: &str = "\npublic_url: https://gate.example.com\nsessions: { store: memory }\n";

#[derive(Deserialize)]
struct Tokens {
    jwks: Value,
    tokens: BTreeMap<String, String>,
}

/// Keys and tokens of the stage.
pub struct Credentials {
    /// The provider's keys, RSA, P-256 and Ed25519.
    pub keys: Arc<KeySet>,
    tokens: BTreeMap<String, String>,
}

impl Credentials {
    /// Those of the stage.
    #[must_use]
    pub fn new() -> Self {
        let Tokens { jwks, tokens } = serde_json::from_str(TOKENS).expect("tokens.json");
        let keys = Arc::new(KeySet::parse(jwks.to_string().as_bytes()).expect("a key set"));
        Self { keys, tokens }
    }

    /// The token that was signed with `algorithm`, by its JOSE name.
    #[must_use]
    pub fn token(&self, algorithm: &str) -> &str {
        self.tokens.get(algorithm).expect("a token for each algorithm")
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self::new()
    }
}

/// The service as it answers checks, without its sockets.
pub struct Stage {
    /// What the protocols call.
    pub check: CheckService,
    /// The config it was made from.
    pub config: Config,
    /// Keys and tokens.
    pub credentials: Credentials,
    /// Where browsers sign in: the sessions, and one that is live.
    pub sessions: Option<(Sessions, Arc<LiveSessions>, SessionId)>,
}

impl Stage {
    /// The config at the top of the README.
    pub const README: &str = include_str!("../../../examples/readme/tiergate.yaml");

    /// The README's config as it stands.
    #[must_use]
    pub fn readme() -> Self {
        Self::of(Self::README)
    }

    /// The same with a login at its provider, and somebody who is signed in.
    #[must_use]
    pub fn with_sign_in() -> Self {
        assert!(Self::README.contains(AUDIENCE), "the README's config has another provider");
        Self::of(&(Self::README.replace(AUDIENCE, &format!("{AUDIENCE}{LOGIN}")) + SIGN_IN))
    }

    fn of(text: &str) -> Self {
        let config = config(text);
        let credentials = Credentials::new();
        let world = Arc::new(World(Arc::clone(&credentials.keys)));
        let signing_in = config.public_url.as_ref().map(|url| sign_in(&config, url.origin(), &world));
        let snapshot = app::snapshot(&config, &app::load_apps(&config, &BTreeMap::new())).expect("a snapshot");
        let ports = Ports {
            keys: world.clone(),
            refresh: world.clone(),
            clock: world.clone(),
            random: Arc::new(SystemRandom),
            sessions: signing_in.as_ref().map(|parts| Arc::clone(&parts.source)),
            directory: None,
            access_tokens: false,
            opaque_tokens: None,
            tasks: world.clone(),
        };
        let cache = TokenCache::new(u64::from(config.limits.token_cache));
        let checker = Arc::new(Checker::new(snapshot, cache, ports));
        let sessions = signing_in.as_ref().map(|parts| parts.signed_in.clone());
        let settings = PageSettings {
            base_path: config.base_path.clone(),
            seed_paths: false,
            oauth2_proxy: false,
            portal_path: None,
            public_origin: config.public_url.as_ref().map(|url| url.origin().to_owned()),
            trusted_proxies: config.trusted_proxies.clone(),
        };
        let pages = Pages::new(settings, Arc::clone(&checker), world.clone(), signing_in.map(|parts| parts.of_pages));
        let check = CheckService::new(checker, world.clone(), world).with_pages(Arc::new(pages));
        Self { check, config, credentials, sessions }
    }
}

/// A config from its text.
#[must_use]
pub fn config(text: &str) -> Config {
    let sources = Sources {
        file: Some(("tiergate.yaml", text)),
        environment: BTreeMap::new(),
        read_secret: &|_| Err(io::Error::other("there are no secret files")),
        files: &NoFiles,
    };
    Config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The result of what has nothing to wait for.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

struct SignedIn {
    source: Arc<dyn SessionSource>,
    of_pages: SigningIn,
    signed_in: (Sessions, Arc<LiveSessions>, SessionId),
}

fn sign_in(config: &Config, origin: &str, world: &Arc<World>) -> SignedIn {
    let random = Arc::new(SystemRandom);
    let ports = SessionPorts { store: Arc::new(MemoryStore::new()), random: random.clone(), clock: world.clone() };
    let seals = Seals::new(&[Secret::new("a secret of the stage, 32 bytes or more".to_owned())]).expect("a secret");
    let lifetimes = Lifetimes { idle: Duration::from_secs(30 * 60), absolute: Duration::from_secs(12 * 60 * 60) };
    let sessions = Sessions::new(ports, seals, lifetimes);
    let ports = RelyingPartyPorts {
        http: world.clone(),
        keys: world.clone(),
        key_refresh: world.clone(),
        clock: world.clone(),
        random: random.clone(),
        tasks: world.clone(),
        directory: None,
    };
    let issuers = Arc::new(app::issuers(config).expect("issuers"));
    let clients = config.identity_providers.iter();
    let clients = clients.filter_map(|provider| Some(provider.login.as_ref()?.client(provider.id()))).collect();
    let party = RelyingParty::new(clients, issuers, sessions.clone(), ports, origin, &config.base_path);
    let party = Arc::new(party.expect("a relying party"));
    let ports =
        LivePorts { vouch: party.clone(), clock: world.clone(), random, tasks: world.clone(), watch: world.clone() };
    let live = Arc::new(LiveSessions::new(sessions.clone(), ports));
    let id = at_once(sessions.begin(&session())).expect("a session");
    SignedIn {
        source: live.clone(),
        of_pages: SigningIn {
            relying_party: party,
            source: live.clone(),
            sessions: sessions.clone(),
            public_origin: origin.to_owned(),
        },
        signed_in: (sessions, live, id),
    }
}

/// Whoever the token speaks of, signed in with a browser.
fn session() -> Session {
    let claims = |value: Value| value.as_object().cloned().unwrap_or_default();
    let expires_at = NOW.plus(Duration::from_secs(60 * 60));
    let authority = json!({
        "iss": "https://login.example.com/", "aud": "https://api.example.com", "sub": "dev|devel",
        "client_id": "tiergate", "scope": "openid profile email access:devel", "permissions": [],
        "iat": NOW.as_secs() - 5, "exp": expires_at.as_secs(), "jti": "Wn5gYp0wS3mZr1c2bQ9k4A"
    });
    let profile: Map<String, Value> =
        claims(json!({ "name": "Devi Devel", "email": "devel@example.com", "email_verified": true }));
    Session {
        provider: ProviderId::new("main"),
        issuer: "https://login.example.com/".to_owned(),
        subject: "dev|devel".to_owned(),
        sid: Some("0c1c1d4e-8c1e-4a3e-9d0e-3f1f6f0d8f11".to_owned()),
        authority: Authority { from_access_token: true, claims: claims(authority), expires_at },
        profile,
        refresh_token: Some(Secret::new("r".repeat(64))),
        id_token: Some(Secret::new("i".repeat(900))),
        signed_in_at: NOW,
        user_agent: "Firefox on Linux".to_owned(),
    }
}

/// Everything outside: it stands still.
struct World(Arc<KeySet>);

impl KeySource for World {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }
}

impl KeyRefresh for World {
    fn refresh<'a>(&'a self, _: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

impl Clock for World {
    fn now(&self) -> UnixTime {
        NOW
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

impl DecisionLog for World {
    fn record(&self, record: &DecisionRecord, _: Duration) {
        assert_ne!(record.cause, Some("panic"), "a check panicked");
    }
}

impl HttpClient for World {
    fn send(&self, _: Request<Bytes>) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + '_>> {
        Box::pin(std::future::ready(Err(HttpError::Unreachable("there is no network".into()))))
    }
}

impl Tasks for World {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}

impl RefreshWatch for World {
    fn refreshed(&self, _: &Session, _: Refreshed) {}
}
