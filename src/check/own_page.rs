//! The service's own paths, as a check meets them.

use super::judgement::{Check, Step};
use super::outcome::{Allow, Answer, CheckOutcome, Response};
use super::pages::{OwnPages, Page, PageRequest, Sender};
use crate::types::{CanonicalPath, Protocol, Reason, TierSet};

impl<'s> Check<'s, '_> {
    /// How the check of one of the service's own paths goes on; `None` for
    /// every other path.
    ///
    /// In gRPC the page is answered here. A proxy that asks over HTTP about such
    /// a path, which it should send to the service unasked, is told that
    /// anybody may go there: a refusal would send browsers to sign in at a page
    /// that sends them to sign in. No app lives there, and if one did, it would
    /// see an anonymous request without the cookies of the service.
    pub(super) fn own_path(&self, path: &CanonicalPath, pages: Option<&dyn OwnPages>) -> Option<Step<'s>> {
        let own = path.encoded().refusal().is_none() && pages.is_some_and(|pages| pages.owns(path.as_str()));
        match self.request.protocol {
            Protocol::Grpc if own => Some(Step::Page(path.clone())),
            Protocol::Grpc => self.keys_page(path).map(Step::Done),
            Protocol::AuthRequest | Protocol::ForwardAuth | Protocol::ExtAuthz if own => {
                Some(Step::Done(self.own_answer(path, Answer::Allow(Box::new(self.nobody())))))
            }
            Protocol::AuthRequest | Protocol::ForwardAuth | Protocol::ExtAuthz => None,
        }
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
        self.own_answer(path, Answer::Respond(Box::new(response)))
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
        Some(self.own_answer(path, Answer::Respond(Box::new(response))))
    }

    fn nobody(&self) -> Allow {
        self.upstream(None, None, TierSet::EMPTY, String::new())
    }

    fn own_answer(&self, path: &CanonicalPath, answer: Answer) -> CheckOutcome {
        let mut record = self.record(None);
        path.as_str().clone_into(&mut record.path);
        record.allowed = true;
        record.reason = Reason::Ok;
        record.cause = Some("own_page");
        CheckOutcome { answer, record }
    }
}
