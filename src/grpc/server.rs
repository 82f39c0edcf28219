//! What Envoy calls: `Check`, the standard health service, nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::FutureExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;

use super::codec::{CheckCodec, Incoming, MAX_MESSAGE_BYTES};
use super::convert::{self, Malformed, WireRequest};
use crate::check::{CheckOutcome, CheckService, DenyKind};
use crate::types::{Protocol, Reason, RequestView};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The gRPC side of the service, one per process, cheap to clone.
pub struct GrpcServer<H> {
    check: CheckService,
    health: HealthServer<H>,
}

impl<H> Clone for GrpcServer<H> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), health: self.health.clone() }
    }
}

type Body = UnsyncBoxBody<Bytes, Status>;
type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<H: Health> GrpcServer<H> {
    /// Answers checks with `check` and health questions with `health`.
    #[must_use]
    pub fn new(check: CheckService, health: HealthServer<H>) -> Self {
        Self { check, health }
    }
}

impl<H, B> Service<http::Request<B>> for GrpcServer<H>
where
    H: Health,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let health_prefix = <HealthServer<H> as NamedService>::NAME;
        let path = request.uri().path();
        if path == CHECK {
            let check = CheckCall(self.check.clone());
            return Box::pin(async move {
                let (parts, body) = request.into_parts();
                let request = http::Request::from_parts(parts, read_message(body).await);
                Ok(boxed(Grpc::new(CheckCodec).unary(check, request).await))
            });
        }
        if path
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(health_prefix))
            .is_some_and(|rest| rest.starts_with('/'))
        {
            let mut health = self.health.clone();
            return Box::pin(async move { Ok(boxed(health.call(request).await?)) });
        }
        Box::pin(async { Ok(boxed(Status::unimplemented("").into_http::<tonic::body::Body>())) })
    }
}

fn boxed<B>(response: http::Response<B>) -> http::Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Status>,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// Reads a message whole, within bounds on size and time. One that keeps to
/// neither is given on as one that does not decode: it is refused in band, while
/// an error of the transport would leave the verdict to `failure_mode_allow`.
async fn read_message<B>(body: B) -> Full<Bytes>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = Limited::new(body, MAX_MESSAGE_BYTES + FRAME_HEADER_BYTES).collect();
    match tokio::time::timeout(MESSAGE_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Full::new(whole.to_bytes()),
        Ok(Err(_)) | Err(_) => Full::new(Bytes::from_static(UNDECODABLE)),
    }
}

/// How long a message may take to arrive.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// One flag and the length, before each message.
const FRAME_HEADER_BYTES: usize = 5;
/// A frame of one byte that is no message.
const UNDECODABLE: &[u8] = &[0, 0, 0, 0, 1, 0xff];

struct CheckCall(CheckService);

impl UnaryService<Incoming> for CheckCall {
    type Response = CheckResponse;
    type Future = Answer<Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let check = self.0.clone();
        let response = async move { convert::response(answer(&check, request.into_inner()).await) };
        let response = AssertUnwindSafe(response).catch_unwind();
        Box::pin(async move { Ok(Response::new(response.await.unwrap_or_else(|_| convert::unavailable()))) })
    }
}

async fn answer(check: &CheckService, message: Incoming) -> CheckOutcome {
    let wire = match message {
        Incoming::Request(message) => WireRequest::try_from(*message),
        Incoming::Malformed => Err(Malformed("undecodable")),
    };
    match wire {
        Ok(wire) => {
            let headers = wire.headers();
            check.answer(&wire.view(&headers)).await
        }
        Err(Malformed(cause)) => check.refuse(&UNREADABLE, DenyKind::BadTarget, Reason::BadTarget, cause),
    }
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
