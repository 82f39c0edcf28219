//! One request under one snapshot: which rule, who calls, what is decided.

use std::borrow::Cow;
use std::sync::Arc;

use super::checker::{Checker, Snapshot};
use super::credentials::{self, Credentials};
use super::outcome::CheckOutcome;
use super::request_kind::{self, Preflight};
use super::token_cache::CacheResult;
use crate::policy::{Decision, Matched, Required};
use crate::token::Rejection;
use crate::types::{CanonicalPath, Host, Principal, Protocol, ProviderId, Reason, RequestView, TierIndex};

/// Whether a caller could be told, and how.
pub(super) enum Caller {
    Known(Arc<Principal>, Option<CacheResult>),
    Anonymous,
    /// Credentials are there and do not count.
    Refused(Reason, &'static str),
    /// They could count if the keys of this provider were asked for once more.
    AskKeys(ProviderId),
}

/// What is known of a request before its caller is.
pub(super) struct Subject<'s> {
    pub(super) path: CanonicalPath,
    pub(super) host: Option<Host>,
    pub(super) matched: Matched<'s>,
    pub(super) route_tier: Option<TierIndex>,
    pub(super) preflight: Option<Preflight>,
}

/// One request under one snapshot.
pub(super) struct Check<'s, 'r> {
    pub(super) checker: &'s Checker,
    pub(super) snapshot: &'s Snapshot,
    pub(super) request: &'r RequestView<'r>,
    pub(super) decision_id: String,
    pub(super) request_id: String,
}

impl<'s, 'r> Check<'s, 'r> {
    pub(super) fn new(checker: &'s Checker, snapshot: &'s Snapshot, request: &'r RequestView<'r>) -> Self {
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
    pub(super) fn subject(&self) -> Result<Subject<'s>, Box<CheckOutcome>> {
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

    pub(super) fn caller(&self, subject: &Subject<'_>) -> Caller {
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

    pub(super) fn judge(&self, subject: &Subject<'_>, caller: &Caller) -> CheckOutcome {
        if let Some(preflight) = &subject.preflight {
            return self.answer_preflight(subject, preflight);
        }
        let tiers = self.snapshot.policy.tiers();
        let principal = match caller {
            Caller::Known(principal, _) => Some(principal.as_ref()),
            Caller::Anonymous | Caller::Refused(..) | Caller::AskKeys(_) => None,
        };
        let mut outcome = match (subject.matched.decide(tiers, principal, subject.route_tier), caller) {
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
        if let Caller::Known(principal, cache) = caller {
            outcome.record.subject = Some(Arc::from(principal.subject.as_ref()));
            outcome.record.provider = Some(principal.provider.as_str().to_owned());
            outcome.record.token = *cache;
        } else if matches!(caller, Caller::Refused(..)) {
            outcome.record.token = Some(CacheResult::Rejected);
        }
        outcome
    }
}
