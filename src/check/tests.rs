use std::sync::Arc;

use proptest::prelude::*;

use super::fixture::{caller, checker, panicking_service, service};
use super::*;
use crate::types::{Principal, Protocol, Reason, RequestView};

pub(crate) type Headers<'a> = &'a [(&'a str, &'a [u8])];

pub(crate) fn view<'a>(protocol: Protocol, method: &'a str, target: &'a str, headers: Headers<'a>) -> RequestView<'a> {
    RequestView {
        protocol,
        method,
        target: target.as_bytes(),
        host: Some(b"gate.example.com"),
        headers,
        route_tier: None,
        route_app: None,
        request_id: None,
    }
}

fn ask(method: &str, target: &str, headers: Headers<'_>, caller: Option<Arc<Principal>>) -> CheckOutcome {
    checker().check_as(&view(Protocol::Grpc, method, target, headers), caller.as_deref())
}

pub(super) fn allow(outcome: CheckOutcome) -> Allow {
    match outcome.answer {
        Answer::Allow(allow) => *allow,
        other @ (Answer::Deny(_) | Answer::Respond(_)) => panic!("not allowed: {other:?}"),
    }
}

pub(super) fn denial(outcome: CheckOutcome) -> Denial {
    match outcome.answer {
        Answer::Deny(denial) => *denial,
        other @ (Answer::Allow(_) | Answer::Respond(_)) => panic!("not denied: {other:?}"),
    }
}

/// The managed headers, in their order.
pub(super) fn headers_of(allow: &Allow) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    allow.each_header(|name, value| headers.push((name.to_owned(), value.to_owned())));
    headers
}

pub(super) fn value(allow: &Allow, name: &str) -> Option<String> {
    headers_of(allow).into_iter().find(|(held, _)| held == name).map(|(_, value)| value)
}

fn removes(allow: &Allow, name: &str) -> bool {
    allow.removed().any(|held| held == name)
}

#[test]
fn statuses_are_those_of_the_contract() {
    use DenyKind as K;
    use Protocol as P;
    for (kind, grpc, auth_request, forward_auth, ext_authz) in [
        (K::Unauthenticated, 401, 401, 401, 401),
        (K::Forbidden, 403, 403, 403, 403),
        (K::BadTarget, 400, 403, 400, 400),
        (K::Unavailable, 503, 503, 503, 403),
        (K::Overloaded, 503, 503, 503, 403),
    ] {
        for (protocol, expected) in
            [(P::Grpc, grpc), (P::AuthRequest, auth_request), (P::ForwardAuth, forward_auth), (P::ExtAuthz, ext_authz)]
        {
            assert_eq!(kind.http_status(protocol), expected, "{kind:?} {protocol:?}");
        }
    }
    // No reason and no protocol ever make a success of a refusal.
    for reason in Reason::ALL {
        for protocol in Protocol::ALL {
            assert!(DenyKind::of(reason).http_status(protocol) >= 400, "{reason} {protocol:?}");
        }
    }
}

#[test]
fn an_allowed_caller_is_told_to_the_upstream() {
    let headers: Headers =
        &[("cookie", b"a=1"), ("cookie", b"b=2"), ("x_auth_user", b"root"), ("x-forwarded-user", b"root")];
    let outcome = ask("GET", "/apps/devel/x?q=1", headers, Some(caller("access:devel b")));
    assert_eq!((outcome.record.rule(), outcome.record.tier()), (Some("/apps/{tier}/**"), Some("devel")));
    assert!(outcome.record.tiers().eq(["public", "stable", "devel"]));
    assert_eq!(outcome.record.path, "/apps/devel/x");
    let allow = allow(outcome);
    for (name, expected) in [
        ("x-auth-user", "u-1"),
        ("x-auth-email", ""),
        ("x-auth-name", "Zo%C3%AB"),
        ("x-auth-tier", "devel"),
        ("x-auth-tiers", "public,stable,devel"),
        ("x-auth-scopes", "access:devel b"),
        ("x-auth-groups", ""),
        ("x-auth-issuer", "https://idp.example.com/"),
        ("x-auth-assertion", ""),
        ("remote-user", "u-1"),
    ] {
        assert_eq!(value(&allow, name).as_deref(), Some(expected), "{name}");
    }
    assert!(removes(&allow, "x_auth_user") && removes(&allow, "x-forwarded-user"));
    assert_eq!((allow.query.as_str(), allow.cookie.as_str()), ("?q=1", "a=1; b=2"));
}

#[test]
fn an_anonymous_rule_tells_that_nobody_is_known() {
    let allow = allow(ask("GET", "/public/x", &[("x-auth-user", b"root")], None));
    assert_eq!(value(&allow, "x-auth-user").as_deref(), Some(""));
    assert_eq!(value(&allow, "x-auth-tiers").as_deref(), Some("public"));
}

#[test]
fn refusals_say_why_and_no_more() {
    let denied = denial(ask("GET", "/apps/devel/x", &[], None));
    assert_eq!((denied.kind, denied.reason), (DenyKind::Unauthenticated, Reason::NoCredentials));
    assert_eq!(denied.challenge.as_deref(), Some("Bearer"));
    assert!(denied.headers(Protocol::Grpc).contains(&("cache-control", "no-store".to_owned())));

    let denied = denial(ask("GET", "/apps/devel/x", &[], Some(caller(""))));
    assert_eq!(denied.reason, Reason::InsufficientTier);
    assert_eq!(denied.challenge.as_deref(), Some("Bearer error=\"insufficient_scope\", scope=\"access:devel\""));
    assert!(denied.body.text.contains("\"tiers\":[\"devel\"]"));

    for (method, target, headers, reason) in [
        ("GET", "/nowhere", &[] as Headers, Reason::NoRule),
        ("GET", "/public/%2e%2e/x", &[], Reason::BadTarget),
        ("GET", "/public/a%2fb", &[], Reason::BadTarget),
        ("GET", "/nowhere/a%2fb", &[], Reason::BadTarget),
        ("CONNECT", "/public/x", &[], Reason::BadTarget),
        ("TRACE", "/public/x", &[], Reason::BadTarget),
        ("", "/public/x", &[], Reason::BadTarget),
        ("get", "/public/x", &[], Reason::BadTarget),
        ("G T", "/public/x", &[], Reason::BadTarget),
        ("GET", "/public/x", &[("upgrade", b"websocket, h2c")], Reason::BadTarget),
        ("GET", "/public/x", &[("upgrade", b"foo")], Reason::BadTarget),
        ("GET", "/public/x", &[("upgrade", b"websocket"), ("upgrade", b"websocket")], Reason::BadTarget),
        ("GET", "/public/x", &[("x-a", b"b\rX-Auth-User: root")], Reason::BadTarget),
        ("GET", "/slash/admin%2fsecret", &[], Reason::BadTarget),
        ("GET", "/slash/%2e%2e%2fpublic", &[], Reason::BadTarget),
        ("GET", "/public/x", &[("connection", b"close, X_Auth-User")], Reason::SpoofedHeader),
    ] {
        let denied = denial(ask(method, target, headers, Some(caller("access:devel"))));
        assert_eq!(denied.reason, reason, "{method} {target}");
        assert!(!denied.body.text.contains(target), "{target} is echoed");
    }
    allow(ask("GET", "/slash/a%2fb", &[], None));
}

#[test]
fn a_method_in_lower_case_is_judged_as_the_proper_one_and_never_passes() {
    assert_eq!(denial(ask("get", "/apps/devel/x", &[], None)).reason, Reason::NoCredentials);
    assert_eq!(denial(ask("post", "/post", &[], Some(caller("")))).reason, Reason::InsufficientPermission);
}

#[test]
fn an_alias_is_removed_in_grpc_and_refused_over_http() {
    let headers: Headers = &[("x.auth.user", b"root")];
    assert!(removes(&allow(ask("GET", "/public/x", headers, None)), "x.auth.user"));
    for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
        let denied = denial(checker().check_as(&view(protocol, "GET", "/public/x", headers), None));
        assert_eq!(denied.reason, Reason::SpoofedHeader);
    }
}

#[test]
fn a_true_preflight_is_answered_for_an_allowed_origin_only() {
    let preflight = |origin: &'static [u8]| -> [(&'static str, &'static [u8]); 3] {
        [
            ("origin", origin),
            ("access-control-request-method", b"PUT"),
            ("access-control-request-headers", b"authorization, x-a"),
        ]
    };
    let outcome = ask("OPTIONS", "/apps/devel/x", &preflight(b"https://app.example.com"), None);
    let Answer::Respond(response) = outcome.answer else { panic!("the preflight is not answered") };
    assert_eq!(response.status, 204);
    assert!(response.headers.contains(&("access-control-allow-origin", "https://app.example.com".to_owned())));
    assert!(response.headers.contains(&("access-control-allow-headers", "authorization, x-a".to_owned())));
    assert_eq!(value(&response.otherwise, "x-auth-user").as_deref(), Some(""));
    for origin in [b"https://evil.example" as &[u8], b"https://app.example.com.evil.example", b"null"] {
        let denied = denial(ask("OPTIONS", "/apps/devel/x", &preflight(origin), None));
        assert_eq!((denied.reason, denied.cors_origin), (Reason::NoCredentials, None));
    }
    // What no browser sends with a preflight does not pass as one.
    for extra in
        [("upgrade", b"websocket" as &[u8]), ("sec-websocket-key", b"x"), ("cookie", b"a=b"), ("content-length", b"4")]
    {
        let [origin, method, _] = preflight(b"https://app.example.com");
        assert_eq!(
            denial(ask("OPTIONS", "/apps/devel/x", &[origin, method, extra], None)).reason,
            Reason::NoCredentials
        );
    }
    // Without the requested method it is an ordinary request.
    let denied = denial(ask("OPTIONS", "/apps/devel/x", &[("origin", b"https://app.example.com")], None));
    assert_eq!(denied.cors_origin.as_deref(), Some("https://app.example.com"));
}

#[test]
fn people_get_a_page_and_programs_json() {
    let html = |headers: Headers<'_>| {
        denial(ask("GET", "/apps/devel/x", headers, None)).body.content_type.starts_with("text/html")
    };
    assert!(html(&[("accept", b"text/html,*/*;q=0.8")]));
    assert!(html(&[("sec-fetch-mode", b"navigate")]));
    assert!(!html(&[]));
    assert!(!html(&[("accept", b"text/html"), ("x-requested-with", b"XMLHttpRequest")]));
    assert!(!html(&[("accept", b"text/html"), ("sec-fetch-mode", b"cors")]));
    assert!(!html(&[("accept", b"text/html"), ("upgrade", b"websocket")]));
    assert!(!html(&[("accept", b"text/html"), ("sec-websocket-key", b"x")]));
    assert!(!html(&[("accept", b"text/html"), ("content-type", b"application/grpc")]));
    assert!(!html(&[("accept", b"application/xhtml+xml")]));
}

#[test]
fn a_bad_token_leaves_an_anonymous_rule_anonymous_and_is_cut_out() {
    let (service, written) = service();
    let token = "eyJ.eyJ.x";
    let target = format!("/open-ws/x?a=1&access_token={token}");
    let protocols = format!("chat, bearer, {token}");
    let headers: Headers = &[("sec-websocket-protocol", protocols.as_bytes())];
    let outcome = block_on(service.answer(&view(Protocol::Grpc, "GET", &target, &[])));
    let allowed = allow(outcome);
    assert_eq!((allowed.query_cut, allowed.query.as_str()), (vec!["access_token".to_owned()], "?a=1"));
    assert_eq!((written.last().reason, written.last().subject()), (Reason::Ok, None));
    let allowed = allow(block_on(service.answer(&view(Protocol::Grpc, "GET", "/open-ws/x", headers))));
    assert!(allowed.websocket_protocol_cut && allowed.websocket_protocol == "chat");
    let outcome = block_on(service.answer(&view(Protocol::Grpc, "GET", &format!("/ws/x?access_token={token}"), &[])));
    assert_eq!(denial(outcome).reason, Reason::InvalidToken);
    assert!(written.last().cause.is_some());
}

#[test]
fn a_panic_is_one_denied_request() {
    let (broken, written) = panicking_service();
    for (target, token) in [("/apps/devel/x", b"Bearer a.b.c" as &[u8]), ("/public/x", b"Bearer a.b.c")] {
        let outcome = block_on(broken.answer(&view(Protocol::Grpc, "GET", target, &[("authorization", token)])));
        assert_eq!(denial(outcome).kind, DenyKind::Unavailable);
        assert_eq!(written.last().cause, Some("panic"));
    }
    allow(block_on(broken.answer(&view(Protocol::Grpc, "GET", "/public/x", &[]))));
}

#[test]
fn request_ids_of_the_proxy_are_kept_when_they_are_plain() {
    let with = |id: &'static str| {
        let request = RequestView { request_id: Some(id), ..view(Protocol::Grpc, "GET", "/public/x", &[]) };
        checker().check_as(&request, None).record
    };
    assert_eq!(with("a-1").request_id.as_ref(), "a-1");
    let record = with("a\r\nb");
    assert_eq!(record.request_id.as_ref(), record.decision_id.to_string());
}

/// A task moves its future when it begins: this one is in every check.
#[test]
fn the_future_of_a_check_is_small() {
    let (service, _) = service();
    let request = view(Protocol::Grpc, "GET", "/public/x", &[]);
    let size = size_of_val(&service.answer(&request));
    assert!(size <= 1024, "{size}");
}

/// Drives a future that never waits for anything outside.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    use futures_util::FutureExt as _;
    future.now_or_never().expect("the check does not wait")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_allow_sets_every_managed_header(
        path in prop_oneof![Just("/public/x"), Just("/apps/devel/x"), Just("/apps/stable/"), Just("/open-ws/x"), Just("/slash/a%2Fb")],
        scopes in prop_oneof![Just(""), Just("access:devel"), Just("a b")],
        known in any::<bool>(),
        name in "[xX][-_.][aA]uth[-_.][a-z]{4,5}",
        protocol in prop_oneof![Just(Protocol::Grpc), Just(Protocol::AuthRequest), Just(Protocol::ForwardAuth), Just(Protocol::ExtAuthz)],
    ) {
        let name = name.to_ascii_lowercase();
        let headers: Headers = &[(&name, b"spoofed")];
        let checker = checker();
        let outcome = checker.check_as(&view(protocol, "GET", path, headers), known.then(|| caller(scopes)).as_deref());
        let snapshot = checker.snapshot();
        if let Answer::Allow(allow) = outcome.answer {
            for reserved in snapshot.identity.reserved().filter(|name| !["x-auth-cookie", "x-auth-query", "x-auth-websocket-protocol"].contains(name)) {
                let set = headers_of(&allow).iter().filter(|(held, _)| held == reserved).count();
                let removed = allow.removed().filter(|held| *held == reserved).count();
                prop_assert_eq!(set + removed, 1, "{} is set {} times and removed {} times", reserved, set, removed);
            }
            let is_set = value(&allow, &name).is_some();
            prop_assert!(!snapshot.identity.reads_as_reserved(&name) || is_set || removes(&allow, &name));
            prop_assert!(headers_of(&allow).iter().all(|(_, value)| value != "spoofed"));
        }
    }

    #[test]
    fn no_request_makes_it_panic(
        method in "[ -~]{0,8}", target in proptest::collection::vec(any::<u8>(), 0..60),
        host in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        value in proptest::collection::vec(any::<u8>(), 0..40),
        name in prop_oneof![Just("authorization"), Just("connection"), Just("upgrade"), Just("origin"), Just("accept"), Just("sec-websocket-protocol"), Just("cookie")],
    ) {
        let headers: Headers = &[(name, &value)];
        let request = RequestView { target: &target, host: host.as_deref(), ..view(Protocol::ForwardAuth, &method, "", headers) };
        let outcome = block_on(checker().check(&request, None));
        prop_assert_eq!(outcome.record.allowed, !matches!(outcome.answer, Answer::Deny(_)));
    }
}
