//! The four decision protocols, asked directly as a proxy would ask.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use tiergate_testbed::{RawResponse, Tiergate, raw_request};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// What is asked about.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    AuthRequest,
    ForwardAuth,
    ExtAuthz,
}

impl Wire {
    pub(crate) const ALL: [Self; 4] = [Self::Grpc, Self::AuthRequest, Self::ForwardAuth, Self::ExtAuthz];

    /// Its name in the decision log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::AuthRequest => "auth_request",
            Self::ForwardAuth => "forward_auth",
            Self::ExtAuthz => "ext_authz",
        }
    }
}

/// What a proxy is told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// 200 lets the request pass; in gRPC also for an answer of the service's own that is no refusal.
    pub(crate) status: u16,
    /// For the upstream on an allow, for the client otherwise; empty: removed.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// gRPC alone: the service answers the client itself.
    pub(crate) answered: bool,
}

/// The way to one instance.
pub(crate) struct Asker {
    runtime: Runtime,
    grpc: AuthorizationClient<Channel>,
    http: std::net::SocketAddr,
}

impl Asker {
    pub(crate) fn new(tiergate: &Tiergate) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = format!("http://{}", tiergate.grpc());
        let grpc = runtime.block_on(AuthorizationClient::connect(address)).context("no gRPC connection")?;
        Ok(Self { runtime, grpc, http: tiergate.http() })
    }

    pub(crate) fn ask(&self, wire: Wire, question: &Question) -> Result<Told> {
        let Question { method, target, host, headers } = question;
        match wire {
            Wire::Grpc => {
                let mut client = self.grpc.clone();
                let answer = self.runtime.block_on(client.check(check_request(question)))?;
                told_by_grpc(answer.into_inner())
            }
            Wire::AuthRequest => {
                let url = format!("http://{host}{target}");
                let proxy = [("X-Original-Method", method.as_str()), ("X-Original-URL", &url)];
                self.get("GET", "/authz/auth-request", host, &proxy, headers)
            }
            Wire::ForwardAuth => {
                let proxy = [
                    ("X-Forwarded-Method", method.as_str()),
                    ("X-Forwarded-Proto", "http"),
                    ("X-Forwarded-Host", host),
                    ("X-Forwarded-Uri", target),
                ];
                self.get("GET", "/authz/forward-auth", "127.0.0.1", &proxy, headers)
            }
            Wire::ExtAuthz => self.get(method, &format!("/authz/ext-authz{target}"), host, &[], headers),
        }
    }

    fn get(
        &self,
        method: &str,
        target: &str,
        host: &str,
        proxy: &[(&str, &str)],
        client: &[(String, String)],
    ) -> Result<Told> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        let client = client.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in proxy.iter().copied().chain(client) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let answer = raw_request(self.http, head)?;
        let text = answer.text();
        let RawResponse { status, headers, body: _ } = answer;
        let mut told = BTreeMap::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            ensure!(put(&mut told, name.clone(), value), "`{name}` stands twice in one answer");
        }
        Ok(Told { status, headers: told, body: text, answered: false })
    }
}

/// As Envoy sends it with `encode_raw_headers`.
pub(crate) fn check_request(question: &Question) -> CheckRequest {
    let Question { method, target, host, headers } = question;
    let pseudo = [(":method", method), (":path", target), (":authority", host)];
    let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
    let all = pseudo.chain(headers.iter().cloned()).map(|(name, value)| HeaderValue {
        key: name.to_ascii_lowercase(),
        value: String::new(),
        raw_value: value.into_bytes(),
    });
    let request_id = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-request-id"));
    let http = HttpRequest {
        id: request_id.map(|(_, id)| id.clone()).unwrap_or_default(),
        method: method.clone(),
        header_map: Some(HeaderMap { headers: all.collect() }),
        path: target.clone(),
        host: host.clone(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..HttpRequest::default()
    };
    let request = Request { time: None, http: Some(http) };
    CheckRequest { attributes: Some(AttributeContext { request: Some(request), ..AttributeContext::default() }) }
}

fn told_by_grpc(answer: CheckResponse) -> Result<Told> {
    let code = answer.status.context("an answer without a status is an allow to Envoy")?.code;
    match answer.http_response.context("an answer without an HTTP response")? {
        HttpResponse::OkResponse(ok) => {
            ensure!(code == 0, "an OK response with status {code}");
            for option in &ok.response_headers_to_add {
                let name = option.header.as_ref().context("a header option without a header")?.key.as_str();
                let appends = option.append_action == i32::from(HeaderAppendAction::AppendIfExistsOrAdd);
                ensure!(appends == (name == "set-cookie"), "`{name}` stands beside the upstream's or not");
            }
            let mut headers = overwriting(ok.headers)?;
            for name in ok.headers_to_remove {
                ensure!(!headers.contains_key(&name), "`{name}` is set and removed");
                headers.insert(name, String::new());
            }
            Ok(Told { status: 200, headers, body: String::new(), answered: false })
        }
        HttpResponse::DeniedResponse(denied) => {
            ensure!(code != 0, "a denied response with status OK");
            let status = u16::try_from(denied.status.context("a denial without a status")?.code)?;
            Ok(Told { status, headers: overwriting(denied.headers)?, body: denied.body, answered: status < 300 })
        }
        HttpResponse::ErrorResponse(_) => bail!("an error response is what failure_mode_allow lets pass"),
    }
}

/// The headers by name; each must take the place of whatever was there.
fn overwriting(options: Vec<HeaderValueOption>) -> Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    for option in options {
        let header = option.header.context("a header option without a header")?;
        let name = header.key;
        ensure!(option.append_action == i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd), "`{name}` may append");
        #[expect(deprecated, reason = "older Envoys read only this field")]
        let append = option.append.map(|append| append.value);
        ensure!(append == Some(false), "`{name}` may append in older Envoys");
        ensure!(name == name.to_ascii_lowercase(), "`{name}` is not in lower case");
        ensure!(put(&mut headers, name.clone(), header.value), "`{name}` is set twice");
    }
    Ok(headers)
}

/// Whether it may stand there: only cookies may stand more than once.
fn put(headers: &mut BTreeMap<String, String>, name: String, value: String) -> bool {
    let cookie = name == "set-cookie";
    let before = headers.get(&name).filter(|_| cookie).map(|before| format!("{before}\n{value}"));
    headers.insert(name, before.unwrap_or(value)).is_none() || cookie
}
