//! Replicas with one database and one Redis, each behind a proxy of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Provider, Tiergate, TiergateBuilder, UserAgent, request};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
const SESSION_COOKIE: &str = "__Host-tiergate-session";

/// A service with its sessions and its directory at these addresses; `max_stale` as the config writes it.
pub(super) fn service(provider: &Provider, sessions: &str, directory: &str, max_stale: &str) -> TiergateBuilder {
    let config = format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
public_url: http://localhost:@HTTP@
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - id: main
    issuer: "{issuer}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access]
      extra_params: {{ audience: "{audience}" }}
sessions: {{ store: "{sessions}", secrets: ["the-secret-that-seals-what-replicas-share"] }}
directory: {{ url: "{directory}", max_stale: {max_stale} }}
tiers:
  public: {{ grant: anyone }}
  stable: {{ grant: authenticated }}
  ea:     {{ grant: {{ scopes: ["access:ea"] }},    includes: [stable] }}
  devel:  {{ grant: {{ scopes: ["access:devel"] }}, includes: [ea] }}
  admin:  {{ grant: {{ scopes: ["access:admin"] }}, includes: [devel] }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
  - {{ path: /public/**, tier: public }}
"#,
        issuer = provider.issuer(),
        audience = provider.audience(),
    );
    Tiergate::builder(BINARY, &config)
}

/// Signs `account` in; the session as a header.
pub(super) fn sign_in(tiergate: &Tiergate, account: &str) -> Result<String> {
    let mut agent = UserAgent::new();
    let login = format!("http://localhost:{}/_auth/login?rd=%2Fpublic%2Fwelcome", tiergate.http().port());
    let choice = agent.open(&login)?;
    ensure!(choice.status() == 200, "no sign-in page: {} {}", choice.trail(), choice.text());
    let visit = agent.submit(&choice, &[("account", account)])?;
    let cookie = agent.cookie(SESSION_COOKIE);
    let cookie = cookie.with_context(|| format!("not signed in: {} {}", visit.trail(), visit.text()))?;
    Ok(format!("{SESSION_COOKIE}={}", cookie.value))
}

/// Asks the service itself, as a forward-auth proxy does; the status and the reason.
pub(super) fn ask(tiergate: &Tiergate, path: &str, credential: Option<&(&str, String)>) -> Result<(u16, String)> {
    let mut headers = vec![
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "app.example.com"),
        ("X-Forwarded-Uri", path),
        ("Accept", "application/json"),
    ];
    headers.extend(credential.map(|(name, value)| (*name, value.as_str())));
    let answer = request(tiergate.http(), "GET", "/authz/forward-auth", &headers)?;
    let body = answer.json().unwrap_or_default();
    Ok((answer.status, body.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()))
}

/// Asks the administrators' API of a replica.
pub(super) fn admin(tiergate: &Tiergate, token: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Accept", "application/json")];
    let text = body.map(ToString::to_string).unwrap_or_default();
    if body.is_some() {
        headers.push(("Content-Type", "application/json"));
    }
    let target = format!("/_auth/admin/api{path}");
    let answer = request_with_body(tiergate.http(), method, &target, &headers, text.as_bytes())?;
    ensure!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    answer.json()
}

/// The directory's id of the one user whom a search finds.
pub(super) fn user_id(tiergate: &Tiergate, token: &str, search: &str) -> Result<String> {
    let found = admin(tiergate, token, "GET", &format!("/users?search={search}"), None)?;
    let users = found.get("users").and_then(Value::as_array).with_context(|| format!("no users: {found}"))?;
    let [user] = users.as_slice() else { anyhow::bail!("{} users found: {found}", users.len()) };
    Ok(user.get("id").and_then(Value::as_str).context("no id")?.to_owned())
}

/// Waits until something holds; how long that took.
pub(super) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "in {within:?} not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}
