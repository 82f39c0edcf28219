//! One request under one snapshot: which rule, who calls, what is decided.

use std::borrow::Cow;
use std::sync::Arc;

use super::access_token::{NOT_TAKEN, rejected, told};
use super::admission::{Admitted, Barred, Shown};
use super::checker::{Checker, Generation, Snapshot};
use super::credentials::{self, Credentials};
use super::login::LostSession;
use super::outcome::{CheckOutcome, DenyKind};
use super::pages::OwnPages;
use super::record::DecisionId;
use super::request_kind::{self, Preflight};
use super::token_cache::{CacheResult, NotVerified};
use crate::apps::RouteTag;
use crate::directory::{StoredAccessToken, TokenHash};
use crate::policy::{Decision, Matched, Policy, Required, Tiers, TokenPlaces};
use crate::session::{BrowserCookies, LiveSession, SessionCookie, SessionId, SetCookie};
use crate::token::{IntrospectedToken, Issuers, Rejection, VerifiedToken, is_opaque};
use crate::types::{CanonicalPath, Host, Principal, Protocol, ProviderId, Reason, RequestView, TierIndex};

/// Who calls, as far as that can be told by what they show.
pub(super) enum Caller {
    Token(Arc<VerifiedToken>, CacheResult),
    /// A token that its provider vouches for.
    Opaque(Arc<IntrospectedToken>, CacheResult),
    /// A personal access token that there is; it may be over.
    AccessToken {
        stored: Arc<StoredAccessToken>,
        as_password: bool,
    },
    Session(Arc<LiveSession>),
    Anonymous,
    /// A credential is there and does not count; with what became of it, where
    /// somebody has judged it.
    BadToken(Reason, &'static str, Option<CacheResult>),
    /// A session cookie is there and opens nothing.
    BadCookie(Reason, &'static str),
}

/// Why credentials that are there do not count.
#[derive(Clone, Copy)]
pub(super) struct Refused<'a> {
    reason: Reason,
    cause: &'static str,
    /// Who is told so by name.
    whom: Option<&'a Principal>,
}

impl Refused<'_> {
    const fn of(reason: Reason, cause: &'static str) -> Self {
        Self { reason, cause, whom: None }
    }
}

/// What has to be waited for before it can be told who calls.
pub(super) enum Ask<'a> {
    /// The keys of this provider, once more.
    Keys(ProviderId),
    /// This session.
    Session(SessionId),
    /// The personal access token with this hash.
    AccessToken { hash: TokenHash, as_password: bool },
    /// What the provider says of this opaque token.
    Opaque(&'a str, &'a Issuers),
}

/// How a check goes on once the request is read.
pub(super) enum Step<'s> {
    /// It has to be known who calls.
    Ask(Subject<'s>),
    /// It is a page of the service at this path.
    Page(CanonicalPath),
    /// It is a path of the service that asks for this tier.
    OwnTier(CanonicalPath, String),
    /// It is over.
    Done(CheckOutcome),
}

/// What is known of a request before its caller is.
pub(super) struct Subject<'s> {
    pub(super) path: CanonicalPath,
    pub(super) host: Option<Host>,
    pub(super) matched: Matched<'s>,
    pub(super) route_tier: Option<TierIndex>,
    /// What has to hold as well because the proxy's route leads elsewhere than the
    /// catalogue says: the rule of the page that will answer.
    pub(super) stale_route: Option<StaleRoute<'s>>,
    pub(super) preflight: Option<Preflight>,
}

/// The rule of the page that answers by a stale route, and the tiers it speaks of.
pub(super) struct StaleRoute<'s> {
    matched: Matched<'s>,
    tiers: &'s Tiers,
}

/// One request under one snapshot.
pub(super) struct Check<'s, 'r> {
    pub(super) checker: &'s Checker,
    pub(super) snapshot: &'s Arc<Snapshot>,
    pub(super) request: &'r RequestView<'r>,
    pub(super) decision_id: DecisionId,
    pub(super) request_id: Arc<str>,
}

impl<'s, 'r> Check<'s, 'r> {
    pub(super) fn new(checker: &'s Checker, snapshot: &'s Arc<Snapshot>, request: &'r RequestView<'r>) -> Self {
        let decision_id = checker.draw_id();
        let given = request.request_id.filter(|given| request_kind::is_request_id(given));
        let request_id = given.map_or_else(|| Arc::from(decision_id.digits().as_str()), Arc::from);
        Self { checker, snapshot, request, decision_id, request_id }
    }

    /// What the request is about, or the end of the check when nobody has to
    /// be asked who calls.
    pub(super) fn begin(&self, pages: Option<&dyn OwnPages>) -> Step<'s> {
        let refuse = |reason, cause| Step::Done(self.refuse(None, reason, cause));
        let path = match CanonicalPath::parse(self.request.target) {
            Ok(path) => path,
            Err(error) => return refuse(Reason::BadTarget, error.as_str()),
        };
        let host = match self.request.host.map(Host::parse).transpose() {
            Ok(host) => host,
            Err(error) => return refuse(Reason::BadTarget, error.as_str()),
        };
        if let Some(cause) = request_kind::never_passes(self.request) {
            return refuse(Reason::BadTarget, cause);
        }
        if let Some(cause) = self.spoofed_header() {
            return refuse(Reason::SpoofedHeader, cause);
        }
        if let Some(step) = self.own_path(&path, host.as_ref(), pages) {
            return step;
        }
        if host.is_none() && self.snapshot.policy.knows_hosts() {
            return refuse(Reason::BadTarget, "no_host");
        }
        let Some((matched, preflight)) = self.rule(host.as_ref(), &path) else {
            return Step::Done(self.deny_unmatched(&path, host.as_ref()));
        };
        let tiers = self.snapshot.policy.tiers();
        let route_tier = match self.request.route_tier.map(|name| tiers.index(name)) {
            None => None,
            Some(Some(tier)) => Some(tier),
            // The route asks for a tier that nobody can hold.
            Some(None) => return refuse(Reason::NoRule, "unknown_route_tier"),
        };
        let method = preflight.as_ref().map_or_else(|| self.method(), |preflight| preflight.method.as_str().into());
        let stale_route = match self.stale_route(host.as_ref(), &path, &method) {
            Ok(stale) => stale,
            Err(cause) => return refuse(Reason::NoRule, cause),
        };
        let subject = Subject { path, host, matched, route_tier, stale_route, preflight };
        match subject.path.encoded().without(matched.rule().encoded()).refusal() {
            Some(error) => Step::Done(self.refuse(Some(&subject), Reason::BadTarget, error.as_str())),
            None if self.has_other_reading(&subject) => {
                Step::Done(self.refuse(Some(&subject), Reason::BadTarget, "encoded_reaches_another_rule"))
            }
            None => Step::Ask(subject),
        }
    }

    /// The rule of the page that will answer, where the proxy's route leads
    /// elsewhere than the catalogue says: the apps have changed and the route has
    /// not, or the path is written so that it is another route's. It is today's
    /// rule where today's catalogue has the upstream, else that of the time when
    /// the route was right.
    fn stale_route(
        &self,
        host: Option<&Host>,
        path: &CanonicalPath,
        method: &str,
    ) -> Result<Option<StaleRoute<'s>>, &'static str> {
        let Some(route) = self.request.route_app else { return Ok(None) };
        let Snapshot { policy, catalogue, earlier, .. } = self.snapshot.as_ref();
        let served = catalogue.serving(host, path.as_str());
        if route == RouteTag::NO_APP {
            return if served.is_none() { Ok(None) } else { Err("route_of_no_app") };
        }
        let tag = RouteTag::parse(route).ok_or("malformed_route_app")?;
        if served.is_some_and(|app| app.is_led_to(&tag)) {
            return Ok(None);
        }
        let Some(app) = catalogue.led_to(&tag) else {
            let was_right = |then: &&Generation| {
                let served = then.catalogue.serving(host, path.as_str());
                served.is_some_and(|app| app.is_led_to(&tag) && app.id.is_written(tag.id))
            };
            let then = earlier.iter().find(was_right).ok_or("unknown_route_app")?;
            return answering(&then.policy, host, path, method).map(Some);
        };
        let below = tag.below(path.as_str()).ok_or("route_of_another_app")?;
        let page = format!("{}{}", app.path.prefix(), if below.is_empty() { "/" } else { below });
        let page = CanonicalPath::parse(page.as_bytes()).map_err(|_| "route_of_another_app")?;
        let host = app.host.as_ref().or(host);
        if !catalogue.serving(host, page.as_str()).is_some_and(|serving| Arc::ptr_eq(serving, app)) {
            return Err("route_of_another_app");
        }
        answering(policy, host, &page, method).map(Some)
    }

    /// Whether a program that decodes the characters which the rule lets stand
    /// would be at another rule's place.
    fn has_other_reading(&self, subject: &Subject<'_>) -> bool {
        let Some(reading) = subject.path.decoded_reading() else { return false };
        let Ok(path) = CanonicalPath::parse(reading.as_bytes()) else { return true };
        let method =
            subject.preflight.as_ref().map_or_else(|| self.method(), |preflight| preflight.method.as_str().into());
        let other = self.snapshot.policy.find(subject.host.as_ref(), &path, &method);
        other.is_none_or(|other| !other.asks_what(&subject.matched))
    }

    /// The rule that covers the request. A true preflight asks on behalf of the
    /// request that will follow it, where the rule of that one answers it.
    fn rule(&self, host: Option<&Host>, path: &CanonicalPath) -> Option<(Matched<'s>, Option<Preflight>)> {
        let policy = &self.snapshot.policy;
        if let Some(preflight) = Preflight::of(self.request)
            && let Some(matched) = policy.find(host, path, &preflight.method)
            && matched.rule().allows_origin(preflight.origin.as_bytes())
        {
            return Some((matched, Some(preflight)));
        }
        policy.find(host, path, &self.method()).map(|matched| (matched, None))
    }

    /// The method a rule is looked up by. Methods are case-sensitive (RFC 9110
    /// section 9.1), but an upstream may not know that: the rule of the proper
    /// spelling is asked, and [`Self::judge`] lets no other spelling pass.
    fn method(&self) -> Cow<'r, str> {
        let method = self.request.method;
        if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            Cow::Owned(method.to_ascii_uppercase())
        } else {
            Cow::Borrowed(method)
        }
    }

    /// A header that only the proxy or the service may set. A proxy that asks
    /// over HTTP cannot be told to remove one, so the request is refused; in
    /// gRPC it is removed.
    fn spoofed_header(&self) -> Option<&'static str> {
        let identity = &self.snapshot.identity;
        if request_kind::connection_names(self.request).any(|name| identity.reads_as_reserved(name)) {
            return Some("connection_names_reserved_header");
        }
        let aliases = || self.request.headers.iter().any(|(name, _)| identity.is_alias(name));
        (self.request.protocol != Protocol::Grpc && aliases()).then_some("alias_header")
    }

    /// Who calls; an error when that may be told once something was waited for.
    /// A token decides alone, also where a session stands beside it.
    pub(super) fn caller<'a>(&self, subject: &Subject<'_>) -> Result<Caller, Ask<'a>>
    where
        's: 'a,
        'r: 'a,
    {
        if subject.preflight.is_some() {
            return Ok(Caller::Anonymous);
        }
        self.caller_by(subject.matched.rule().token_places())
    }

    /// Who calls, by a token in one of `places`, else by the session cookie.
    pub(super) fn caller_by<'a>(&self, places: TokenPlaces) -> Result<Caller, Ask<'a>>
    where
        's: 'a,
        'r: 'a,
    {
        let token = match credentials::find(self.request, places) {
            Credentials::None => return self.browser(),
            Credentials::Malformed => return Ok(NOT_TAKEN),
            Credentials::Multiple => return Ok(rejected(Reason::MultipleCredentials, "multiple_credentials")),
            Credentials::AccessToken { hash, as_password } if self.checker.ports.access_tokens => {
                return Err(Ask::AccessToken { hash, as_password });
            }
            Credentials::AccessToken { .. } => return Ok(NOT_TAKEN),
            Credentials::Bearer(token) => token,
        };
        let ports = &self.checker.ports;
        if let Some(opaque) = ports.opaque_tokens.as_ref().filter(|_| is_opaque(token)) {
            let issuers = &self.snapshot.issuers;
            let known = opaque.known(token, issuers).map(|known| told(known, CacheResult::Hit));
            return known.ok_or(Ask::Opaque(token, issuers));
        }
        let (verified, cache) =
            self.checker.tokens.verify(token, &self.snapshot.issuers, ports.keys.as_ref(), ports.clock.as_ref());
        match verified {
            Ok(verified) => Ok(Caller::Token(verified, cache)),
            Err(NotVerified::Rejected(Rejection::KidUnknown { provider })) => Err(Ask::Keys(provider)),
            Err(refused) => Ok(Caller::BadToken(refused.reason(), refused.as_str(), Some(cache))),
        }
    }

    /// Whose browser it is, by the session cookie.
    fn browser(&self) -> Result<Caller, Ask<'static>> {
        if self.checker.ports.sessions.is_none() {
            return Ok(Caller::Anonymous);
        }
        match BrowserCookies::read_session(&self.request.header_values("cookie")) {
            SessionCookie::None => Ok(Caller::Anonymous),
            SessionCookie::One(id) => Err(Ask::Session(id)),
            SessionCookie::Malformed => Ok(Caller::BadCookie(Reason::SessionExpired, LostSession::Malformed.cause())),
            SessionCookie::Multiple => Ok(Caller::BadCookie(Reason::MultipleCredentials, "session_ambiguous")),
        }
    }

    pub(super) fn judge(&self, subject: &Subject<'_>, admitted: &Admitted) -> CheckOutcome {
        match admitted {
            Admitted::Somebody(principal, Shown::Token(cache)) => {
                let mut outcome = self.judge_principal(subject, Some(principal), None);
                outcome.record.token = Some(*cache);
                outcome
            }
            Admitted::Somebody(principal, Shown::AccessToken { as_password }) => {
                // Only browsers name an origin.
                let has_origin = self.request.header_values("origin").next().is_some();
                self.judge_unless(*as_password && has_origin && self.is_foreign_websocket(subject), subject, principal)
            }
            Admitted::Somebody(principal, Shown::Session(live)) => self.judge_session(subject, principal, live),
            Admitted::Barred(principal, shown, barred) => self.judge_barred(subject, principal, shown, *barred),
            Admitted::Anonymous => self.judge_principal(subject, None, None),
            Admitted::BadToken(reason, cause, cache) => {
                let mut outcome = self.judge_principal(subject, None, Some(Refused::of(*reason, cause)));
                outcome.record.token = *cache;
                outcome
            }
            Admitted::BadCookie(reason, cause) => {
                let mut outcome = self.judge_principal(subject, None, Some(Refused::of(*reason, cause)));
                // Of a session that could not be looked up nothing is known: its cookie stays.
                if *reason == Reason::SessionExpired {
                    outcome.set_cookie(SetCookie::clear_session());
                }
                outcome
            }
        }
    }

    fn judge_session(&self, subject: &Subject<'_>, principal: &Arc<Principal>, live: &LiveSession) -> CheckOutcome {
        let mut outcome = self.judge_unless(self.is_foreign_websocket(subject), subject, principal);
        if let Some(cookie) = &live.set_cookie {
            outcome.set_cookie(cookie.clone());
        }
        outcome
    }

    /// The judgement of somebody, or of nobody where a page of another origin uses their credentials.
    fn judge_unless(&self, is_foreign: bool, subject: &Subject<'_>, principal: &Arc<Principal>) -> CheckOutcome {
        if is_foreign {
            let refused = Refused::of(Reason::InsufficientPermission, "websocket_origin");
            self.judge_principal(subject, None, Some(refused))
        } else {
            self.judge_principal(subject, Some(principal), None)
        }
    }

    /// Somebody who is not let in goes where nobody is asked for, as nobody. The
    /// cookie of a session stays, so that they can sign out, unless it is over.
    fn judge_barred(
        &self,
        subject: &Subject<'_>,
        principal: &Arc<Principal>,
        shown: &Shown,
        Barred { reason, cause }: Barred,
    ) -> CheckOutcome {
        let whom = (reason == Reason::DisabledUser).then_some(principal.as_ref());
        let mut outcome = self.judge_principal(subject, None, Some(Refused { reason, cause, whom }));
        outcome.record.speaks_of(principal);
        match shown {
            Shown::AccessToken { .. } => {}
            Shown::Token(cache) => outcome.record.token = Some(*cache),
            Shown::Session(_) if reason == Reason::SessionExpired => outcome.set_cookie(SetCookie::clear_session()),
            Shown::Session(live) => {
                if let Some(cookie) = &live.set_cookie {
                    outcome.set_cookie(cookie.clone());
                }
            }
        }
        outcome
    }

    /// Whether a page of another origin may have opened this WebSocket: browsers
    /// send cookies, and passwords that they know, with it and let any page read what comes back (RFC 6455
    /// section 10.2).
    fn is_foreign_websocket(&self, subject: &Subject<'_>) -> bool {
        let own = |origin| self.snapshot.login.as_ref().is_some_and(|login| login.is_public_origin(origin));
        let allowed = |origin| own(origin) || subject.matched.rule().allows_origin(origin);
        request_kind::is_websocket(self.request) && !self.request.single_header("origin").is_some_and(allowed)
    }

    /// The judgement of whoever it is; `refused` says why credentials that are
    /// there do not count.
    pub(super) fn judge_principal(
        &self,
        subject: &Subject<'_>,
        principal: Option<&Arc<Principal>>,
        refused: Option<Refused<'_>>,
    ) -> CheckOutcome {
        if let Some(preflight) = &subject.preflight {
            return self.answer_preflight(subject, preflight);
        }
        let tiers = self.snapshot.policy.tiers();
        let caller = principal.map(AsRef::as_ref);
        let decision = match (subject.matched.decide(tiers, caller, subject.route_tier), &subject.stale_route) {
            (Decision::Allow(held), Some(stale)) => match stale.matched.decide(stale.tiers, caller, None) {
                Decision::Allow(_) => Decision::Allow(held),
                denied @ Decision::Deny(_) => denied,
            },
            (decision, _) => decision,
        };
        let mut outcome = match (decision, refused) {
            (Decision::Allow(_), _) if self.request.method != self.method() => {
                self.refuse(Some(subject), Reason::BadTarget, "method_spelling")
            }
            (Decision::Allow(held), _) => self.allow(subject, principal, held),
            (Decision::Deny(_), Some(Refused { reason, cause, whom })) => {
                let place = (Some(subject), whom);
                self.deny_as(DenyKind::of(reason), place, reason, Some(cause), &Required::default())
            }
            (Decision::Deny(reason @ Reason::NoCredentials), None) => {
                self.deny(Some(subject), reason, None, &Required::default())
            }
            (Decision::Deny(reason), None) => {
                let required = subject.matched.required(tiers, subject.route_tier);
                self.deny_as(DenyKind::of(reason), (Some(subject), caller), reason, None, &required)
            }
        };
        if let Some(principal) = principal {
            outcome.record.speaks_of(principal);
        }
        outcome
    }

    fn refuse(&self, subject: Option<&Subject<'_>>, reason: Reason, cause: &'static str) -> CheckOutcome {
        self.deny(subject, reason, Some(cause), &Required::default())
    }
}

/// What is asked for the page that answers.
fn answering<'s>(
    policy: &'s Policy,
    host: Option<&Host>,
    page: &CanonicalPath,
    method: &str,
) -> Result<StaleRoute<'s>, &'static str> {
    let matched = policy.find(host, page, method).ok_or("route_of_another_app")?;
    match page.encoded().without(matched.rule().encoded()).refusal() {
        Some(_) => Err("route_of_another_app"),
        None => Ok(StaleRoute { matched, tiers: policy.tiers() }),
    }
}
