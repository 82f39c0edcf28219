//! The service's own paths, as a check meets them.
//!
//! A special path is one outside `base_path`: a callback, `/login`. The public
//! host is the one of `public_url`, with its port; without a `login` there is none.
//!
//! | path | host | gRPC | over HTTP |
//! | --- | --- | --- | --- |
//! | a page | public | the page | passes as nobody |
//! | of a tier, such as the administrators' | public | the page | passes with the tier, else 401 or 403 |
//! | below `base_path`, no page | public | 404 | 403 `no_rule` |
//! | below `base_path` | none, or another | the page, or 404 | the policy decides |
//! | special | none | the page | the policy decides |
//! | special | another | the policy decides | the policy decides |
//!
//! In gRPC a page under `base_path` is answered under every name by which people
//! reach the proxy: nothing gets to an upstream by it. Over HTTP to pass is to
//! get to an upstream, so no path passes but one where a page is, and only on the
//! host that browsers are sent to. Where the proxy says that its route leads to an
//! app, or to no app of the catalogue, it does not lead to a page: the policy decides.

use super::admission::Admitted;
use super::allow::Allow;
use super::judgement::{Check, Step};
use super::outcome::{Answer, CheckOutcome, DenyKind, Response};
use super::pages::{OwnPages, Page, PageRequest, Sender};
use super::request_kind;
use crate::policy::Required;
use crate::types::{CanonicalPath, Host, Protocol, Reason, TierSet};

/// What the log says of these paths beside the reason.
const CAUSE: &str = "own_page";

impl<'s> Check<'s, '_> {
    /// How the check of one of the service's own paths goes on; `None` where the
    /// policy decides.
    ///
    /// In gRPC the page is answered here. A proxy that asks over HTTP about a
    /// page, which it should send to the service unasked, is told that anybody
    /// may go there: a refusal would send browsers to sign in at a page that
    /// sends them to sign in. No app lives there, and if one did, it would see an
    /// anonymous request without the cookies of the service.
    pub(super) fn own_path(
        &self,
        path: &CanonicalPath,
        host: Option<&Host>,
        pages: Option<&dyn OwnPages>,
    ) -> Option<Step<'s>> {
        let own = pages.filter(|pages| path.encoded().refusal().is_none() && pages.owns(path.as_str()));
        let public = host.is_some_and(|host| self.snapshot.login.as_ref().is_some_and(|login| login.is_at(host)));
        match (self.request.protocol, own) {
            (Protocol::Grpc, Some(_)) if public || host.is_none() || self.is_below_base(path) => {
                Some(Step::Page(path.clone()))
            }
            (Protocol::Grpc, Some(_)) => None,
            (Protocol::Grpc, None) => self.keys_page(path).map(Step::Done),
            (Protocol::AuthRequest | Protocol::ForwardAuth | Protocol::ExtAuthz, Some(pages))
                if public && self.request.route_app.is_none() =>
            {
                if let Some(tier) = pages.tier(path.as_str()) {
                    return Some(Step::OwnTier(path.clone(), tier.to_owned()));
                }
                Some(Step::Done(if pages.has_page(path.as_str()) {
                    self.own_answer(path, host, Answer::Allow(Box::new(self.nobody())))
                } else {
                    self.deny_at(path, host, Reason::NoRule, Some(CAUSE))
                }))
            }
            (Protocol::AuthRequest | Protocol::ForwardAuth | Protocol::ExtAuthz, _) => None,
        }
    }

    /// Who may ask for one of the service's own paths that asks for a tier, as if
    /// a rule did. The page itself judges once more.
    pub(super) fn judge_own(&self, path: &CanonicalPath, tier: &str, admitted: &Admitted) -> CheckOutcome {
        let tiers = self.snapshot.policy.tiers();
        let host = self.request.host.and_then(|host| Host::parse(host).ok());
        let deny = |whom, reason, cause| {
            let required = Required { tiers: vec![tier.to_owned()], ..Required::default() };
            let mut outcome = self.deny_as(DenyKind::of(reason), (None, whom), reason, Some(cause), &required);
            outcome.record.path = request_kind::cut(path.as_str());
            outcome.record.host = host.as_ref().map(|host| host.as_str().to_owned()).unwrap_or_default();
            outcome
        };
        let mut outcome = match admitted {
            Admitted::Somebody(principal, _) => {
                let held = tiers.held_by(Some(principal));
                if tiers.index(tier).is_some_and(|tier| held.contains(tier)) {
                    self.own_answer(path, host.as_ref(), Answer::Allow(Box::new(self.nobody())))
                } else {
                    deny(Some(principal.as_ref()), Reason::InsufficientTier, CAUSE)
                }
            }
            Admitted::Barred(principal, _, barred) => deny(Some(principal.as_ref()), barred.reason, barred.cause),
            Admitted::Anonymous => deny(None, Reason::NoCredentials, CAUSE),
            Admitted::BadToken(reason, cause, _) | Admitted::BadCookie(reason, cause) => deny(None, *reason, cause),
        };
        if let Admitted::Somebody(principal, _) | Admitted::Barred(principal, ..) = admitted {
            outcome.record.speaks_of(principal);
        }
        outcome
    }

    fn is_below_base(&self, path: &CanonicalPath) -> bool {
        let below = path.as_str().strip_prefix(&self.snapshot.base_path);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// The page at `path`.
    pub(super) async fn page(&self, path: &CanonicalPath, pages: &dyn OwnPages) -> CheckOutcome {
        let target = self.request.target;
        let query = target.iter().position(|byte| *byte == b'?').map_or(target.len(), |mark| mark.saturating_add(1));
        let request = PageRequest {
            method: self.request.method,
            path: path.as_str(),
            query: target.get(query..).unwrap_or_default(),
            headers: self.request.headers,
            body: None,
            // Nobody but the proxy may reach the gRPC listener.
            sender: Sender::Proxy,
        };
        let Page { status, headers, body } = pages.answer(&request).await;
        let body = if self.request.method == "HEAD" { String::new() } else { body };
        let response = Response { status, headers, body, otherwise: self.nobody() };
        let host = self.request.host.and_then(|host| Host::parse(host).ok());
        self.own_answer(path, host.as_ref(), Answer::Respond(Box::new(response)))
    }

    /// The public keys of the assertion, where no pages are.
    fn keys_page(&self, path: &CanonicalPath) -> Option<CheckOutcome> {
        let own = path.as_str().strip_prefix(&self.snapshot.base_path)?;
        if own != "/jwks.json" || self.request.method != "GET" {
            return None;
        }
        let body = self.checker.assertion_jwks()?;
        let headers = vec![
            ("content-type", "application/jwk-set+json".to_owned()),
            ("cache-control", "public, max-age=300".to_owned()),
        ];
        let response = Response { status: 200, headers, body, otherwise: self.nobody() };
        Some(self.own_answer(path, None, Answer::Respond(Box::new(response))))
    }

    fn nobody(&self) -> Allow {
        self.upstream(None, None, TierSet::EMPTY, String::new())
    }

    /// The outcome; what the log says of it is as the status of the answer.
    fn own_answer(&self, path: &CanonicalPath, host: Option<&Host>, answer: Answer) -> CheckOutcome {
        let mut record = self.record(None);
        record.path = request_kind::cut(path.as_str());
        if let Some(host) = host {
            host.as_str().clone_into(&mut record.host);
        }
        record.reason = match &answer {
            Answer::Allow(_) => Reason::Ok,
            Answer::Deny(denial) => denial.reason,
            Answer::Respond(response) => reason_of(response.status),
        };
        record.allowed = record.reason == Reason::Ok;
        record.cause = Some(CAUSE);
        CheckOutcome { answer, record }
    }
}

/// The reason that says most nearly what a page of this status says.
const fn reason_of(status: u16) -> Reason {
    match status {
        ..400 => Reason::Ok,
        401 => Reason::NoCredentials,
        403 => Reason::InsufficientPermission,
        404 | 405 => Reason::NoRule,
        429 => Reason::Overloaded,
        400..500 => Reason::BadTarget,
        500.. => Reason::Unavailable,
    }
}
