//! `user sync` and the way through to the management API, against the development provider over HTTP.

mod passage;
pub(crate) mod race;
mod race_live;
mod shell;

use serde_json::Value;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::percent_encode;
use tiergate_testbed::{Provider, RawResponse, Tiergate, TiergateBuilder, request};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");

/// What a test wants of the directory and of the management API.
pub(super) struct Directory<'a> {
    pub(super) store: &'a str,
    pub(super) hooks: &'a str,
    pub(super) kind: &'a str,
    /// More keys of `management`.
    pub(super) management: &'a str,
}

impl Default for Directory<'_> {
    fn default() -> Self {
        Self { store: "sqlite:directory.db", hooks: "", kind: "auth0", management: "" }
    }
}

pub(super) fn config(provider: &Provider, directory: &Directory<'_>) -> String {
    let Directory { store, hooks, kind, management } = directory;
    let below = if *kind == "auth0" { "api/v2/" } else { "admin/realms/dev/" };
    format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
trusted_proxies: [127.0.0.1/32]
log: {{ level: trace }}
identity_providers:
  - id: main
    issuer: "{issuer}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    management:
      kind: {kind}
      url: "{issuer}{below}"
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      {management}
directory:
  url: "{store}"
  {hooks}
tiers:
  stable: {{ grant: authenticated }}
  admin:  {{ grant: {{ scopes: ["access:admin"] }}, includes: [stable] }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
"#,
        issuer = provider.issuer(),
        audience = provider.audience(),
    )
}

pub(super) fn service(provider: &Provider, directory: &Directory<'_>) -> TiergateBuilder {
    Tiergate::builder(BINARY, &config(provider, directory))
}

/// Asks a path below `/_auth/admin` as an account, by its token.
pub(super) fn ask(provider: &Provider, tiergate: &Tiergate, account: &str, path: &str) -> RawResponse {
    let bearer = format!("Bearer {}", provider.token(account).expect("a token"));
    let headers = [("Authorization", bearer.as_str()), ("Accept", "application/json")];
    request(tiergate.http(), "GET", &format!("/_auth/admin{path}"), &headers).expect("an answer")
}

/// The only user of the directory whom a search for `subject` finds.
pub(super) fn user(provider: &Provider, tiergate: &Tiergate, subject: &str) -> Value {
    let found = ask(provider, tiergate, "admin", &format!("/api/users?search={}", percent_encode(subject)));
    let found = found.json().expect("json");
    let id = found["users"][0]["id"].as_str().unwrap_or_else(|| panic!("no {subject}: {found}")).to_owned();
    ask(provider, tiergate, "admin", &format!("/api/users/{id}")).json().expect("json")
}
