//! Where a token stands in a request (RFC 6750 section 2, and the password of
//! RFC 7617 for a personal access token), and what is left of the request for the
//! upstream once it is cut out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::directory::{AccessTokenSecret, TokenHash};
use crate::policy::TokenPlaces;
use crate::types::RequestView;

/// The credentials of a request, before anything about them is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials<'a> {
    /// None in any place the rule names.
    None,
    /// Exactly one bearer token.
    Bearer(&'a str),
    /// Exactly one text of the form of a personal access token.
    AccessToken {
        /// What is kept of one.
        hash: TokenHash,
        /// Whether it is the password of Basic.
        as_password: bool,
    },
    /// A credential that is no token.
    Malformed,
    /// More than one, so nobody can say which counts.
    Multiple,
}

/// Finds the one credential in the places that the rule names.
pub(crate) fn find<'a>(request: &RequestView<'a>, places: TokenPlaces) -> Credentials<'a> {
    let header = if places.header { in_authorization(request) } else { Credentials::None };
    let query = if places.query { in_query(request.target) } else { Credentials::None };
    let protocol = if places.websocket_protocol { in_protocols(request) } else { Credentials::None };
    [query, protocol].into_iter().fold(header, |found, next| match (found, next) {
        (found, Credentials::None) => found,
        (Credentials::None, next) => next,
        _ => Credentials::Multiple,
    })
}

fn in_authorization<'a>(request: &RequestView<'a>) -> Credentials<'a> {
    let mut values = request.header_values("authorization");
    let Some(value) = values.next() else { return Credentials::None };
    if values.next().is_some() {
        return Credentials::Multiple;
    }
    // A proxy joins repeated headers with a comma; no bearer token holds one.
    if value.contains(&b',') {
        return Credentials::Multiple;
    }
    let Ok(text) = std::str::from_utf8(value) else { return Credentials::Malformed };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => bearer(token.trim_matches(' ')),
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => basic(pair.trim_matches(' ')),
        _ => Credentials::Malformed,
    }
}

fn bearer(token: &str) -> Credentials<'_> {
    match AccessTokenSecret::hash_of(token) {
        Some(hash) => Credentials::AccessToken { hash, as_password: false },
        None if token.is_empty() || token.as_bytes().contains(&b' ') => Credentials::Malformed,
        None => Credentials::Bearer(token),
    }
}

/// A personal access token as the password of any user name. The service knows
/// no other passwords.
fn basic(pair: &str) -> Credentials<'static> {
    let decoded = STANDARD.decode(pair).map(Zeroizing::new).unwrap_or_default();
    let hash = std::str::from_utf8(&decoded).ok().and_then(|pair| {
        // Neither a user name nor a token holds a colon (RFC 7617 section 2).
        let (_, password) = pair.split_once(':')?;
        AccessTokenSecret::hash_of(password)
    });
    hash.map_or(Credentials::Malformed, |hash| Credentials::AccessToken { hash, as_password: true })
}

fn in_query(target: &[u8]) -> Credentials<'_> {
    let mut parameters =
        query_of(target).split(|byte| *byte == b'&').filter(|parameter| is_access_token(name(parameter)));
    let Some(first) = parameters.next() else { return Credentials::None };
    if parameters.next().is_some() {
        return Credentials::Multiple;
    }
    // A proxy is asked to cut the parameter out by its name, so it has to stand there plainly.
    let Some(token) = first.strip_prefix(b"access_token=") else { return Credentials::Malformed };
    std::str::from_utf8(token).map_or(Credentials::Malformed, bearer)
}

/// The raw name of a parameter.
fn name(parameter: &[u8]) -> &[u8] {
    parameter.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// Whether a raw parameter name reads `access_token` once its `%XX` are decoded.
fn is_access_token(mut name: &[u8]) -> bool {
    for wanted in b"access_token" {
        let Some((&byte, mut rest)) = name.split_first() else { return false };
        let mut byte = byte;
        if byte == b'%' {
            let Some((digits, after)) = rest.split_at_checked(2) else { return false };
            let decoded = std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let Some(decoded) = decoded else { return false };
            byte = decoded;
            rest = after;
        }
        if byte != *wanted {
            return false;
        }
        name = rest;
    }
    name.is_empty()
}

fn in_protocols<'a>(request: &RequestView<'a>) -> Credentials<'a> {
    let mut tokens = protocols(request).filter(|protocol| is_token(protocol));
    let Some(first) = tokens.next() else { return Credentials::None };
    if tokens.next().is_some() { Credentials::Multiple } else { bearer(first) }
}

/// The offered subprotocols (RFC 6455 section 11.3.4).
fn protocols<'a>(request: &RequestView<'a>) -> impl Iterator<Item = &'a str> {
    request
        .header_values("sec-websocket-protocol")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim_matches([' ', '\t']))
        .filter(|protocol| !protocol.is_empty())
}

/// Whether a subprotocol is a token that can be told from the name of a protocol.
fn is_token(protocol: &str) -> bool {
    is_compact_jws(protocol) || AccessTokenSecret::has_form(protocol)
}

/// Whether a subprotocol looks like a signed token: three parts, of which the
/// first begins as the base64url of `{` does.
fn is_compact_jws(protocol: &str) -> bool {
    let mut parts = protocol.split('.');
    let header = parts.next().unwrap_or_default().as_bytes();
    matches!(header, [b'e', b'w'..=b'z', ..]) && parts.clone().count() == 2 && parts.all(|part| !part.is_empty())
}

/// The raw names by which `access_token` stands in the query, each once.
pub(crate) fn token_parameters(target: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = query_of(target)
        .split(|byte| *byte == b'&')
        .map(name)
        .filter(|name| is_access_token(name))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether one of the offered subprotocols is a token.
pub(crate) fn protocols_hold_token(request: &RequestView<'_>) -> bool {
    protocols(request).any(is_token)
}

/// The query to send upstream, with its `?`: without any `access_token` when
/// `cut`, else as it came.
pub(crate) fn upstream_query(target: &[u8], cut: bool) -> String {
    let query = query_of(target);
    if query.is_empty() {
        return String::new();
    }
    let kept: Vec<&str> = query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !(cut && is_access_token(name(parameter))))
        .filter_map(|parameter| std::str::from_utf8(parameter).ok())
        .collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// The subprotocols to send upstream: when `cut`, without the token and without
/// a `bearer` that announces it.
pub(crate) fn upstream_protocols(request: &RequestView<'_>, cut: bool) -> String {
    let kept: Vec<&str> = protocols(request)
        .filter(|protocol| !cut || !(is_token(protocol) || protocol.eq_ignore_ascii_case("bearer")))
        .collect();
    kept.join(", ")
}

fn query_of(target: &[u8]) -> &[u8] {
    let start = target.iter().position(|byte| *byte == b'?').map_or(target.len(), |mark| mark.saturating_add(1));
    target.get(start..).unwrap_or_default()
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
