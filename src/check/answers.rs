//! How a judgement is put into an outcome: what the upstream, the client, the
//! log are told.

use std::sync::Arc;

use super::allow::{Allow, Told};
use super::assertion::AssertionError;
use super::body::{Reader, Refusal, html_body, json_body};
use super::credentials;
use super::judgement::{Check, Subject};
use super::login::{LoginPlace, LostSession};
use super::outcome::{Answer, Body, CheckOutcome, Denial, DenyKind, Response, challenge};
use super::record::DecisionRecord;
use super::request_kind::{self, Preflight};
use crate::policy::{Required, TokenPlaces};
use crate::types::{CanonicalPath, Host, Principal, Protocol, Reason, TierSet};
use crate::ui::Contact;

impl Check<'_, '_> {
    pub(super) fn allow(
        &self,
        subject: &Subject<'_>,
        principal: Option<&Arc<Principal>>,
        held: TierSet,
    ) -> CheckOutcome {
        let mut record = self.record(Some(subject));
        record.allowed = true;
        record.reason = Reason::Ok;
        record.held = held;
        let Ok(assertion) = self.assertion(principal.map(AsRef::as_ref), held) else {
            return self.deny(Some(subject), Reason::Unavailable, Some("assertion"), &Required::default());
        };
        let mut allow = self.upstream(Some(subject), principal, held, assertion);
        allow.cors_origin = self.cors_origin(Some(subject));
        CheckOutcome { answer: Answer::Allow(Box::new(allow)), record }
    }

    /// The signed assertion, or nothing where none is asked for.
    fn assertion(&self, principal: Option<&Principal>, held: TierSet) -> Result<String, AssertionError> {
        let Some(settings) = &self.snapshot.assertion else { return Ok(String::new()) };
        let clock = &self.checker.ports.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let tiers = self.snapshot.policy.tiers();
        let tiers: Vec<&str> = held.iter().map(|tier| tiers.name(tier)).collect();
        self.checker.assertion_keys.sign(settings, principal, &tiers, self.decision_id, now, monotonic)
    }

    /// What goes to the upstream; every way to let a request pass ends here, so
    /// that none of them leaves a managed header as the client sent it.
    pub(super) fn upstream(
        &self,
        subject: Option<&Subject<'_>>,
        principal: Option<&Arc<Principal>>,
        held: TierSet,
        assertion: String,
    ) -> Allow {
        let caller = Told {
            snapshot: Arc::clone(self.snapshot),
            principal: principal.cloned(),
            held,
            tier: subject.and_then(|subject| subject.matched.tier()),
            request_id: Arc::clone(&self.request_id),
            assertion,
        };
        let mut aliases: Vec<String> = Vec::new();
        // Over HTTP a request with one does not come this far.
        let headers = if self.request.protocol == Protocol::Grpc { self.request.headers } else { &[] };
        for (name, _) in headers {
            if self.snapshot.identity.is_alias(name) && !aliases.iter().any(|held| held == name) {
                aliases.push((*name).to_owned());
            }
        }
        // Under no rule nothing is read, so nothing is cut out.
        let places = subject.map_or(TokenPlaces::HEADER, |subject| subject.matched.rule().token_places());
        let query_cut = if places.query { credentials::token_parameters(self.request.target) } else { Vec::new() };
        let websocket_protocol_cut = places.websocket_protocol && credentials::protocols_hold_token(self.request);
        let cookies = request_kind::upstream_cookies(self.request);
        Allow {
            caller,
            aliases,
            query: credentials::upstream_query(self.request.target, !query_cut.is_empty()),
            query_cut,
            websocket_protocol: credentials::upstream_protocols(self.request, websocket_protocol_cut),
            websocket_protocol_cut,
            cookie: cookies.text,
            cookie_cut: cookies.cut,
            set_cookies: Vec::new(),
            cors_origin: None,
        }
    }

    pub(super) fn answer_preflight(&self, subject: &Subject<'_>, preflight: &Preflight) -> CheckOutcome {
        let mut record = self.record(Some(subject));
        record.allowed = true;
        record.reason = Reason::Ok;
        let mut headers = vec![
            ("access-control-allow-origin", preflight.origin.clone()),
            ("access-control-allow-methods", preflight.method.clone()),
            ("access-control-max-age", "600".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned()),
        ];
        if let Some(names) = &preflight.headers {
            headers.push(("access-control-allow-headers", names.clone()));
        }
        let mut otherwise = self.upstream(Some(subject), None, TierSet::EMPTY, String::new());
        otherwise.cors_origin = Some(preflight.origin.clone());
        let response = Response { status: 204, headers, body: String::new(), otherwise };
        CheckOutcome { answer: Answer::Respond(Box::new(response)), record }
    }

    pub(super) fn deny_unmatched(&self, path: &CanonicalPath, host: Option<&Host>) -> CheckOutcome {
        let refusal = path.encoded().refusal();
        let (reason, cause) = match refusal {
            Some(error) => (Reason::BadTarget, Some(error.as_str())),
            None => (Reason::NoRule, None),
        };
        self.deny_at(path, host, reason, cause)
    }

    /// Refuses where no rule is known.
    pub(super) fn deny_at(
        &self,
        path: &CanonicalPath,
        host: Option<&Host>,
        reason: Reason,
        cause: Option<&'static str>,
    ) -> CheckOutcome {
        let mut outcome = self.deny(None, reason, cause, &Required::default());
        outcome.record.path = request_kind::cut(path.as_str());
        outcome.record.host = host.map(|host| host.as_str().to_owned()).unwrap_or_default();
        outcome
    }

    pub(super) fn deny(
        &self,
        subject: Option<&Subject<'_>>,
        reason: Reason,
        cause: Option<&'static str>,
        required: &Required,
    ) -> CheckOutcome {
        self.deny_as(DenyKind::of(reason), (subject, None), reason, cause, required)
    }

    /// A refusal for a place, and whoever is known to ask for it.
    pub(super) fn deny_as(
        &self,
        kind: DenyKind,
        (subject, principal): (Option<&Subject<'_>>, Option<&Principal>),
        reason: Reason,
        cause: Option<&'static str>,
        required: &Required,
    ) -> CheckOutcome {
        let mut record = self.record(subject);
        record.reason = reason;
        record.cause = cause;
        let mut denial = Denial {
            kind,
            reason,
            challenge: challenge(reason, required),
            redirect: None,
            body: Body::EMPTY,
            set_cookies: Vec::new(),
            cors_origin: self.cors_origin(subject),
        };
        let navigation = request_kind::is_navigation(self.request);
        let login = self.login(kind, reason);
        if let (true, Some(login), Some(subject)) = (navigation, login, subject) {
            // Nobody gets rid of an `Authorization` header by signing in: the
            // redirects would never end.
            let goes = self.request.header_values("authorization").next().is_none();
            let lost = cause.and_then(LostSession::of_cause);
            denial.redirect = goes.then(|| login.redirect(self.request, subject, lost));
        }
        let login_url = match (&denial.redirect, login) {
            (Some(redirect), _) => redirect.location.clone(),
            (None, Some(login)) => login.for_programs(self.request),
            (None, None) => String::new(),
        };
        let refusal = Refusal {
            status: denial.http_status(self.request.protocol),
            reason,
            required,
            request_id: &self.request_id,
            login_url: &login_url,
        };
        denial.body = if navigation {
            html_body(&refusal, &self.reader(kind, subject, principal, required))
        } else {
            json_body(&refusal, self.snapshot.errors.as_ref())
        };
        CheckOutcome { answer: Answer::Deny(Box::new(denial)), record }
    }

    /// Where to sign in, when that would help. Of two sessions it would not: the
    /// browser would send both of them again.
    fn login(&self, kind: DenyKind, reason: Reason) -> Option<&LoginPlace> {
        let helps = kind == DenyKind::Unauthenticated && reason != Reason::MultipleCredentials;
        self.checker.ports.sessions.as_ref()?;
        self.snapshot.login.as_ref().filter(|_| helps)
    }

    /// What a person who is refused is told beside the refusal. Only who came
    /// by a session is led to the pages of the session.
    fn reader<'a>(
        &'a self,
        kind: DenyKind,
        subject: Option<&Subject<'_>>,
        principal: Option<&'a Principal>,
        required: &'a Required,
    ) -> Reader<'a> {
        let ui = &self.snapshot.ui;
        let tiers = self.snapshot.policy.tiers();
        let label = |name: &'a String| tiers.index(name).map_or(name.as_str(), |tier| tiers.label(tier));
        let has_sessions = self.checker.ports.sessions.is_some();
        let by_token = self.request.header_values("authorization").next().is_some();
        let pages = self.snapshot.login.as_ref();
        let app =
            subject.and_then(|subject| self.snapshot.catalogue.serving(subject.host.as_ref(), subject.path.as_str()));
        let owner =
            || app.and_then(|app| app.owner.as_deref()).map(Contact::parse).or_else(|| ui.brand().contact.clone());
        Reader {
            ui,
            language: ui.language(self.request.single_header("accept-language")),
            owner: (kind == DenyKind::Forbidden && principal.is_some()).then(owner).flatten(),
            name: principal.map(Principal::shown_name),
            tiers: required.tiers.iter().map(label).collect(),
            pages: pages.filter(|_| kind == DenyKind::Forbidden && has_sessions && !by_token),
        }
    }

    fn cors_origin(&self, subject: Option<&Subject<'_>>) -> Option<String> {
        let origin = self.request.single_header("origin")?;
        let allowed = subject?.matched.rule().allows_origin(origin);
        allowed.then(|| String::from_utf8_lossy(origin).into_owned())
    }

    pub(super) fn record(&self, subject: Option<&Subject<'_>>) -> DecisionRecord {
        DecisionRecord {
            request_id: Arc::clone(&self.request_id),
            decision_id: self.decision_id,
            protocol: self.request.protocol,
            method: request_kind::loggable_method(self.request.method),
            host: match subject {
                Some(subject) => subject.host.as_ref().map(|host| host.as_str().to_owned()).unwrap_or_default(),
                None => self.request.host.map(|host| request_kind::loggable(host, 255)).unwrap_or_default(),
            },
            path: match subject {
                Some(subject) => request_kind::cut(subject.path.as_str()),
                None => request_kind::loggable_path(self.request.target),
            },
            allowed: false,
            reason: Reason::Unavailable,
            cause: None,
            token: None,
            snapshot: Arc::clone(self.snapshot),
            rule: subject.map(|subject| subject.matched.rule().shared_name()),
            asked_tier: subject.and_then(|subject| subject.matched.tier()),
            held: TierSet::EMPTY,
            principal: None,
        }
    }
}
