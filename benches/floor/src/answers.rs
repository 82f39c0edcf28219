//! The answers: always the same, always allow.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prost::Message as _;

/// What every gRPC floor says: OK, with nothing to add to the request.
pub(crate) fn allow() -> CheckResponse {
    CheckResponse {
        status: Some(RpcStatus::default()),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
        ..CheckResponse::default()
    }
}

/// [`allow`] as gRPC frames it: not compressed, its length, itself.
fn framed() -> Bytes {
    let message = allow().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    [&[0], length.as_slice(), &message].concat().into()
}

/// tonic with envoy-types: the request is decoded, looked at by nobody, and allowed.
#[derive(Clone)]
pub(crate) struct AlwaysOk;

#[tonic::async_trait]
impl Authorization for AlwaysOk {
    async fn check(&self, _: tonic::Request<CheckRequest>) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        Ok(tonic::Response::new(allow()))
    }
}

/// HTTP/2 without anything above it: the body stays unread, the answer is ready.
#[derive(Clone)]
pub(crate) struct Bare(Bytes);

impl Bare {
    pub(crate) fn new() -> Self {
        Self(framed())
    }

    /// The answer to a request. The unread body is let go with the answer: let go
    /// before it has arrived, each would be reset, and the client told.
    pub(crate) fn answer(&self, unread: Option<Incoming>) -> Response<GrpcBody> {
        let mut response = Response::new(GrpcBody { message: Some(self.0.clone()), trailers: true, _unread: unread });
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

/// One message, then `grpc-status: 0`.
pub(crate) struct GrpcBody {
    message: Option<Bytes>,
    trailers: bool,
    _unread: Option<Incoming>,
}

impl Body for GrpcBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if !std::mem::take(&mut self.trailers) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// HTTP/1: 200 and nothing else.
pub(crate) fn empty() -> Response<Full<Bytes>> {
    Response::new(Full::default())
}

/// Keeps the first message that comes, as it was framed.
pub(crate) struct Recorder {
    file: String,
    done: Mutex<bool>,
}

impl Recorder {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), done: Mutex::new(false) }
    }

    pub(crate) async fn take(&self, request: Request<Incoming>) -> io::Result<()> {
        let message = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if !*done && !message.is_empty() {
            // Whoever waits for the file finds it whole.
            let part = format!("{}.part", self.file);
            std::fs::write(&part, &message)?;
            std::fs::rename(&part, &self.file)?;
            *done = true;
        }
        Ok(())
    }
}
