//! Which request a proxy asks about, by the profile of its endpoint.
//!
//! These headers are the request: whoever may write them chooses the rule. So
//! each stands exactly once, and a header of another profile that says
//! something else is refused.

use http::HeaderMap;

use crate::types::Protocol;

/// The parts of the request that a proxy asks about, raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a [u8],
    pub(super) host: Option<&'a [u8]>,
}

/// Why the headers name no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoTarget {
    /// A header is missing or empty: nothing is guessed in its place.
    #[error("a target header is missing")]
    Missing,
    /// A header stands twice, or two say different things.
    #[error("the target headers are ambiguous")]
    Ambiguous,
}

const ORIGINAL_METHOD: &str = "x-original-method";
const ORIGINAL_URL: &str = "x-original-url";
const ORIGINAL_URI: &str = "x-original-uri";
const FORWARDED_METHOD: &str = "x-forwarded-method";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_URI: &str = "x-forwarded-uri";

/// nginx: `X-Original-Method` and the absolute `X-Original-URL`, or
/// `X-Original-URI` with `X-Forwarded-Host`.
pub(super) fn of_auth_request(headers: &HeaderMap) -> Result<Target<'_>, NoTarget> {
    let method = required_text(headers, ORIGINAL_METHOD)?;
    let url = single(headers, ORIGINAL_URL)?;
    let uri = single(headers, ORIGINAL_URI)?;
    let (target, host) = match (url, uri) {
        (Some(url), uri) => {
            let (host, target) = split_absolute(url).ok_or(NoTarget::Ambiguous)?;
            if uri.is_some_and(|uri| uri != target) {
                return Err(NoTarget::Ambiguous);
            }
            (target, Some(host))
        }
        (None, Some(uri)) => (uri, single(headers, FORWARDED_HOST)?),
        (None, None) => return Err(NoTarget::Missing),
    };
    agree(headers, FORWARDED_URI, target)?;
    agree(headers, FORWARDED_METHOD, method.as_bytes())?;
    Ok(Target { method, target, host })
}

/// Traefik, Caddy, HAProxy, APISIX: `X-Forwarded-{Method,Host,Uri}`.
pub(super) fn of_forward_auth(headers: &HeaderMap) -> Result<Target<'_>, NoTarget> {
    let method = required_text(headers, FORWARDED_METHOD)?;
    let target = required(headers, FORWARDED_URI)?;
    let host = single(headers, FORWARDED_HOST)?;
    agree(headers, ORIGINAL_URI, target)?;
    agree(headers, ORIGINAL_METHOD, method.as_bytes())?;
    if let Some(url) = single(headers, ORIGINAL_URL)? {
        let (_, other) = split_absolute(url).ok_or(NoTarget::Ambiguous)?;
        if other != target {
            return Err(NoTarget::Ambiguous);
        }
    }
    Ok(Target { method, target, host })
}

/// Envoy's HTTP service: the request's own method, path behind the endpoint's
/// prefix, and host.
pub(super) fn of_ext_authz<'a, B>(request: &'a http::Request<B>, prefix: &str) -> Result<Target<'a>, NoTarget> {
    let whole = request.uri().path_and_query().map_or("", |whole| whole.as_str());
    let target = whole.strip_prefix(prefix).filter(|target| !target.is_empty()).ok_or(NoTarget::Missing)?;
    let own = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = match single(request.headers(), "host")? {
        Some(host) if own.is_some_and(|own| !own.eq_ignore_ascii_case(host)) => return Err(NoTarget::Ambiguous),
        host => host.or(own),
    };
    Ok(Target { method: request.method().as_str(), target: target.as_bytes(), host })
}

/// The protocol whose target headers an endpoint reads.
pub(super) fn read<'a, B>(
    protocol: Protocol,
    request: &'a http::Request<B>,
    prefix: &str,
) -> Result<Target<'a>, NoTarget> {
    match protocol {
        Protocol::AuthRequest => of_auth_request(request.headers()),
        Protocol::ForwardAuth => of_forward_auth(request.headers()),
        Protocol::ExtAuthz => of_ext_authz(request, prefix),
        Protocol::Grpc => Err(NoTarget::Missing),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, NoTarget> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(http::HeaderValue::as_bytes);
    if values.next().is_some() { Err(NoTarget::Ambiguous) } else { Ok(first) }
}

fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], NoTarget> {
    single(headers, name)?.filter(|value| !value.is_empty()).ok_or(NoTarget::Missing)
}

fn required_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, NoTarget> {
    std::str::from_utf8(required(headers, name)?).map_err(|_| NoTarget::Ambiguous)
}

/// A header of another profile is there only if it says the same.
fn agree(headers: &HeaderMap, name: &str, expected: &[u8]) -> Result<(), NoTarget> {
    match single(headers, name)? {
        Some(value) if value != expected => Err(NoTarget::Ambiguous),
        _ => Ok(()),
    }
}

/// Host and target of an absolute URL, cut and not interpreted: a URL parser
/// would resolve what has to be refused.
fn split_absolute(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = strip_scheme(url, b"https://").or_else(|| strip_scheme(url, b"http://"))?;
    let slash = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'))?;
    let (host, target) = rest.split_at_checked(slash)?;
    (!host.is_empty() && target.starts_with(b"/")).then_some((host, target))
}

fn strip_scheme<'a>(url: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
