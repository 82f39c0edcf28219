use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use http_body_util::BodyExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::convert;
use super::encode::{nested, response};
use crate::check::CheckOutcome;
use crate::check::fixture::{browser_service, caller, checker, session_cookie};
use crate::check::tests::block_on;
use crate::types::{Protocol, RequestView};

/// The message as it goes out, without its frame.
fn written(outcome: CheckOutcome) -> Vec<u8> {
    let answer = block_on(response(outcome).response().into_body().collect()).expect("a whole answer");
    answer.to_bytes().get(5..).expect("a frame").to_vec()
}

/// The order of removed names and of headers with different names means nothing.
fn in_order(mut response: CheckResponse) -> CheckResponse {
    if let Some(HttpResponse::OkResponse(ok)) = &mut response.http_response {
        let name = |option: &HeaderValueOption| option.header.as_ref().map(|header| header.key.clone());
        ok.headers.sort_by_key(name);
        ok.headers_to_remove.sort();
    }
    response
}

/// What is written is what the complete way builds.
fn agrees(outcome: &CheckOutcome) -> Result<(), String> {
    let bytes = written(outcome.clone());
    let decoded = CheckResponse::decode(&*bytes).map_err(|error| error.to_string())?;
    let built = convert::response(outcome.clone());
    // The same bytes in another order: nothing is written twice, or longer than need be.
    if bytes.len() != built.encoded_len() {
        return Err(format!("{} bytes in place of {}", bytes.len(), built.encoded_len()));
    }
    let (decoded, built) = (in_order(decoded), in_order(built));
    if decoded == built { Ok(()) } else { Err(format!("{decoded:?} in place of {built:?}")) }
}

fn view<'a>(method: &'a str, path: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> RequestView<'a> {
    RequestView {
        protocol: Protocol::Grpc,
        method,
        target: path.as_bytes(),
        host: Some(b"gate.example.com"),
        headers,
        route_tier: None,
        route_app: None,
        request_id: None,
    }
}

#[test]
fn every_kind_of_answer_is_the_same_both_ways() {
    let cookies = ["live", "renewed", "expired", "down"].map(session_cookie);
    let (service, ..) = browser_service();
    for path in [
        "/apps/devel/x",
        "/public/x",
        "/apps/boss/x",
        "/nowhere",
        "/_auth/callback",
        "/a/../b",
        "/ws/x?access_token=a.b.c",
    ] {
        for cookie in &cookies {
            for method in ["GET", "OPTIONS"] {
                let headers: [(&str, &[u8]); 4] = [
                    ("cookie", cookie.as_bytes()),
                    ("origin", b"https://app.example.com"),
                    ("access-control-request-method", b"GET"),
                    ("sec-fetch-mode", b"navigate"),
                ];
                let outcome = block_on(service.answer(&view(method, path, &headers)));
                agrees(&outcome).unwrap_or_else(|what| panic!("{method} {path} {cookie}: {what}"));
            }
        }
    }
}

#[test]
fn a_length_is_written_in_as_few_bytes_as_it_takes() {
    for size in [0, 1, 0x7f, 0x80, 0x81, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000] {
        let mut out = b"before".to_vec();
        nested(&mut out, 0x0a, |out| out.resize(out.len() + size, b'x'));
        let mut expected = b"before\x0a".to_vec();
        prost::encoding::encode_varint(size as u64, &mut expected);
        expected.resize(expected.len() + size, b'x');
        assert!(out == expected, "{size}");
    }
}

fn header() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        proptest::sample::select(
            &["x-auth-user", "x_auth_user", "x.auth.email", "remote-user", "x-forwarded-user"][..]
        )
        .prop_map(str::to_owned),
        "x[-_.]auth[-_.][a-z]{1,200}",
        Just("cookie".to_owned()),
        Just("origin".to_owned()),
        Just("sec-websocket-protocol".to_owned()),
    ];
    let value = prop_oneof![
        "[ -~]{0,20}",
        "[a-z]{1,8}=[a-z]{0,20000}",
        Just(session_cookie("live")),
        "[a-z]{1,9}=[a-z]{0,300}".prop_map(|other| format!("{other}; {}", session_cookie("live"))),
        Just("https://app.example.com".to_owned()),
        Just("chat, bearer.a.b.c".to_owned()),
    ];
    (name, value)
}

proptest! {
    #[test]
    fn every_outcome_is_the_same_both_ways(
        headers in vec(header(), 0..8),
        path in "/(apps/(stable|devel|public)|public|ws|open-ws|slash)/[a-z]{0,300}(\\?(access_token=[a-z.]{0,200}&?){0,3})?",
        scopes in proptest::option::of("(access:devel)?( [a-z]{1,40}){0,9}"),
        id in proptest::option::of("[a-z0-9-]{1,200}"),
    ) {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = RequestView { request_id: id.as_deref(), ..view("GET", &path, &headers) };
        let outcome = checker().check_as(&request, scopes.as_deref().map(caller).as_deref());
        agrees(&outcome).map_err(TestCaseError::fail)?;
    }

    /// A map has no order: the complete way reads one in another order each time.
    #[test]
    fn no_order_of_headers_changes_an_answer((headers, shuffled) in some_headers(), path in place()) {
        let answer = |headers: &[(String, String)]| {
            let headers: Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let request = RequestView { request_id: Some("r-1"), ..view("OPTIONS", &path, &headers) };
            in_order(convert::response(checker().check_as(&request, Some(&caller("access:devel")))))
        };
        prop_assert_eq!(answer(&headers), answer(&shuffled));
    }
}

fn place() -> impl Strategy<Value = String> {
    proptest::sample::select(&["/apps/devel/x", "/public/x", "/ws/x", "/nowhere"][..]).prop_map(str::to_owned)
}

type Pairs = Vec<(String, String)>;

/// Headers with different names, in two orders.
fn some_headers() -> impl Strategy<Value = (Pairs, Pairs)> {
    const NAMES: [&str; 14] = [
        "accept",
        "access-control-request-method",
        "authorization",
        "connection",
        "cookie",
        "origin",
        "sec-fetch-mode",
        "sec-websocket-protocol",
        "upgrade",
        "x-auth-user",
        "x_auth_user",
        "x.auth.email",
        "x-forwarded-user",
        "transfer-encoding",
    ];
    const VALUES: [&str; 9] = [
        "",
        "text/html",
        "GET",
        "Bearer a.b.c",
        "upgrade",
        "websocket",
        "https://app.example.com",
        "navigate",
        "chat, bearer.a.b.c",
    ];
    let names = proptest::sample::subsequence(NAMES.to_vec(), 0..NAMES.len());
    let headers = names.prop_flat_map(|names| {
        let values = vec(proptest::sample::select(&VALUES[..]), names.len());
        values.prop_map(move |values| {
            names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect::<Vec<_>>()
        })
    });
    headers.prop_flat_map(|headers| (Just(headers.clone()), Just(headers).prop_shuffle()))
}
