//! The listener for operators: alive, ready, metrics. Nothing here is for browsers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tower::Service;

use super::server::plain;

/// Whether the service can decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether the service can decide about the tokens of some provider, and
    /// open sessions and tell who is disabled where there are any.
    pub ready: bool,
    /// The providers by id, and whether their keys are there.
    pub providers: Vec<(String, bool)>,
    /// Whether the session store answers; `None` where nobody signs in.
    pub session_store: Option<bool>,
    /// Whether what is known of people counts; `None` where there is no directory.
    pub directory: Option<bool>,
}

/// What the admin listener shows.
///
/// Contract: answers at once, without asking anybody else.
pub trait Readiness: Send + Sync {
    /// Whether the service can decide now.
    fn status(&self) -> Status;
    /// All metrics in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// The admin side of the service, cheap to clone.
#[derive(Clone)]
pub struct AdminServer(Arc<dyn Readiness>);

impl AdminServer {
    /// Shows what `readiness` says.
    #[must_use]
    pub fn new(readiness: Arc<dyn Readiness>) -> Self {
        Self(readiness)
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/livez" => plain(StatusCode::OK, "alive\n"),
            "/readyz" => self.readyz(),
            "/metrics" => {
                let mut response = Response::new(Full::from(self.0.metrics()));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "Ask for /livez, /readyz or /metrics.\n"),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let status = self.0.status();
        let providers: serde_json::Map<_, _> = status
            .providers
            .iter()
            .map(|(id, loaded)| (id.clone(), if *loaded { "keys loaded" } else { "no keys yet" }.into()))
            .collect();
        let mut body = serde_json::json!({ "ready": status.ready, "providers": providers });
        if let (Some(works), Some(body)) = (status.session_store, body.as_object_mut()) {
            body.insert("session_store".to_owned(), if works { "answers" } else { "does not answer" }.into());
        }
        if let (Some(counts), Some(body)) = (status.directory, body.as_object_mut()) {
            body.insert("directory".to_owned(), if counts { "counts" } else { "does not answer" }.into());
        }
        let mut response = Response::new(Full::from(format!("{body}\n")));
        if !status.ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl<B> Service<Request<B>> for AdminServer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.uri().path())))
    }
}
