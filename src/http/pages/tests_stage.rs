//! The pages with a provider, a store and a clock that tests hold in hand.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{PageSettings, Pages, SignIn, SignInFuture, SigningIn};
use crate::apps::AppHealth;
use crate::check::{Answer, Checker, OwnPages as _, Page, PageRequest, Sender, Snapshot, fixture};
use crate::oidc::{
    Busy, CallbackError, CallbackFailure, LoginProvider, LogoutTokenError, MetadataError, Redirect, SignInError,
};
use crate::session::fixture::{SetClock, TestStore, session, sessions};
use crate::session::{
    BrowserCookies, LiveSession, LoginCookie, NoSession, OpaqueId, SESSION_COOKIE, SessionError, SessionId, SessionKey,
    SessionSource, Sessions, SetCookie,
};
use crate::types::{Email, NameSet, Principal, Protocol, ProviderId, RequestView, UnixTime};

pub(super) const ORIGIN: &str = "https://portal.example.com";
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

pub(super) struct Stage {
    pages: Pages,
    checker: Arc<Checker>,
    pub(super) provider: Arc<Provider>,
    pub(super) source: Arc<Source>,
    pub(super) clock: Arc<SetClock>,
    pub(super) store: Arc<TestStore>,
    sessions: Sessions,
    last: Mutex<Option<SessionId>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::build(&[("main", "Main", "/back")])
    }

    pub(super) fn with_two_providers() -> Self {
        let other = ("other", "Other <b> & Co", "/_auth/callback/other");
        Self::build(&[("main", "Main", "/_auth/callback/main"), other])
    }

    pub(super) fn with_seed_paths() -> Self {
        Self::build_as(&[("main", "Main", "/callback")], true, false)
    }

    pub(super) fn with_oauth2_proxy_paths() -> Self {
        Self::build_as(&[("main", "Main", "/_auth/callback/main")], false, true)
    }

    pub(super) fn without_sign_in() -> Self {
        Self::build(&[])
    }

    /// The same under another snapshot.
    pub(super) fn with_snapshot(self, snapshot: Snapshot) -> Self {
        self.checker.replace(snapshot);
        self
    }

    pub(super) fn with_access_tokens(self, tokens: super::AccessTokenPage) -> Self {
        Self { pages: self.pages.with_access_tokens(tokens), ..self }
    }

    pub(super) fn with_health(self, health: Arc<dyn AppHealth>) -> Self {
        Self { pages: self.pages.with_health(health), ..self }
    }

    fn build(providers: &[(&str, &str, &str)]) -> Self {
        Self::build_as(providers, false, false)
    }

    fn build_as(providers: &[(&str, &str, &str)], seed_paths: bool, oauth2_proxy: bool) -> Self {
        let (store, clock) = (Arc::new(TestStore::default()), SetClock::new());
        let sessions = sessions(&store, &clock);
        let providers = providers.iter().map(|(id, label, path)| LoginProvider {
            id: ProviderId::new(id),
            label: (*label).to_owned(),
            callback_path: (*path).to_owned(),
        });
        let provider = Arc::new(Provider {
            providers: providers.collect(),
            sessions: sessions.clone(),
            ends: Mutex::new(Ends::Well),
            calls: Mutex::default(),
            client: Mutex::default(),
        });
        let source = Arc::new(Source {
            sessions: sessions.clone(),
            refusal: Mutex::default(),
            renews: Mutex::default(),
            nameless: Mutex::default(),
        });
        let signing_in = (!provider.providers.is_empty()).then(|| SigningIn {
            relying_party: provider.clone(),
            source: source.clone(),
            sessions: sessions.clone(),
            public_origin: ORIGIN.to_owned(),
        });
        let settings = PageSettings {
            base_path: "/_auth".to_owned(),
            seed_paths,
            oauth2_proxy,
            portal_path: Some("/start".to_owned()),
            public_origin: Some(ORIGIN.to_owned()),
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        };
        let checker = Arc::new(fixture::checker());
        let pages = Pages::new(settings, Arc::clone(&checker), clock.clone(), signing_in);
        Self { pages, checker, provider, source, clock, store, sessions, last: Mutex::new(None) }
    }

    /// A browser that goes to `target`.
    pub(super) fn get(&self, target: &str) -> Asking<'_> {
        self.program("GET", target)
            .header("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin")
    }

    /// A program that asks for `target`.
    pub(super) fn program(&self, method: &str, target: &str) -> Asking<'_> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Asking {
            stage: self,
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: None,
            sender: Sender::Proxy,
        }
    }

    /// The status of the page that a check of Envoy answers a browser with, if
    /// it is a page.
    pub(super) async fn check(&self, method: &str, target: &str) -> Option<u16> {
        let headers: [(&str, &[u8]); 1] = [("sec-fetch-mode", b"navigate")];
        let request = RequestView {
            protocol: Protocol::Grpc,
            method,
            target: target.as_bytes(),
            host: None,
            headers: &headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        match fixture::checker().check(&request, Some(&self.pages)).await.answer {
            Answer::Respond(response) => Some(response.status),
            Answer::Allow(_) | Answer::Deny(_) => None,
        }
    }

    /// The cookie of a new session.
    pub(super) async fn signed_in(&self, subject: &str) -> String {
        self.signed_in_with(subject, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0").await
    }

    pub(super) async fn signed_in_with(&self, subject: &str, user_agent: &str) -> String {
        let mut new = session(subject);
        user_agent.clone_into(&mut new.user_agent);
        let id = self.sessions.begin(&new).await.expect("a session");
        let cookie = format!("{SESSION_COOKIE}={}", id.written().expose());
        *lock(&self.last) = Some(id);
        cookie
    }

    /// The id of the session that was begun last.
    pub(super) fn last_id(&self) -> SessionId {
        lock(&self.last).clone().expect("a session")
    }

    pub(super) async fn is_live(&self, cookie: &str) -> bool {
        let id = cookie.split_once('=').and_then(|(_, id)| SessionId::parse(id)).expect("an id");
        self.sessions.open(&id).await.is_ok()
    }
}

/// A request under way.
pub(super) struct Asking<'a> {
    stage: &'a Stage,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    sender: Sender,
}

impl Asking<'_> {
    pub(super) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(held, _)| held != name);
        self
    }

    /// From somebody at this address, and not from a proxy.
    pub(super) fn directly(mut self, address: &str) -> Self {
        self.sender = Sender::Address(address.parse().expect("an address"));
        self
    }

    pub(super) fn cookie(self, cookie: &str) -> Self {
        if cookie.is_empty() { self } else { self.header("cookie", cookie) }
    }

    pub(super) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }

    pub(super) async fn send(self) -> Page {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = PageRequest {
            method: &self.method,
            path: &self.path,
            query: self.query.as_bytes(),
            headers: &headers,
            body: self.body.as_deref(),
            sender: self.sender,
        };
        assert!(self.stage.pages.owns(&self.path), "{} is nobody's", self.path);
        self.stage.pages.answer(&request).await
    }
}

/// The request with a form.
pub(super) fn form<'a>(asking: Asking<'a>, body: &str) -> Asking<'a> {
    asking.header("content-type", "application/x-www-form-urlencoded").body(body.as_bytes())
}

/// What a browser would send of a cookie that the page sets.
pub(super) fn cookie_of(page: &Page, name: &str) -> Option<String> {
    let cookies = page.headers.iter().filter(|(held, _)| *held == "set-cookie");
    let pairs = cookies.filter_map(|(_, value)| value.split(';').next());
    pairs.filter(|pair| pair.split('=').next() == Some(name)).map(str::to_owned).next()
}

/// How the next calls end.
#[derive(Debug, Clone)]
pub(super) enum Ends {
    Well,
    ProviderDown,
    StoreDown,
    /// Too many begin.
    Busy(Busy),
    /// The way back leads here.
    At(&'static str),
    Callback(CallbackError),
    LogoutToken(LogoutTokenError),
    /// The sign-out goes on here.
    Onward(&'static str),
}

pub(super) struct Provider {
    providers: Vec<LoginProvider>,
    sessions: Sessions,
    ends: Mutex<Ends>,
    calls: Mutex<Vec<String>>,
    client: Mutex<Option<IpAddr>>,
}

impl Provider {
    pub(super) fn ends(&self, ends: Ends) {
        *lock(&self.ends) = ends;
    }

    pub(super) fn calls(&self) -> Vec<String> {
        lock(&self.calls).clone()
    }

    /// From where the last sign-in was begun.
    pub(super) fn client(&self) -> Option<IpAddr> {
        *lock(&self.client)
    }

    fn called(&self, call: String) -> Ends {
        lock(&self.calls).push(call);
        lock(&self.ends).clone()
    }
}

impl SignIn for Provider {
    fn providers(&self) -> &[LoginProvider] {
        &self.providers
    }

    fn issuer_origins(&self) -> Vec<String> {
        vec!["https://idp.example.com".to_owned()]
    }

    fn sign_out_origins<'a>(&'a self, _: &'a ProviderId) -> SignInFuture<'a, Vec<String>> {
        Box::pin(async { vec!["https://idp.example.com".to_owned(), "https://out.example.com".to_owned()] })
    }

    fn begin<'a>(
        &'a self,
        provider: &'a ProviderId,
        return_to: &'a str,
        _: &'a BrowserCookies,
        client: Option<IpAddr>,
    ) -> SignInFuture<'a, Result<Redirect, SignInError>> {
        Box::pin(async move {
            *lock(&self.client) = client;
            match self.called(format!("begin {} {return_to}", provider.as_str())) {
                Ends::ProviderDown => Err(SignInError::Provider(MetadataError::Malformed)),
                Ends::StoreDown => Err(SignInError::Store),
                Ends::Busy(busy) => Err(SignInError::Busy(busy)),
                _ => {
                    let secret = OpaqueId::draw(&crate::session::fixture::CountingRandom);
                    let cookie = LoginCookie { slot: 0, started: 1, secret };
                    Ok(Redirect {
                        location: "https://idp.example.com/authorize?state=s".to_owned(),
                        set_cookies: vec![SetCookie::login(&cookie, Duration::from_secs(600))],
                    })
                }
            }
        })
    }

    fn complete<'a>(
        &'a self,
        provider: &'a ProviderId,
        query: &'a [u8],
        _: &'a BrowserCookies,
        user_agent: &'a str,
    ) -> SignInFuture<'a, Result<Redirect, CallbackFailure>> {
        Box::pin(async move {
            let query = String::from_utf8_lossy(query);
            let ends = self.called(format!("complete {} {query} {user_agent}", provider.as_str()));
            if let Ends::Callback(error) = ends {
                let set_cookies = vec![SetCookie::clear_login(3)];
                return Err(CallbackFailure { error, set_cookies, return_to: Some("/apps/deep?q=1".to_owned()) });
            }
            let location = match ends {
                Ends::At(location) => location.to_owned(),
                _ => format!("{ORIGIN}/apps/x?a=1"),
            };
            let id = self.sessions.begin(&session("u-1")).await.expect("a session");
            Ok(Redirect { location, set_cookies: vec![SetCookie::session(&id, LIFETIME)] })
        })
    }

    fn sign_out<'a>(
        &'a self,
        id: &'a SessionId,
        everywhere: bool,
    ) -> SignInFuture<'a, Result<Option<String>, SignInError>> {
        Box::pin(async move {
            let ends = self.called(format!("sign_out{}", if everywhere { " everywhere" } else { "" }));
            match ends {
                Ends::StoreDown => return Err(SignInError::Store),
                _ => self.sessions.end(SessionKey::of(id)).await.map_err(|_| SignInError::Store)?,
            };
            Ok(if let Ends::Onward(url) = ends { Some(url.to_owned()) } else { None })
        })
    }

    fn end_by_logout_token<'a>(&'a self, token: &'a str) -> SignInFuture<'a, Result<u64, LogoutTokenError>> {
        Box::pin(async move {
            match self.called(format!("logout_token {token}")) {
                Ends::LogoutToken(error) => Err(error),
                _ => Ok(1),
            }
        })
    }

    fn end_by_front_channel<'a>(
        &'a self,
        issuer: &'a str,
        sid: &'a str,
        id: &'a SessionId,
    ) -> SignInFuture<'a, Result<bool, SignInError>> {
        Box::pin(async move {
            let opened = match self.sessions.open(id).await {
                Ok(opened) => opened,
                Err(SessionError::Unknown | SessionError::Broken) => return Ok(false),
                Err(SessionError::Store(_)) => return Err(SignInError::Store),
            };
            if opened.session.issuer != issuer || opened.session.sid.as_deref() != Some(sid) {
                return Ok(false);
            }
            self.sessions.end(opened.key).await.map_err(|_| SignInError::Store)
        })
    }
}

pub(super) struct Source {
    sessions: Sessions,
    refusal: Mutex<Option<NoSession>>,
    renews: Mutex<bool>,
    nameless: Mutex<bool>,
}

impl Source {
    /// From now on nobody has more than a subject.
    pub(super) fn nameless(&self) {
        *lock(&self.nameless) = true;
    }

    pub(super) fn refuse(&self, refusal: Option<NoSession>) {
        *lock(&self.refusal) = refusal;
    }

    /// From now on the browser gets a new cookie each time.
    pub(super) fn renew(&self) {
        *lock(&self.renews) = true;
    }
}

impl SessionSource for Source {
    fn find<'a>(&'a self, id: &'a SessionId) -> SignInFuture<'a, Result<Arc<LiveSession>, NoSession>> {
        Box::pin(async move {
            if let Some(refusal) = *lock(&self.refusal) {
                return Err(refusal);
            }
            let opened = self.sessions.open(id).await.map_err(|error| match error {
                SessionError::Unknown => NoSession::Unknown,
                SessionError::Broken => NoSession::Broken,
                SessionError::Store(_) => NoSession::Unavailable,
            })?;
            let named = !*lock(&self.nameless);
            let principal = Principal {
                subject: Box::from(opened.session.subject.as_str()),
                email: named.then(|| Email::new("zoe@example.com", true)),
                name: named.then(|| Box::from("Zoë <i>")),
                groups: if named { ["staff"].into_iter().collect() } else { NameSet::default() },
                ..Principal::clone(&fixture::caller("access:devel openid"))
            };
            let ends_at: UnixTime = opened.stored.ends_at;
            let set_cookie = (*lock(&self.renews)).then(|| SetCookie::session(id, LIFETIME));
            let signed_in_at = opened.session.signed_in_at;
            Ok(Arc::new(LiveSession {
                key: opened.key,
                principal: Arc::new(principal),
                signed_in_at,
                ends_at,
                set_cookie,
            }))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
