//! Browsers behind every proxy: sent to sign in and back, known by their
//! session, and nobody else sees it.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use tiergate_testbed::{Gateway, Provider, RawResponse, RunningGateway, Tiergate, TokenSpec};

use super::stage::{Asked, BINARY, PUBLIC_URL, Stage, config_with_login};

const RULES: &str = r#"
log: { level: trace }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /apps/devel/hazard/live/**, tier: devel, cors: { origins: ["https://other.example"] } }
  - { path: /public/**, tier: public }
"#;

const HTML: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const NAVIGATE: (&str, &str) = ("Sec-Fetch-Mode", "navigate");
const SESSION: &str = "__Host-tiergate-session";
const CLEARED: &str = "__Host-tiergate-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax";
/// The right form, and nobody's session.
const NOBODYS: &str = "__Host-tiergate-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

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
fn landed(asked: &Asked) -> Result<&tiergate_testbed::Received> {
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
    let cases: [(&str, &str, &[(&str, &str)], u16, &str); 6] = [
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
        ("GET", "/apps/devel/hazard/x", &[NAVIGATE, ("Cookie", NOBODYS)], 302, "?rd=/apps/devel/hazard/x"),
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
