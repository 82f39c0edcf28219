use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::tests_stage::{Ends, ORIGIN, Stage, cookie_of, form};
use crate::check::Page;
use crate::oidc::{Busy, CallbackError, LogoutTokenError, ProviderRefusal};
use crate::session::{NoSession, SESSION_COOKIE, SessionKey};

fn header<'a>(page: &'a Page, name: &str) -> Option<&'a str> {
    let mut values = page.headers.iter().filter(|(held, _)| *held == name).map(|(_, value)| value.as_str());
    let first = values.next();
    assert!(name == "set-cookie" || values.next().is_none(), "{name} stands twice");
    first
}

fn location(page: &Page) -> &str {
    header(page, "location").expect("a location")
}

fn sets(page: &Page, start: &str) -> bool {
    page.headers.iter().any(|(name, value)| *name == "set-cookie" && value.starts_with(start))
}

const CLEARED_SESSION: &str = "__Host-tiergate-session=; Path=/; Max-Age=0";
const CLEARED_ROUNDS: &str = "__Host-tiergate-rounds=; Path=/; Max-Age=0";

#[tokio::test]
async fn who_is_signed_in_goes_straight_on() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    for request in [
        stage.get("/_auth/login?rd=%2Fapps%2Fx%3Fa%3D1").cookie(&cookie),
        stage.get("/_auth/login?rd=https://portal.example.com/apps/x?a=1").cookie(&cookie),
        stage.program("GET", "/_auth/login?rd=/apps/x?a%3D1").cookie(&cookie),
    ] {
        let page = request.send().await;
        assert_eq!((page.status, location(&page)), (303, "https://portal.example.com/apps/x?a=1"));
        assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
        assert!(!sets(&page, "__Host-tiergate-login"));
    }
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
    let page = stage.get("/_auth/login").cookie(&format!("{cookie}; __Host-tiergate-rounds=2.1800000000")).send().await;
    assert_eq!(location(&page), "https://portal.example.com/_auth/");
    assert!(sets(&page, CLEARED_ROUNDS));
}

#[tokio::test]
async fn a_navigation_begins_a_sign_in_and_keeps_where_it_was_going() {
    let stage = Stage::new();
    let page = stage.get("/_auth/login?rd=%2Fapps%2Fx%3Fa%3D1%26b%3D%2520").send().await;
    assert_eq!((page.status, location(&page)), (303, "https://idp.example.com/authorize?state=s"));
    assert!(sets(&page, "__Host-tiergate-login-0="));
    assert_eq!(stage.provider.calls(), ["begin main /apps/x?a=1&b=%20"]);
}

#[tokio::test]
async fn nothing_is_minted_for_who_is_not_there() {
    let stage = Stage::new();
    let get = |name: &str, value: &str| stage.get("/_auth/login?rd=/x").header(name, value);
    for (request, status) in [
        (stage.get("/_auth/login?rd=/x").method("HEAD"), 200),
        (get("sec-purpose", "prefetch"), 401),
        (get("sec-purpose", "prefetch;prerender"), 401),
        (get("purpose", "prefetch"), 401),
        (get("x-moz", "prefetch"), 401),
        (get("sec-fetch-dest", "iframe"), 403),
        (get("sec-fetch-dest", "embed"), 403),
        (get("sec-fetch-dest", "object"), 403),
        (get("sec-fetch-dest", "frame"), 403),
        (stage.program("GET", "/_auth/login?rd=/x"), 401),
        (stage.program("GET", "/_auth/login").header("sec-fetch-mode", "cors").header("accept", "text/html"), 401),
        (stage.program("GET", "/_auth/login").header("sec-fetch-mode", "no-cors"), 401),
        (stage.get("/_auth/login").header("x-requested-with", "XMLHttpRequest").without("sec-fetch-mode"), 401),
        (stage.get("/_auth/login").method("POST").body(b""), 405),
        (stage.get("/_auth/login").method("OPTIONS"), 405),
    ] {
        let page = request.send().await;
        assert_eq!(page.status, status, "{page:?}");
        assert!(header(&page, "set-cookie").is_none() && header(&page, "location").is_none(), "{page:?}");
    }
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
    let page = stage.program("GET", "/_auth/login").send().await;
    assert_eq!(header(&page, "content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&page.body).expect("a problem");
    assert_eq!(problem["login_url"], "https://portal.example.com/_auth/login");
    assert_eq!(problem["reason"], "no_credentials");
}

#[tokio::test]
async fn with_several_providers_people_choose() {
    let stage = Stage::with_two_providers();
    let page = stage.get("/_auth/login?rd=/apps/x?a%3D%26").send().await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("href=\"/_auth/login?provider=main&amp;rd=%2Fapps%2Fx%3Fa%3D%26\""), "{}", page.body);
    assert!(page.body.contains("Other &lt;b&gt; &amp; Co<"), "{}", page.body);
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
    let page = stage.get("/_auth/login?provider=other&rd=/apps/x?a%3D%26").send().await;
    assert_eq!(page.status, 303);
    assert_eq!(stage.provider.calls(), ["begin other /apps/x?a=&"]);
    for query in ["provider=nobody", "provider=main&provider=other", "provider="] {
        assert_eq!(stage.get(&format!("/_auth/login?{query}")).send().await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_ours_leads_to_the_portal() {
    for rd in [
        "//evil.example",
        "https://evil.example/",
        "/_auth/logout",
        "/x%0d%0aa:b",
        "%2F%5Cevil.example",
        "",
        "x&rd=/x",
        "/x&rd=/x",
    ] {
        let stage = Stage::new();
        let page = stage.get(&format!("/_auth/login?rd={rd}")).send().await;
        assert_eq!(page.status, 303, "{rd}");
        assert_eq!(stage.provider.calls(), ["begin main /_auth/"], "{rd}");
        let cookie = stage.signed_in("u-1").await;
        let page = stage.get(&format!("/_auth/login?rd={rd}")).cookie(&cookie).send().await;
        assert_eq!(location(&page), "https://portal.example.com/_auth/", "{rd}");
    }
}

#[tokio::test]
async fn a_sign_in_that_cannot_begin_says_so() {
    for (ends, retry) in [(Ends::ProviderDown, true), (Ends::StoreDown, true)] {
        let stage = Stage::new();
        stage.provider.ends(ends);
        let page = stage.get("/_auth/login?rd=/x").send().await;
        assert_eq!((page.status, header(&page, "retry-after").is_some()), (503, retry));
        assert!(header(&page, "set-cookie").is_none());
    }
}

/// What is logged while it lives, by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let written = self.0.lock().expect("the log").clone();
        let lines = std::str::from_utf8(&written).expect("text").lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("lines of JSON")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_reference_of_a_page_leads_to_the_line_of_the_log() {
    for (ends, target) in [
        (Ends::Callback(CallbackError::CodeRefused), "/back?code=secret-code&state=secret-state"),
        (Ends::ProviderDown, "/_auth/login?rd=/x"),
        (Ends::StoreDown, "/_auth/login?rd=/x"),
    ] {
        for given in [&["req-1"][..], &[], &["not an id"], &["two", "ids"]] {
            let (stage, log) = (Stage::new(), Log::default());
            stage.provider.ends(ends.clone());
            let guard = log.begin();
            let asking = given.iter().fold(stage.get(target), |asking, id| asking.header("x-request-id", id));
            let page = asking.send().await;
            drop(guard);
            let (_, reference) =
                page.body.split_once("give this reference: <bdi class=\"value\">").expect("a reference");
            let (reference, _) = reference.split_once('<').expect("its end");
            let lines = log.lines();
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            assert_eq!(line["request_id"], reference, "{line}");
            if given == ["req-1"] {
                assert_eq!(reference, "req-1");
            } else {
                assert!(reference.len() == 32 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()), "{reference}");
            }
            assert!(!line.to_string().contains("secret"), "{line}");
        }
    }
}

#[tokio::test]
async fn too_many_sign_ins_begin_later() {
    for (of_client, status, secs, retry_after) in [(true, 429, 70, "70"), (false, 503, 10, "10"), (true, 429, 0, "1")] {
        let stage = Stage::new();
        stage.provider.ends(Ends::Busy(Busy { of_client, retry_after: Duration::from_secs(secs) }));
        let page = stage.get("/_auth/login?rd=/apps/x").send().await;
        assert_eq!((page.status, header(&page, "retry-after")), (status, Some(retry_after)));
        assert!(page.body.contains("Too many sign-ins") && page.body.contains("rd=%2Fapps%2Fx"), "{}", page.body);
        assert!(header(&page, "set-cookie").is_none() && header(&page, "location").is_none());
        // Who is signed in begins nothing.
        let cookie = stage.signed_in("u-1").await;
        assert_eq!(stage.get("/_auth/login?rd=/apps/x").cookie(&cookie).send().await.status, 303);
    }
}

#[tokio::test]
async fn a_sign_in_is_counted_by_the_address_that_our_proxy_names() {
    let stage = Stage::new();
    let login = || stage.get("/_auth/login").header("x-forwarded-for", "192.0.2.66, 198.51.100.7, 10.0.0.1");
    for (request, client) in [
        (login(), Some("198.51.100.7")),
        (login().header("x-forwarded-for", "198.51.100.8"), Some("198.51.100.8")),
        (login().directly("203.0.113.1"), Some("203.0.113.1")),
        (stage.get("/_auth/login"), None),
    ] {
        assert_eq!(request.send().await.status, 303);
        assert_eq!(stage.provider.client(), client.map(|client| client.parse().expect("an address")));
    }
}

#[tokio::test]
async fn a_form_that_was_lost_is_told() {
    let stage = Stage::new();
    let page = stage.get("/_auth/login?rd=/apps/form&form=1").send().await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("not sent") && page.body.contains("href=\"/_auth/login?rd=%2Fapps%2Fform\""));
    let cookie = stage.signed_in("u-1").await;
    let page = stage.get("/_auth/login?rd=/apps/form&form=1").cookie(&cookie).send().await;
    assert!(page.status == 200 && page.body.contains("href=\"/apps/form\""), "{}", page.body);
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_way_back_sets_a_session_and_goes_on() {
    for path in ["/_auth/callback/main", "/_auth/callback", "/back"] {
        let stage = Stage::new();
        let page = stage.get(&format!("{path}?state=s&code=c")).header("user-agent", "Firefox/1").send().await;
        assert_eq!((page.status, location(&page)), (303, "https://portal.example.com/apps/x?a=1"));
        assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
        assert_eq!(header(&page, "cache-control"), Some("no-store"));
        assert!(sets(&page, &format!("{SESSION_COOKIE}=")) && sets(&page, "__Host-tiergate-rounds=1.1800000000;"));
        assert_eq!(stage.provider.calls(), ["complete main state=s&code=c Firefox/1"]);
    }
    let stage = Stage::new();
    for method in ["HEAD", "POST", "PUT"] {
        let page = stage.get("/back?state=s&code=c").method(method).body(b"").send().await;
        assert_eq!((page.status, header(&page, "allow")), (405, Some("GET")), "{method}");
    }
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_kept_meanwhile_is_judged_again() {
    let stage = Stage::new();
    for (kept, goes) in [
        ("https://evil.example/", "https://portal.example.com/_auth/"),
        ("https://portal.example.com/_auth/", "https://portal.example.com/_auth/"),
        ("https://portal.example.com/_auth/logout", "https://portal.example.com/_auth/"),
        ("//evil.example/", "https://portal.example.com/_auth/"),
    ] {
        stage.provider.ends(Ends::At(kept));
        let page = stage.get("/back?state=s&code=c").send().await;
        assert_eq!((page.status, location(&page)), (303, goes), "{kept}");
    }
}

#[tokio::test]
async fn a_failed_way_back_is_a_page_without_a_session() {
    use CallbackError as E;
    for (error, status) in [
        (E::UnknownAttempt, 400),
        (E::OtherBrowser, 400),
        (E::RepeatedParameter, 400),
        (E::IssuerMismatch, 400),
        (E::Refused(ProviderRefusal::AccessDenied), 400),
        (E::CodeRefused, 400),
        (E::ClientRefused, 400),
        (E::TokenResponse, 400),
        (E::ProviderUnavailable, 503),
        (E::Store, 503),
    ] {
        let stage = Stage::new();
        stage.provider.ends(Ends::Callback(error.clone()));
        let page = stage.get("/back?state=secret-state&code=secret-code").send().await;
        assert_eq!(page.status, status, "{error:?}");
        assert_eq!(header(&page, "cache-control"), Some("no-store"));
        assert!(!sets(&page, SESSION_COOKIE) && sets(&page, "__Host-tiergate-login-3=; Path=/; Max-Age=0"));
        assert!(page.body.contains("href=\"/_auth/\""), "no way back to the portal");
        assert!(page.body.contains("href=\"/_auth/login?rd=%2Fapps%2Fdeep%3Fq%3D1\""), "{}", page.body);
        assert!(!page.body.contains("secret-"), "{}", page.body);
    }
}

#[tokio::test]
async fn the_third_round_ends_with_a_page_that_says_why() {
    for (told, why, no_session, expected) in [
        ("", "", None, "removes the session cookie"),
        ("&why=unknown", "", None, "one session store"),
        ("&why=broken", "", None, "different secrets"),
        ("&why=ended", "", None, "another audience"),
        ("&why=malformed", "", None, "not as it was set"),
        // What is no word of ours says nothing, and what is seen counts more.
        ("&why=", "", None, "removes the session cookie"),
        ("&why=session_unknown", "", None, "removes the session cookie"),
        ("&why=unknown&why=unknown", "", None, "removes the session cookie"),
        ("&why=unknown", "session", Some(NoSession::Broken), "different secrets"),
        ("", "__Host-tiergate-session=x", None, "not as it was set"),
        ("", "__Host-tiergate-session=x; __Host-tiergate-session=y", None, "not as it was set"),
        ("", "session", Some(NoSession::Unknown), "one session store"),
        ("", "session", Some(NoSession::Broken), "different secrets"),
        ("", "session", Some(NoSession::Expired), "another audience"),
    ] {
        let stage = Stage::new();
        let why = if why == "session" { stage.signed_in("u-1").await } else { why.to_owned() };
        stage.source.refuse(no_session);
        let mut jar = String::new();
        for round in 0..4 {
            let login = format!("/_auth/login?rd=/apps/x{told}");
            let page = stage.get(&login).cookie(&format!("{why}; {jar}")).send().await;
            if round < 3 {
                assert_eq!(page.status, 303, "{expected}: round {round}");
                let page = stage.get("/back?state=s&code=c").cookie(&jar).send().await;
                jar = cookie_of(&page, "__Host-tiergate-rounds").expect("a count");
                stage.clock.forward(Duration::from_secs(5));
                continue;
            }
            assert_eq!(page.status, 403, "{expected}");
            assert!(page.body.contains(expected) && header(&page, "location").is_none(), "{}", page.body);
            assert!(page.body.contains("href=\"/_auth/login?again=1&amp;rd=%2Fapps%2Fx\""), "{}", page.body);
            let again = stage.get("/_auth/login?again=1&rd=/apps/x").cookie(&format!("{why}; {jar}")).send().await;
            assert!(again.status == 303 && sets(&again, CLEARED_ROUNDS));
            stage.clock.forward(Duration::from_secs(50));
            let later = stage.get(&login).cookie(&format!("{why}; {jar}")).send().await;
            assert_eq!(later.status, 303, "a minute later");
        }
    }
}

#[tokio::test]
async fn a_check_that_does_not_see_the_session_is_told() {
    let stage = Stage::new();
    let session = stage.signed_in("u-1").await;
    let mut jar = session.clone();
    for _ in 0..5 {
        let page = stage.get("/_auth/login?rd=/apps/x").cookie(&jar).send().await;
        assert_eq!((page.status, location(&page)), (303, "https://portal.example.com/apps/x"));
        jar = format!("{session}; {}", cookie_of(&page, "__Host-tiergate-rounds").expect("a count"));
    }
    let page = stage.get("/_auth/login?rd=/apps/x").cookie(&jar).send().await;
    assert!(page.status == 403 && page.body.contains("does not hand the Cookie header on"), "{}", page.body);
    for onward in ["/_auth/login?rd=/apps/y", "/_auth/login?rd=/apps/x&again=1", "/_auth/login"] {
        assert_eq!(stage.get(onward).cookie(&jar).send().await.status, 303, "{onward}");
    }
    stage.clock.forward(Duration::from_secs(10));
    assert_eq!(stage.get("/_auth/login?rd=/apps/x").cookie(&jar).send().await.status, 303);
}

#[tokio::test]
async fn ten_tabs_are_no_rounds() {
    let stage = Stage::new();
    for _ in 0..10 {
        assert_eq!(stage.get("/_auth/login?rd=/x").send().await.status, 303);
    }
    let mut jar = String::new();
    for _ in 0..10 {
        let page = stage.get("/back?state=s&code=c").cookie(&jar).send().await;
        let held = |name| cookie_of(&page, name).expect("a cookie");
        jar = format!("{}; {}", held(SESSION_COOKIE), held("__Host-tiergate-rounds"));
    }
    stage.source.refuse(Some(NoSession::Unknown));
    assert_eq!(stage.get("/_auth/login?rd=/x").cookie(&jar).send().await.status, 303);
}

#[tokio::test]
async fn only_our_own_pages_sign_out() {
    let cases: [(&[(&str, &str)], bool); 13] = [
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "same-origin"), ("origin", ORIGIN)], true),
        (&[("origin", ORIGIN)], true),
        (&[("sec-fetch-site", "same-site"), ("origin", ORIGIN)], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", ORIGIN)], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "https://portal.example.com.evil.example")], false),
        (&[("origin", "https://portal.example.com:443")], false),
        (&[("origin", "null")], false),
        (&[("origin", ORIGIN), ("origin", ORIGIN)], false),
        (&[], false),
    ];
    for (headers, passes) in cases {
        for path in ["/_auth/logout", "/_auth/sessions/revoke"] {
            let stage = Stage::new();
            let cookie = stage.signed_in("u-1").await;
            let key = SessionKey::of(&stage.last_id()).to_string();
            let mut request = stage.get(path).method("POST").cookie(&cookie).without("sec-fetch-site");
            request = form(request, &format!("key={key}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let page = request.send().await;
            assert_eq!(page.status, if passes { 303 } else { 403 }, "{path} {headers:?}");
            assert_eq!(sets(&page, CLEARED_SESSION), passes, "{path} {headers:?}");
            assert_eq!(stage.is_live(&cookie).await, !passes, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn signing_out_leads_to_the_provider_or_to_the_portal() {
    let stage = Stage::new();
    let post = |cookie: &str, body: &str| form(stage.get("/_auth/logout").method("POST").cookie(cookie), body);
    let cookie = stage.signed_in("u-1").await;
    let page = post(&cookie, "").send().await;
    assert_eq!((page.status, location(&page)), (303, "https://portal.example.com/_auth/?signed_out=1"));
    assert!(sets(&page, CLEARED_SESSION) && sets(&page, CLEARED_ROUNDS));
    for absent in
        [cookie.as_str(), "", "__Host-tiergate-session=x", "__Host-tiergate-session=x; __Host-tiergate-session=y"]
    {
        let page = post(absent, "everywhere=1").send().await;
        assert!(page.status == 303 && sets(&page, CLEARED_SESSION), "{absent}: {page:?}");
    }
    stage.provider.ends(Ends::Onward("https://idp.example.com/logout?x=1"));
    let cookie = stage.signed_in("u-1").await;
    let page = post(&cookie, "everywhere=1").send().await;
    assert_eq!(location(&page), "https://idp.example.com/logout?x=1");
    assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
    let everywhere = |calls: Vec<String>| calls.iter().map(|call| call.ends_with("everywhere")).collect::<Vec<_>>();
    assert_eq!(everywhere(stage.provider.calls()), [false, true, true]);
    let cookie = stage.signed_in("u-1").await;
    let page = post(&cookie, "everywhere=1&everywhere=1").send().await;
    assert_eq!(page.status, 303);
    assert_eq!(everywhere(stage.provider.calls()).last(), Some(&false), "what stands twice counts as neither");
}

#[tokio::test]
async fn a_sign_out_that_fails_keeps_the_cookie() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    stage.provider.ends(Ends::StoreDown);
    let page = form(stage.get("/_auth/logout").method("POST").cookie(&cookie), "").send().await;
    assert!(page.status == 503 && header(&page, "set-cookie").is_none() && page.body.contains("not signed out"));
}

#[tokio::test]
async fn looking_at_the_sign_out_page_signs_nobody_out() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    for method in ["GET", "HEAD"] {
        let page = stage.get("/_auth/logout").method(method).cookie(&cookie).header("sec-fetch-site", "cross-site");
        let page = page.send().await;
        assert!(page.status == 200 && header(&page, "set-cookie").is_none());
    }
    assert!(stage.is_live(&cookie).await);
    let page = stage.get("/_auth/logout").cookie(&cookie).send().await;
    let policy = header(&page, "content-security-policy").expect("a policy");
    assert!(policy.contains("form-action 'self' https://idp.example.com https://out.example.com;"), "{policy}");
    assert_eq!(header(&page, "referrer-policy"), Some("same-origin"));
}

#[tokio::test]
async fn the_provider_signs_out_over_the_back_channel() {
    let (good, bad) = (r#"{"error":"invalid_request"}"#, "application/x-www-form-urlencoded");
    for (body, kind, ends, status) in [
        ("logout_token=t", Some(bad), Ends::Well, 200),
        ("logout_token=t&other=1", Some("application/x-www-form-urlencoded; charset=utf-8"), Ends::Well, 200),
        ("logout_token=t&logout_token=t", Some(bad), Ends::Well, 400),
        ("logout_token=t&logout_tok%65n=t", Some(bad), Ends::Well, 400),
        ("", Some(bad), Ends::Well, 400),
        ("in the query", Some(bad), Ends::Well, 400),
        ("token=t", Some(bad), Ends::Well, 400),
        ("logout_token=t", Some("application/json"), Ends::Well, 400),
        ("logout_token=t", None, Ends::Well, 400),
        ("logout_token=t", Some(bad), Ends::LogoutToken(LogoutTokenError::Invalid("nonce")), 400),
        ("logout_token=t", Some(bad), Ends::LogoutToken(LogoutTokenError::Store), 503),
        ("logout_token=t", Some(bad), Ends::LogoutToken(LogoutTokenError::Keys), 503),
    ] {
        let stage = Stage::new();
        stage.provider.ends(ends);
        let (path, body) = match body {
            "in the query" => ("/_auth/backchannel-logout?logout_token=t", ""),
            body => ("/_auth/backchannel-logout", body),
        };
        let mut request = stage.program("POST", path).body(body.as_bytes());
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let page = request.send().await;
        assert_eq!(page.status, status, "{body} {kind:?}");
        assert_eq!(header(&page, "cache-control"), Some("no-store"));
        assert!(status != 400 || page.body.trim() == good, "{}", page.body);
        let asked = status != 400 || stage.provider.calls() == ["logout_token t"];
        assert!(asked || stage.provider.calls().is_empty(), "{body}");
    }
    let stage = Stage::new();
    let large = format!("logout_token={}", "t".repeat(64 * 1024));
    let request = form(stage.program("POST", "/_auth/backchannel-logout"), &large);
    assert_eq!(request.send().await.status, 413);
    assert_eq!(stage.get("/_auth/backchannel-logout").send().await.status, 405);
    assert_eq!(stage.provider.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_provider_signs_out_in_a_frame() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    let page_of = |query: &str, cookie: &str| {
        let request = stage.get(&format!("/_auth/frontchannel-logout{query}")).cookie(cookie);
        request.header("sec-fetch-dest", "iframe").send()
    };
    let good = "?iss=https%3A%2F%2Fidp.example.com%2F&sid=sid-1";
    let mut bodies = Vec::new();
    for query in [
        "",
        "?iss=https%3A%2F%2Fidp.example.com%2F",
        "?iss=https%3A%2F%2Fidp.example.com%2F&sid=sid-2",
        "?iss=https%3A%2F%2Fevil.example%2F&sid=sid-1",
        &format!("{good}&sid=sid-1"),
    ] {
        let page = page_of(query, &cookie).await;
        assert!(page.status == 200 && header(&page, "set-cookie").is_none(), "{query}");
        bodies.push(page.body);
    }
    bodies.push(page_of(good, "").await.body);
    assert!(stage.is_live(&cookie).await);
    stage.store.break_it(true);
    let outage = page_of(good, &cookie).await;
    stage.store.break_it(false);
    assert!(outage.status == 503 && header(&outage, "set-cookie").is_none());
    let framers = header(&outage, "content-security-policy").expect("a policy");
    assert!(framers.ends_with("frame-ancestors https://idp.example.com"), "{framers}");
    bodies.push(outage.body);
    assert!(stage.is_live(&cookie).await);
    let page = page_of(good, &cookie).await;
    assert!(page.status == 200 && sets(&page, CLEARED_SESSION));
    assert!(!stage.is_live(&cookie).await);
    assert!(bodies.iter().all(|body| *body == page.body), "the page tells what happened");
    assert_eq!(header(&page, "x-frame-options"), None);
    let policy = header(&page, "content-security-policy").expect("a policy");
    assert!(policy.ends_with("frame-ancestors https://idp.example.com"), "{policy}");
}

#[tokio::test]
async fn me_is_who_is_signed_in_and_no_token() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    let page = stage.program("GET", "/_auth/me").cookie(&cookie).send().await;
    let me: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(
        me,
        serde_json::json!({
            "subject": "u-1",
            "name": "Zoë <i>",
            "email": "zoe@example.com",
            "provider": "main",
            "tiers": ["public", "stable", "devel"],
            "scopes": ["access:devel", "openid"],
            "expires_at": "2027-01-15T20:00:00.000Z",
        })
    );
    assert!(!page.body.contains("refresh-1") && !page.body.contains("id-token"));
    stage.source.refuse(Some(NoSession::Unavailable));
    assert_eq!(stage.program("GET", "/_auth/me").cookie(&cookie).send().await.status, 503);
    for request in [stage.program("GET", "/_auth/me"), stage.get("/_auth/me")] {
        let page = request.send().await;
        let problem: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        assert_eq!((page.status, &problem["login_url"]), (401, &"https://portal.example.com/_auth/login".into()));
    }
}

#[tokio::test]
async fn people_see_and_end_their_own_sessions_only() {
    let stage = Stage::new();
    let other = stage.signed_in("u-2").await;
    let foreign = SessionKey::of(&stage.last_id());
    let second = stage.signed_in("u-1").await;
    let second_key = SessionKey::of(&stage.last_id());
    let own = stage.signed_in("u-1").await;
    let own_key = SessionKey::of(&stage.last_id());
    let page = stage.get("/_auth/sessions").cookie(&own).send().await;
    let key_place = |key: SessionKey| page.body.find(&key.to_string());
    assert!(key_place(foreign).is_none());
    assert!(key_place(own_key).expect("own") < key_place(second_key).expect("the other one"), "own first");
    assert_eq!(page.body.matches("this browser").count(), 1);
    let revoke = |cookie: &str, body: String| {
        let request = stage.get("/_auth/sessions/revoke").method("POST").cookie(cookie);
        form(request, &body).send()
    };
    for (body, status) in [
        (format!("key={foreign}"), 303),
        ("key=x".to_owned(), 400),
        (String::new(), 400),
        (format!("key={second_key}&key={second_key}"), 400),
    ] {
        assert_eq!(revoke(&own, body.clone()).await.status, status, "{body}");
    }
    assert!(stage.is_live(&other).await && stage.is_live(&second).await);
    let page = revoke(&own, format!("key={second_key}")).await;
    assert_eq!(location(&page), "https://portal.example.com/_auth/sessions");
    assert!(!stage.is_live(&second).await && stage.is_live(&own).await);
    let page = revoke(&own, format!("key={own_key}")).await;
    assert!(sets(&page, CLEARED_SESSION) && !stage.is_live(&own).await);
    assert_eq!(revoke("", format!("key={foreign}")).await.status, 401);
    assert_eq!(stage.get("/_auth/sessions").send().await.status, 401);
}

#[tokio::test]
async fn an_outage_of_the_store_is_told_and_signs_nobody_out() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    stage.source.refuse(Some(NoSession::Unavailable));
    for path in ["/_auth/", "/_auth/login?rd=/x", "/_auth/sessions", "/_auth/logout", "/_auth/me"] {
        let page = stage.get(path).cookie(&cookie).send().await;
        assert!(page.status == 503 && header(&page, "set-cookie").is_none(), "{path}: {page:?}");
    }
    assert!(stage.get("/_auth/").send().await.status == 200, "who has no cookie needs no store");
    stage.source.refuse(None);
    stage.store.broken.store(true, Ordering::SeqCst);
    assert_eq!(stage.get("/_auth/sessions").cookie(&cookie).send().await.status, 503);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_does_not_fit_405() {
    let stage = Stage::new();
    for path in ["/_auth/admin/", "/_auth/nothing", "/_auth/callback/other", "/_auth/jwks.json"] {
        assert_eq!(stage.get(path).send().await.status, 404, "{path}");
        let page = stage.program("GET", path).send().await;
        assert_eq!((page.status, header(&page, "content-type")), (404, Some("application/problem+json")), "{path}");
    }
    for (path, allow) in [
        ("/_auth/", "GET, HEAD"),
        ("/_auth/login", "GET, HEAD"),
        ("/_auth/logout", "GET, HEAD, POST"),
        ("/_auth/me", "GET, HEAD"),
        ("/_auth/sessions", "GET, HEAD"),
        ("/_auth/sessions/revoke", "POST"),
        ("/_auth/backchannel-logout", "POST"),
        ("/_auth/frontchannel-logout", "GET"),
        ("/_auth/callback/main", "GET"),
    ] {
        for method in ["DELETE", "OPTIONS", "get"] {
            let page = stage.get(path).method(method).send().await;
            assert_eq!((page.status, header(&page, "allow")), (405, Some(allow)), "{method} {path}");
        }
    }
    let alone = Stage::without_sign_in();
    for path in ["/_auth/login", "/_auth/logout", "/_auth/callback", "/_auth/sessions", "/_auth/frontchannel-logout"] {
        assert_eq!(alone.get(path).send().await.status, 404, "{path}");
    }
    assert_eq!(alone.get("/_auth/me").send().await.status, 401);
    assert!(alone.get("/_auth/").send().await.body.contains("sign-in is not configured"));
}

#[tokio::test]
async fn a_form_that_came_to_the_check_changes_nothing_and_says_why() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    for path in ["/_auth/logout", "/_auth/sessions/revoke", "/_auth/backchannel-logout"] {
        let page = stage.get(path).method("POST").cookie(&cookie).send().await;
        assert_eq!(page.status, 405, "{path}");
        assert!(page.body.contains("has to route POST requests"), "{}", page.body);
    }
    assert!(stage.is_live(&cookie).await);
}

#[tokio::test]
async fn a_program_that_is_nobody_gets_a_whole_problem() {
    let stage = Stage::new();
    let page = stage.program("GET", "/_auth/me").header("x-request-id", "req-1").send().await;
    let problem: serde_json::Value = serde_json::from_str(&page.body).expect("a problem");
    assert_eq!((page.status, problem["request_id"].as_str()), (401, Some("req-1")));
    assert!(problem["detail"].is_string() && problem["login_url"].is_string(), "{problem}");
}

#[tokio::test]
async fn the_seed_paths_lead_here_too() {
    let stage = Stage::with_seed_paths();
    assert_eq!(stage.get("/login?rd=/x").send().await.status, 303);
    assert!(stage.get("/dashboard").send().await.body.contains("You are not signed in"));
    let cookie = stage.signed_in("u-1").await;
    assert!(stage.get("/logout").cookie(&cookie).send().await.body.contains("Sign out?"));
    let page = stage.get("/login?rd=/logout").cookie(&cookie).send().await;
    assert_eq!(location(&page), "https://portal.example.com/_auth/");
}

#[tokio::test]
async fn the_paths_of_oauth2_proxy_lead_here_too() {
    let stage = Stage::with_oauth2_proxy_paths();
    for path in ["/oauth2/start?rd=/apps/x%3Fa=1", "/oauth2/sign_in?rd=/apps/x%3Fa=1"] {
        let page = stage.get(path).send().await;
        assert_eq!((page.status, location(&page)), (303, "https://idp.example.com/authorize?state=s"), "{path}");
    }
    let page = stage.get("/oauth2/callback?code=c&state=s").send().await;
    assert_eq!((page.status, location(&page)), (303, "https://portal.example.com/apps/x?a=1"));
    let [first, second, back] = stage.provider.calls().try_into().expect("three calls");
    assert_eq!([first, second], ["begin main /apps/x?a=1", "begin main /apps/x?a=1"]);
    assert!(back.starts_with("complete main code=c&state=s "), "{back}");

    let cookie = stage.signed_in("u-1").await;
    let out = stage.get("/oauth2/sign_out?rd=https%3A%2F%2Fevil.example").cookie(&cookie).send().await;
    assert!(out.status == 200 && out.body.contains("Sign out?") && !out.body.contains("evil"), "{out:?}");
    assert!(stage.is_live(&cookie).await);
    for own in ["/oauth2/sign_out", "/oauth2/start", "/oauth2/userinfo", "/oauth2/callback"] {
        let page = stage.get(&format!("/oauth2/start?rd={own}")).cookie(&cookie).send().await;
        assert_eq!(location(&page), "https://portal.example.com/_auth/", "{own}");
    }
    let posted = form(stage.get("/oauth2/sign_out?rd=/apps/x").method("POST").cookie(&cookie), "").send().await;
    assert_eq!((posted.status, location(&posted)), (303, "https://portal.example.com/_auth/?signed_out=1"));
    assert!(!stage.is_live(&cookie).await && sets(&posted, CLEARED_SESSION));
}

#[tokio::test]
async fn the_check_of_envoy_answers_at_the_paths_of_oauth2_proxy() {
    for (stage, on) in [(Stage::with_oauth2_proxy_paths(), true), (Stage::new(), false)] {
        for (target, status) in [
            ("/oauth2/start?rd=/apps/x", 303),
            ("/oauth2/sign_in", 303),
            ("/oauth2/callback?code=c&state=s", 303),
            ("/oauth2/sign_out", 200),
            ("/oauth2/userinfo", 401),
        ] {
            let answered = stage.check("GET", target).await;
            assert_eq!(answered, on.then_some(status), "{target}");
        }
        assert_eq!(stage.check("GET", "/oauth2/auth").await, None);
    }
}

#[tokio::test]
async fn userinfo_is_what_oauth2_proxy_says_of_a_session() {
    let stage = Stage::with_oauth2_proxy_paths();
    let cookie = stage.signed_in("u-1").await;
    let page = stage.program("GET", "/oauth2/userinfo").cookie(&cookie).send().await;
    assert_eq!((page.status, header(&page, "content-type")), (200, Some("application/json")));
    assert_eq!(header(&page, "cache-control"), Some("no-store"));
    let userinfo: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
    let expected = serde_json::json!({
        "user": "u-1",
        "email": "zoe@example.com",
        "groups": ["staff"],
        "preferredUsername": "Zoë <i>",
    });
    assert_eq!(userinfo, expected);
    stage.source.nameless();
    let page = stage.program("GET", "/oauth2/userinfo").cookie(&cookie).send().await;
    let userinfo: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(userinfo, serde_json::json!({ "user": "u-1", "email": "" }));
    for (request, status) in [
        (stage.program("GET", "/oauth2/userinfo"), 401),
        (stage.get("/oauth2/userinfo").cookie("__Host-tiergate-session=x"), 401),
        (stage.program("POST", "/oauth2/userinfo").cookie(&cookie), 405),
    ] {
        assert_eq!(request.send().await.status, status);
    }
    stage.source.refuse(Some(NoSession::Unavailable));
    assert_eq!(stage.program("GET", "/oauth2/userinfo").cookie(&cookie).send().await.status, 503);
}

#[tokio::test]
async fn a_renewed_cookie_goes_with_every_page() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    stage.source.renew();
    for path in ["/_auth/", "/_auth/me", "/_auth/sessions", "/_auth/logout", "/_auth/login?rd=/x"] {
        assert!(sets(&stage.get(path).cookie(&cookie).send().await, SESSION_COOKIE), "{path}");
    }
}

/// Every kind of page, as people get it.
async fn every_page(stage: &Stage) -> Vec<(&'static str, Page)> {
    let cookie = stage.signed_in("u-1").await;
    stage.signed_in_with("u-1", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1").await;
    let two = Stage::with_two_providers();
    let mut pages = vec![
        ("portal", stage.get("/_auth/").cookie(&cookie).send().await),
        ("portal_signed_out", stage.get("/_auth/").send().await),
        ("landing", stage.get("/_auth/?signed_out=1").send().await),
        ("landing_from_provider", stage.get("/_auth/?state=s").send().await),
        ("portal_without_sign_in", Stage::without_sign_in().get("/_auth/").send().await),
        ("choose", two.get("/_auth/login?rd=/apps/x").send().await),
        ("sign_out", stage.get("/_auth/logout").cookie(&cookie).send().await),
        ("signed_out", stage.get("/_auth/logout").send().await),
        ("sessions", stage.get("/_auth/sessions").cookie(&cookie).send().await),
        ("sessions_signed_out", stage.get("/_auth/sessions").send().await),
        ("front_channel", stage.get("/_auth/frontchannel-logout").send().await),
        ("form_lost", stage.get("/_auth/login?form=1").send().await),
        ("framed", stage.get("/_auth/login").header("sec-fetch-dest", "iframe").send().await),
        ("not_found", stage.get("/_auth/x").header("x-request-id", "req-1").send().await),
        ("wrong_method", stage.get("/_auth/me").method("PUT").send().await),
        ("not_routed", stage.get("/_auth/logout").method("POST").send().await),
        (
            "elsewhere",
            form(stage.get("/_auth/logout").method("POST"), "").header("sec-fetch-site", "none").send().await,
        ),
        ("round", stage.get("/_auth/login").cookie("__Host-tiergate-rounds=3.1800000000").send().await),
    ];
    stage.provider.ends(Ends::Callback(CallbackError::OtherBrowser));
    pages.push(("callback_failed", stage.get("/back?x").header("x-request-id", "req-1").send().await));
    stage.provider.ends(Ends::StoreDown);
    pages.push(("store_down", stage.get("/_auth/login").send().await));
    for (name, of_client) in [("busy", false), ("busy_client", true)] {
        stage.provider.ends(Ends::Busy(Busy { of_client, retry_after: Duration::from_secs(60) }));
        pages.push((name, stage.get("/_auth/login").send().await));
    }
    stage.provider.ends(Ends::ProviderDown);
    pages.push(("provider_down", stage.get("/_auth/login").send().await));
    pages
}

/// The source that allows this text in a page (CSP Level 3 section 6.7.3.2).
fn source(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    format!("'sha256-{}'", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest))
}

#[tokio::test]
async fn every_page_is_closed_to_scripts_frames_and_caches() {
    let stage = Stage::new();
    for (name, page) in every_page(&stage).await {
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"), "{name}");
        assert_eq!(header(&page, "cache-control"), Some("no-store"), "{name}");
        assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"), "{name}");
        let referrer = header(&page, "referrer-policy").expect("a referrer policy");
        let forms = page.body.contains("<form") || name.starts_with("portal");
        assert_eq!(referrer, if forms { "same-origin" } else { "no-referrer" }, "{name}");
        let policy = header(&page, "content-security-policy").expect("a policy");
        let inside = |tag: &str| {
            let (_, rest) = page.body.split_once(&format!("<{tag}>"))?;
            rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
        };
        let style = inside("style").expect("a style");
        let portal = page.body.contains("<body class=\"wide\">");
        let script = inside("script")
            .map(|script| format!("img-src 'self'; script-src {}; connect-src 'self'; ", source(script)));
        assert_eq!(script.is_some(), portal, "{name}");
        let more = script.unwrap_or_default();
        let begins = format!("default-src 'none'; style-src {}; {more}base-uri 'none'; form-action ", source(style));
        assert!(policy.starts_with(&begins), "{name}: {policy} is not {begins}");
        let language = (header(&page, "content-language"), header(&page, "vary"));
        assert_eq!(language, (Some("en"), Some("Accept-Language")), "{name}");
        assert_eq!(policy.contains("form-action 'none'"), !forms, "{name}: {policy}");
        let framed = name == "front_channel";
        assert_eq!(policy.ends_with("frame-ancestors 'none'"), !framed, "{name}: {policy}");
        assert_eq!(header(&page, "x-frame-options"), (!framed).then_some("DENY"), "{name}");
        for never in ["<script ", "style=", " onclick", "http://", "<i>", "<img", "<link"] {
            assert!(!page.body.contains(never), "{name} holds {never}");
        }
        for once in ["<html lang=\"en\" dir=\"ltr\">", "<main ", "<h1>", "<title>"] {
            assert_eq!(page.body.matches(once).count(), 1, "{name}: {once}");
        }
    }
}

#[tokio::test]
async fn the_pages_read_as_they_were_reviewed() {
    let stage = Stage::new();
    for (name, page) in every_page(&stage).await {
        let body = page.body.split("</head>").nth(1).expect("a body");
        let lines: Vec<&str> = body.lines().filter(|line| !line.trim().is_empty()).collect();
        let drawn = vec![
            (r"[0-9a-f]{64}", "[key]"),
            (r"[0-9a-f]{32}", "[id]"),
            (r"(?s)<script>.*</script>", "[script]"),
            (r"<svg .*?</svg>", "[symbol]"),
        ];
        insta::with_settings!({ filters => drawn, omit_expression => true }, {
            insta::assert_snapshot!(format!("page_{name}"), format!("{}\n{}", page.status, lines.join("\n")));
        });
    }
}

#[tokio::test]
async fn the_reasons_for_a_failed_sign_in_read_as_they_were_reviewed() {
    use CallbackError as E;
    use ProviderRefusal as R;
    let rejection = || crate::token::Rejection::Aud;
    let mut told = String::new();
    for error in [
        E::UnknownProvider,
        E::MalformedQuery,
        E::RepeatedParameter,
        E::OversizedQuery,
        E::State,
        E::UnknownAttempt,
        E::AttemptExpired,
        E::OtherBrowser,
        E::OtherProvider,
        E::IssuerMissing,
        E::IssuerMismatch,
        E::Refused(R::AccessDenied),
        E::Refused(R::InteractionRequired),
        E::Refused(R::InvalidRequest),
        E::Refused(R::InvalidScope),
        E::Refused(R::UnauthorizedClient),
        E::Refused(R::ServerError),
        E::Refused(R::Other),
        E::CodeMissing,
        E::ProviderUnavailable,
        E::ProviderMetadata,
        E::KeysUnavailable,
        E::CodeRefused,
        E::ClientRefused,
        E::TokenResponse,
        E::IdTokenMissing,
        E::IdToken(crate::token::IdTokenRejection::Nonce),
        E::AccessToken(rejection()),
        E::OtherSubject,
        E::UserInfo,
        E::Claims(rejection()),
        E::Store,
    ] {
        let stage = Stage::new();
        stage.provider.ends(Ends::Callback(error.clone()));
        let page = stage.program("GET", "/back?x").send().await;
        let problem: serde_json::Value = serde_json::from_str(&page.body).expect("a problem");
        told.push_str(&format!("{} {}: {}\n", page.status, error.as_str(), problem["detail"].as_str().expect("text")));
    }
    insta::assert_snapshot!("callback_reasons", told);
}
