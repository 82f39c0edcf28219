//! Browsers behind every proxy: sent to sign in and back, known by their
//! session, and nobody else sees it.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::user_agent::UserAgent;
use tiergate_testbed::{Gateway, Provider, RawResponse, Received, RunningGateway, Tiergate, TokenSpec};

use super::stage::{Asked, BINARY, PUBLIC_URL, Stage, config_with_login};
use crate::browser::{self, SESSION};

const RULES: &str = r#"
log: { level: trace }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /apps/devel/hazard/live/**, tier: devel, cors: { origins: ["https://other.example"] } }
  - { path: /public/**, tier: public }
"#;

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const NAVIGATE: (&str, &str) = ("Sec-Fetch-Mode", "navigate");
const CLEARED: &str = "__Host-tiergate-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";
/// The right form, and nobody's session.
const NOBODYS: &str = "__Host-tiergate-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

type Headers<'a> = &'a [(&'a str, &'a str)];

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Result<Stage, String>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| {
        let start = || {
            let provider = Provider::start()?;
            let tiergate = Tiergate::builder(BINARY, &config_with_login(&provider, RULES));
            Stage::start(provider, &tiergate, false)
        };
        start().map_err(|error| format!("{error:#}"))
    });
    stage.as_ref().map_err(|error| anyhow!("the stage did not start: {error}")).unwrap()
}

/// Runs the same through every proxy and reports all that fail.
fn for_each(check: impl Fn(&Stage, &RunningGateway) -> Result<()>) {
    let stage = stage();
    let mut failures = Vec::new();
    for gateway in stage.gateways() {
        if let Err(error) = check(stage, gateway) {
            failures.push(format!("{}: {error:#}", gateway.kind().name()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn refused(asked: &Asked, status: u16) -> Result<&RawResponse> {
    let Asked { answer, landed } = asked;
    ensure!(landed.is_empty(), "an upstream received {landed:?}");
    ensure!(answer.status == status, "{} in place of {status}: {}", answer.status, answer.text());
    ensure!(answer.header("cache-control") == Some("no-store"), "may be kept: {:?}", answer.headers);
    Ok(answer)
}

/// What the one upstream received that the request reached.
fn landed(asked: &Asked) -> Result<&Received> {
    let status = asked.answer.status;
    ensure!(status == 200, "{status}: {}", asked.answer.text());
    let [landed] = asked.landed.as_slice() else { return Err(anyhow!("landed as {:?}", asked.landed)) };
    ensure!(
        !format!("{landed:?}").to_ascii_lowercase().contains("__host-"),
        "the upstream sees our cookie: {landed:?}"
    );
    Ok(&landed.received)
}

/// Traefik writes a cookie anew, its attributes in an order of its own.
fn attributes(cookie: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = cookie.split("; ").collect();
    parts.sort_unstable();
    parts
}

#[test]
fn a_browser_is_sent_to_sign_in() {
    let page = format!("{PUBLIC_URL}/apps/devel/hazard/form?a=1");
    let referer = ("Referer", page.as_str());
    let cases: [(&str, &str, Headers<'_>, u16, &str); 7] = [
        ("GET", "/apps/devel/hazard/x?a=1&b=%2F", &[HTML], 302, "?rd=/apps/devel/hazard/x%3Fa%3D1%26b%3D%252F"),
        ("HEAD", "/apps/devel/hazard/x", &[NAVIGATE], 302, "?rd=/apps/devel/hazard/x"),
        (
            "GET",
            "/apps/devel/hazard/x",
            &[NAVIGATE, ("X-Forwarded-Host", "evil.example")],
            302,
            "?rd=/apps/devel/hazard/x",
        ),
        ("POST", "/apps/devel/hazard/x", &[NAVIGATE, referer], 303, "?rd=/apps/devel/hazard/form%3Fa%3D1&form=1"),
        ("POST", "/apps/devel/hazard/x", &[NAVIGATE, ("Referer", "https://evil.example/x")], 303, "?form=1"),
        ("GET", "/apps/devel/hazard/x", &[NAVIGATE, ("Cookie", NOBODYS)], 302, "?rd=/apps/devel/hazard/x&why=unknown"),
        ("POST", "/apps/devel/hazard/x", &[NAVIGATE, ("Cookie", NOBODYS)], 303, "?why=unknown&form=1"),
    ];
    for_each(|stage, gateway| {
        for (method, target, headers, status, query) in cases {
            let asked = stage.ask(gateway, method, target, headers)?;
            let answer = refused(&asked, status).with_context(|| format!("{method} {target} {headers:?}"))?;
            let location = format!("{PUBLIC_URL}/_auth/login{query}");
            ensure!(answer.header_values("location") == [location.as_str()], "{:?}", answer.headers);
            let cleared: &[&str] = if headers.contains(&("Cookie", NOBODYS)) { &[CLEARED] } else { &[] };
            ensure!(answer.header_values("set-cookie") == cleared, "{:?}", answer.headers);
        }
        Ok(())
    });
}

#[test]
fn a_program_is_told_where_to_sign_in() {
    let page = format!("{PUBLIC_URL}/apps/devel/hazard/page");
    let cases: [&[(&str, &str)]; 3] = [
        &[("Sec-Fetch-Mode", "cors"), ("Referer", &page)],
        &[HTML, ("X-Requested-With", "XMLHttpRequest"), ("Referer", &page)],
        &[("Cookie", NOBODYS), ("Referer", &page)],
    ];
    for_each(|stage, gateway| {
        for headers in cases {
            let asked = stage.ask(gateway, "GET", "/apps/devel/hazard/x", headers)?;
            let answer = refused(&asked, 401)?;
            ensure!(answer.header("location").is_none() && answer.header("www-authenticate").is_some(), "{answer:?}");
            let problem = answer.json()?;
            let expected = format!("{PUBLIC_URL}/_auth/login?rd=/apps/devel/hazard/page");
            ensure!(problem["login_url"] == expected, "{problem}");
        }
        Ok(())
    });
}

#[test]
fn a_cookie_that_opens_nothing_is_taken_away_where_anybody_may_come_in() {
    for_each(|stage, gateway| {
        let cookie = format!("a=1; {NOBODYS}; b=2");
        let asked = stage.ask(gateway, "GET", "/public/x?set-cookies", &[("Cookie", &cookie)])?;
        let received = landed(&asked)?;
        ensure!(received.header_values("cookie") == ["a=1; b=2"], "{:?}", received.headers);
        ensure!(received.header("x-auth-user").unwrap_or_default().is_empty(), "{:?}", received.headers);
        // The app's own cookies reach the browser all the same.
        let set = asked.answer.header_values("set-cookie");
        ensure!(set.len() == 3 && set.contains(&"app=1") && set.contains(&"theme=dark"), "{set:?}");
        ensure!(set.iter().any(|cookie| attributes(cookie) == attributes(CLEARED)), "{set:?}");

        let asked =
            stage.ask(gateway, "GET", "/public/x", &[("Cookie", "a=1"), ("Cookie", NOBODYS), ("Cookie", "b=2")])?;
        let received = landed(&asked)?;
        // Envoy joins them with a comma, so that nobody can say where a cookie ends.
        let kept: &[&str] = if gateway.kind() == Gateway::EnvoyHttp { &[] } else { &["a=1; b=2"] };
        ensure!(received.header_values("cookie") == kept, "{:?}", received.headers);
        let asked = stage.ask(gateway, "GET", "/public/x", &[("Cookie", NOBODYS)])?;
        let cookies = landed(&asked)?.header_values("cookie").concat();
        ensure!(cookies.is_empty(), "{cookies}");
        // Where there is nothing to cut, the cookies go on as they came.
        let asked = stage.ask(gateway, "GET", "/public/x", &[("Cookie", "a=1;b=\"2 3\"; c")])?;
        ensure!(landed(&asked)?.header_values("cookie") == ["a=1;b=\"2 3\"; c"], "{:?}", asked.landed);
        Ok(())
    });
}

#[test]
fn two_sessions_are_nobodys() {
    let cases = [
        format!("{NOBODYS}; {NOBODYS}"),
        format!("a=1,{NOBODYS}"),
        format!("{NOBODYS},b=2"),
        NOBODYS.replace("__Host", "__HOST"),
    ];
    for_each(|stage, gateway| {
        for cookie in &cases {
            let asked = stage.ask(gateway, "GET", "/apps/devel/hazard/x", &[HTML, ("Cookie", cookie)])?;
            let answer = refused(&asked, 401)?;
            ensure!(
                answer.header("location").is_none() && answer.header("set-cookie").is_none(),
                "{cookie}: {answer:?}"
            );
            let asked = stage.ask(gateway, "GET", "/public/x", &[("Cookie", cookie)])?;
            landed(&asked)?;
        }
        Ok(())
    });
}

fn sign_in(stage: &Stage, port: u16, account: &str) -> Result<UserAgent> {
    browser::sign_in(&stage.provider, port, PUBLIC_URL, account)
}

fn session(stage: &Stage, account: &str) -> Result<String> {
    browser::session_of(&sign_in(stage, stage.tiergate.http().port(), account)?)
}

#[test]
fn a_person_signs_in_through_every_proxy_and_signs_out_again() {
    for_each(|stage, gateway| {
        let person = sign_in(stage, gateway.address().port(), "devel")?;
        let session = browser::session_of(&person)?;
        let id = session.split_once('=').context("a pair")?.1;
        let cookies = format!("theme=dark; {session}; b=\"2 3\"");
        let asked = stage.ask(gateway, "GET", "/apps/devel/hazard/x?a=1&set-cookies", &[HTML, ("Cookie", &cookies)])?;
        let received = landed(&asked)?;
        ensure!(received.header_values("cookie") == ["theme=dark; b=\"2 3\""], "{:?}", received.headers);
        ensure!(!format!("{received:?}").contains(id), "the upstream sees the session");
        ensure!(asked.answer.header_values("set-cookie") == ["app=1", "theme=dark"], "{:?}", asked.answer.headers);

        // The person is who a token of the same account speaks of.
        let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("devel"))?);
        let by_token = stage.ask(gateway, "GET", "/apps/devel/hazard/x", &[("Authorization", &bearer)])?;
        let by_token = landed(&by_token)?;
        for name in ["x-auth-user", "x-auth-tier", "x-auth-tiers", "x-auth-issuer", "x-auth-email"] {
            let (session, token) = (received.header_values(name), by_token.header_values(name));
            ensure!(
                session == token && (name == "x-auth-email" || !session.is_empty()),
                "`{name}`: {session:?} {token:?}"
            );
        }
        let open = stage.ask(gateway, "GET", "/public/x", &[("Cookie", &session)])?;
        ensure!(landed(&open)?.header("x-auth-user") == received.header("x-auth-user"), "nobody on a public path");
        let refused_there = stage.ask(gateway, "GET", "/apps/admin/x", &[HTML, ("Cookie", &session)])?;
        ensure!(refused(&refused_there, 403)?.header("location").is_none(), "a 403 is a redirect");

        let me = stage.ask(gateway, "GET", "/_auth/me", &[("Cookie", &session)])?;
        ensure!(me.answer.status == 200, "{}: {}", me.answer.status, me.answer.text());
        ensure!(
            me.answer.json()?["subject"] == received.header("x-auth-user").unwrap_or_default(),
            "{}",
            me.answer.text()
        );

        let same_origin = [
            ("Cookie", session.as_str()),
            ("Origin", PUBLIC_URL),
            ("Sec-Fetch-Site", "same-origin"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let out = request_with_body(gateway.address(), "POST", "/_auth/logout", &same_origin, b"everywhere=0")?;
        ensure!(out.status == 303, "{}: {}", out.status, out.text());
        ensure!(out.header_values("set-cookie").contains(&CLEARED), "{:?}", out.headers);
        let after = stage.ask(gateway, "GET", "/apps/devel/hazard/x", &[HTML, ("Cookie", &session)])?;
        let set = refused(&after, 302)?.header_values("set-cookie");
        ensure!(set == [CLEARED], "{set:?}");
        Ok(())
    });
}

/// Written so that a proxy does not take it for the prefix of the pages, and asks.
#[test]
fn a_path_of_ours_without_a_page_leads_nobody_to_an_upstream() {
    for_each(|stage, gateway| {
        for host in ["localhost:8080", "other.example.com"] {
            for target in ["//_auth/nothing", "/_auth//nothing", "/%5fauth/nothing", "/_auth/"] {
                let asked = stage.ask(gateway, "GET", target, &[HTML, ("Host", host)])?;
                ensure!(asked.landed.is_empty(), "{host}{target} reached {:?}", asked.landed);
                let answered = asked.answer.status;
                ensure!(matches!(answered, 400 | 403 | 404) || target == "/_auth/", "{host}{target}: {answered}");
            }
        }
        Ok(())
    });
}

/// A proxy asks about what it does not take for a page, and an app would get it.
#[test]
fn the_start_page_is_there_without_its_slash_too() {
    for_each(|stage, gateway| {
        for target in ["/_auth", "/_auth?a=1", "/_auth/", "/_auth/?a=1"] {
            let asked = stage.ask(gateway, "GET", target, &[HTML, ("Host", "localhost:8080")])?;
            let page = refused(&asked, 200).with_context(|| target.to_owned())?;
            ensure!(page.text().contains("Sign in</a>"), "{target}: {}", page.text());
        }
        for target in ["/_authx", "/_auth;/", "/_auth%2F"] {
            let asked = stage.ask(gateway, "GET", target, &[HTML, ("Host", "localhost:8080")])?;
            ensure!(asked.landed.is_empty() && asked.answer.status >= 400, "{target}: {}", asked.answer.status);
        }
        Ok(())
    });
}

/// What people read to the operator is in a log, not what they sent.
#[test]
fn the_client_does_not_choose_the_reference_on_a_page() {
    const CHOSEN: &str = "chosen-by-the-client";
    for_each(|stage, gateway| {
        let headers = [HTML, ("X-Request-Id", CHOSEN)];
        let page = stage.ask(gateway, "GET", "/_auth/nothing", &headers)?;
        ensure!(page.answer.status == 404, "{}: {}", page.answer.status, page.answer.text());
        ensure!(!page.answer.text().contains(CHOSEN), "{}", page.answer.text());
        Ok(())
    });
}

#[test]
fn a_token_decides_alone_beside_a_session() {
    let stage = stage();
    let session = session(stage, "devel").unwrap();
    let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("stable")).unwrap());
    for_each(|stage, gateway| {
        let headers = [("Authorization", bearer.as_str()), ("Cookie", session.as_str()), HTML];
        refused(&stage.ask(gateway, "GET", "/apps/devel/hazard/x", &headers)?, 403)?;
        let asked = stage.ask(gateway, "GET", "/apps/stable/maps/", &headers)?;
        ensure!(landed(&asked)?.header("x-auth-tiers") == Some("public,stable"), "{:?}", asked.landed);
        let expired = format!("Bearer {}", stage.mint(&TokenSpec::for_account("devel").expired())?);
        let asked = stage.ask(
            gateway,
            "GET",
            "/apps/devel/hazard/x",
            &[("Authorization", &expired), ("Cookie", &session), HTML],
        )?;
        ensure!(refused(&asked, 401)?.header("location").is_none(), "sent to sign in, with a token that stays");
        Ok(())
    });
}

#[test]
fn a_websocket_with_a_session_comes_from_a_page_that_may_open_it() {
    const LIVE: &str = "/apps/devel/hazard/live/room";
    const ROOM: &str = "/apps/devel/hazard/room";
    let stage = stage();
    let session = session(stage, "devel").unwrap();
    let bearer = format!("Bearer {}", stage.mint(&TokenSpec::for_account("devel")).unwrap());
    let (cookie, token) = (("Cookie", session.as_str()), ("Authorization", bearer.as_str()));
    let cases = [
        (ROOM, cookie, Some(PUBLIC_URL), 101),
        (ROOM, cookie, None, 403),
        (ROOM, cookie, Some("https://evil.example"), 403),
        (ROOM, cookie, Some("null"), 403),
        (ROOM, cookie, Some("http://localhost:8080.evil.example"), 403),
        (ROOM, cookie, Some("https://other.example"), 403),
        (LIVE, cookie, Some("https://other.example"), 101),
        (LIVE, cookie, Some("https://evil.example"), 403),
        (ROOM, token, Some("https://evil.example"), 101),
        (ROOM, ("Cookie", NOBODYS), Some(PUBLIC_URL), 401),
    ];
    for_each(|stage, gateway| {
        for (target, credential, origin, status) in cases {
            let headers: Vec<(&str, &str)> =
                std::iter::once(credential).chain(origin.map(|origin| ("Origin", origin))).collect();
            let upgraded = stage.upgrade(gateway, target, &headers)?;
            let got = upgraded.answer.status();
            ensure!(got == status, "{got} in place of {status} for {target} from {origin:?}");
            ensure!(upgraded.landed.is_empty() == (status != 101), "{:?}", upgraded.landed);
            ensure!(!format!("{:?}", upgraded.landed).contains(SESSION), "the upstream sees the session");
        }
        Ok(())
    });
}

#[test]
fn no_log_holds_a_session() {
    let stage = stage();
    let session = session(stage, "ea").unwrap();
    let id = session.split_once('=').unwrap().1;
    for gateway in stage.gateways() {
        for cookie in [session.clone(), format!("{session}; {session}"), format!("a=1,{session}")] {
            for target in ["/apps/ea/reports/kept-secret", "/apps/admin/kept-secret", "/kept-secret/../x", "/_auth/me"]
            {
                let asked = stage.ask(gateway, "GET", target, &[("Cookie", &cookie), HTML]).unwrap();
                assert!(!format!("{:?}", asked.answer).contains(id) && !asked.answer.text().contains(id), "{target}");
                assert!(!format!("{:?}", asked.landed).contains(id), "{}: {target}", gateway.kind().name());
            }
        }
    }
    super::stage::eventually("the service logs it", std::time::Duration::from_secs(30), || {
        stage.tiergate.log().matches("kept-secret").count() >= 6 * 9
    });
    for (name, log) in stage.logs() {
        assert!(!log.contains(id), "the log of {name} holds a session");
    }
}
