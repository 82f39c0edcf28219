//! Two replicas with one directory, and a proxy before the first.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{
    Backends, Gateway, Provider, RawResponse, RunningGateway, Tiergate, Upstream, UserAgent, free_port, request,
};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
pub(super) const DEVEL: &str = "/apps/devel/x";
pub(super) const EA: &str = "/apps/ea/x";

/// What the fields of a stage are; their order is the order of their ends.
pub(super) struct Stage {
    gateway: RunningGateway,
    pub(super) site: Upstream,
    pub(super) replicas: [Tiergate; 2],
    pub(super) provider: Provider,
    pub(super) origin: String,
    _folder: TempDir,
}

/// The part of a config that says who signs people in at a development provider.
pub(super) fn identity_provider(issuer: &str, audience: &str, introspection: &str) -> String {
    format!(
        r#"
trusted_proxies: [127.0.0.1/32]
log: {{ level: trace }}
identity_providers:
  - id: main
    issuer: "{issuer}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    introspection: {introspection}
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access]
sessions: {{ store: memory }}
tiers:
  public: {{ grant: anyone }}
  stable: {{ grant: authenticated }}
  ea:     {{ grant: {{ scopes: ["access:ea"] }},    includes: [stable] }}
  devel:  {{ grant: {{ scopes: ["access:devel"] }}, includes: [ea] }}
  admin:  {{ grant: {{ scopes: ["access:admin"] }}, includes: [devel] }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
  - {{ path: /public/**, tier: public }}
  - {{ path: /scoped/**, scopes: ["access:devel"] }}
"#
    )
}

impl Stage {
    pub(super) fn start(gateway: Gateway) -> Result<Self> {
        let (folder, provider) = (TempDir::new()?, Provider::start()?);
        let port = free_port()?;
        let origin = format!("http://localhost:{port}");
        let config = format!(
            "public_url: {origin}\ndirectory: {{ url: \"sqlite:{}\", access_tokens: {{ max_per_user: 50 }} }}\n{}",
            folder.path().join("directory.db").display(),
            identity_provider(provider.issuer(), provider.audience(), "{ max_age: 1s }"),
        );
        let site = Upstream::start()?;
        let replicas = [Tiergate::start(BINARY, &config)?, Tiergate::start(BINARY, &config)?];
        let gateway = gateway.start_on(port, &Backends::echo(&replicas[0], &site))?;
        site.take_received();
        Ok(Self { gateway, site, replicas, provider, origin, _folder: folder })
    }

    /// A browser that is signed in.
    pub(super) fn signed_in(&self, account: &str) -> Result<UserAgent> {
        let mut agent = UserAgent::new();
        let page = agent.open(&format!("{}/_auth/login?rd=%2F_auth%2Ftokens", self.origin))?;
        let visit = agent.submit(&page, &[("account", account)])?;
        ensure!(agent.cookie("__Host-tiergate-session").is_some(), "{account} is not signed in: {}", visit.trail());
        Ok(agent)
    }

    /// A token that the page makes and shows.
    pub(super) fn make(&self, agent: &mut UserAgent, name: &str, tier: &str, seconds: u64) -> Result<String> {
        let seconds = seconds.to_string();
        let fields = [("name", name), ("tier", tier), ("lifetime", seconds.as_str())];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let visit = agent.post(&format!("{}/_auth/tokens", self.origin), &self.origin, &fields)?;
        let text = visit.text();
        let at = text.find("tgp_").with_context(|| format!("no token is shown: {} {text}", visit.status()))?;
        Ok(text[at..at + 47].to_owned())
    }

    /// What the gateway answers to a program.
    pub(super) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Result<RawResponse> {
        let host = self.origin.trim_start_matches("http://");
        let mut all = vec![("Host", host), ("Accept", "application/json")];
        all.extend_from_slice(headers);
        request(self.gateway.address(), "GET", target, &all)
    }

    /// The status for a bearer token, through the gateway.
    pub(super) fn status(&self, target: &str, token: &str) -> Result<u16> {
        Ok(self.get(target, &[("Authorization", &format!("Bearer {token}"))])?.status)
    }

    /// Asks the administrator's API; the answer's JSON.
    pub(super) fn administer(&self, method: &'static str, path: &str, body: &Value) -> Result<Value> {
        let bearer = format!("Bearer {}", self.provider.token("admin")?);
        let host = self.origin.trim_start_matches("http://");
        let headers = [
            ("Host", host),
            ("Authorization", bearer.as_str()),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let target = format!("/_auth/admin/api{path}");
        let answer = request_with_body(self.replicas[0].http(), method, &target, &headers, body.as_bytes())?;
        ensure!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// The directory's id of an account.
    pub(super) fn id_of(&self, account: &str) -> Result<String> {
        let list = self.administer("GET", &format!("/users?search={account}"), &Value::Null)?;
        let users = list["users"].as_array().with_context(|| list.to_string())?;
        let id = users.first().and_then(|user| user["id"].as_str()).with_context(|| list.to_string())?;
        Ok(id.to_owned())
    }

    pub(super) fn disable(&self, account: &str) -> Result<()> {
        let path = format!("/users/{}/disable", self.id_of(account)?);
        self.administer("POST", &path, &json!({ "reason": "a test" })).map(drop)
    }
}

/// Asks a replica about a request, as a forward-auth proxy would; status and reason.
pub(super) fn ask(address: SocketAddr, path: &str, authorization: &str) -> Result<(u16, String)> {
    let headers = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Uri", path),
        ("Accept", "application/json"),
        ("Authorization", authorization),
    ];
    let answer = request(address, "GET", "/authz/forward-auth", &headers)?;
    let reason = answer.json().ok().and_then(|body| Some(body.get("reason")?.as_str()?.to_owned()));
    Ok((answer.status, reason.unwrap_or_default()))
}

/// How long it took until something held.
pub(super) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "in {within:?} not: {what}");
        sleep(Duration::from_millis(10));
    }
    start.elapsed()
}
