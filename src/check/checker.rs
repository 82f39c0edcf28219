//! The way from a request to its outcome, the same for every protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::assertion::{AssertionKeys, AssertionSettings};
use super::body::{ErrorTemplate, Refusal, html_body, json_body};
use super::credentials::{self, Credentials};
use super::identity_headers::{ASSERTION_HEADER, Identity, IdentityHeaders};
use super::outcome::{Allow, Answer, CheckOutcome, DecisionRecord, Denial, DenyKind, Response, challenge};
use super::request_kind::{self, Preflight};
use super::token_cache::{CacheResult, TokenCache};
use crate::policy::{Decision, Matched, Policy, Required};
use crate::token::{Issuers, KeySource, Rejection};
use crate::types::{
    CanonicalPath, Clock, Host, Principal, Protocol, ProviderId, Random, Reason, RequestView, TierIndex, TierSet,
};

/// Everything a check is decided by; replaced whole, never changed.
pub struct Snapshot {
    /// Tiers and rules.
    pub policy: Policy,
    /// Whose tokens count.
    pub issuers: Issuers,
    /// What the upstream is told.
    pub identity: IdentityHeaders,
    /// The operator's own JSON body for refusals.
    pub errors: Option<ErrorTemplate>,
    /// Present: the upstream gets a signed assertion.
    pub assertion: Option<AssertionSettings>,
    /// Where the service's own pages live.
    pub base_path: String,
}

/// Asks for the keys of a provider once more.
///
/// Security contract: however often it is called, a provider is asked at most
/// once in each cooldown, and the call ends within the time a proxy waits.
pub trait KeyRefresh: Send + Sync {
    /// Ends when the keys are fresh, or when there is no sense in waiting on.
    fn refresh<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// What a checker needs of the world.
pub struct Ports {
    /// The live key sets.
    pub keys: Arc<dyn KeySource>,
    /// Their refresh.
    pub refresh: Arc<dyn KeyRefresh>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For the ids of decisions.
    pub random: Arc<dyn Random>,
}

/// Decides requests.
pub struct Checker {
    snapshot: ArcSwap<Snapshot>,
    tokens: TokenCache,
    assertion_keys: AssertionKeys,
    ports: Ports,
}

/// Whether a caller could be told, and how.
enum Caller {
    Known(Arc<Principal>, Option<CacheResult>),
    Anonymous,
    /// Credentials are there and do not count.
    Refused(Reason, &'static str),
    /// They could count if the keys of this provider were asked for once more.
    AskKeys(ProviderId),
}

/// What is known of a request before its caller is.
struct Subject<'s> {
    path: CanonicalPath,
    host: Option<Host>,
    matched: Matched<'s>,
    route_tier: Option<TierIndex>,
    preflight: Option<Preflight>,
}

impl Checker {
    /// A checker with its first snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot, tokens: TokenCache, ports: Ports) -> Self {
        Self { snapshot: ArcSwap::from_pointee(snapshot), tokens, assertion_keys: AssertionKeys::new(), ports }
    }

    /// The live snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a new snapshot in the place of the live one; checks under way end
    /// with the one they began with.
    pub fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The public keys of `X-Auth-Assertion`, or `None` where it is not in use.
    #[must_use]
    pub fn assertion_jwks(&self) -> Option<String> {
        self.snapshot.load().assertion.as_ref()?;
        self.assertion_keys.jwks(self.ports.clock.monotonic()).ok()
    }

    /// Decides one request.
    pub async fn check(&self, request: &RequestView<'_>) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        let check = Check::new(self, &snapshot, request);
        let subject = match check.subject() {
            Ok(subject) => subject,
            Err(outcome) => return *outcome,
        };
        let mut caller = check.caller(&subject);
        if let Caller::AskKeys(provider) = &caller {
            self.ports.refresh.refresh(provider).await;
            caller = match check.caller(&subject) {
                Caller::AskKeys(_) => Caller::Refused(Reason::InvalidToken, "kid_unknown"),
                told => told,
            };
        }
        check.judge(&subject, caller)
    }

    /// Decides a request as if `caller` had sent it, whatever credentials stand
    /// in it: what `policy explain` and `policy test` ask.
    #[must_use]
    pub fn check_as(&self, request: &RequestView<'_>, caller: Option<Arc<Principal>>) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        let check = Check::new(self, &snapshot, request);
        match check.subject() {
            Ok(subject) => {
                let caller = caller.map_or(Caller::Anonymous, |principal| Caller::Known(principal, None));
                check.judge(&subject, caller)
            }
            Err(outcome) => *outcome,
        }
    }

    /// The outcome for a request that could not be checked: an error within,
    /// too little time, too much work.
    #[must_use]
    pub fn refuse(
        &self,
        request: &RequestView<'_>,
        kind: DenyKind,
        reason: Reason,
        cause: &'static str,
    ) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        Check::new(self, &snapshot, request).deny_as(kind, None, reason, Some(cause), &Required::default())
    }
}

/// One request under one snapshot.
struct Check<'s, 'r> {
    checker: &'s Checker,
    snapshot: &'s Snapshot,
    request: &'r RequestView<'r>,
    decision_id: String,
    request_id: String,
}

impl<'s, 'r> Check<'s, 'r> {
    fn new(checker: &'s Checker, snapshot: &'s Snapshot, request: &'r RequestView<'r>) -> Self {
        let mut id = [0u8; 16];
        checker.ports.random.fill(&mut id);
        let decision_id = format!("{:032x}", u128::from_be_bytes(id));
        let request_id = request
            .request_id
            .filter(|given| request_kind::is_request_id(given))
            .map_or_else(|| decision_id.clone(), str::to_owned);
        Self { checker, snapshot, request, decision_id, request_id }
    }

    /// Which rule the request falls under, or the outcome when it is refused
    /// before anybody asks who calls.
    fn subject(&self) -> Result<Subject<'s>, Box<CheckOutcome>> {
        let refuse = |subject: Option<&Subject<'_>>, reason, cause| {
            Err(Box::new(self.deny(subject, reason, Some(cause), &Required::default())))
        };
        let path = match CanonicalPath::parse(self.request.target) {
            Ok(path) => path,
            Err(error) => return refuse(None, Reason::BadTarget, error.as_str()),
        };
        let host = match self.request.host.map(Host::parse).transpose() {
            Ok(host) => host,
            Err(error) => return refuse(None, Reason::BadTarget, error.as_str()),
        };
        if let Some(cause) = request_kind::never_passes(self.request) {
            return refuse(None, Reason::BadTarget, cause);
        }
        if let Some(cause) = self.spoofed_header() {
            return refuse(None, Reason::SpoofedHeader, cause);
        }
        if let Some(page) = self.own_page(&path) {
            return Err(Box::new(page));
        }
        let policy = &self.snapshot.policy;
        let preflight = Preflight::of(self.request);
        let wanted = preflight
            .as_ref()
            .and_then(|preflight| {
                let matched = policy.find(host.as_ref(), &path, &preflight.method)?;
                matched.rule().allows_origin(preflight.origin.as_bytes()).then_some(matched)
            })
            .map_or_else(
                || (policy.find(host.as_ref(), &path, &self.method()), None),
                |matched| (Some(matched), preflight.clone()),
            );
        let (Some(matched), preflight) = wanted else {
            return Err(Box::new(self.deny_unmatched(&path, host.as_ref())));
        };
        let route_tier = match self.request.route_tier.map(|name| policy.tiers().index(name)) {
            None => None,
            Some(Some(tier)) => Some(tier),
            // The route asks for a tier that nobody can hold.
            Some(None) => return refuse(None, Reason::NoRule, "unknown_route_tier"),
        };
        let subject = Subject { path, host, matched, route_tier, preflight };
        if let Some(error) = subject.path.encoded().without(matched.rule().encoded()).refusal() {
            return refuse(Some(&subject), Reason::BadTarget, error.as_str());
        }
        Ok(subject)
    }

    /// The method a rule is looked up by. Methods are case-sensitive (RFC 9110
    /// section 9.1), but an upstream may not know that: the rule of the proper
    /// spelling is asked, and [`Self::judge`] lets no other spelling pass.
    fn method(&self) -> String {
        self.request.method.to_ascii_uppercase()
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

    /// A page of the service that is answered inside gRPC `Check` itself.
    fn own_page(&self, path: &CanonicalPath) -> Option<CheckOutcome> {
        let own = path.as_str().strip_prefix(&self.snapshot.base_path)?;
        if self.request.protocol != Protocol::Grpc || own != "/jwks.json" || self.request.method != "GET" {
            return None;
        }
        let body = self.checker.assertion_jwks()?;
        let mut record = self.record(None);
        record.path = path.as_str().to_owned();
        record.allowed = true;
        record.reason = Reason::Ok;
        let headers = vec![
            ("content-type", "application/jwk-set+json".to_owned()),
            ("cache-control", "public, max-age=300".to_owned()),
        ];
        let otherwise = self.upstream(None, None, TierSet::EMPTY);
        let response = Response { status: 200, headers, body, otherwise };
        Some(CheckOutcome { answer: Answer::Respond(Box::new(response)), record })
    }

    fn caller(&self, subject: &Subject<'_>) -> Caller {
        if subject.preflight.is_some() {
            return Caller::Anonymous;
        }
        let token = match credentials::find(self.request, subject.matched.rule().token_places()) {
            Credentials::None => return Caller::Anonymous,
            Credentials::Malformed => return Caller::Refused(Reason::InvalidToken, "malformed"),
            Credentials::Multiple => return Caller::Refused(Reason::MultipleCredentials, "multiple_credentials"),
            Credentials::Bearer(token) => token,
        };
        let ports = &self.checker.ports;
        let (verified, cache) =
            self.checker.tokens.verify(token, &self.snapshot.issuers, ports.keys.as_ref(), ports.clock.now());
        match verified {
            Ok(verified) => Caller::Known(Arc::clone(verified.principal()), Some(cache)),
            Err(Rejection::KidUnknown { provider }) => Caller::AskKeys(provider),
            Err(rejection) => Caller::Refused(rejection.reason(), rejection.as_str()),
        }
    }

    fn judge(&self, subject: &Subject<'_>, caller: Caller) -> CheckOutcome {
        if let Some(preflight) = &subject.preflight {
            return self.answer_preflight(subject, preflight);
        }
        let tiers = self.snapshot.policy.tiers();
        let principal = match &caller {
            Caller::Known(principal, _) => Some(principal.as_ref()),
            Caller::Anonymous | Caller::Refused(..) | Caller::AskKeys(_) => None,
        };
        let mut outcome = match (subject.matched.decide(tiers, principal, subject.route_tier), &caller) {
            (Decision::Allow(_), _) if self.request.method != self.method() => {
                self.deny(Some(subject), Reason::BadTarget, Some("method_spelling"), &Required::default())
            }
            (Decision::Allow(held), _) => self.allow(subject, principal, held),
            (Decision::Deny(_), Caller::Refused(reason, cause)) => {
                self.deny(Some(subject), *reason, Some(cause), &Required::default())
            }
            (Decision::Deny(reason @ Reason::NoCredentials), _) => {
                self.deny(Some(subject), reason, None, &Required::default())
            }
            (Decision::Deny(reason), _) => {
                self.deny(Some(subject), reason, None, &subject.matched.required(tiers, subject.route_tier))
            }
        };
        if let Caller::Known(principal, cache) = &caller {
            outcome.record.subject = Some(Arc::from(principal.subject.as_ref()));
            outcome.record.provider = Some(principal.provider.as_str().to_owned());
            outcome.record.token = *cache;
        } else if matches!(caller, Caller::Refused(..)) {
            outcome.record.token = Some(CacheResult::Rejected);
        }
        outcome
    }

    fn allow(&self, subject: &Subject<'_>, principal: Option<&Principal>, held: TierSet) -> CheckOutcome {
        let mut record = self.record(Some(subject));
        record.allowed = true;
        record.reason = Reason::Ok;
        record.tiers = self.tier_names(held);
        let mut allow = self.upstream(Some(subject), principal, held);
        if let Some(settings) = &self.snapshot.assertion {
            let clock = &self.checker.ports.clock;
            let signed = self.checker.assertion_keys.sign(
                settings,
                principal,
                &record.tiers,
                &self.decision_id,
                clock.now(),
                clock.monotonic(),
            );
            match signed {
                Ok(assertion) => allow.headers.push((Box::from(ASSERTION_HEADER), assertion)),
                Err(_) => {
                    return self.deny(Some(subject), Reason::Unavailable, Some("assertion"), &Required::default());
                }
            }
        } else {
            allow.headers.push((Box::from(ASSERTION_HEADER), String::new()));
        }
        allow.cors_origin = self.cors_origin(Some(subject));
        CheckOutcome { answer: Answer::Allow(Box::new(allow)), record }
    }

    /// What goes to the upstream; every way to let a request pass ends here, so
    /// that none of them leaves a managed header as the client sent it.
    fn upstream(&self, subject: Option<&Subject<'_>>, principal: Option<&Principal>, held: TierSet) -> Allow {
        let tiers = self.snapshot.policy.tiers();
        let identity = Identity {
            principal,
            tiers,
            held,
            tier: subject.and_then(|subject| subject.matched.tier()).map(|tier| tiers.name(tier)),
            request_id: &self.request_id,
        };
        let headers = self.snapshot.identity.values(&identity);
        let managed = |name: &str| headers.iter().any(|(held, _)| held.as_ref() == name) || name == ASSERTION_HEADER;
        let mut remove: Vec<String> =
            self.snapshot.identity.reserved().filter(|name| !managed(name)).map(str::to_owned).collect();
        for (name, _) in self.request.headers {
            if self.snapshot.identity.is_alias(name) && !remove.iter().any(|held| held == name) {
                remove.push((*name).to_owned());
            }
        }
        let places = subject.map_or(NO_PLACES, |subject| subject.matched.rule().token_places());
        let query = credentials::upstream_query(self.request.target, places);
        let protocols = credentials::upstream_protocols(self.request, places);
        let all_protocols = credentials::upstream_protocols(self.request, NO_PLACES);
        Allow {
            headers,
            remove,
            query_cut: query.len() != credentials::upstream_query(self.request.target, NO_PLACES).len(),
            query,
            websocket_protocol_cut: protocols != all_protocols,
            websocket_protocol: protocols,
            cookie: request_kind::cookies(self.request),
            cors_origin: None,
        }
    }

    fn answer_preflight(&self, subject: &Subject<'_>, preflight: &Preflight) -> CheckOutcome {
        let mut record = self.record(Some(subject));
        record.allowed = true;
        record.reason = Reason::Ok;
        let mut headers = vec![
            ("access-control-allow-origin", preflight.origin.clone()),
            ("access-control-allow-methods", preflight.method.clone()),
            ("access-control-max-age", "600".to_owned()),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned()),
        ];
        if let Some(names) = &preflight.headers {
            headers.push(("access-control-allow-headers", names.clone()));
        }
        let mut otherwise = self.upstream(Some(subject), None, TierSet::EMPTY);
        otherwise.headers.push((Box::from(ASSERTION_HEADER), String::new()));
        otherwise.cors_origin = Some(preflight.origin.clone());
        let response = Response { status: 204, headers, body: String::new(), otherwise };
        CheckOutcome { answer: Answer::Respond(Box::new(response)), record }
    }

    fn deny_unmatched(&self, path: &CanonicalPath, host: Option<&Host>) -> CheckOutcome {
        let refusal = path.encoded().refusal();
        let (reason, cause) = match refusal {
            Some(error) => (Reason::BadTarget, Some(error.as_str())),
            None => (Reason::NoRule, None),
        };
        let mut outcome = self.deny(None, reason, cause, &Required::default());
        outcome.record.path = path.as_str().to_owned();
        outcome.record.host = host.map(|host| host.as_str().to_owned()).unwrap_or_default();
        outcome
    }

    fn deny(
        &self,
        subject: Option<&Subject<'_>>,
        reason: Reason,
        cause: Option<&'static str>,
        required: &Required,
    ) -> CheckOutcome {
        self.deny_as(DenyKind::of(reason), subject, reason, cause, required)
    }

    fn deny_as(
        &self,
        kind: DenyKind,
        subject: Option<&Subject<'_>>,
        reason: Reason,
        cause: Option<&'static str>,
        required: &Required,
    ) -> CheckOutcome {
        let mut record = self.record(subject);
        record.reason = reason;
        record.cause = cause;
        let refusal =
            Refusal { status: kind.http_status(self.request.protocol), reason, required, request_id: &self.request_id };
        let body = if request_kind::is_navigation(self.request) {
            html_body(&refusal)
        } else {
            json_body(&refusal, self.snapshot.errors.as_ref())
        };
        let denial = Denial {
            kind,
            reason,
            challenge: challenge(reason, required),
            body,
            cors_origin: self.cors_origin(subject),
        };
        CheckOutcome { answer: Answer::Deny(Box::new(denial)), record }
    }

    fn cors_origin(&self, subject: Option<&Subject<'_>>) -> Option<String> {
        let origin = self.request.single_header("origin")?;
        let allowed = subject?.matched.rule().allows_origin(origin);
        allowed.then(|| String::from_utf8_lossy(origin).into_owned())
    }

    fn tier_names(&self, held: TierSet) -> Vec<String> {
        held.iter().map(|tier| self.snapshot.policy.tiers().name(tier).to_owned()).collect()
    }

    fn record(&self, subject: Option<&Subject<'_>>) -> DecisionRecord {
        let tiers = self.snapshot.policy.tiers();
        DecisionRecord {
            request_id: self.request_id.clone(),
            decision_id: self.decision_id.clone(),
            protocol: self.request.protocol,
            method: request_kind::loggable(self.request.method.as_bytes(), 32),
            host: match subject {
                Some(subject) => subject.host.as_ref().map(|host| host.as_str().to_owned()).unwrap_or_default(),
                None => self.request.host.map(|host| request_kind::loggable(host, 255)).unwrap_or_default(),
            },
            path: match subject {
                Some(subject) => subject.path.as_str().to_owned(),
                None => request_kind::loggable_path(self.request.target),
            },
            rule: subject.map(|subject| subject.matched.rule().name().to_owned()),
            tier: subject.and_then(|subject| subject.matched.tier()).map(|tier| tiers.name(tier).to_owned()),
            tiers: Vec::new(),
            allowed: false,
            reason: Reason::Unavailable,
            cause: None,
            subject: None,
            provider: None,
            token: None,
            policy: self.snapshot.policy.fingerprint().to_owned(),
        }
    }
}

/// For a request under no rule: nothing is read, so nothing is cut out.
const NO_PLACES: crate::policy::TokenPlaces =
    crate::policy::TokenPlaces { header: true, query: false, websocket_protocol: false };
