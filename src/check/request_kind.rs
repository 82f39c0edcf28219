//! What kind of request it is, by the few headers that say so.

use std::borrow::Cow;

use crate::session;
use crate::types::RequestView;

/// A true preflight (Fetch standard, CORS-preflight request).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preflight {
    pub(super) origin: String,
    pub(super) method: String,
    /// The requested header names, when they are plain names.
    pub(super) headers: Option<String>,
}

impl Preflight {
    pub(super) fn of(request: &RequestView<'_>) -> Option<Self> {
        if request.method != "OPTIONS" || request.headers.iter().any(|(name, value)| never_in_preflight(name, value)) {
            return None;
        }
        let text = |name| request.single_header(name).and_then(|value| std::str::from_utf8(value).ok());
        let method = text("access-control-request-method").filter(|method| is_token(method) && method.len() <= 32)?;
        let headers = text("access-control-request-headers").filter(|names| {
            names.len() <= 1024 && names.split(',').all(|name| is_token(name.trim_matches([' ', '\t'])))
        });
        Some(Self {
            origin: text("origin")?.to_owned(),
            method: method.to_owned(),
            headers: headers.map(str::to_owned),
        })
    }
}

/// A browser's preflight has no credentials, no body and no upgrade; where
/// the answer is that it may pass, nothing of these passes with it.
fn never_in_preflight(name: &str, value: &[u8]) -> bool {
    match name {
        "authorization" | "cookie" | "upgrade" | "content-type" | "transfer-encoding" => true,
        "content-length" => value != b"0",
        _ => name.starts_with("sec-websocket-"),
    }
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether somebody looks at the answer in a browser window.
pub(crate) fn is_navigation(request: &RequestView<'_>) -> bool {
    let grpc = |value: &[u8]| value.starts_with(b"application/grpc");
    if is_websocket(request) || request.header_values("content-type").any(grpc) {
        return false;
    }
    let mut modes = request.header_values("sec-fetch-mode");
    if let Some(mode) = modes.next() {
        return mode == b"navigate" && modes.next().is_none();
    }
    let accepts_html = || {
        let values = request.header_values("accept");
        values.flat_map(|value| value.split(|byte| *byte == b',')).any(|range| {
            range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"text/html")
        })
    };
    matches!(request.method, "GET" | "HEAD")
        && request.header_values("x-requested-with").next().is_none()
        && accepts_html()
}

/// Why no rule can let the request pass: a tunnel would carry further requests
/// past the check, and `TRACE` would show the credentials.
pub(super) fn never_passes(request: &RequestView<'_>) -> Option<&'static str> {
    if request.method.is_empty() || !is_token(request.method) {
        return Some("method");
    }
    if request.method.eq_ignore_ascii_case("CONNECT") || request.method.eq_ignore_ascii_case("TRACE") {
        return Some("refused_method");
    }
    let mut upgrades = upgrades(request);
    let only_websocket = upgrades.next().is_none_or(|first| first.eq_ignore_ascii_case(b"websocket"));
    if !only_websocket || upgrades.next().is_some() {
        return Some("refused_upgrade");
    }
    // Without an early end: so it is many bytes at a time.
    let control = |value: &[u8]| value.iter().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n' | 0));
    // A credential is judged as one.
    let mut others = request.headers.iter().filter(|(name, _)| *name != "authorization");
    others.any(|(_, value)| control(value)).then_some("control_in_header")
}

/// Some proxies take `Upgrade` away before they ask; the handshake's own
/// headers (RFC 6455 section 4.1) stay.
pub(super) fn is_websocket(request: &RequestView<'_>) -> bool {
    upgrades(request).any(|offered| offered.eq_ignore_ascii_case(b"websocket"))
        || request.header_values("sec-websocket-key").next().is_some()
}

fn upgrades<'a>(request: &RequestView<'a>) -> impl Iterator<Item = &'a [u8]> {
    request.header_values("upgrade").flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// The header names that `Connection` asks the next hop to drop.
pub(super) fn connection_names<'a>(request: &RequestView<'a>) -> impl Iterator<Item = &'a str> {
    request
        .header_values("connection")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim_matches([' ', '\t']))
        .filter(|name| !name.is_empty())
}

/// What is left of the cookies for the upstream.
pub(super) struct UpstreamCookies {
    pub(super) text: String,
    /// Whether one of the service's own was among them.
    pub(super) cut: bool,
}

/// The cookies of others, as they came.
pub(super) fn upstream_cookies(request: &RequestView<'_>) -> UpstreamCookies {
    let mut kept: Vec<String> = Vec::new();
    let mut cut = false;
    for value in request.header_values("cookie") {
        let text = String::from_utf8_lossy(value);
        let foreign = session::without_own(&text);
        cut |= foreign != text;
        // What is no text cannot be given back as it came.
        if !foreign.is_empty() && matches!(text, Cow::Borrowed(_)) {
            kept.push(foreign);
        }
    }
    UpstreamCookies { text: kept.join("; "), cut }
}

/// Whether a request id of the proxy can be passed on as it is.
pub(crate) fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

/// Hostile bytes as text for the log: cut, everything odd escaped.
pub(super) fn loggable(bytes: &[u8], limit: usize) -> String {
    bytes.get(..bytes.len().min(limit)).unwrap_or_default().escape_ascii().to_string()
}

/// A method for the log, cut to 32 bytes.
pub(super) fn loggable_method(method: &str) -> Cow<'static, str> {
    const USUAL: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];
    match USUAL.into_iter().find(|usual| *usual == method) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(loggable(method.as_bytes(), 32)),
    }
}

/// The path of a raw target for the log; a query may hold secrets.
pub(super) fn loggable_path(target: &[u8]) -> String {
    let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    loggable(path, MAX_LOGGED_PATH)
}

/// The longest path in the log, in bytes.
const MAX_LOGGED_PATH: usize = 512;

/// A canonical path for the log; it is ASCII.
pub(super) fn cut(path: &str) -> String {
    path.get(..path.len().min(MAX_LOGGED_PATH)).unwrap_or_default().to_owned()
}
