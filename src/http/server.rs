//! What proxies call over HTTP, and the service's own public documents.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use ipnet::IpNet;
use tower::Service;

use super::target::{self, NoTarget, Target};
use super::{answer, page};
use crate::check::{Answer, CheckService, DenyKind, Sender};
use crate::types::{Protocol, Reason, RequestView};

/// Who is on the other side of a connection; in the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody at this address.
    Address(IpAddr),
    /// Somebody who may open the unix socket, which its file mode decides.
    UnixSocket,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.to_canonical().fmt(f),
            Self::UnixSocket => f.write_str("unix socket"),
        }
    }
}

/// Further paths of the decision endpoints, as other programs name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Aliases {
    /// `/oauth2/auth`
    pub oauth2_proxy: bool,
    /// `/api/authz/{auth-request,forward-auth,ext-authz}`
    pub authelia: bool,
}

/// The HTTP side of the service, one per process, cheap to clone.
#[derive(Clone)]
pub struct HttpServer(Arc<Server>);

struct Server {
    check: CheckService,
    trusted_proxies: Arc<[IpNet]>,
    aliases: Aliases,
}

/// Where the proxy's route leads.
const ROUTE_APP: &str = "x-tiergate-app";
/// Set by a proxy that was refused and only asks for the words to relay: if the
/// answer has become an allow meanwhile, it must not reach the client as one.
const REFUSED: &str = "x-tiergate-refused";
/// What stands before the original path in Envoy's HTTP protocol.
const EXT_AUTHZ: &str = "/authz/ext-authz";
const EXT_AUTHZ_ALIAS: &str = "/api/authz/ext-authz";

/// A path of this listener.
enum Endpoint {
    Decision(Protocol, &'static str),
    /// Perhaps one of the service's own pages.
    Other,
}

impl HttpServer {
    /// Believes the target headers of `trusted_proxies` and of nobody else.
    #[must_use]
    pub fn new(check: CheckService, trusted_proxies: &[IpNet], aliases: Aliases) -> Self {
        Self(Arc::new(Server { check, trusted_proxies: trusted_proxies.into(), aliases }))
    }

    /// Answers one request of `peer`; a panic is one refusal.
    pub async fn answer<B>(self, request: Request<B>, peer: Option<Peer>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let endpoint = self.0.endpoint(request.uri().path());
        let protocol = match endpoint {
            Endpoint::Decision(protocol @ Protocol::ExtAuthz, _) => protocol,
            Endpoint::Decision(..) | Endpoint::Other => Protocol::ForwardAuth,
        };
        let answer = AssertUnwindSafe(self.0.answer_at(endpoint, request, peer)).catch_unwind();
        answer.await.unwrap_or_else(|_| answer::still_refused(protocol))
    }
}

impl Server {
    async fn answer_at<B>(&self, endpoint: Endpoint, request: Request<B>, peer: Option<Peer>) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match (endpoint, self.check.pages()) {
            // The body says nothing about the decision; it is dropped unread.
            (Endpoint::Decision(protocol, prefix), _) => self.decide(protocol, prefix, &request.map(drop), peer).await,
            // Boxed, so that a check does not carry the room for it.
            (Endpoint::Other, Some(pages)) => Box::pin(page::answer(pages.as_ref(), request, self.sender(peer))).await,
            (Endpoint::Other, None) => plain(StatusCode::NOT_FOUND, "There is no such endpoint.\n"),
        }
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        let Aliases { oauth2_proxy, authelia } = self.aliases;
        match path {
            "/authz/auth-request" => Endpoint::Decision(Protocol::AuthRequest, ""),
            "/authz/forward-auth" => Endpoint::Decision(Protocol::ForwardAuth, ""),
            "/oauth2/auth" if oauth2_proxy => Endpoint::Decision(Protocol::AuthRequest, ""),
            "/api/authz/auth-request" if authelia => Endpoint::Decision(Protocol::AuthRequest, ""),
            "/api/authz/forward-auth" if authelia => Endpoint::Decision(Protocol::ForwardAuth, ""),
            // What follows is the client's, with or without its `/`: it is the check that refuses it.
            _ if path.starts_with(EXT_AUTHZ) => Endpoint::Decision(Protocol::ExtAuthz, EXT_AUTHZ),
            _ if authelia && path.starts_with(EXT_AUTHZ_ALIAS) => {
                Endpoint::Decision(Protocol::ExtAuthz, EXT_AUTHZ_ALIAS)
            }
            _ => Endpoint::Other,
        }
    }

    async fn decide<B>(
        &self,
        protocol: Protocol,
        prefix: &str,
        request: &Request<B>,
        peer: Option<Peer>,
    ) -> Response<Full<Bytes>> {
        let headers: Vec<(&str, &[u8])> = request
            .headers()
            .iter()
            .filter(|(name, _)| !is_of_the_proxy(name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request_id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let outcome = if !self.trusts(peer) {
            let address = peer.map_or_else(String::new, |peer| peer.to_string());
            tracing::warn!(peer = address, "the peer is not in `trusted_proxies`: add it if it is your proxy");
            self.check.refuse(&unread(protocol), DenyKind::Forbidden, Reason::SpoofedHeader, "untrusted_peer")
        } else {
            match target::read(protocol, request, prefix) {
                Ok(target) => {
                    let Target { method, target, host } = target;
                    // A client that writes it only asks more of itself.
                    let route_app = request.headers().get(ROUTE_APP).filter(|app| !app.is_empty());
                    let route_app = route_app.map(|app| app.to_str().unwrap_or_default());
                    let view = RequestView {
                        protocol,
                        method,
                        target,
                        host,
                        headers: &headers,
                        route_tier: None,
                        route_app,
                        request_id,
                    };
                    self.check.answer(&view).await
                }
                Err(NoTarget::Missing) => self.check.refuse(
                    &unread(protocol),
                    DenyKind::Forbidden,
                    Reason::BadTarget,
                    "missing_target_header",
                ),
                Err(NoTarget::Ambiguous) => self.check.refuse(
                    &unread(protocol),
                    DenyKind::BadTarget,
                    Reason::BadTarget,
                    "ambiguous_target_header",
                ),
            }
        };
        let refused_before = request.headers().contains_key(REFUSED);
        match outcome.answer {
            Answer::Allow(_) | Answer::Respond(_) if refused_before => answer::still_refused(protocol),
            answer @ (Answer::Allow(_) | Answer::Deny(_) | Answer::Respond(_)) => answer::response(answer, protocol),
        }
    }

    fn sender(&self, peer: Option<Peer>) -> Sender {
        match peer {
            peer if self.trusts(peer) => Sender::Proxy,
            Some(Peer::Address(address)) => Sender::Address(address),
            Some(Peer::UnixSocket) | None => Sender::Unknown,
        }
    }

    fn trusts(&self, peer: Option<Peer>) -> bool {
        match peer {
            Some(Peer::UnixSocket) => true,
            Some(Peer::Address(address)) => {
                let address = address.to_canonical();
                self.trusted_proxies.iter().any(|network| network.contains(&address))
            }
            None => false,
        }
    }
}

impl<B> Service<Request<B>> for HttpServer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().copied();
        Box::pin(self.clone().answer(request, peer).map(Ok))
    }
}

/// Headers that the proxy writes for this hop and that say nothing of the client.
fn is_of_the_proxy(name: &str) -> bool {
    matches!(name, "host" | "connection" | "content-length" | "transfer-encoding")
}

/// Stands for a request whose target was not read.
const fn unread(protocol: Protocol) -> RequestView<'static> {
    RequestView {
        protocol,
        method: "",
        target: b"",
        host: None,
        headers: &[],
        route_tier: None,
        route_app: None,
        request_id: None,
    }
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
