//! What Envoy calls: `Check`, the standard health service, nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use futures_util::FutureExt as _;
use prost::Message as _;
use tonic::Status;
use tonic::server::NamedService;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;

use super::convert::{Malformed, WireRequest};
use super::encode;
use super::framing::{self, Body, Framed, Unreadable};
use super::walk::walk;
use super::wire::Odd;
use crate::check::{CheckOutcome, CheckService, DenyKind};
use crate::types::{Protocol, Reason, RequestView};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The gRPC side of the service, one per process, cheap to clone.
pub struct GrpcServer<H>(Arc<Services<H>>);

struct Services<H> {
    check: CheckService,
    health: HealthServer<H>,
}

impl<H> Clone for GrpcServer<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Health> GrpcServer<H> {
    /// Answers checks with `check` and health questions with `health`.
    #[must_use]
    pub fn new(check: CheckService, health: HealthServer<H>) -> Self {
        Self(Arc::new(Services { check, health }))
    }

    /// Answers one call.
    pub async fn answer<B>(self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let path = request.uri().path();
        if path == CHECK {
            return check(&self.0.check, request.into_body()).await.response();
        }
        if is_below(path, <HealthServer<H> as NamedService>::NAME) {
            let mut health = self.0.health.clone();
            // Boxed, so that a check does not carry the room for it.
            let Ok(response) = Box::pin(health.call(request)).await;
            return response.map(Body::from);
        }
        Status::unimplemented("").into_http::<tonic::body::Body>().map(Body::from)
    }
}

/// Whether `path` is a method of the gRPC service `name`.
fn is_below(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

impl<H, B> Service<http::Request<B>> for GrpcServer<H>
where
    H: Health,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(self.clone().answer(request).map(Ok))
    }
}

/// A message that does not arrive whole, or does not decode, is refused in band
/// like every other bad request: an error of the transport would leave the
/// verdict to `failure_mode_allow`. So would a panic.
async fn check<B>(check: &CheckService, body: B) -> Framed
where
    B: http_body::Body<Data = Bytes>,
{
    let answer = async {
        let outcome = match framing::read(body).await {
            Ok(message) => decide(check, &message).await,
            Err(Unreadable) => refuse(check, UNDECODABLE),
        };
        encode::response(outcome)
    };
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| encode::unavailable())
}

async fn decide(check: &CheckService, message: &[u8]) -> CheckOutcome {
    match walk(message) {
        Ok(walked) => check.answer(&walked.view()).await,
        // Boxed: rare, and the usual way does not carry the room for it.
        Err(Odd) => Box::pin(decide_odd(check, message)).await,
    }
}

/// The complete way, for messages that the quick one does not read.
async fn decide_odd(check: &CheckService, message: &[u8]) -> CheckOutcome {
    match CheckRequest::decode(message).map_err(|_| UNDECODABLE).and_then(WireRequest::try_from) {
        Ok(wire) => {
            let headers = wire.headers();
            check.answer(&wire.view(&headers)).await
        }
        Err(malformed) => refuse(check, malformed),
    }
}

const UNDECODABLE: Malformed = Malformed("undecodable");

fn refuse(check: &CheckService, Malformed(cause): Malformed) -> CheckOutcome {
    check.refuse(&UNREADABLE, DenyKind::BadTarget, Reason::BadTarget, cause)
}

/// Stands for a request of which nothing could be read.
const UNREADABLE: RequestView<'static> = RequestView {
    protocol: Protocol::Grpc,
    method: "",
    target: b"",
    host: None,
    headers: &[],
    route_tier: None,
    route_app: None,
    request_id: None,
};
