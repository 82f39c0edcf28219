//! An outcome as the HTTP response of a decision endpoint.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use crate::check::{
    self, Allow, Answer, COOKIE_HEADER, Denial, DenyKind, PerCaller, QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER,
};
use crate::types::Protocol;

/// The response for `answer` in `protocol`.
pub(super) fn response(answer: Answer, protocol: Protocol) -> Response<Full<Bytes>> {
    match answer {
        Answer::Allow(allow) => allowed(*allow),
        Answer::Deny(denial) => denied(*denial, protocol),
        // No proxy lets an HTTP authorization answer with a success of its own:
        // the request passes, and the headers are there for the proxy to copy.
        Answer::Respond(response) => {
            let check::Response { status: _, headers, body: _, otherwise } = *response;
            let mut response = allowed(otherwise);
            for (name, value) in headers {
                put(&mut response, name, &value);
            }
            response
        }
    }
}

/// The refusal for a request that was refused a moment ago and would pass now.
pub(super) fn still_refused(protocol: Protocol) -> Response<Full<Bytes>> {
    let status = DenyKind::Forbidden.http_status(protocol);
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Callers whose headers a worker keeps rendered.
const KEPT: usize = 256;

thread_local! {
    static KNOWN: RefCell<PerCaller<HeaderMap>> = RefCell::new(PerCaller::new(KEPT));
}

fn allowed(allow: Allow) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let kept = KNOWN.with_borrow_mut(|known| known.of(&allow, || of_caller(&allow)).cloned());
    *response.headers_mut() = kept.unwrap_or_else(|| of_caller(&allow));
    for name in allow.removed_here() {
        set(&mut response, name, "");
    }
    // What is empty stands there already.
    let mut fill = |name: &HeaderName, value: &str| {
        if !value.is_empty() {
            response.headers_mut().insert(name.clone(), written(value));
        }
    };
    allow.each_of_request(&mut fill);
    let Allow { query, websocket_protocol, cookie, cookie_cut, set_cookies, cors_origin, .. } = allow;
    fill(&HeaderName::from_static(QUERY_HEADER), &query);
    fill(&HeaderName::from_static(WEBSOCKET_PROTOCOL_HEADER), &websocket_protocol);
    fill(&HeaderName::from_static(COOKIE_HEADER), &cookie);
    // For proxies that copy a header under its own name only.
    if cookie_cut || !cookie.is_empty() {
        set(&mut response, "cookie", &cookie);
    }
    for cookie in set_cookies {
        put(&mut response, "set-cookie", &cookie.header_value());
    }
    if let Some(origin) = cors_origin {
        set(&mut response, "access-control-allow-origin", &origin);
        set(&mut response, "vary", "Origin");
    }
    response
}

/// What stands in every allow of one caller. A proxy copies what it finds over
/// what the client sent: an absent header would let the client's stand, an empty
/// one does not.
fn of_caller(allow: &Allow) -> HeaderMap {
    // Those of the request find their place here, so that the map need not grow.
    let mut headers = HeaderMap::with_capacity(32);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in allow.removed_always() {
        headers.insert(name.clone(), written(""));
    }
    allow.each_of_caller(|name, value| {
        headers.insert(name.clone(), written(value));
    });
    allow.each_of_request(|name, _| {
        headers.insert(name.clone(), written(""));
    });
    for name in [QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER, COOKIE_HEADER] {
        headers.insert(HeaderName::from_static(name), written(""));
    }
    headers
}

/// A value that cannot stand in a header becomes empty, never absent.
fn written(value: &str) -> HeaderValue {
    if value.is_empty() {
        return HeaderValue::from_static("");
    }
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn denied(denial: Denial, protocol: Protocol) -> Response<Full<Bytes>> {
    let headers = denial.headers(protocol);
    let status = StatusCode::from_u16(denial.http_status(protocol)).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = Response::new(Full::from(denial.body.text));
    *response.status_mut() = status;
    for (name, value) in headers {
        put(&mut response, name, &value);
    }
    response
}

/// Puts a header into an answer; each cookie has a header of its own (RFC 6265 section 3).
pub(super) fn put(response: &mut Response<Full<Bytes>>, name: &'static str, value: &str) {
    if name != "set-cookie" {
        set(response, name, value);
    } else if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Sets a header, to [`written`].
pub(super) fn set(response: &mut Response<Full<Bytes>>, name: &str, value: &str) {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
    response.headers_mut().insert(name, written(value));
}
