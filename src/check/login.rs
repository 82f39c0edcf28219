//! Where browsers sign in, and how one that is nobody yet is sent there.
//!
//! Everything in a `Location` comes from the config and from the path that was
//! checked: never from `Host` or a forwarded header, which a client may write.

use std::fmt::Write as _;

use super::credentials;
use super::judgement::Subject;
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

    /// `origin` as a browser serialises it (RFC 6454 section 6.2); `None` when
    /// it is no origin.
    #[must_use]
    pub fn new(origin: &str, base_path: &str) -> Option<Self> {
        let (_, authority) = origin.split_once("://")?;
        let host = Host::parse(authority.as_bytes()).ok()?;
        let url = format!("{origin}{base_path}{}", Self::PAGE).into_boxed_str();
        Some(Self { origin: Box::from(origin), host, url })
    }

    /// Whether `origin` is exactly the public one.
    pub(super) fn is_public_origin(&self, origin: &[u8]) -> bool {
        self.origin.as_bytes() == origin
    }

    /// Where a navigation goes that lacks a session.
    pub(super) fn redirect(&self, request: &RequestView<'_>, subject: &Subject<'_>) -> LoginRedirect {
        if matches!(request.method, "GET" | "HEAD") {
            return LoginRedirect {
                status: 302,
                location: self.with_return(self.asked_for(request, subject).as_ref()),
            };
        }
        // What was posted is lost: the browser comes back to the page with the form.
        let mut location = self.with_return(self.page_before(request).as_ref());
        location.push(if location.contains('?') { '&' } else { '?' });
        let _ = write!(location, "{}=1", Self::FORM_LOST);
        LoginRedirect { status: 303, location }
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
