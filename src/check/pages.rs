//! The port of the service's own pages, which both carriers answer with: the
//! HTTP listener, and gRPC `Check` for a proxy that has no route to it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// A request for a page of the service.
#[derive(Debug, Clone, Copy)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// Answers for the service's own paths.
///
/// Security contract: `owns` is a function of the canonical path alone, and no
/// path that it owns ever reaches an upstream; `answer` says no secret but to
/// the browser whose it is, and believes no header about who calls but `Cookie`.
/// The address of a client counts for how often it may ask, and for nothing else.
pub trait OwnPages: Send + Sync {
    /// Whether a canonical path is one of the service's own: under `base_path`,
    /// or one that the config puts elsewhere, such as a callback.
    fn owns(&self, path: &str) -> bool;
    /// Answers. The call ends within 6 s.
    fn answer<'a>(&'a self, request: &'a PageRequest<'a>) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>>;
}
