//! Where browsers sign in, and how one that is nobody yet is sent there.
//!
//! Everything in a `Location` comes from the config and from the path that was
//! checked: never from `Host` or a forwarded header, which a client may write.

use std::fmt::Write as _;

use super::credentials;
use super::judgement::Subject;
use crate::session::NoSession;
use crate::types::{CanonicalPath, Host, RequestView};

/// The longest `rd`, as it stands in a `Location`, in bytes. Proxies keep the
/// headers of an answer in buffers of 4 KiB.
const MAX_RETURN: usize = 2048;

/// The page where browsers sign in, on the one public origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPlace {
    origin: Box<str>,
    host: Host,
    url: Box<str>,
    account: Box<str>,
    sign_out: Box<str>,
}

/// Why the session cookie that a browser brought is taken away from it, for the
/// page where it signs in to tell; nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostSession {
    /// There is no such session.
    Unknown,
    /// None of the service's secrets opens it.
    Broken,
    /// It is over.
    Ended,
    /// The cookie is none that was ever set.
    Malformed,
}

/// Where a refused browser goes instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRedirect {
    /// 302, or 303 where the request was neither GET nor HEAD (RFC 9110 section 15.4.4).
    pub status: u16,
    /// An absolute URL on the public origin.
    pub location: String,
}

impl LoginPlace {
    /// The page under `base_path`.
    pub const PAGE: &'static str = "/login";
    /// The parameter that says where to go afterwards: path and query.
    pub const RETURN_TO: &'static str = "rd";
    /// The parameter that says, with the value `1`, that the browser comes from
    /// a form whose content is lost.
    pub const FORM_LOST: &'static str = "form";
    /// The parameter that says what became of the session, see [`LostSession`].
    pub const WHY: &'static str = "why";

    /// `origin` as a browser serialises it (RFC 6454 section 6.2); `None` when
    /// it is no origin.
    #[must_use]
    pub fn new(origin: &str, base_path: &str) -> Option<Self> {
        let (_, authority) = origin.split_once("://")?;
        let host = Host::parse(authority.as_bytes()).ok()?;
        let page = |page: &str| format!("{origin}{base_path}{page}").into_boxed_str();
        let (url, account, sign_out) = (page(Self::PAGE), page("/"), page("/logout"));
        Some(Self { origin: Box::from(origin), host, url, account, sign_out })
    }

    /// Scheme, host and port that browsers see.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address to sign in at, from where a browser comes back to `target`: path and query.
    #[must_use]
    pub fn sign_in(&self, target: &str) -> String {
        self.with_return(Some(&target.to_owned()))
    }

    /// Whether `host` is the one of the public origin, with its port.
    pub(super) fn is_at(&self, host: &Host) -> bool {
        self.host == *host
    }

    /// The page that says who is signed in.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// The page that asks before it signs anybody out.
    pub(super) fn sign_out(&self) -> &str {
        &self.sign_out
    }

    /// Whether `origin` is exactly the public one.
    pub(super) fn is_public_origin(&self, origin: &[u8]) -> bool {
        self.origin.as_bytes() == origin
    }

    /// Where a navigation goes that lacks a session.
    pub(super) fn redirect(
        &self,
        request: &RequestView<'_>,
        subject: &Subject<'_>,
        lost: Option<LostSession>,
    ) -> LoginRedirect {
        let idle = matches!(request.method, "GET" | "HEAD");
        // What was posted is lost: the browser comes back to the page with the form.
        let target = if idle { self.asked_for(request, subject) } else { self.page_before(request) };
        let mut location = self.with_return(target.as_ref());
        let mut add = |name: &str, value: &str| {
            let before = if location.contains('?') { '&' } else { '?' };
            let _ = write!(location, "{before}{name}={value}");
        };
        if let Some(lost) = lost {
            add(Self::WHY, lost.as_str());
        }
        if !idle {
            add(Self::FORM_LOST, "1");
        }
        LoginRedirect { status: if idle { 302 } else { 303 }, location }
    }

    /// Where the page that a program runs in has to go.
    pub(super) fn for_programs(&self, request: &RequestView<'_>) -> String {
        self.with_return(self.page_before(request).as_ref())
    }

    /// What was asked for, when it is the same on the public origin.
    fn asked_for(&self, request: &RequestView<'_>, subject: &Subject<'_>) -> Option<String> {
        let rule = subject.matched.rule();
        let is_there = subject.host.as_ref() == Some(&self.host) || !rule.names_host();
        let query = credentials::upstream_query(request.target, rule.token_places().query);
        is_there.then(|| format!("{}{query}", subject.path.as_str()))
    }

    /// The page on the public origin that the request came from.
    fn page_before(&self, request: &RequestView<'_>) -> Option<String> {
        let target = request.single_header("referer")?.strip_prefix(self.origin.as_bytes())?;
        let path = CanonicalPath::parse(target).ok()?;
        Some(format!("{}{}", path.as_str(), credentials::upstream_query(target, true)))
    }

    fn with_return(&self, target: Option<&String>) -> String {
        let encoded = target.map(|target| percent_encode(target)).filter(|encoded| encoded.len() <= MAX_RETURN);
        encoded.map_or_else(|| self.url.to_string(), |encoded| format!("{}?{}={encoded}", self.url, Self::RETURN_TO))
    }
}

impl LostSession {
    const ALL: [Self; 4] = [Self::Unknown, Self::Broken, Self::Ended, Self::Malformed];

    /// What stands in the address of the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Broken => "broken",
            Self::Ended => "ended",
            Self::Malformed => "malformed",
        }
    }

    /// Reads what stands there; `None` for anything else.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lost| lost.as_str() == word)
    }

    /// The cause of a refusal, if it is one of these.
    pub(super) fn of_cause(cause: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lost| lost.cause() == cause)
    }

    /// The word for the log.
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::Unknown => NoSession::Unknown.as_str(),
            Self::Broken => NoSession::Broken.as_str(),
            Self::Ended => NoSession::Expired.as_str(),
            Self::Malformed => "session_malformed",
        }
    }
}

/// The value of a query parameter: everything but unreserved characters and
/// `/` is encoded (RFC 3986 section 3.4).
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
