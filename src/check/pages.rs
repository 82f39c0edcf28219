//! The port of the service's own pages, which both carriers answer with: the
//! HTTP listener, and gRPC `Check` for a proxy that has no route to it.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// A request for a page of the service.
#[derive(Clone, Copy)]
pub struct PageRequest<'a> {
    /// The method as the client sent it.
    pub method: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The raw query, without its `?`.
    pub query: &'a [u8],
    /// Header names in lower case with their raw values, in arrival order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body; `None` where the carrier brings none (gRPC).
    pub body: Option<&'a [u8]>,
    /// Who handed it on to the service.
    pub sender: Sender,
}

/// Who hands a request on to the service, as far as it says who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A proxy of ours: what it says of its client in `X-Forwarded-For` counts.
    Proxy,
    /// Anybody else, at this address.
    Address(IpAddr),
    /// It cannot be told.
    Unknown,
}

/// What the client is answered. `set-cookie` may stand more than once.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Without the query, the headers and the form: a code and cookies stand there.
impl fmt::Debug for PageRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, query: _, headers: _, body: _, sender } = self;
        f.debug_struct("PageRequest")
            .field("method", method)
            .field("path", path)
            .field("sender", sender)
            .finish_non_exhaustive()
    }
}

/// Without header values and body: cookies, a state, a form's key stand there.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body: _ } = self;
        f.debug_struct("Page").field("status", status).field("headers", &names(headers)).finish_non_exhaustive()
    }
}

/// The names of headers, for output that must not show their values.
pub(super) fn names<N: AsRef<str>, V>(headers: &[(N, V)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_ref()).collect()
}

/// Answers for the service's own paths.
///
/// Security contract: `owns` and `has_page` are functions of the canonical path
/// alone, and whatever has a page is owned; a check lets nothing but a page's own
/// path pass for nobody; `answer` says no secret but to
/// the caller whose it is, and believes no header about who calls but `Cookie`,
/// `Authorization`, and the signature over a provider's message.
/// The address of a client counts for how often it may ask, and for nothing else.
pub trait OwnPages: Send + Sync {
    /// Whether a canonical path is one of the service's own: under `base_path`,
    /// or one that the config puts elsewhere, such as a callback.
    fn owns(&self, path: &str) -> bool;
    /// Whether there is a page, or an endpoint for providers, at exactly this
    /// canonical path, to which a proxy that asks about it may let anybody through.
    fn has_page(&self, path: &str) -> bool;

    /// The tier that is asked for at a canonical path, where the service does so
    /// itself: over HTTP nobody without it passes there.
    fn tier(&self, path: &str) -> Option<&str> {
        let _ = path;
        None
    }

    /// The largest body that the page at a canonical path reads, in bytes.
    fn max_body(&self, path: &str) -> usize {
        let _ = path;
        64 * 1024
    }
    /// Answers, with 404 where there is no page. The call ends within 6 s.
    fn answer<'a>(&'a self, request: &'a PageRequest<'a>) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>>;
}
