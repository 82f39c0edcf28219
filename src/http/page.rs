//! The service's own pages on the HTTP listener: the one place that reads a body.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};

use super::answer::put;
use super::server::plain;
use crate::check::{OwnPages, Page, PageRequest, Sender};
use crate::types::CanonicalPath;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The page that a request asks for, whoever asks.
pub(super) async fn answer<B>(pages: &dyn OwnPages, request: Request<B>, sender: Sender) -> Response<Full<Bytes>>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let Ok(path) = CanonicalPath::parse(target.as_bytes()) else { return ambiguous() };
    if !pages.owns(path.as_str()) {
        return plain(StatusCode::NOT_FOUND, "There is no such endpoint.\n");
    }
    if path.encoded().refusal().is_some() {
        return ambiguous();
    }
    // What only looks has no body that means something.
    let body = if matches!(parts.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        match read(body, pages.max_body(path.as_str())).await {
            Ok(body) => body,
            Err((status, text)) => return plain(status, text),
        }
    } else {
        Bytes::new()
    };
    let headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let request = PageRequest {
        method: parts.method.as_str(),
        path: path.as_str(),
        query: parts.uri.query().unwrap_or_default().as_bytes(),
        headers: &headers,
        body: Some(&body),
        sender,
    };
    response(pages.answer(&request).await)
}

async fn read<B>(body: B, most: usize) -> Result<Bytes, (StatusCode, &'static str)>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.\n");
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    if body.size_hint().lower() > limit {
        return Err(TOO_LARGE);
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "The body did not arrive whole.\n")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive.\n")),
    }
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let Page { status, headers, body } = page;
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        put(&mut response, name, &value);
    }
    response
}

fn ambiguous() -> Response<Full<Bytes>> {
    plain(StatusCode::BAD_REQUEST, "The address of this request can be read in more than one way.\n")
}
