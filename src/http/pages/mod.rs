//! The service's own pages for browsers: signing in and out, the portal, the
//! own sessions; and the two ways by which a provider ends sessions.
//!
//! ```text
//! PageRequest ──route──▶ sign_in, sign_out, account ──page──▶ Page
//! ```
//!
//! Whatever says where a browser may go comes from the config: nothing here
//! reads `Host` or a forwarded header.

mod account;
mod browser;
mod cards;
mod client_address;
mod content;
mod failures;
mod port;
mod portal;
mod request;
mod rounds;
mod route;
mod sign_in;
mod sign_out;
mod tokens;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use port::{SignIn, SignInFuture};

pub use request::Visit;
pub use tokens::AccessTokenPage;

pub(in crate::http) use browser::name as browser_name;
pub(in crate::http) use content::{Content, Moment, Notice, Sheet, redirect};
pub(in crate::http) use request::{Form as FormFields, NoForm};

use request::MAX_FORM;

use ipnet::IpNet;
use portal::Indexed;
use route::{Route, Routes};

use crate::apps::AppHealth;
use crate::check::{Checker, LoginPlace, LostSession, OwnPages, Page, PageRequest, SessionGuest};
use crate::session::{LiveSession, NoSession, SessionCookie, SessionSource, Sessions};
use crate::types::{Clock, Host, Reason};

/// How long an answer may take; a provider that hangs takes no longer.
const LIMIT: Duration = Duration::from_secs(6);

/// What the pages of a service have in common.
#[derive(Debug, Clone)]
pub struct PageSettings {
    /// Under what path they live, without a trailing `/`.
    pub base_path: String,
    /// Whether `/login`, `/logout` and `/dashboard` lead here too.
    pub seed_paths: bool,
    /// Whether `/oauth2/{start,sign_in,callback,sign_out,userinfo}` do.
    pub oauth2_proxy: bool,
    /// Where else the portal is shown; a canonical path.
    pub portal_path: Option<String>,
    /// What browsers see of the service, where the config says: scheme, host and port.
    pub public_origin: Option<String>,
    /// The proxies in front, whose word about their own clients counts.
    pub trusted_proxies: Vec<IpNet>,
}

/// What it takes to sign people in.
pub struct SigningIn {
    /// Speaks with the providers.
    pub relying_party: Arc<dyn SignIn>,
    /// Opens sessions as a check does.
    pub source: Arc<dyn SessionSource>,
    /// Lists and ends sessions.
    pub sessions: Sessions,
    /// What browsers see of the service: scheme, host and port.
    pub public_origin: String,
}

/// The pages, one per process.
pub struct Pages {
    routes: Routes,
    content: Content,
    checker: Arc<Checker>,
    clock: Arc<dyn Clock>,
    signing_in: Option<SigningIn>,
    trusted_proxies: Vec<IpNet>,
    /// Who may frame the page that signs out there.
    framers: Vec<String>,
    public_scheme: Option<String>,
    public_host: Option<Host>,
    indexed: Indexed,
    health: Option<Arc<dyn AppHealth>>,
    areas: Vec<Arc<dyn Area>>,
    /// The tier of those who see the administrator's pages.
    admin_tier: Option<String>,
    access_tokens: Option<AccessTokenPage>,
}

/// A part of the service's own paths that answers for itself, whatever the
/// method: it says who may, and what it answers to others.
pub trait Area: Send + Sync {
    /// The answer to `visit`, at `below` its own path: empty, or `/` and more.
    fn answer<'a>(&'a self, visit: &'a Visit<'a>, below: &'a str) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>>;

    /// The largest body that it reads, in bytes.
    fn max_body(&self) -> usize {
        MAX_FORM
    }

    /// Whether a proxy that asks about it, in place of handing it on, lets anybody
    /// through to wherever its route leads, as with a page that browsers look at.
    fn passes_unasked(&self) -> bool {
        true
    }

    /// The tier that a check asks for where a proxy wants to know whether somebody
    /// may go there.
    fn tier(&self) -> Option<&str> {
        None
    }
}

/// Whose browser it is.
enum Who {
    Somebody(Arc<LiveSession>),
    Nobody(Why),
    /// Somebody whom the directory does not let in.
    Barred(Arc<LiveSession>),
    /// The store or the directory does not answer.
    Unknown,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    NoCookie,
    Malformed,
    Several,
    NotThere,
    NotOurs,
    Over,
}

impl Why {
    /// What the check told of a cookie that it took away, where nothing is seen
    /// of it any more. Anybody can write such an address: only words hang on it.
    fn or_told(self, visit: &Visit<'_>) -> Self {
        let told = || visit.parameter(LoginPlace::WHY).and_then(|why| LostSession::parse(&why));
        match self {
            Self::NoCookie => told().map_or(Self::NoCookie, |lost| match lost {
                LostSession::Unknown => Self::NotThere,
                LostSession::Broken => Self::NotOurs,
                LostSession::Ended => Self::Over,
                LostSession::Malformed => Self::Malformed,
            }),
            Self::Malformed | Self::Several | Self::NotThere | Self::NotOurs | Self::Over => self,
        }
    }
}

impl Pages {
    /// Pages of `checker`'s service; without `signing_in`, only those that
    /// need nobody signed in.
    #[must_use]
    pub fn new(
        settings: PageSettings,
        checker: Arc<Checker>,
        clock: Arc<dyn Clock>,
        signing_in: Option<SigningIn>,
    ) -> Self {
        let providers = signing_in.as_ref().map(|parts| parts.relying_party.providers()).unwrap_or_default();
        let routes = Routes::new(&settings, providers);
        let framers = signing_in.as_ref().map(|parts| parts.relying_party.issuer_origins()).unwrap_or_default();
        let content = Content::new(Arc::clone(&checker), routes.portal());
        let public = settings.public_origin.as_deref().and_then(|origin| origin.split_once("://"));
        let public_scheme = public.map(|(scheme, _)| scheme.to_owned());
        let public_host = public.and_then(|(_, authority)| Host::parse(authority.as_bytes()).ok());
        Self {
            routes,
            content,
            checker,
            clock,
            signing_in,
            trusted_proxies: settings.trusted_proxies,
            framers,
            public_scheme,
            public_host,
            indexed: Indexed::default(),
            health: None,
            areas: Vec::new(),
            admin_tier: None,
            access_tokens: None,
        }
    }

    /// The same, with everything below `path`, which is canonical and has no
    /// trailing `/`, answered by `area`.
    #[must_use]
    pub fn with_area(mut self, path: String, area: Arc<dyn Area>) -> Self {
        self.routes.add_area(path);
        self.areas.push(area);
        self
    }

    /// The same, with a link on the portal to the administrator's pages for
    /// those who hold `tier`, and the way back to these pages after signing in.
    #[must_use]
    pub fn with_admin(mut self, tier: String) -> Self {
        self.routes.add_admin();
        self.admin_tier = Some(tier);
        self
    }

    /// The same, with a page for personal access tokens.
    #[must_use]
    pub fn with_access_tokens(mut self, tokens: AccessTokenPage) -> Self {
        self.routes.add_access_tokens();
        self.access_tokens = Some(tokens);
        self
    }

    /// The same, with the health of apps on the portal.
    #[must_use]
    pub fn with_health(self, health: Arc<dyn AppHealth>) -> Self {
        Self { health: Some(health), ..self }
    }

    async fn respond(&self, visit: &Visit<'_>) -> Page {
        let Some(route) = self.routes.find(visit.path()) else { return self.not_there(visit) };
        if let Route::Area(place, below) = route {
            return match self.areas.get(place) {
                Some(area) => area.answer(visit, below).await,
                None => self.not_there(visit),
            };
        }
        let methods = route.methods();
        if !methods.contains(&visit.method()) {
            return self.wrong_method(visit, methods);
        }
        if visit.method() == "POST" && visit.body().is_none() {
            return self.not_routed(visit, methods);
        }
        match (route, &self.signing_in) {
            (Route::Jwks, _) => self.jwks(visit),
            (Route::Portal, parts) => self.portal(visit, parts.as_ref()).await,
            (Route::Me, parts) => self.me(visit, parts.as_ref()).await,
            (Route::UserInfo, parts) => self.userinfo(visit, parts.as_ref()).await,
            (Route::Login, Some(parts)) => self.login(visit, parts).await,
            (Route::Callback(provider), Some(parts)) => self.callback(visit, parts, provider).await,
            (Route::Logout, Some(parts)) if visit.method() == "POST" => self.sign_out(visit, parts).await,
            (Route::Logout, Some(parts)) => self.confirm_sign_out(visit, parts).await,
            (Route::BackChannel, Some(parts)) => Self::back_channel(visit, parts).await,
            (Route::FrontChannel, Some(parts)) => self.front_channel(visit, parts).await,
            (Route::Sessions, Some(parts)) => self.sessions(visit, parts).await,
            (Route::Revoke, Some(parts)) => self.revoke(visit, parts).await,
            (Route::Tokens | Route::RevokeToken, Some(parts)) => match &self.access_tokens {
                Some(tokens) if route == Route::Tokens => self.tokens(visit, parts, tokens).await,
                Some(tokens) => self.revoke_token(visit, parts, tokens).await,
                None => self.not_there(visit),
            },
            (
                Route::Login
                | Route::Callback(_)
                | Route::Logout
                | Route::BackChannel
                | Route::FrontChannel
                | Route::Sessions
                | Route::Revoke
                | Route::Tokens
                | Route::RevokeToken,
                None,
            )
            | (Route::Area(..), _) => self.not_there(visit),
        }
    }

    fn jwks(&self, visit: &Visit<'_>) -> Page {
        let Some(body) = self.checker.assertion_jwks() else { return self.not_there(visit) };
        let headers = vec![
            ("content-type", "application/jwk-set+json".to_owned()),
            ("cache-control", "public, max-age=300".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
        ];
        Page { status: 200, headers, body }
    }

    fn not_there(&self, visit: &Visit<'_>) -> Page {
        let notice = Notice::new(404, "lost", "fault.not_there", "fault.not_there_text");
        self.content.notice(visit, &notice.action("page.start", self.routes.portal()))
    }

    fn wrong_method(&self, visit: &Visit<'_>, methods: &[&str]) -> Page {
        let notice = Notice::new(405, "lost", "fault.wrong_method", "fault.wrong_method_text");
        let mut page = self.content.notice(visit, &notice.action("page.start", self.routes.portal()));
        page.headers.push(("allow", methods.join(", ")));
        page
    }

    /// The form came to the check, which reads no bodies: the proxy has no
    /// route for it.
    fn not_routed(&self, visit: &Visit<'_>, methods: &[&str]) -> Page {
        let notice = Notice::new(405, "trouble", "fault.not_routed", "fault.not_routed_text");
        let mut page = self.content.notice(visit, &notice.action("page.start", self.routes.portal()));
        page.headers.push(("allow", methods.join(", ")));
        page
    }

    fn store_is_down(&self, visit: &Visit<'_>, text: &'static str) -> Page {
        let notice = Notice::new(503, "trouble", "fault.store", text).reason(Reason::Unavailable);
        let notice = match self.again(visit) {
            Some(again) => notice.action("page.again", again),
            None => notice,
        };
        let mut page = self.content.notice(visit, &notice.action("page.start", self.routes.portal()));
        page.headers.push(("retry-after", "5".to_owned()));
        page
    }

    /// The page to look at once more, where looking changes nothing.
    fn again(&self, visit: &Visit<'_>) -> Option<String> {
        match self.routes.find(visit.path())? {
            Route::Portal => Some(self.routes.portal()),
            Route::Logout => Some(self.routes.to("/logout")),
            Route::Sessions | Route::Revoke => Some(self.routes.to("/sessions")),
            Route::Tokens | Route::RevokeToken => self.routes.tokens(),
            Route::Login => {
                let query = std::str::from_utf8(visit.query()).ok()?;
                Some(self.routes.to(&if query.is_empty() { "/login".to_owned() } else { format!("/login?{query}") }))
            }
            Route::Callback(_)
            | Route::BackChannel
            | Route::FrontChannel
            | Route::Me
            | Route::UserInfo
            | Route::Jwks
            | Route::Area(..) => None,
        }
    }

    /// A request that changes something has to come from one of these pages.
    fn came_from_elsewhere(&self, visit: &Visit<'_>) -> Page {
        let notice = Notice::new(403, "lock", "fault.elsewhere", "fault.elsewhere_text");
        self.content.notice(visit, &notice.action("page.start", self.routes.portal()))
    }
}

impl Pages {
    /// Whose browser it is, as a check would see it.
    async fn who(&self, visit: &Visit<'_>, parts: &SigningIn) -> Who {
        let id = match &visit.cookies.session {
            SessionCookie::One(id) => id,
            SessionCookie::None => return Who::Nobody(Why::NoCookie),
            SessionCookie::Malformed => return Who::Nobody(Why::Malformed),
            SessionCookie::Multiple => return Who::Nobody(Why::Several),
        };
        let live = match parts.source.find(id).await {
            Ok(live) => live,
            Err(NoSession::Unknown) => return Who::Nobody(Why::NotThere),
            Err(NoSession::Broken) => return Who::Nobody(Why::NotOurs),
            Err(NoSession::Expired) => return Who::Nobody(Why::Over),
            Err(NoSession::Unavailable) => return Who::Unknown,
        };
        match self.checker.admit_session(live).await {
            SessionGuest::Admitted(live) => Who::Somebody(live),
            SessionGuest::Barred(live, Reason::DisabledUser) => Who::Barred(live),
            SessionGuest::Barred(..) => Who::Nobody(Why::Over),
            SessionGuest::Unknown => Who::Unknown,
        }
    }

    /// The page for somebody whom the directory does not let in.
    fn barred(&self, visit: &Visit<'_>, live: &LiveSession) -> Page {
        let notice = failures::disabled().action("portal.sign_out", self.routes.to("/logout"));
        renewed(self.content.notice(visit, &notice), live)
    }
}

/// Hands on a cookie that the session source wants the browser to have.
fn renewed(mut page: Page, live: &LiveSession) -> Page {
    if let Some(cookie) = &live.set_cookie {
        page.headers.push(("set-cookie", cookie.header_value()));
    }
    page
}

impl OwnPages for Pages {
    fn owns(&self, path: &str) -> bool {
        self.routes.owns(path)
    }

    fn has_page(&self, path: &str) -> bool {
        match self.routes.find(path) {
            Some(Route::Area(place, _)) => self.areas.get(place).is_some_and(|area| area.passes_unasked()),
            Some(_) => true,
            None => false,
        }
    }

    fn tier(&self, path: &str) -> Option<&str> {
        match self.routes.find(path) {
            Some(Route::Area(place, _)) => self.areas.get(place)?.tier(),
            Some(_) | None => None,
        }
    }

    fn max_body(&self, path: &str) -> usize {
        match self.routes.find(path) {
            Some(Route::Area(place, _)) => self.areas.get(place).map_or(MAX_FORM, |area| area.max_body()),
            Some(_) | None => MAX_FORM,
        }
    }

    fn answer<'a>(&'a self, request: &'a PageRequest<'a>) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        Box::pin(async move {
            let visit = Visit::of(request, || self.checker.draw_id().to_string());
            if self.signing_in.is_none() {
                return self.respond(&visit).await;
            }
            match tokio::time::timeout(LIMIT, self.respond(&visit)).await {
                Ok(page) => page,
                Err(_) => self.store_is_down(&visit, "fault.slow"),
            }
        })
    }
}

#[cfg(test)]
mod portal_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_stage;
