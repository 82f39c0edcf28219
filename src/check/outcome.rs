//! The end of a check: one value, and the tables that turn it into statuses.

use std::fmt;

use super::allow::Allow;
use super::login::LoginRedirect;
use super::pages::names;
use super::record::DecisionRecord;
use crate::policy::Required;
use crate::session::SetCookie;
use crate::types::{Protocol, Reason};

/// What a check came to, with the record of why.
#[derive(Debug, Clone)]
pub struct CheckOutcome {
    /// What the proxy is told.
    pub answer: Answer,
    /// What the log and the metrics are told.
    pub record: DecisionRecord,
}

impl CheckOutcome {
    /// Gives the browser a cookie with the answer.
    pub(super) fn set_cookie(&mut self, cookie: SetCookie) {
        match &mut self.answer {
            Answer::Allow(allow) => allow.set_cookies.push(cookie),
            Answer::Deny(denial) => denial.set_cookies.push(cookie),
            Answer::Respond(response) => response.headers.push(("set-cookie", cookie.header_value())),
        }
    }
}

/// What the proxy is told.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Let the request pass.
    Allow(Box<Allow>),
    /// Refuse it.
    Deny(Box<Denial>),
    /// The service answers the client itself: a preflight, a page of its own.
    /// Where a protocol cannot carry that, the request passes as [`Allow`]
    /// would let an anonymous one pass.
    Respond(Box<Response>),
}

/// Why a request is refused, as far as the status goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DenyKind {
    /// Credentials are missing or do not verify.
    Unauthenticated,
    /// The caller is known, or the rule needs none, and it is not enough.
    Forbidden,
    /// The target can be read in more than one way.
    BadTarget,
    /// No decision is possible now.
    Unavailable,
    /// Too much work is waiting.
    Overloaded,
}

impl DenyKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Unauthenticated, Self::Forbidden, Self::BadTarget, Self::Unavailable, Self::Overloaded];

    /// The HTTP status that the proxy understands as this refusal. nginx knows
    /// only 401 and 403 and makes 500 of the rest; Envoy's HTTP service takes a
    /// 5xx for a failure of the filter, which `failure_mode_allow` lets pass.
    #[must_use]
    pub const fn http_status(self, protocol: Protocol) -> u16 {
        match (self, protocol) {
            (Self::Unauthenticated, _) => 401,
            (Self::Forbidden, _) => 403,
            (Self::BadTarget, Protocol::AuthRequest) => 403,
            (Self::BadTarget, Protocol::Grpc | Protocol::ForwardAuth | Protocol::ExtAuthz) => 400,
            (Self::Unavailable | Self::Overloaded, Protocol::ExtAuthz) => 403,
            (Self::Unavailable | Self::Overloaded, Protocol::Grpc | Protocol::AuthRequest | Protocol::ForwardAuth) => {
                503
            }
        }
    }
}

/// A refusal.
#[derive(Clone, PartialEq, Eq)]
pub struct Denial {
    /// Which status it gets.
    pub kind: DenyKind,
    /// Why.
    pub reason: Reason,
    /// The `WWW-Authenticate` value (RFC 6750 section 3), on a 401 and for a missing scope.
    pub challenge: Option<String>,
    /// Where a browser goes to sign in.
    pub redirect: Option<LoginRedirect>,
    /// The body and its type.
    pub body: Body,
    /// Cookies for the browser.
    pub set_cookies: Vec<SetCookie>,
    /// The origin that may read the answer, on a rule with `cors`.
    pub cors_origin: Option<String>,
}

impl Denial {
    /// The HTTP status of the answer. nginx cannot take a redirect from a check:
    /// it gets the 401, with the `Location` beside it.
    #[must_use]
    pub fn http_status(&self, protocol: Protocol) -> u16 {
        match (&self.redirect, protocol) {
            (Some(redirect), Protocol::Grpc | Protocol::ForwardAuth | Protocol::ExtAuthz) => redirect.status,
            (Some(_), Protocol::AuthRequest) | (None, _) => self.kind.http_status(protocol),
        }
    }

    /// The headers of the answer. `set-cookie` may stand more than once.
    #[must_use]
    pub fn headers(&self, protocol: Protocol) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", self.body.content_type.to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
        ];
        let mut varies = Vec::new();
        for (name, value) in &self.body.headers {
            if *name == "vary" {
                varies.push(value.as_str());
            } else {
                headers.push((name, value.clone()));
            }
        }
        let redirects = matches!(self.http_status(protocol), 302 | 303);
        if let Some(challenge) = self.challenge.as_ref().filter(|_| !redirects) {
            headers.push(("www-authenticate", challenge.clone()));
        }
        if let Some(redirect) = &self.redirect {
            headers.push(("location", redirect.location.clone()));
        }
        headers.extend(self.set_cookies.iter().map(|cookie| ("set-cookie", cookie.header_value())));
        if let Some(origin) = &self.cors_origin {
            headers.push(("access-control-allow-origin", origin.clone()));
            varies.push("Origin");
        }
        if !varies.is_empty() {
            headers.push(("vary", varies.join(", ")));
        }
        headers
    }
}

/// A body and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The `Content-Type` value.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
    /// The headers that say what a browser may do with it.
    pub headers: Vec<(&'static str, String)>,
}

impl Body {
    pub(super) const EMPTY: Self =
        Self { content_type: "text/plain; charset=utf-8", text: String::new(), headers: Vec::new() };
}

/// An answer of the service itself.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers. `set-cookie` may stand more than once.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// What the upstream gets where the protocol cannot carry the answer.
    pub otherwise: Allow,
}

/// Without the address to sign in at, the body and the cookies.
impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, reason, challenge, redirect, body, set_cookies, cors_origin } = self;
        f.debug_struct("Denial")
            .field("kind", kind)
            .field("reason", reason)
            .field("challenge", challenge)
            .field("redirect", &redirect.as_ref().map(|redirect| redirect.status))
            .field("content_type", &body.content_type)
            .field("set_cookies", &set_cookies.len())
            .field("cors_origin", cors_origin)
            .finish_non_exhaustive()
    }
}

/// Without header values and body, as a page is.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body: _, otherwise } = self;
        f.debug_struct("Response")
            .field("status", status)
            .field("headers", &names(headers))
            .field("otherwise", otherwise)
            .finish_non_exhaustive()
    }
}

impl DenyKind {
    /// The kind of refusal a reason leads to.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::NoCredentials
            | Reason::InvalidToken
            | Reason::ExpiredToken
            | Reason::MultipleCredentials
            | Reason::SessionExpired => Self::Unauthenticated,
            Reason::InsufficientTier
            | Reason::InsufficientScope
            | Reason::InsufficientPermission
            | Reason::NoRule
            | Reason::DisabledUser => Self::Forbidden,
            Reason::BadTarget | Reason::SpoofedHeader => Self::BadTarget,
            Reason::Overloaded => Self::Overloaded,
            // `Ok` is no reason to refuse; if it ever gets here, nothing passes.
            Reason::Unavailable | Reason::Ok => Self::Unavailable,
        }
    }
}

/// The `WWW-Authenticate` value for a refusal, if it takes one.
pub(crate) fn challenge(reason: Reason, required: &Required) -> Option<String> {
    match reason {
        Reason::NoCredentials => Some("Bearer".to_owned()),
        Reason::InvalidToken | Reason::ExpiredToken | Reason::MultipleCredentials | Reason::SessionExpired => {
            Some("Bearer error=\"invalid_token\"".to_owned())
        }
        Reason::InsufficientTier | Reason::InsufficientScope => Some(match required.challenge_scope() {
            Some(scope) => format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
            None => "Bearer error=\"insufficient_scope\"".to_owned(),
        }),
        Reason::Ok
        | Reason::InsufficientPermission
        | Reason::NoRule
        | Reason::BadTarget
        | Reason::SpoofedHeader
        | Reason::DisabledUser
        | Reason::Unavailable
        | Reason::Overloaded => None,
    }
}
