//! Browsers in the check: sessions, the way to sign in, the service's own pages.

use proptest::prelude::*;

use super::fixture::{browser_service, service, session_cookie};
use super::tests::{Headers, allow, block_on, denial, headers_of, value, view};
use super::*;
use crate::session::COOKIE_PREFIX;
use crate::types::{Protocol, Reason, RequestView};

const NAVIGATION: (&str, &[u8]) = ("sec-fetch-mode", b"navigate");
const LOGIN: &str = "https://gate.example.com/_auth/login";
const CLEARED: &str = "__Host-tiergate-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";

fn ask(method: &str, target: &str, headers: Headers<'_>) -> CheckOutcome {
    ask_over(Protocol::Grpc, method, target, headers)
}

fn ask_over(protocol: Protocol, method: &str, target: &str, headers: Headers<'_>) -> CheckOutcome {
    block_on(browser_service().0.answer(&view(protocol, method, target, headers)))
}

fn written(cookies: &[crate::session::SetCookie]) -> Vec<String> {
    cookies.iter().map(crate::session::SetCookie::header_value).collect()
}

#[test]
fn a_session_says_who_calls() {
    let cookie = format!("a=1; {}; b=2", session_cookie("live"));
    for (target, tier) in [("/apps/devel/x", "devel"), ("/public/x", "public")] {
        let outcome = ask("GET", target, &[("cookie", cookie.as_bytes())]);
        let record = outcome.record.clone();
        assert_eq!((record.subject(), record.provider()), (Some("u-1"), Some("main")));
        assert_eq!((record.reason, record.token, record.cause), (Reason::Ok, None, None));
        let allow = allow(outcome);
        assert_eq!(
            (value(&allow, "x-auth-user").as_deref(), value(&allow, "x-auth-tier").as_deref()),
            (Some("u-1"), Some(tier))
        );
        assert_eq!((allow.cookie.as_str(), allow.cookie_cut, allow.set_cookies.len()), ("a=1; b=2", true, 0));
    }
    let refused = denial(ask("GET", "/apps/nothing/x", &[("cookie", cookie.as_bytes()), NAVIGATION]));
    assert_eq!((refused.kind, refused.redirect), (DenyKind::Forbidden, None));
    let renewed = allow(ask("GET", "/apps/devel/x", &[("cookie", session_cookie("renewed").as_bytes())]));
    assert!(written(&renewed.set_cookies)[0].starts_with("__Host-tiergate-session=nextA"));
}

#[test]
fn a_person_without_access_is_told_who_they_are_and_where_to_go() {
    const ACCOUNT: &str = "href=\"https://gate.example.com/_auth/\"";
    const SIGN_OUT: &str = "href=\"https://gate.example.com/_auth/logout\"";
    let (live, token) = (session_cookie("live"), ("authorization", &b"Bearer eyJ.eyJ.x"[..]));
    let cookie = ("cookie", live.as_bytes());
    for (target, headers, says, account, sign_out) in [
        ("/post", &[cookie, NAVIGATION] as Headers, "signed in as <bdi class=\"value\">Zoë</bdi>", true, true),
        ("/nowhere", &[cookie, NAVIGATION], "There is no app here", true, false),
        ("/nowhere", &[NAVIGATION], "There is no app here", true, false),
        ("/nowhere", &[token, NAVIGATION], "There is no app here", false, false),
        ("/apps/devel/%2e%2e/x", &[cookie, NAVIGATION], "can be read in more than one way", false, false),
    ] {
        let method = if target == "/post" { "POST" } else { "GET" };
        let page = denial(ask(method, target, headers)).body.text;
        assert!(page.contains(says), "{target}: {page}");
        assert_eq!((page.contains(ACCOUNT), page.contains(SIGN_OUT)), (account, sign_out), "{target}: {page}");
        assert!(page.contains("If you ask for help, give this reference: "), "{page}");
    }
    let program = denial(ask("POST", "/post", &[cookie])).body.text;
    assert!(!program.contains("Zoë"), "{program}");
}

#[test]
fn a_cookie_that_opens_nothing_makes_nobody_of_its_browser() {
    let twice = format!("{}; {}", session_cookie("live"), session_cookie("live"));
    let joined = format!("a=1,{}", session_cookie("live"));
    for (cookie, status, reason, cause, cleared) in [
        (session_cookie("unknown"), 401, Reason::SessionExpired, Some("session_unknown"), true),
        (session_cookie("broken"), 401, Reason::SessionExpired, Some("session_broken"), true),
        (session_cookie("expired"), 401, Reason::SessionExpired, Some("session_ended"), true),
        (session_cookie("not*an*id"), 401, Reason::SessionExpired, Some("session_malformed"), true),
        (twice, 401, Reason::MultipleCredentials, Some("session_ambiguous"), false),
        (joined, 401, Reason::MultipleCredentials, Some("session_ambiguous"), false),
        (session_cookie("down"), 503, Reason::Unavailable, Some("session_store"), false),
        ("tiergate-session=live".to_owned(), 401, Reason::NoCredentials, None, false),
        (
            session_cookie("live").replace("__Host-", "__host-"),
            401,
            Reason::MultipleCredentials,
            Some("session_ambiguous"),
            false,
        ),
    ] {
        let headers: Headers = &[("cookie", cookie.as_bytes())];
        let expected = if cleared { vec![CLEARED.to_owned()] } else { Vec::new() };
        let outcome = ask("GET", "/apps/devel/x", headers);
        assert_eq!((outcome.record.cause, outcome.record.subject()), (cause, None), "{cookie}");
        let denied = denial(outcome);
        assert_eq!((denied.http_status(Protocol::Grpc), denied.reason), (status, reason), "{cookie}");
        assert_eq!(written(&denied.set_cookies), expected, "{cookie}");
        assert!(denied.headers(Protocol::Grpc).contains(&("cache-control", "no-store".to_owned())));
        let allowed = allow(ask("GET", "/public/x", headers));
        assert_eq!(value(&allowed, "x-auth-user").as_deref(), Some(""), "{cookie}");
        assert_eq!(written(&allowed.set_cookies), expected, "{cookie}");
        assert!(!allowed.cookie.to_ascii_lowercase().contains("__host-"), "{cookie}");
    }
}

#[test]
fn the_sessions_are_asked_only_where_it_matters() {
    let cookie = session_cookie("live");
    let with: (&str, &[u8]) = ("cookie", cookie.as_bytes());
    let origin: (&str, &[u8]) = ("origin", b"https://app.example.com");
    for (target, headers, asked) in [
        ("/apps/devel/x", &[with] as Headers, 1),
        ("/public/x", &[with], 1),
        ("/public/x", &[("cookie", b"a=1")], 0),
        ("/apps/devel/../x", &[with], 0),
        ("/nowhere", &[with], 0),
        ("/apps/devel/x", &[with, ("connection", b"x-auth-user")], 0),
        ("/apps/devel/x", &[with, ("authorization", b"Bearer a.b.c")], 0),
        ("/_auth/me", &[with], 0),
        ("/apps/devel/x", &[origin, ("access-control-request-method", b"PUT")], 0),
    ] {
        let (service, _, sessions) = browser_service();
        let method = if headers.contains(&origin) { "OPTIONS" } else { "GET" };
        block_on(service.answer(&view(Protocol::Grpc, method, target, headers)));
        assert_eq!(sessions.asked(), asked, "{target} {headers:?}");
    }
}

#[test]
fn a_token_decides_alone_and_the_cookie_is_cut_all_the_same() {
    let cookie = session_cookie("live");
    for (token, reason) in [
        (b"Bearer a.b.c" as &[u8], Reason::InvalidToken),
        (b"Basic dTpw", Reason::InvalidToken),
        (b"Bearer a, Bearer b", Reason::MultipleCredentials),
    ] {
        let headers: Headers = &[("authorization", token), ("cookie", cookie.as_bytes()), NAVIGATION];
        let denied = denial(ask("GET", "/apps/devel/x", headers));
        assert_eq!((denied.reason, denied.redirect, denied.set_cookies.len()), (reason, None, 0));
        let allowed = allow(ask("GET", "/public/x", headers));
        assert_eq!((value(&allowed, "x-auth-user").as_deref(), allowed.cookie.as_str()), (Some(""), ""));
    }
}

#[test]
fn without_sessions_no_cookie_is_a_credential_and_nobody_is_sent_away() {
    let cookie = session_cookie("live");
    let headers: Headers = &[("cookie", cookie.as_bytes()), NAVIGATION];
    let (service, _) = service();
    let denied = denial(block_on(service.answer(&view(Protocol::Grpc, "GET", "/apps/devel/x", headers))));
    assert_eq!((denied.reason, denied.redirect, denied.set_cookies.len()), (Reason::NoCredentials, None, 0));
    assert!(!denied.body.text.contains("Sign in"));
}

#[test]
fn a_browser_is_sent_to_sign_in_and_comes_back() {
    let long = format!("/apps/devel/{}", "a".repeat(2100));
    for (method, target, status, location) in [
        ("GET", "/apps/devel/x", 302, "?rd=/apps/devel/x".to_owned()),
        ("HEAD", "/apps/devel/x", 302, "?rd=/apps/devel/x".to_owned()),
        ("GET", "/apps/devel//%7ex/?a=1&b=%2F+c", 302, "?rd=/apps/devel/~x/%3Fa%3D1%26b%3D%252F%2Bc".to_owned()),
        ("GET", "/ws/x?access_token=a.b.c&d=1", 302, "?rd=/ws/x%3Fd%3D1".to_owned()),
        ("GET", &long, 302, String::new()),
        ("POST", "/apps/devel/x", 303, "?form=1".to_owned()),
        ("PUT", "/apps/devel/x?a=1", 303, "?form=1".to_owned()),
    ] {
        let denied = denial(ask(method, target, &[NAVIGATION]));
        let redirect = denied.redirect.as_ref().expect("a redirect");
        assert_eq!((redirect.status, &redirect.location), (status, &format!("{LOGIN}{location}")), "{method} {target}");
        assert_eq!(denied.kind, DenyKind::Unauthenticated);
        for (protocol, expected) in [
            (Protocol::Grpc, status),
            (Protocol::ForwardAuth, status),
            (Protocol::ExtAuthz, status),
            (Protocol::AuthRequest, 401),
        ] {
            let denied = denial(ask_over(protocol, method, target, &[NAVIGATION]));
            assert_eq!(denied.http_status(protocol), expected);
            assert!(denied.headers(protocol).contains(&("location", redirect.location.clone())), "{protocol:?}");
            assert_eq!(denied.set_cookies, []);
        }
    }
}

#[test]
fn an_ended_session_is_taken_away_on_the_way_to_sign_in() {
    let long = format!("/apps/devel/{}", "a".repeat(2100));
    for (word, method, target, location) in [
        ("expired", "GET", "/apps/devel/x", "?rd=/apps/devel/x&why=ended"),
        ("unknown", "GET", "/apps/devel/x?why=broken", "?rd=/apps/devel/x%3Fwhy%3Dbroken&why=unknown"),
        ("broken", "HEAD", "/apps/devel/x", "?rd=/apps/devel/x&why=broken"),
        ("not*an*id", "GET", "/apps/devel/x", "?rd=/apps/devel/x&why=malformed"),
        ("unknown", "POST", "/apps/devel/x", "?why=unknown&form=1"),
        ("unknown", "GET", &long, "?why=unknown"),
    ] {
        let cookie = session_cookie(word);
        let denied = denial(ask(method, target, &[("cookie", cookie.as_bytes()), NAVIGATION]));
        assert_eq!(denied.redirect.expect("a redirect").location, format!("{LOGIN}{location}"), "{word}");
        assert_eq!(written(&denied.set_cookies), [CLEARED], "{word}");
    }
    // Who cannot be known is not sent away: that would sign out everybody while a store is down.
    for word in ["down", "live; a=1,__Host-tiergate-session=x"] {
        let cookie = session_cookie(word);
        let denied = denial(ask("GET", "/apps/devel/x", &[("cookie", cookie.as_bytes()), NAVIGATION]));
        assert_eq!((denied.redirect, denied.set_cookies.len()), (None, 0), "{word}");
    }
}

#[test]
fn a_lost_form_leads_back_to_the_page_it_stood_on() {
    for (referer, rd) in [
        ("https://gate.example.com/apps/devel/form?a=1", "?rd=/apps/devel/form%3Fa%3D1&form=1"),
        ("https://gate.example.com/apps/x?access_token=t&b=1", "?rd=/apps/x%3Fb%3D1&form=1"),
        ("https://gate.example.com", "?form=1"),
        ("https://gate.example.com.evil.example/x", "?form=1"),
        ("https://gate.example.com@evil.example/x", "?form=1"),
        ("https://gate.example.com:444/x", "?form=1"),
        ("http://gate.example.com/x", "?form=1"),
        ("https://gate.example.com//evil.example/", "?form=1"),
        ("https://gate.example.com/a/../x", "?form=1"),
        ("https://evil.example/https://gate.example.com/x", "?form=1"),
    ] {
        let denied = denial(ask("POST", "/apps/devel/x", &[NAVIGATION, ("referer", referer.as_bytes())]));
        assert_eq!(denied.redirect.expect("a redirect").location, format!("{LOGIN}{rd}"), "{referer}");
    }
}

#[test]
fn no_header_chooses_where_a_browser_is_sent() {
    let forwarded: Headers =
        &[NAVIGATION, ("x-forwarded-host", b"evil.example"), ("x-forwarded-proto", b"http"), ("host", b"evil.example")];
    let sent = |host: &'static [u8], target: &str| {
        let request = RequestView { host: Some(host), ..view(Protocol::ForwardAuth, "GET", target, forwarded) };
        denial(block_on(browser_service().0.answer(&request))).redirect.expect("a redirect").location
    };
    // The same path is there on the public origin too, unless the rule is one of another host.
    assert_eq!(sent(b"gate.example.com", "/apps/devel/x"), format!("{LOGIN}?rd=/apps/devel/x"));
    assert_eq!(sent(b"other.example.com", "/apps/devel/x"), format!("{LOGIN}?rd=/apps/devel/x"));
    assert_eq!(sent(b"api.example.com", "/hosted/x"), LOGIN);
}

#[test]
fn programs_are_told_where_to_sign_in_and_not_sent_there() {
    let page: (&str, &[u8]) = ("referer", b"https://gate.example.com/apps/devel/page?a=1");
    for headers in [
        &[("sec-fetch-mode", b"cors" as &[u8]), page] as Headers,
        &[("accept", b"application/json"), page],
        &[("upgrade", b"websocket"), NAVIGATION, page],
        &[("content-type", b"application/grpc"), NAVIGATION, page],
    ] {
        let denied = denial(ask("GET", "/apps/devel/x", headers));
        assert_eq!((denied.redirect.as_ref(), denied.http_status(Protocol::Grpc)), (None, 401), "{headers:?}");
        let problem: serde_json::Value = serde_json::from_str(&denied.body.text).expect("json");
        assert_eq!(problem["login_url"], format!("{LOGIN}?rd=/apps/devel/page%3Fa%3D1"));
    }
    let denied = denial(ask("GET", "/nowhere", &[page]));
    assert!(!denied.body.text.contains("login_url"));
}

#[test]
fn an_api_may_tell_where_to_sign_in_in_its_own_words() {
    let template = ErrorTemplate::parse("{\"error\": {{ status }}, \"login\": \"{{ login_url }}\"}").expect("template");
    let (service, ..) = browser_service();
    let checker = service.checker();
    let login = checker.snapshot().login.clone();
    checker.replace(Snapshot { errors: Some(template), login, ..fixture::snapshot() });
    let body = |target| denial(block_on(service.answer(&view(Protocol::Grpc, "GET", target, &[])))).body.text;
    assert_eq!(body("/apps/devel/x"), format!("{{\"error\": 401, \"login\": \"{LOGIN}\"}}"));
    assert_eq!(body("/nowhere"), "{\"error\": 403, \"login\": \"\"}");
}

#[test]
fn a_websocket_with_a_session_comes_from_a_page_that_may_open_it() {
    let cookie = session_cookie("live");
    let upgrade = |target: &str, origin: Option<&'static [u8]>| {
        let mut headers = vec![("upgrade", b"websocket" as &[u8]), ("cookie", cookie.as_bytes())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        ask("GET", target, &headers)
    };
    for good in [b"https://gate.example.com" as &[u8], b"https://app.example.com"] {
        assert_eq!(value(&allow(upgrade("/apps/devel/x", Some(good))), "x-auth-user").as_deref(), Some("u-1"));
    }
    for bad in [
        None,
        Some(b"https://evil.example" as &[u8]),
        Some(b"null"),
        Some(b"https://gate.example.com.evil.example"),
        Some(b"http://gate.example.com"),
        Some(b"https://GATE.example.com"),
        Some(b"https://gate.example.com/"),
    ] {
        let outcome = upgrade("/apps/devel/x", bad);
        assert_eq!(outcome.record.cause, Some("websocket_origin"), "{bad:?}");
        assert_eq!(denial(outcome).kind, DenyKind::Forbidden, "{bad:?}");
        // Where anybody may come in, this one comes in as nobody.
        assert_eq!(value(&allow(upgrade("/public/x", bad)), "x-auth-user").as_deref(), Some(""));
    }
    // The origins of one rule are not those of another.
    assert_eq!(denial(upgrade("/ws/x", Some(b"https://app.example.com"))).kind, DenyKind::Forbidden);
}

#[test]
fn own_pages_are_answered_in_grpc_and_passed_over_http() {
    let cookie = session_cookie("live");
    let headers: Headers = &[("cookie", cookie.as_bytes()), ("x-auth-user", b"root")];
    for (method, target, body) in [
        ("GET", "/_auth/login?rd=/x", "GET /_auth/login rd=/x 2 false"),
        ("HEAD", "/_auth/login", ""),
        ("POST", "/_auth/logout", "POST /_auth/logout  2 false"),
        ("GET", "/_auth//l%6fgin", "GET /_auth/login  2 false"),
        ("GET", "/login", "GET /login  2 false"),
    ] {
        let outcome = ask(method, target, headers);
        assert_eq!((outcome.record.allowed, outcome.record.rule()), (true, None));
        let Answer::Respond(page) = outcome.answer else { panic!("{target} is not answered") };
        assert_eq!((page.status, page.body.as_str()), (303, body), "{method} {target}");
        for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
            let allowed = allow(ask_over(protocol, method, target, headers));
            assert_eq!(
                (value(&allowed, "x-auth-user").as_deref(), allowed.cookie.as_str()),
                (Some(""), ""),
                "{target}"
            );
        }
    }
    // What is refused before, and what is no own path, is no page.
    for (target, headers, reason) in [
        ("/_auth/../x", &[] as Headers, Reason::BadTarget),
        ("/_auth/a%2fb", &[], Reason::BadTarget),
        ("/_authx", &[], Reason::NoRule),
        ("/login/x", &[], Reason::NoRule),
        ("/_auth/login", &[("connection", b"x-auth-user")], Reason::SpoofedHeader),
    ] {
        for protocol in Protocol::ALL {
            assert_eq!(denial(ask_over(protocol, "GET", target, headers)).reason, reason, "{target}");
        }
    }
}

#[test]
fn what_is_printed_of_an_outcome_shows_no_value_that_a_client_brought_or_gets() {
    let cookie = format!("{}; theme=hunter2", session_cookie("renewed"));
    let headers: Headers = &[("cookie", cookie.as_bytes()), NAVIGATION];
    for target in ["/apps/devel/x?code=hunter2", "/apps/nothing/x?code=hunter2", "/_auth/login?state=hunter2"] {
        let printed = format!("{:?}", ask("GET", target, headers));
        assert!(!printed.contains("hunter2") && !printed.contains("nextA"), "{printed}");
    }
    let redirected = format!("{:?}", ask("GET", "/apps/devel/x?code=hunter2", &[NAVIGATION]));
    assert!(redirected.contains("redirect: Some(302)") && !redirected.contains("hunter2"), "{redirected}");
    let page = Page { status: 200, headers: vec![("set-cookie", "a=hunter2".to_owned())], body: "hunter2".to_owned() };
    assert_eq!(format!("{page:?}"), "Page { status: 200, headers: [\"set-cookie\"], .. }");
    let request = PageRequest {
        method: "GET",
        path: "/_auth/callback",
        query: b"code=hunter2",
        headers: &[("cookie", b"hunter2")],
        body: Some(b"hunter2"),
        sender: Sender::Proxy,
    };
    let printed = format!("{request:?}");
    assert!(printed.contains("/_auth/callback") && !printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains("104, 117"), "{printed}");
}

/// What becomes of one of our own paths, by where it is asked for.
#[test]
fn own_paths_are_open_only_where_a_page_is_and_only_on_the_public_host() {
    const PAGE: &str = "/_auth/login";
    const NO_PAGE: &str = "/_auth/404";
    const SPECIAL: &str = "/login";
    let told = |protocol, host: Option<&'static [u8]>, target| {
        let headers: Headers = &[("x-auth-user", b"root")];
        let outcome =
            block_on(browser_service().0.answer(&RequestView { host, ..view(protocol, "GET", target, headers) }));
        let record = &outcome.record;
        match outcome.answer {
            Answer::Respond(page) => format!("page {}", page.status),
            Answer::Allow(allow) => {
                assert_eq!((value(&allow, "x-auth-user").as_deref(), record.cause), (Some(""), Some("own_page")));
                "nobody passes".to_owned()
            }
            Answer::Deny(_) => format!("{} {}", record.reason.as_str(), record.cause.unwrap_or_default()),
        }
    };
    let public: Option<&'static [u8]> = Some(b"GATE.example.com:443");
    let other: Option<&'static [u8]> = Some(b"other.example.com");
    for (host, target, grpc, http) in [
        (public, PAGE, "page 303", "nobody passes"),
        (public, SPECIAL, "page 303", "nobody passes"),
        (public, NO_PAGE, "page 404", "no_rule own_page"),
        (other, PAGE, "page 303", "no_rule "),
        (other, NO_PAGE, "page 404", "no_rule "),
        (other, SPECIAL, "no_rule ", "no_rule "),
        (Some(b"gate.example.com:8443"), SPECIAL, "no_rule ", "no_rule "),
        (None, PAGE, "page 303", "bad_target no_host"),
        (None, SPECIAL, "page 303", "bad_target no_host"),
    ] {
        assert_eq!(told(Protocol::Grpc, host, target), grpc, "{host:?} {target}");
        for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
            assert_eq!(told(protocol, host, target), http, "{host:?} {target} {protocol:?}");
        }
    }
}

/// Over HTTP to pass is to get where the route leads: one to an app, or to what is no app's, leads to no page.
#[test]
fn a_route_to_an_app_makes_no_page_of_a_path() {
    for target in ["/_auth/login", "/login", "/_auth//l%6fgin"] {
        for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
            for route_app in ["-", "admin/boss / strip http://127.0.0.1:1"] {
                let request = RequestView { route_app: Some(route_app), ..view(protocol, "DELETE", target, &[]) };
                let outcome = block_on(browser_service().0.answer(&request));
                assert_eq!((outcome.record.allowed, outcome.record.cause), (false, None), "{target} {route_app}");
            }
            let request = view(protocol, "DELETE", target, &[]);
            assert!(block_on(browser_service().0.answer(&request)).record.allowed, "{target}");
        }
    }
}

#[test]
fn the_log_says_what_an_own_page_came_to() {
    for (status, reason) in [
        (200, Reason::Ok),
        (303, Reason::Ok),
        (400, Reason::BadTarget),
        (401, Reason::NoCredentials),
        (403, Reason::InsufficientPermission),
        (404, Reason::NoRule),
        (405, Reason::NoRule),
        (413, Reason::BadTarget),
        (429, Reason::Overloaded),
        (500, Reason::Unavailable),
        (503, Reason::Unavailable),
    ] {
        let outcome = ask("GET", &format!("/_auth/x/{status}"), &[]);
        let Answer::Respond(page) = &outcome.answer else { panic!("no page: {:?}", outcome.record) };
        assert_eq!((page.status, outcome.record.reason, outcome.record.allowed), (status, reason, status < 400));
        assert_eq!(outcome.record.cause, Some("own_page"));
    }
    let record = ask("GET", &format!("/_auth/{}/404", "a".repeat(4000)), &[]).record;
    assert!(record.path.starts_with("/_auth/aaa") && record.path.len() == 512, "{} bytes", record.path.len());
    assert_eq!(record.host, "gate.example.com");
}

fn any_cookie() -> impl Strategy<Value = String> {
    let own = prop_oneof![Just("unknown"), Just("broken"), Just("expired"), Just("down"), Just("mal*formed"), Just("")];
    let other = prop_oneof![Just(""), Just("a=1; "), Just("a=1,b=2; "), Just("__Host-tiergate-login-0=1.x; ")];
    let twice = prop_oneof![Just(""), Just("; __Host-tiergate-session=x"), Just(",c=3"), Just("; d=\"é\"")];
    (other, own, twice).prop_map(|(before, word, after)| format!("{before}{}{after}", session_cookie(word)))
}

fn any_headers() -> impl Strategy<Value = Vec<(&'static str, &'static [u8])>> {
    proptest::sample::subsequence(
        vec![
            NAVIGATION,
            ("upgrade", b"websocket" as &[u8]),
            ("origin", b"https://evil.example"),
            ("referer", b"https://gate.example.com/x"),
            ("authorization", b"Bearer a.b.c"),
            ("x-forwarded-host", b"evil.example"),
        ],
        0..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_session_that_does_not_open_decides_as_none_would(
        cookie in any_cookie(),
        mut headers in any_headers(),
        method in prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("OPTIONS")],
        target in prop_oneof![Just("/public/x"), Just("/apps/devel/x"), Just("/nowhere"), Just("/ws/x"), Just("/_auth/me"), Just("/a/../b")],
        protocol in prop_oneof![Just(Protocol::Grpc), Just(Protocol::AuthRequest), Just(Protocol::ForwardAuth), Just(Protocol::ExtAuthz)],
    ) {
        let anonymous = ask_over(protocol, method, target, &headers);
        headers.push(("cookie", cookie.leak().as_bytes()));
        let outcome = ask_over(protocol, method, target, &headers);
        prop_assert_eq!(outcome.record.allowed, anonymous.record.allowed);
        prop_assert_eq!(outcome.record.subject(), None);
        match (outcome.answer, anonymous.answer) {
            (Answer::Deny(denied), Answer::Deny(expected)) => {
                prop_assert!(
                    denied.kind == expected.kind
                        || (denied.reason == Reason::Unavailable && expected.kind == DenyKind::Unauthenticated)
                );
                let location = denied.redirect.map(|redirect| redirect.location).unwrap_or_default();
                prop_assert!(location.is_empty() || location.starts_with(LOGIN), "{}", location);
            }
            (Answer::Allow(allow), Answer::Allow(expected)) => {
                prop_assert_eq!(&headers_of(&allow)[..8], &headers_of(&expected)[..8]);
            }
            (Answer::Respond(page), Answer::Respond(_)) => prop_assert!(page.otherwise.cookie_cut),
            (answer, expected) => prop_assert!(false, "{:?} in place of {:?}", answer, expected),
        }
    }

    #[test]
    fn no_answer_tells_a_session_id_and_no_upstream_sees_one(
        word in prop_oneof![Just("live"), Just("unknown"), Just("down"), Just("broken")],
        mut headers in any_headers(),
        method in prop_oneof![Just("GET"), Just("POST")],
        target in prop_oneof![Just("/public/x?q=1"), Just("/apps/devel/x"), Just("/nowhere"), Just("/_auth/me")],
        protocol in prop_oneof![Just(Protocol::Grpc), Just(Protocol::AuthRequest), Just(Protocol::ForwardAuth), Just(Protocol::ExtAuthz)],
        shape in 0usize..4,
    ) {
        let (cookie, id) = (session_cookie(word), format!("{word:A<43}"));
        let cookie = match shape {
            0 => cookie,
            1 => format!("a=1; {cookie}; b=2"),
            2 => format!("a=1,{cookie}"),
            _ => format!("{cookie};{cookie}; __host-TIERGATE-other=1"),
        };
        headers.push(("cookie", cookie.leak().as_bytes()));
        let outcome = ask_over(protocol, method, target, &headers);
        let logged = format!("{:?}", outcome.record);
        prop_assert!(!logged.contains(&id));
        let told = match outcome.answer {
            Answer::Allow(allow) => {
                prop_assert!(!allow.cookie.to_ascii_lowercase().contains(&COOKIE_PREFIX.to_ascii_lowercase()), "{}", allow.cookie);
                prop_assert!(allow.cookie_cut);
                let cookies = written(&allow.set_cookies);
                let removed: Vec<&str> = allow.removed().collect();
                format!("{:?}{removed:?}{}{}{cookies:?}", headers_of(&allow), allow.query, allow.cookie)
            }
            Answer::Deny(denial) => format!("{:?}{}", denial.headers(protocol), denial.body.text),
            Answer::Respond(response) => format!("{:?}{}", response.headers, response.body),
        };
        prop_assert!(!told.contains(&id), "{}", told);
    }
}
