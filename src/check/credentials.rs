//! Where a bearer token stands in a request (RFC 6750 section 2), and what is
//! left of the request for the upstream once it is cut out.

use crate::policy::TokenPlaces;
use crate::types::RequestView;

/// The credentials of a request, before anything about them is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials<'a> {
    /// None in any place the rule names.
    None,
    /// Exactly one bearer token.
    Bearer(&'a str),
    /// A credential that is no bearer token.
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
        _ => Credentials::Malformed,
    }
}

fn bearer(token: &str) -> Credentials<'_> {
    if token.is_empty() || token.contains(' ') { Credentials::Malformed } else { Credentials::Bearer(token) }
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
    let mut tokens = protocols(request).filter(|protocol| is_compact_jws(protocol));
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
    protocols(request).any(is_compact_jws)
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
        .filter(|protocol| !cut || !(is_compact_jws(protocol) || protocol.eq_ignore_ascii_case("bearer")))
        .collect();
    kept.join(", ")
}

fn query_of(target: &[u8]) -> &[u8] {
    let start = target.iter().position(|byte| *byte == b'?').map_or(target.len(), |mark| mark.saturating_add(1));
    target.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Protocol;

    const ALL: TokenPlaces = TokenPlaces { header: true, query: true, websocket_protocol: true };
    const HEADER: TokenPlaces = TokenPlaces { header: true, query: false, websocket_protocol: false };

    fn view<'a>(target: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> RequestView<'a> {
        RequestView {
            protocol: Protocol::Grpc,
            method: "GET",
            target: target.as_bytes(),
            host: None,
            headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        }
    }

    #[test]
    fn a_header_holds_one_bearer_token_or_none_that_counts() {
        use Credentials as C;
        for (value, expected) in [
            ("Bearer t", C::Bearer("t")),
            ("bearer t", C::Bearer("t")),
            ("BEARER  t ", C::Bearer("t")),
            ("Bearer", C::Malformed),
            ("Bearer ", C::Malformed),
            ("Bearer a b", C::Malformed),
            ("Basic t", C::Malformed),
            ("BearerX t", C::Malformed),
            ("Bearer a, Bearer b", C::Multiple),
            ("Bearer\tt", C::Malformed),
        ] {
            assert_eq!(find(&view("/", &[("authorization", value.as_bytes())]), ALL), expected, "{value}");
        }
        let twice: [(&str, &[u8]); 2] = [("authorization", b"Bearer a"), ("authorization", b"Bearer b")];
        assert_eq!(find(&view("/", &twice), ALL), Credentials::Multiple);
    }

    #[test]
    fn other_places_count_only_where_the_rule_names_them() {
        let token = "eyA.eyB.c";
        let target = format!("/x?a=1&access_token={token}&b=2");
        let protocols = format!("chat, bearer, {token}");
        let headers: [(&str, &[u8]); 1] = [("sec-websocket-protocol", protocols.as_bytes())];
        assert_eq!(find(&view(&target, &[]), ALL), Credentials::Bearer(token));
        assert_eq!(find(&view(&target, &[]), HEADER), Credentials::None);
        assert_eq!(find(&view("/", &headers), ALL), Credentials::Bearer(token));
        assert_eq!(find(&view("/", &headers), HEADER), Credentials::None);
        assert_eq!(find(&view(&target, &headers), ALL), Credentials::Multiple);
        assert_eq!(token_parameters(target.as_bytes()), ["access_token"]);
        assert_eq!(
            token_parameters(b"/x?access%5Ftoken=a&access_token=b&access_token"),
            ["access%5Ftoken", "access_token"]
        );
        assert!(protocols_hold_token(&view("/", &headers)));
        assert_eq!(upstream_query(target.as_bytes(), true), "?a=1&b=2");
        assert_eq!(upstream_query(target.as_bytes(), false), format!("?a=1&access_token={token}&b=2"));
        assert_eq!(upstream_query(b"/x?access%5ftoken=t", true), "");
        assert_eq!(upstream_query(b"/x?", true), "");
        assert_eq!(upstream_protocols(&view("/", &headers), true), "chat");
        assert_eq!(upstream_protocols(&view("/", &headers), false), protocols);
    }

    #[test]
    fn an_encoded_parameter_name_is_the_same_parameter() {
        assert_eq!(find(&view("/x?%61ccess%5Ftoken=a&access_token=b", &[]), ALL), Credentials::Multiple);
        assert_eq!(find(&view("/x?access_token", &[]), ALL), Credentials::Malformed);
        assert_eq!(find(&view("/x?access%5Ftoken=a", &[]), ALL), Credentials::Malformed);
        assert_eq!(find(&view("/x?xaccess_token=a&access_tokens=b", &[]), ALL), Credentials::None);
    }
}
