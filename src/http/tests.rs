use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};

use super::server::{Aliases, HttpServer, Peer};
use super::target::{NoTarget, Target, of_auth_request, of_ext_authz, of_forward_auth};
use crate::check::CheckService;
use crate::check::fixture::{browser_service, service, session_cookie};
use crate::check::tests::block_on;
use crate::check::{OwnPages, Page, PageRequest};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
    }
    map
}

fn target<'a>(method: &'a str, target: &'a str, host: Option<&'a str>) -> Target<'a> {
    Target { method, target: target.as_bytes(), host: host.map(str::as_bytes) }
}

#[test]
fn nginx_names_the_request_in_one_of_two_ways() {
    let url = headers(&[("x-original-method", "GET"), ("x-original-url", "HTTPS://h:8443/a/../b?c#d")]);
    assert_eq!(of_auth_request(&url), Ok(target("GET", "/a/../b?c#d", Some("h:8443"))));
    let uri = headers(&[("x-original-method", "GET"), ("x-original-uri", "/a?b"), ("x-forwarded-host", "h")]);
    assert_eq!(of_auth_request(&uri), Ok(target("GET", "/a?b", Some("h"))));
    for (pairs, expected) in [
        (&[("x-original-url", "http://h/a")] as &[_], NoTarget::Missing),
        (&[("x-original-method", "GET")], NoTarget::Missing),
        (&[("x-original-method", ""), ("x-original-uri", "/a")], NoTarget::Missing),
        (&[("x-original-method", "GET"), ("x-original-url", "")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-url", "/a")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-url", "http://h")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-url", "http://h?x=/a")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-url", "http://h\\/a")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-url", "ftp://h/a")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-original-uri", "/b")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-forwarded-uri", "/b")], NoTarget::Ambiguous),
        (&[("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-forwarded-method", "PUT")], NoTarget::Ambiguous),
        (
            &[("x-original-method", "GET"), ("x-original-url", "http://h/a"), ("x-original-uri", "/b")],
            NoTarget::Ambiguous,
        ),
    ] {
        assert_eq!(of_auth_request(&headers(pairs)), Err(expected), "{pairs:?}");
    }
}

#[test]
fn forward_auth_names_the_request_by_its_own_headers() {
    let good = headers(&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a?b"), ("x-forwarded-host", "h")]);
    assert_eq!(of_forward_auth(&good), Ok(target("GET", "/a?b", Some("h"))));
    for (pairs, expected) in [
        (&[("x-forwarded-uri", "/a")] as &[_], NoTarget::Missing),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "")], NoTarget::Missing),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-original-uri", "/b")], NoTarget::Ambiguous),
        (
            &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a"), ("x-original-url", "http://h/b")],
            NoTarget::Ambiguous,
        ),
        (
            &[
                ("x-forwarded-method", "GET"),
                ("x-forwarded-uri", "/a"),
                ("x-forwarded-host", "a"),
                ("x-forwarded-host", "b"),
            ],
            NoTarget::Ambiguous,
        ),
    ] {
        assert_eq!(of_forward_auth(&headers(pairs)), Err(expected), "{pairs:?}");
    }
}

#[test]
fn envoy_names_the_request_by_the_path_behind_the_prefix() {
    let request = |uri: &str, host: &str| {
        Request::builder().method("PUT").uri(uri).header("host", host).body(()).expect("request")
    };
    let prefix = "/authz/ext-authz";
    assert_eq!(
        of_ext_authz(&request("/authz/ext-authz//a/../b?c", "h"), prefix),
        Ok(target("PUT", "//a/../b?c", Some("h")))
    );
    assert_eq!(of_ext_authz(&request("/authz/ext-authz", "h"), prefix), Err(NoTarget::Missing));
    assert_eq!(of_ext_authz(&request("http://other/authz/ext-authz/a", "h"), prefix), Err(NoTarget::Ambiguous));
}

fn answer(uri: &str, pairs: &[(&str, &str)], peer: Option<Peer>, aliases: Aliases) -> (StatusCode, HeaderMap, String) {
    answer_by(service().0, uri, pairs, peer, aliases)
}

fn answer_by(
    check: CheckService,
    uri: &str,
    pairs: &[(&str, &str)],
    peer: Option<Peer>,
    aliases: Aliases,
) -> (StatusCode, HeaderMap, String) {
    let mut server = HttpServer::new(check, &["192.0.2.0/24".parse().expect("network")], aliases);
    let mut request = Request::builder().uri(uri).body(Empty::<Bytes>::new()).expect("request");
    request.headers_mut().extend(headers(pairs));
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let response = block_on(tower::Service::call(&mut server, request)).expect("infallible");
    let (parts, body) = response.into_parts();
    let body = block_on(body.collect()).expect("body").to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

const PUBLIC: [(&str, &str); 3] =
    [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/public/x"), ("x-forwarded-host", "h")];

#[test]
fn target_headers_count_from_trusted_peers_only() {
    let from = |peer| answer("/authz/forward-auth", &PUBLIC, peer, Aliases::default()).0;
    let address = |text: &str| Some(Peer::Address(text.parse().expect("address")));
    assert_eq!(from(address("192.0.2.7")), StatusCode::OK);
    assert_eq!(from(address("::ffff:192.0.2.7")), StatusCode::OK);
    assert_eq!(from(Some(Peer::UnixSocket)), StatusCode::OK);
    assert_eq!(from(address("198.51.100.1")), StatusCode::FORBIDDEN);
    assert_eq!(from(address("::1")), StatusCode::FORBIDDEN);
    assert_eq!(from(None), StatusCode::FORBIDDEN);
}

#[test]
fn an_allow_over_http_names_every_header_and_is_not_cached() {
    let (status, headers, body) = answer("/authz/forward-auth", &PUBLIC, Some(Peer::UnixSocket), Aliases::default());
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(headers["cache-control"], "no-store");
    for name in
        ["x-auth-user", "x-auth-scopes", "x-auth-assertion", "x-auth-cookie", "x-auth-query", "x-forwarded-user"]
    {
        assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(b"" as &[u8]), "{name}");
    }
}

#[test]
fn an_allow_never_follows_a_refusal_to_the_client() {
    let mut pairs = PUBLIC.to_vec();
    pairs.push(("x-tiergate-refused", "1"));
    let (status, headers, _) = answer("/authz/forward-auth", &pairs, Some(Peer::UnixSocket), Aliases::default());
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(!headers.contains_key("x-auth-tiers"));
}

#[test]
fn a_missing_target_is_forbidden_and_other_paths_are_not_there() {
    let status = |uri: &str, aliases| answer(uri, &[], Some(Peer::UnixSocket), aliases).0;
    for uri in ["/authz/forward-auth", "/authz/auth-request", "/authz/ext-authz"] {
        assert_eq!(status(uri, Aliases::default()), StatusCode::FORBIDDEN, "{uri}");
    }
    let all = Aliases { oauth2_proxy: true, authelia: true };
    for uri in ["/oauth2/auth", "/api/authz/auth-request", "/api/authz/forward-auth"] {
        assert_eq!(status(uri, Aliases::default()), StatusCode::NOT_FOUND, "{uri}");
        assert_eq!(status(uri, all), StatusCode::FORBIDDEN, "{uri}");
    }
    assert_eq!(status("/api/authz/ext-authz/public/x", all), StatusCode::OK);
    for uri in ["/", "/authz", "/authz/forward-auth/", "/metrics", "/_auth/jwks.json"] {
        assert_eq!(status(uri, all), StatusCode::NOT_FOUND, "{uri}");
    }
}

#[test]
fn nginx_is_never_told_a_status_it_makes_500_of() {
    let with =
        |uri: &str| [("x-original-method".to_owned(), "GET".to_owned()), ("x-original-uri".to_owned(), uri.to_owned())];
    for uri in ["/public/x", "/nowhere", "/a/../b", "/apps/devel/x", "", "//", "/%"] {
        let pairs = with(uri);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, ..) = answer("/authz/auth-request", &pairs, Some(Peer::UnixSocket), Aliases::default());
        assert!([200, 401, 403].contains(&status.as_u16()), "{uri}: {status}");
        assert_eq!(status == StatusCode::OK, uri == "/public/x", "{uri}");
    }
}

/// Asked by a browser with this cookie, over the endpoint of each proxy.
fn browse(method: &str, cookie: &str) -> [(StatusCode, HeaderMap); 3] {
    let browser = [("sec-fetch-mode", "navigate"), ("cookie", cookie), ("host", "gate.example.com")];
    let forward = [("x-forwarded-method", method), ("x-forwarded-uri", "/apps/devel/x?a=1"), ("x-forwarded-host", "h")];
    let original = [("x-original-method", method), ("x-original-url", "http://h/apps/devel/x?a=1")];
    let ask = |uri: &str, target: &[(&str, &str)]| {
        let pairs = [&browser, target].concat();
        let (status, headers, _) =
            answer_by(browser_service().0, uri, &pairs, Some(Peer::UnixSocket), Aliases::default());
        (status, headers)
    };
    [
        ask("/authz/forward-auth", &forward),
        ask("/authz/auth-request", &original),
        ask("/authz/ext-authz/apps/devel/x?a=1", &[]),
    ]
}

#[test]
fn a_browser_is_sent_to_sign_in_in_the_way_of_each_proxy() {
    let cookie = session_cookie("expired");
    let [forward, original, ext] = browse("GET", &cookie);
    for (_, headers) in [&forward, &original, &ext] {
        assert_eq!(headers["location"], "https://gate.example.com/_auth/login?rd=/apps/devel/x%3Fa%3D1&why=ended");
        assert_eq!(headers.get_all("set-cookie").iter().count(), 1);
        assert_eq!(headers["cache-control"], "no-store");
    }
    assert_eq!([forward.0, original.0, ext.0].map(|status| status.as_u16()), [302, 401, 302]);
    let [forward, original, _] = browse("POST", &cookie);
    assert_eq!([forward.0, original.0].map(|status| status.as_u16()), [303, 401]);
    let [forward, original, ext] = browse("GET", &session_cookie("down"));
    assert_eq!([forward.0, original.0, ext.0].map(|status| status.as_u16()), [503, 503, 403]);
    for (_, headers) in [forward, original, ext] {
        assert!(!headers.contains_key("location") && !headers.contains_key("set-cookie"));
    }
}

#[test]
fn an_allow_offers_the_cookies_of_others_for_the_upstream() {
    let cookie = format!("a=1; {}; b=2", session_cookie("renewed"));
    for (status, headers) in browse("GET", &cookie) {
        assert_eq!((status, &headers["x-auth-user"]), (StatusCode::OK, &HeaderValue::from_static("u-1")));
        assert_eq!(
            (&headers["x-auth-cookie"], &headers["cookie"]),
            (&headers["cookie"], &HeaderValue::from_static("a=1; b=2"))
        );
        assert_eq!(headers.get_all("set-cookie").iter().count(), 1);
    }
    let [(_, headers), ..] = browse("GET", &session_cookie("live"));
    assert_eq!((&headers["x-auth-cookie"], &headers["cookie"]), (&headers["cookie"], &HeaderValue::from_static("")));
    assert!(!headers.contains_key("set-cookie"));
}

/// Pages that say back what they were asked.
struct Echo;

impl OwnPages for Echo {
    fn owns(&self, path: &str) -> bool {
        path.starts_with("/_auth/")
    }

    fn has_page(&self, path: &str) -> bool {
        self.owns(path)
    }

    fn answer<'a>(&'a self, request: &'a PageRequest<'a>) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>> {
        let PageRequest { method, path, query, headers: _, body, sender } = *request;
        let query = String::from_utf8_lossy(query).into_owned();
        let body = format!("{method} {path} {query} {:?}", body.map(<[u8]>::len));
        let cookie = |name: &str| ("set-cookie", format!("{name}=1"));
        Box::pin(async move {
            Page { status: 203, headers: vec![cookie("a"), cookie("b"), ("x-sender", format!("{sender:?}"))], body }
        })
    }
}

async fn ask_page<B>(method: &str, uri: &str, body: B) -> (StatusCode, HeaderMap, String)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (check, _) = service();
    let mut server = HttpServer::new(check.with_pages(Arc::new(Echo)), &[], Aliases::default());
    let request = Request::builder().method(method).uri(uri).body(body).expect("request");
    let (parts, body) = tower::Service::call(&mut server, request).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("body").to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_page_is_told_who_handed_the_request_on() {
    let networks = ["192.0.2.0/24".parse().expect("network")];
    let address = |text: &str| Some(Peer::Address(text.parse().expect("address")));
    for (peer, sender) in [
        (address("192.0.2.7"), "Proxy"),
        (address("::ffff:192.0.2.7"), "Proxy"),
        (Some(Peer::UnixSocket), "Proxy"),
        (address("198.51.100.1"), "Address(198.51.100.1)"),
        (None, "Unknown"),
    ] {
        let mut server = HttpServer::new(service().0.with_pages(Arc::new(Echo)), &networks, Aliases::default());
        let mut request = Request::builder().uri("/_auth/login").body(Empty::<Bytes>::new()).expect("request");
        peer.map(|peer| request.extensions_mut().insert(peer));
        let response = tower::Service::call(&mut server, request).await.expect("infallible");
        assert_eq!(response.headers()["x-sender"], sender, "{peer:?}");
    }
}

/// A body that has no end, and says no length.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 1024])))))
    }
}

#[tokio::test]
async fn a_page_is_asked_by_its_canonical_path_whoever_asks() {
    let empty = Empty::<Bytes>::new;
    let (status, headers, body) = ask_page("GET", "/_auth//%6Cogin?rd=/x%20", empty()).await;
    assert_eq!((status.as_u16(), body.as_str()), (203, "GET /_auth/login rd=/x%20 Some(0)"));
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    for (uri, expected) in [
        ("/_auth/../x", 400),
        ("/_auth/%2e%2e/x", 400),
        ("/_auth/a%2Fb", 400),
        ("/_auth/a;b", 400),
        ("//_auth/login", 400),
        ("/apps/x", 404),
        ("/_AUTH/login", 404),
    ] {
        assert_eq!(ask_page("GET", uri, empty()).await.0, expected, "{uri}");
    }
}

#[tokio::test]
async fn a_form_is_read_within_bounds_and_nothing_else_is() {
    let full = |size: usize| Full::<Bytes>::from(vec![b'x'; size]);
    let (_, _, body) = ask_page("POST", "/_auth/logout", full(65_536)).await;
    assert_eq!(body, "POST /_auth/logout  Some(65536)");
    assert_eq!(ask_page("POST", "/_auth/logout", full(65_537)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(ask_page("POST", "/_auth/logout", full(10 << 20)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let read = Arc::new(AtomicUsize::new(0));
    let endless = || Endless(Arc::clone(&read));
    assert_eq!(ask_page("POST", "/_auth/logout", endless()).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(read.swap(0, Ordering::SeqCst) <= 66);
    for (method, uri) in [("GET", "/_auth/logout"), ("POST", "/authz/forward-auth"), ("POST", "/apps/x")] {
        ask_page(method, uri, endless()).await;
        assert_eq!(read.load(Ordering::SeqCst), 0, "{method} {uri}");
    }
}
