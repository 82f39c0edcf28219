//! A service with a user directory, two providers, and administrators.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::directory::{AccessTokenId, AccessTokenSecret, Actor, NewAccessToken, UserDirectory as _, UserId};
use tiergate::types::Clock as _;
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Provider, RawResponse, Tiergate, TokenSpec, UserAgent};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
pub(super) const SESSION_COOKIE: &str = "__Host-tiergate-session";
pub(super) const API: &str = "/_auth/admin/api";

/// What runs; the order of the fields is the order of their ends.
pub(super) struct Stage {
    pub(super) tiergate: Tiergate,
    pub(super) main: Provider,
    pub(super) other: Provider,
    folder: TempDir,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum As {
    Nobody,
    Token(String),
    /// The password of Basic.
    Password(String),
    /// The value of `Cookie`.
    Cookie(String),
}

impl As {
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        match self {
            Self::Nobody => Vec::new(),
            Self::Token(token) => vec![("Authorization".to_owned(), format!("Bearer {token}"))],
            Self::Password(token) => {
                let pair = STANDARD.encode(format!("anything:{token}"));
                vec![("Authorization".to_owned(), format!("Basic {pair}"))]
            }
            Self::Cookie(cookie) => vec![("Cookie".to_owned(), cookie.clone())],
        }
    }
}

impl As {
    /// The same token as a password.
    pub(super) fn as_basic(&self) -> Self {
        match self {
            Self::Token(token) => Self::Password(token.clone()),
            other @ (Self::Nobody | Self::Password(_) | Self::Cookie(_)) => other.clone(),
        }
    }
}

impl Stage {
    pub(super) fn start() -> Result<Self> {
        Self::start_in(tempfile::tempdir()?)
    }

    /// With the directory in `people.db` of this folder.
    pub(super) fn start_in(folder: TempDir) -> Result<Self> {
        let database = folder.path().join("people.db");
        Self::start_at(&format!("directory: {{ url: \"sqlite:{}\" }}", database.display()), folder)
    }

    /// With this as the config's `directory`.
    pub(super) fn start_with(directory: &str) -> Result<Self> {
        Self::start_at(directory, tempfile::tempdir()?)
    }

    fn start_at(directory: &str, folder: TempDir) -> Result<Self> {
        let (main, other) = (Provider::start()?, Provider::start()?);
        let config = config(&main, &other, directory);
        let tiergate = Tiergate::builder(BINARY, &config).start()?;
        Ok(Self { tiergate, main, other, folder })
    }

    /// The directory's database, as another process opens it.
    pub(super) async fn store(folder: &Path) -> Result<SqlDirectory> {
        Ok(SqlDirectory::open(&SqlAddress::Sqlite(folder.join("people.db"))).await?)
    }

    /// Makes a personal access token of a user for these tiers, beside the running service; its id, and the token.
    pub(super) fn access_token(&self, owner: &str, tiers: &[&str]) -> Result<(String, As)> {
        let secret = AccessTokenSecret::draw(&SystemRandom);
        let now = SystemClock::new().now();
        let token = NewAccessToken {
            id: AccessTokenId::draw(&SystemRandom),
            hash: secret.hash(),
            owner: UserId::parse(owner).context("no id")?,
            name: "a script".to_owned(),
            tiers: tiers.iter().map(|tier| (*tier).to_owned()).collect(),
            expires_at: now.plus(Duration::from_secs(3600)),
        };
        let made = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let store = Self::store(self.folder.path()).await?;
            Ok::<_, anyhow::Error>(store.create_access_token(token, 20, Actor::Shell, now).await?)
        })?;
        Ok((made.id.to_string(), As::Token(secret.written().expose().to_owned())))
    }

    /// A token of the administrator.
    pub(super) fn admin(&self) -> As {
        As::Token(self.main.token("admin").expect("a token"))
    }

    /// A token of somebody at the main provider with these scopes.
    pub(super) fn somebody(&self, subject: &str, scopes: &str) -> As {
        let token = self.main.mint(&TokenSpec::new().subject(subject).scope(scopes)).expect("a token");
        As::Token(token)
    }

    /// One request to the API, as a program sends it; `path` is below the API's own.
    pub(super) fn ask(&self, who: &As, method: &str, path: &str, body: Option<&Value>) -> Result<RawResponse> {
        self.ask_with(who, method, path, body, &[])
    }

    /// The same with further headers.
    pub(super) fn ask_with(
        &self,
        who: &As,
        method: &str,
        path: &str,
        body: Option<&Value>,
        more: &[(&str, &str)],
    ) -> Result<RawResponse> {
        let own = who.headers();
        let mut headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        headers.extend(more);
        request_with_body(self.tiergate.http(), method, &format!("{API}{path}"), &headers, text.as_bytes())
    }

    /// The same by the administrator, which has to be answered with `status`; the body.
    pub(super) fn done(&self, method: &str, path: &str, body: Option<&Value>, status: u16) -> Result<Value> {
        let answer = self.ask(&self.admin(), method, path, body)?;
        ensure!(answer.status == status, "{method} {path}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// Makes a record of somebody at the main provider; its id.
    pub(super) fn create(&self, subject: &str) -> Result<String> {
        let made = self.done("POST", "/users", Some(&json!({ "provider": "main", "subject": subject })), 201)?;
        made["id"].as_str().map(str::to_owned).context("no id")
    }

    /// The record of somebody at the main provider, with the administrators' tier; its id.
    pub(super) fn person(&self, subject: &str) -> Result<String> {
        let id = self.create(subject)?;
        self.done("PUT", &format!("/users/{id}/grants/admin"), Some(&json!({ "until": "2999-01-01T00:00:00Z" })), 200)?;
        Ok(id)
    }

    /// The audit, the latest line first, as (actor, action).
    pub(super) fn audit(&self, query: &str) -> Result<Vec<Value>> {
        let lines = self.done("GET", &format!("/audit{query}"), None, 200)?;
        lines["entries"].as_array().cloned().context("no entries")
    }

    /// The status of a forward-auth check of `path` for somebody.
    pub(super) fn check(&self, who: &As, path: &str) -> Result<RawResponse> {
        let own = who.headers();
        let mut headers = vec![
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "app.example.com"),
            ("X-Forwarded-Uri", path),
        ];
        headers.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        tiergate_testbed::request(self.tiergate.http(), "GET", "/authz/forward-auth", &headers)
    }

    /// The URL of a page of the service.
    pub(super) fn page(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.tiergate.http().port())
    }

    /// Scheme, host and port that browsers see.
    pub(super) fn origin(&self) -> String {
        self.page("")
    }

    /// A browser in which `account` is signed in.
    pub(super) fn browser(&self, account: &str) -> Result<As> {
        let mut agent = UserAgent::new();
        let choice = agent.open(&self.page("/_auth/login?rd=%2Fpublic%2Fwelcome"))?;
        ensure!(choice.status() == 200, "no sign-in page: {} {}", choice.trail(), choice.text());
        agent.submit(&choice, &[("account", account)])?;
        let cookie = agent.cookie(SESSION_COOKIE).context("not signed in")?;
        Ok(As::Cookie(format!("{SESSION_COOKIE}={}", cookie.value)))
    }
}

fn config(main: &Provider, other: &Provider, directory: &str) -> String {
    format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
public_url: http://localhost:@HTTP@
trusted_proxies: [127.0.0.1/32]
log: {{ level: info }}
identity_providers:
  - id: main
    issuer: "{main}"
    audience: ["{audience}"]
    token_types: [at+jwt]
    login:
      client_id: {WEB_CLIENT}
      client_secret: {WEB_CLIENT_SECRET}
      scopes: [openid, profile, email, offline_access, "access:ea", "access:devel", "access:admin"]
  - id: other
    issuer: "{other}"
    audience: ["{audience}"]
    token_types: [at+jwt]
sessions: {{ store: memory }}
{directory}
tiers:
  public: {{ grant: anyone }}
  stable: {{ grant: authenticated }}
  ea:     {{ grant: {{ scopes: ["access:ea"] }},    includes: [stable] }}
  devel:  {{ grant: {{ scopes: ["access:devel"] }}, includes: [ea] }}
  admin:  {{ grant: {{ scopes: ["access:admin"], groups: [administrators] }}, includes: [devel], label: Almighty Admin }}
rules:
  - {{ path: "/apps/{{tier}}/**", tier: "{{tier}}" }}
  - {{ path: /public/**, tier: public }}
  - {{ path: /messages, methods: [GET], permissions: ["read:admin-messages"] }}
  - {{ path: /messages, methods: [POST], scopes: ["write:messages"] }}
  - {{ path: /audit/**, require: {{ tier: ea, any: [{{ groups: [audit] }}, {{ users: ["main/dev|ea"] }}] }} }}
  - {{ host: api.example.com, path: "/v1/{{name}}", tier: devel }}
apps:
  - {{ name: maps, tier: stable, upstream: "http://127.0.0.1:9", title: Maps, rules: [{{ path: /admin/**, tier: admin }}] }}
"#,
        main = main.issuer(),
        other = other.issuer(),
        audience = main.audience(),
    )
}
