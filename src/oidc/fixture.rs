//! A relying party for tests: a provider that answers as a test says, also as
//! no real one would.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded;

use super::*;
use crate::directory::fixture::GuardedStore;
use crate::directory::{Directory, DirectoryPorts};
use crate::session::fixture::{CountingRandom, SetClock, TestStore, TestTasks, sessions};
use crate::session::{BrowserCookies, SessionStore as _, Sessions, SetCookie};
use crate::token::test_keys::{ISSUER, NOW, Sign, claims, live_keys, settings, sign, with};
use crate::token::{IssuerSettings, Issuers, KeyRefresh, KeySet, KeySource};
use crate::types::{ProviderId, Secret};

pub(crate) const CLIENT: &str = "portal-web";
pub(crate) const ORIGIN: &str = "https://app.example.com";

/// What an endpoint answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(u16, Value),
    Raw {
        status: u16,
        content_type: &'static str,
        body: String,
    },
    Unreachable,
    Unacceptable,
    /// Never.
    Silence,
    /// Only after this time.
    Late(Duration, Box<Answer>),
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self::Json(200, body)
    }

    fn into_response(self) -> Result<Response<Bytes>, HttpError> {
        let (status, content_type, body) = match self {
            Self::Json(status, body) => (status, "application/json", body.to_string()),
            Self::Raw { status, content_type, body } => (status, content_type, body),
            Self::Unreachable | Self::Silence => return Err(HttpError::Unreachable("told to".into())),
            Self::Late(_, answer) => return answer.into_response(),
            Self::Unacceptable => return Err(HttpError::Unacceptable("told to".into())),
        };
        Ok(Response::builder().status(status).header("content-type", content_type).body(body.into()).unwrap())
    }
}

/// A request as the provider sees it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) authorization: Option<String>,
    pub(crate) form: HashMap<String, String>,
}

type Answers = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// Answers by the path that is asked.
pub(crate) struct FakeProvider {
    routes: Mutex<HashMap<String, Answers>>,
    seen: Mutex<Vec<Seen>>,
}

impl FakeProvider {
    pub(crate) fn answer(&self, url: &str, answer: Answer) {
        self.answer_with(url, move |_| answer.clone());
    }

    pub(crate) fn answer_with(&self, url: &str, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        lock(&self.routes).insert(url.to_owned(), Arc::new(answer));
    }

    /// The requests to this URL, in their order.
    pub(crate) fn seen(&self, url: &str) -> Vec<Seen> {
        lock(&self.seen).iter().filter(|seen| seen.url == url).cloned().collect()
    }

    pub(crate) fn requests(&self) -> usize {
        lock(&self.seen).len()
    }
}

impl HttpClient for FakeProvider {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + '_>> {
        let seen = Seen {
            url: request.uri().to_string(),
            authorization: request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned()),
            form: form_urlencoded::parse(request.body()).into_owned().collect(),
        };
        lock(&self.seen).push(seen.clone());
        let route = lock(&self.routes).get(&seen.url).cloned();
        let answer = route
            .map_or(Answer::Raw { status: 404, content_type: "text/plain", body: String::new() }, |route| route(&seen));
        Box::pin(async move {
            // Others get their turn, as they would while the network works.
            tokio::task::yield_now().await;
            if matches!(answer, Answer::Silence) {
                std::future::pending::<()>().await;
            }
            if let Answer::Late(time, _) = &answer {
                tokio::time::sleep(*time).await;
            }
            answer.into_response()
        })
    }
}

/// Key sets that a refresh may replace.
pub(crate) struct Keys {
    pub(crate) live: Mutex<Option<Arc<KeySet>>>,
    pub(crate) after_refresh: Mutex<Option<Arc<KeySet>>>,
    pub(crate) refreshes: AtomicUsize,
    /// How long a refresh takes.
    pub(crate) takes: Mutex<Duration>,
}

impl KeySource for Keys {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        lock(&self.live).clone()
    }
}

impl KeyRefresh for Keys {
    fn refresh<'a>(&'a self, _: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            let takes = *lock(&self.takes);
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            if let Some(new) = lock(&self.after_refresh).clone() {
                *lock(&self.live) = Some(new);
            }
        })
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<SetClock>,
    pub(crate) store: Arc<TestStore>,
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) sessions: Sessions,
    pub(crate) people: Arc<GuardedStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) party: RelyingParty,
}

pub(crate) fn id(text: &str) -> ProviderId {
    ProviderId::new(text)
}

pub(crate) fn client(provider: &str) -> ClientSettings {
    ClientSettings {
        provider: id(provider),
        label: provider.to_owned(),
        client_id: CLIENT.to_owned(),
        auth: ClientAuth::SecretBasic(Secret::new("a client secret".to_owned())),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        extra_params: vec![("audience".to_owned(), "portal".to_owned())],
        callback_path: format!("/_auth/callback/{provider}"),
    }
}

pub(crate) fn provider() -> Arc<FakeProvider> {
    Arc::new(FakeProvider { routes: Mutex::default(), seen: Mutex::default() })
}

pub(crate) fn discovery() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/authorize?tenant=a"),
        "token_endpoint": format!("{ISSUER}/token"),
        "userinfo_endpoint": format!("{ISSUER}/userinfo"),
        "end_session_endpoint": format!("{ISSUER}/logout"),
        "revocation_endpoint": format!("{ISSUER}/revoke"),
        "jwks_uri": format!("{ISSUER}/keys"),
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

pub(crate) fn discovery_url() -> String {
    format!("{ISSUER}/.well-known/openid-configuration")
}

pub(crate) fn token_url() -> String {
    format!("{ISSUER}/token")
}

/// A world with `main`, whose tokens are those of the test keys, and `other`.
pub(crate) fn world() -> World {
    let other = IssuerSettings { provider: id("other"), issuer: Arc::from("https://other.example.com/"), ..settings() };
    world_of([settings(), other], vec![client("main"), client("other")], &discovery())
}

pub(crate) fn world_of(
    issuers: impl IntoIterator<Item = IssuerSettings>,
    clients: Vec<ClientSettings>,
    discovery: &Value,
) -> World {
    let clock = SetClock::new();
    let store = Arc::new(TestStore::default());
    let provider = provider();
    let issuer = discovery["issuer"].as_str().unwrap().trim_end_matches('/');
    provider.answer(&format!("{issuer}/.well-known/openid-configuration"), Answer::ok(discovery.clone()));
    let keys = Arc::new(Keys {
        live: Mutex::new(live_keys().0),
        after_refresh: Mutex::default(),
        refreshes: AtomicUsize::default(),
        takes: Mutex::default(),
    });
    let sessions = sessions(&store, &clock);
    let people = Arc::new(GuardedStore::default());
    let ports = DirectoryPorts { store: people.clone(), clock: clock.clone(), random: Arc::new(CountingRandom) };
    let directory = Arc::new(Directory::new(ports));
    let ports = RelyingPartyPorts {
        http: provider.clone(),
        keys: keys.clone(),
        key_refresh: keys.clone(),
        clock: clock.clone(),
        random: Arc::new(CountingRandom),
        tasks: Arc::new(TestTasks),
        directory: Some(directory.clone()),
    };
    let issuers = Arc::new(Issuers::new(issuers).unwrap());
    let party = RelyingParty::new(clients, issuers, sessions.clone(), ports, ORIGIN, "/_auth").unwrap();
    World { clock, store, provider, keys, sessions, people, directory, party }
}

/// A sign-in that has begun.
#[derive(Clone)]
pub(crate) struct Begun {
    pub(crate) params: HashMap<String, String>,
    pub(crate) location: String,
    pub(crate) cookies: BrowserCookies,
}

impl Begun {
    pub(crate) fn state(&self) -> &str {
        &self.params["state"]
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.params["nonce"]
    }
}

/// What a browser sends back of the cookies it was given.
pub(crate) fn cookies(set: &[SetCookie]) -> BrowserCookies {
    let pairs: Vec<String> =
        set.iter().map(|cookie| cookie.header_value().split(';').next().unwrap().to_owned()).collect();
    let header = pairs.join("; ");
    BrowserCookies::read(&std::iter::once(header.as_bytes()))
}

/// A browser without any.
pub(crate) fn no_cookies() -> BrowserCookies {
    cookies(&[])
}

pub(crate) fn id_claims(nonce: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "u-123", "nonce": nonce, "sid": "s-1",
        "email": "joe@example.com", "email_verified": true, "name": "Joe",
        "iat": NOW - 5, "exp": NOW + 600,
    })
}

pub(crate) fn id_token(more: &Value, nonce: &str) -> String {
    sign(
        json!({ "alg": "ES256", "typ": "JWT", "kid": "k2" }).to_string(),
        with(&id_claims(nonce), more).to_string(),
        Sign::K2,
    )
}

pub(crate) fn access_token(more: &Value) -> String {
    sign(
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k2" }).to_string(),
        with(&claims(), more).to_string(),
        Sign::K2,
    )
}

/// A token response: an access token for us, an ID token, a refresh token.
pub(crate) fn tokens(nonce: &str) -> Value {
    json!({
        "token_type": "Bearer",
        "access_token": access_token(&json!({})),
        "id_token": id_token(&json!({}), nonce),
        "refresh_token": "refresh-1",
        "expires_in": 300,
        "scope": "openid email",
    })
}

impl World {
    pub(crate) async fn begin(&self) -> Begun {
        self.begin_with("/apps/devel/x?y=1", &no_cookies()).await
    }

    pub(crate) async fn begin_with(&self, return_to: &str, held: &BrowserCookies) -> Begun {
        let Redirect { location, set_cookies } = self.party.begin(&id("main"), return_to, held, None).await.unwrap();
        let params = Url::parse(&location).unwrap().query_pairs().into_owned().collect();
        Begun { params, location, cookies: cookies(&set_cookies) }
    }

    pub(crate) fn answer_tokens(&self, body: Value) {
        self.provider.answer(&token_url(), Answer::ok(body));
    }

    pub(crate) async fn complete(&self, begun: &Begun, query: &str) -> Result<Redirect, CallbackFailure> {
        self.party.complete(&id("main"), query.as_bytes(), &begun.cookies, "a browser").await
    }

    /// Back with a good answer.
    pub(crate) async fn come_back(&self, begun: &Begun) -> Result<Redirect, CallbackFailure> {
        self.complete(begun, &format!("state={}&code=c1", begun.state())).await
    }

    /// Signs in with `body` in place of the good token response.
    pub(crate) async fn sign_in_with(&self, change: impl FnOnce(&Begun) -> Value) -> Result<Redirect, CallbackFailure> {
        let begun = self.begin().await;
        self.answer_tokens(change(&begun));
        self.come_back(&begun).await
    }

    /// A browser that is signed in.
    pub(crate) async fn signed_in(&self) -> BrowserCookies {
        let redirect = self.sign_in_with(|begun| tokens(begun.nonce())).await.unwrap();
        cookies(&redirect.set_cookies)
    }

    pub(crate) async fn live_sessions(&self) -> u64 {
        use crate::types::Clock as _;
        self.store.count(self.clock.now()).await.unwrap()
    }
}

/// What `look` finds, before long.
pub(crate) async fn poll<T>(look: impl Fn() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("nothing was found")
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
