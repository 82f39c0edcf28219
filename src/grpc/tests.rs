use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};

use super::convert::{self, WireRequest};
use crate::check::fixture::{browser_service, caller, checker, session_cookie};
use crate::check::tests::block_on;

fn http(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        id: "req-1".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "gate.example.com".to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..HttpRequest::default()
    }
}

fn message(http: HttpRequest, extensions: &[(&str, &str)]) -> CheckRequest {
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request { http: Some(http), ..Request::default() }),
            context_extensions: extensions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..AttributeContext::default()
        }),
    }
}

fn ask(message: CheckRequest, scopes: Option<&str>) -> CheckResponse {
    let wire = WireRequest::try_from(message).expect("a request");
    let headers = wire.headers();
    convert::response(checker().check_as(&wire.view(&headers), scopes.map(caller).as_deref()))
}

fn status(response: &CheckResponse) -> (i32, Option<i32>) {
    let code = response.status.as_ref().expect("every response has a status").code;
    match response.http_response.as_ref().expect("every response has an HTTP response") {
        HttpResponse::OkResponse(_) => (code, None),
        HttpResponse::DeniedResponse(denied) => (code, denied.status.as_ref().map(|status| status.code)),
        HttpResponse::ErrorResponse(_) => panic!("an error response lets the filter decide"),
    }
}

#[test]
fn every_answer_is_in_band_and_only_an_allow_is_ok() {
    for (path, scopes, expected) in [
        ("/apps/devel/x", Some("access:devel"), (0, None)),
        ("/public/x", None, (0, None)),
        ("/apps/devel/x", None, (16, Some(401))),
        ("/apps/devel/x", Some(""), (7, Some(403))),
        ("/nowhere", Some(""), (7, Some(403))),
        ("/a/../b", Some(""), (7, Some(400))),
        ("", None, (7, Some(400))),
    ] {
        assert_eq!(status(&ask(message(http(path, &[]), &[]), scopes)), expected, "{path}");
    }
}

#[test]
#[expect(deprecated, reason = "older Envoys read `append`")]
fn headers_are_overwritten_and_never_both_set_and_removed() {
    let spoofed = [("x-auth-user", "root"), ("X_Auth_User", "root"), ("x-auth-email", "a@b")];
    let response = ask(message(http("/apps/devel/x", &spoofed), &[]), Some("access:devel"));
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("not allowed") };
    let set: Vec<String> =
        ok.headers.iter().map(|option| option.header.as_ref().expect("a header").key.clone()).collect();
    assert!(set.contains(&"x-auth-user".to_owned()) && set.contains(&"x-auth-tier".to_owned()));
    assert!(ok.headers_to_remove.contains(&"x_auth_user".to_owned()));
    assert!(ok.headers_to_remove.contains(&"x-auth-email".to_owned()));
    assert!(set.iter().all(|name| !ok.headers_to_remove.contains(name)));
    for option in &ok.headers {
        assert_eq!(option.append_action, i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd));
        assert_eq!(option.append.as_ref().map(|append| append.value), Some(false));
    }
    let metadata = response.dynamic_metadata.expect("metadata");
    assert!(["subject", "tier", "tiers", "rule", "decision_id"].iter().all(|key| metadata.fields.contains_key(*key)));
}

fn ask_with_cookie(path: &str, cookie: &str) -> CheckResponse {
    let navigation = [("cookie", cookie), ("sec-fetch-mode", "navigate")];
    let wire = WireRequest::try_from(message(http(path, &navigation), &[])).expect("a request");
    let headers = wire.headers();
    convert::response(block_on(browser_service().0.answer(&wire.view(&headers))))
}

/// The values of a header, and whether each is appended.
#[expect(deprecated, reason = "older Envoys read `append`")]
fn values(options: &[HeaderValueOption], name: &str) -> Vec<(String, bool)> {
    let all = options.iter().filter_map(|option| {
        let header = option.header.as_ref()?;
        let append = option.append.as_ref().is_some_and(|append| append.value);
        assert_eq!(append, option.append_action() == HeaderAppendAction::AppendIfExistsOrAdd);
        (header.key == name).then(|| (header.value.clone(), append))
    });
    all.collect()
}

#[test]
fn the_cookies_of_the_service_stay_between_it_and_the_browser() {
    let ok = |path: &str, cookie: &str| match ask_with_cookie(path, cookie).http_response {
        Some(HttpResponse::OkResponse(ok)) => ok,
        other => panic!("not allowed: {other:?}"),
    };
    let live = session_cookie("live");
    let mixed = ok("/apps/devel/x", &format!("a=1; {live}; b=2"));
    assert_eq!(values(&mixed.headers, "cookie"), [("a=1; b=2".to_owned(), false)]);
    let alone = ok("/apps/devel/x", &live);
    assert!(values(&alone.headers, "cookie").is_empty() && alone.headers_to_remove.contains(&"cookie".to_owned()));
    let foreign = ok("/public/x", "a=1");
    assert!(values(&foreign.headers, "cookie").is_empty() && !foreign.headers_to_remove.contains(&"cookie".to_owned()));
    // The upstream sets cookies too: ours stands beside them.
    let cleared = ok("/public/x", &session_cookie("expired"));
    let [(cookie, append)] = values(&cleared.response_headers_to_add, "set-cookie").try_into().expect("one cookie");
    assert!(append && cookie.starts_with("__Host-tiergate-session=; "));
}

#[test]
fn a_browser_is_sent_to_sign_in_and_its_cookie_taken_away() {
    let response = ask_with_cookie("/apps/devel/x", &session_cookie("expired"));
    assert_eq!(status(&response), (16, Some(302)));
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("not denied") };
    let location = "https://gate.example.com/_auth/login?rd=/apps/devel/x&why=ended";
    assert_eq!(values(&denied.headers, "location"), [(location.to_owned(), false)]);
    assert_eq!(values(&denied.headers, "cache-control"), [("no-store".to_owned(), false)]);
    // Envoy drops what is to be appended from a refusal.
    assert!(matches!(values(&denied.headers, "set-cookie").as_slice(), [(_, false)]));
    assert_eq!(status(&ask_with_cookie("/apps/devel/x", &session_cookie("down"))), (7, Some(503)));
}

#[test]
fn a_page_sets_all_its_cookies() {
    let response = ask_with_cookie("/_auth/callback?code=c", "a=1");
    assert_eq!(status(&response), (7, Some(303)));
    let Some(HttpResponse::DeniedResponse(page)) = response.http_response else { panic!("not answered") };
    assert_eq!(values(&page.headers, "set-cookie"), [("a=1".to_owned(), false), ("b=2".to_owned(), false)]);
    assert_eq!(page.body, "GET /_auth/callback code=c 2 false");
}

#[test]
fn a_route_raises_its_tier_and_a_tier_nobody_declared_opens_nothing() {
    let with =
        |tier: &str, scopes| status(&ask(message(http("/apps/stable/x", &[]), &[("tiergate.tier", tier)]), scopes));
    assert_eq!(with("devel", Some("")), (7, Some(403)));
    assert_eq!(with("devel", Some("access:devel")), (0, None));
    assert_eq!(with("public", Some("")), (0, None));
    assert_eq!(with("nothing", Some("access:devel")), (7, Some(403)));
    let public = ask(message(http("/public/x", &[]), &[("tiergate.tier", "stable")]), None);
    assert_eq!(status(&public), (16, Some(401)));
}

#[test]
fn messages_that_describe_no_single_request_are_refused() {
    let raw = |name: &str, value: &str| HeaderValue {
        key: name.to_owned(),
        value: String::new(),
        raw_value: value.as_bytes().to_vec(),
    };
    let with = |name: &str, value: &str| {
        let headers = HeaderMap { headers: vec![raw(name, value)] };
        WireRequest::try_from(message(HttpRequest { header_map: Some(headers), ..http("/a", &[]) }, &[]))
    };
    assert!(WireRequest::try_from(CheckRequest::default()).is_err());
    assert!(WireRequest::try_from(CheckRequest { attributes: Some(AttributeContext::default()) }).is_err());
    for (name, value) in [(":path", "/b"), (":method", "POST"), (":authority", "other"), ("Host", "other")] {
        assert!(with(name, value).is_err(), "{name}");
    }
    assert!(with(":path", "/a").is_ok());
    assert!(WireRequest::try_from(message(http("/a", &[(":path", "/b")]), &[])).is_err());
    let wire = with("X-Name", "v").expect("a request");
    assert_eq!(wire.headers(), [("x-name", b"v" as &[u8])]);
}
