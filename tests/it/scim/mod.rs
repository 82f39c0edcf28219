//! SCIM against the real service with SQLite, through real proxies: what Okta
//! and Entra send, what races, what is hostile, and what comes of it in decisions.

mod hostile;
mod people;
mod sequences;

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tiergate_testbed::raw_http::request_with_body;
use tiergate_testbed::{Gateway, Provider, RawResponse, RunningGateway, Tiergate, TokenSpec, Upstream};

const BINARY: &str = env!("CARGO_BIN_EXE_tiergate");
const TOKEN: &str = "scim-token-of-the-test-0123456789abcdef";
const HOST: &str = "localhost:8080";

/// A service that one client provisions, with the provider of its users and a site behind.
struct Stage {
    provider: Provider,
    upstream: Upstream,
    tiergate: Tiergate,
}

impl Stage {
    fn start() -> Result<Self> {
        let (provider, upstream) = (Provider::start()?, Upstream::start()?);
        let tiergate = Tiergate::start(BINARY, &config(&provider, &upstream))?;
        Ok(Self { provider, upstream, tiergate })
    }

    /// A proxy with the config that `proxy-config` writes for this service.
    fn proxy(&self, gateway: Gateway) -> Result<RunningGateway> {
        let name = if gateway == Gateway::EnvoyGrpc { "envoy" } else { gateway.name() };
        gateway.start_written(&|port, dir| {
            let output = Command::new(BINARY)
                .args(["proxy-config", name, "--listen", &format!("127.0.0.1:{port}"), "-c"])
                .arg(self.tiergate.config_path())
                .arg("--dir")
                .arg(dir)
                .output()?;
            ensure!(output.status.success(), "proxy-config: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        })
    }

    /// The client at the service itself.
    fn client(&self) -> Client {
        Client { address: self.tiergate.http() }
    }

    /// Asks for a page of the site with a token of this subject.
    fn visit(&self, address: SocketAddr, path: &str, subject: &str) -> Result<RawResponse> {
        self.visit_with(address, path, &self.token(subject)?)
    }

    fn token(&self, subject: &str) -> Result<String> {
        self.provider.mint(&TokenSpec::new().subject(subject))
    }

    fn visit_with(&self, address: SocketAddr, path: &str, token: &str) -> Result<RawResponse> {
        let headers = [("Host", HOST), ("Authorization", &format!("Bearer {token}")), ("Accept", "application/json")];
        request_with_body(address, "GET", path, &headers, b"")
    }
}

fn config(provider: &Provider, upstream: &Upstream) -> String {
    format!(
        r#"
listen: {{ grpc: "127.0.0.1:@GRPC@", http: "127.0.0.1:@HTTP@", admin: "127.0.0.1:@ADMIN@" }}
public_url: http://{HOST}
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - {{ id: main, issuer: "{issuer}", audience: ["{audience}"], token_types: [at+jwt] }}
directory: {{ url: "sqlite:people.db", scim: {{ provider: main, tokens: ["{TOKEN}"] }} }}
identity_headers: {{ claims: {{ X-Auth-Department: /directory/department }} }}
tiers:
  stable: {{ grant: authenticated }}
  audit: {{ grant: {{ groups: [auditors] }} }}
rules:
  - {{ path: /free/**, tier: stable }}
  - {{ path: /audit/**, tier: audit }}
routes: {{ site: "http://127.0.0.1:{site}" }}
"#,
        issuer = provider.issuer(),
        audience = provider.audience(),
        site = upstream.port(),
    )
}

/// A provisioning client.
#[derive(Clone, Copy)]
struct Client {
    address: SocketAddr,
}

impl Client {
    fn through(proxy: &RunningGateway) -> Self {
        Self { address: proxy.address() }
    }

    fn send(&self, method: &str, path: &str, further: &[(&str, &str)], body: &Value) -> Result<RawResponse> {
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("Host", HOST), ("Authorization", bearer.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() {
            headers.push(("Content-Type", "application/scim+json"));
        }
        headers.extend_from_slice(further);
        request_with_body(self.address, method, &format!("/scim/v2{path}"), &headers, body.as_bytes())
    }

    /// Sends it and wants this status; the answer, `null` where it has no body.
    fn want(&self, status: u16, method: &str, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(method, path, &[], body)?;
        ensure!(answer.status == status, "{method} {path}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// A user with this subject; the id.
    fn create(&self, subject: &str) -> Result<String> {
        let user = json!({ "userName": format!("{subject}@example.com"), "externalId": subject });
        id(&self.want(201, "POST", "/Users", &user)?)
    }
}

fn id(resource: &Value) -> Result<String> {
    Ok(resource["id"].as_str().context("there is no id")?.to_owned())
}

fn patch(operations: &Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}
