//! A service that signs people in at the development provider, asked directly
//! on its HTTP listener: pages as a browser asks, decisions as a proxy does.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::{Provider, RawResponse, Tiergate, TiergateBuilder, UserAgent, request};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
pub(super) const SESSION_COOKIE: &str = "__Host-tiergate-session";
/// What seals the sessions of every instance.
pub(super) const SECRET: &str = "the-secret-that-seals-sessions-and-must-not-leak";

/// A config that signs people in at `provider` and keeps sessions in `store`.
pub(super) fn config(provider: &Provider, store: &str) -> String {
    format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
public_url: http://localhost:@HTTP@
trusted_proxies: [127.0.0.1/32]
log: {{ level: trace }}
identity_providers:
  - id: main
    issuer: "{issuer}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access]
sessions: {{ store: "{store}", secrets: ["{SECRET}"] }}
tiers:
  public: {{ grant: anyone }}
  stable: {{ grant: authenticated }}
  ea:     {{ grant: {{ scopes: ["access:ea"] }},    includes: [stable] }}
  devel:  {{ grant: {{ scopes: ["access:devel"] }}, includes: [ea] }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
  - {{ path: /public/**, tier: public }}
"#,
        issuer = provider.issuer(),
        audience = provider.audience(),
    )
}

pub(super) fn service(provider: &Provider, store: &str) -> TiergateBuilder {
    Tiergate::builder(BINARY, &config(provider, store))
}

/// The URL of a page of the service.
pub(super) fn page(tiergate: &Tiergate, path: &str) -> String {
    format!("http://localhost:{}{path}", tiergate.http().port())
}

/// Signs `account` in and gives the browser that holds the session.
pub(super) fn sign_in(tiergate: &Tiergate, account: &str) -> Result<UserAgent> {
    let mut agent = UserAgent::new();
    let choice = agent.open(&page(tiergate, "/_auth/login?rd=%2Fpublic%2Fwelcome"))?;
    ensure!(choice.status() == 200, "no sign-in page: {} {}", choice.trail(), choice.text());
    let visit = agent.submit(&choice, &[("account", account)])?;
    ensure!(agent.cookie(SESSION_COOKIE).is_some(), "not signed in: {} {}", visit.trail(), visit.text());
    Ok(agent)
}

/// The session cookie of a browser, as a header value.
pub(super) fn session(agent: &UserAgent) -> Result<String> {
    let cookie = agent.cookie(SESSION_COOKIE).context("there is no session cookie")?;
    Ok(format!("{SESSION_COOKIE}={}", cookie.value))
}

/// Asks about a request, as a forward-auth proxy would.
pub(super) fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<RawResponse> {
    let mut all = vec![
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Uri", path),
        ("Accept", "application/json"),
    ];
    all.extend_from_slice(headers);
    request(address, "GET", "/authz/forward-auth", &all)
}

/// Asks with a session cookie; the status and the reason.
pub(super) fn ask_with(address: SocketAddr, path: &str, cookie: &str) -> Result<(u16, String)> {
    let answer = ask(address, path, &[("Cookie", cookie)])?;
    let reason = match answer.json() {
        Ok(body) => body.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Err(_) => String::new(),
    };
    Ok((answer.status, reason))
}

/// Waits until something holds.
pub(super) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "in {within:?} not: {what}");
        sleep(Duration::from_millis(20));
    }
}
