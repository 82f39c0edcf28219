//! One question, asked over any of the protocols; and what must hold of every
//! answer whatever the question was.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use prost::Message as _;
use tiergate_testbed::raw_http::{RawResponse, raw_request};

use super::service::Service;

/// Every header that the service manages in the corpus' config, and those it
/// carries answers to a proxy in.
pub(super) const MANAGED: [&str; 13] = [
    "x-auth-user",
    "x-auth-email",
    "x-auth-name",
    "x-auth-tier",
    "x-auth-tiers",
    "x-auth-scopes",
    "x-auth-groups",
    "x-auth-issuer",
    "x-auth-request-id",
    "x-auth-assertion",
    "x-auth-cookie",
    "x-auth-query",
    "x-auth-websocket-protocol",
];

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Envoy's gRPC `Check`.
    Grpc,
    /// nginx with the absolute `X-Original-URL`.
    AuthRequestUrl,
    /// nginx with `X-Original-URI` and `X-Forwarded-Host`.
    AuthRequestUri,
    /// Traefik, Caddy, HAProxy.
    ForwardAuth,
    /// Envoy's HTTP service.
    ExtAuthz,
}

impl Way {
    pub(super) const ALL: [Self; 5] =
        [Self::Grpc, Self::AuthRequestUrl, Self::AuthRequestUri, Self::ForwardAuth, Self::ExtAuthz];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::AuthRequestUrl => "auth-request-url",
            Self::AuthRequestUri => "auth-request-uri",
            Self::ForwardAuth => "forward-auth",
            Self::ExtAuthz => "ext-authz",
        }
    }

    /// Whether nginx asks, which knows only some statuses.
    pub(super) const fn is_nginx(self) -> bool {
        matches!(self, Self::AuthRequestUrl | Self::AuthRequestUri)
    }

    /// The status for a target that is refused.
    pub(super) const fn bad_target(self) -> u16 {
        if self.is_nginx() { 403 } else { 400 }
    }
}

/// The request that a proxy asks about.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) host: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// Whether the proxy says at all which request it asks about.
    pub(super) says_target: bool,
}

impl Ask {
    /// A GET by an API client for a target on the corpus' host.
    pub(super) fn get(target: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.into(),
            host: b"portal.example.com".to_vec(),
            headers: vec![("accept".to_owned(), b"application/json".to_vec())],
            body: Vec::new(),
            says_target: true,
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// As Envoy sends it: pseudo-headers among the headers, names in lower case.
    pub(super) fn check_request(&self) -> CheckRequest {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pseudo = [(":method", self.method.as_bytes()), (":path", &self.target), (":authority", &self.host)];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
        let headers = pseudo
            .chain(self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())))
            .map(|(key, raw_value)| HeaderValue { key, value: String::new(), raw_value })
            .collect();
        let http = HttpRequest {
            method: self.method.clone(),
            path: text(&self.target),
            host: text(&self.host),
            scheme: "https".to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            body: text(&self.body),
            headers: HashMap::new(),
            header_map: Some(HeaderMap { headers }),
            ..HttpRequest::default()
        };
        let request = Request { time: None, http: Some(http) };
        let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
        CheckRequest { attributes: Some(attributes) }
    }

    /// The bytes of the HTTP request that a proxy makes of it.
    fn http_request(&self, way: Way) -> Vec<u8> {
        let mut told: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut start = b"GET ".to_vec();
        let method = self.method.as_bytes().to_vec();
        match way {
            Way::Grpc => panic!("gRPC is not asked over HTTP"),
            Way::AuthRequestUrl => {
                start.extend_from_slice(b"/authz/auth-request");
                told.push(("X-Original-Method", method));
                told.push(("X-Original-URL", [b"https://", &*self.host, &*self.target].concat()));
            }
            Way::AuthRequestUri => {
                start.extend_from_slice(b"/authz/auth-request");
                told.push(("X-Original-Method", method));
                told.push(("X-Original-URI", self.target.clone()));
                told.push(("X-Forwarded-Host", self.host.clone()));
                told.push(("X-Forwarded-Proto", b"https".to_vec()));
            }
            Way::ForwardAuth => {
                start.extend_from_slice(b"/authz/forward-auth");
                told.push(("X-Forwarded-Method", method));
                told.push(("X-Forwarded-Uri", self.target.clone()));
                told.push(("X-Forwarded-Host", self.host.clone()));
                told.push(("X-Forwarded-Proto", b"https".to_vec()));
                told.push(("X-Forwarded-For", b"203.0.113.7".to_vec()));
            }
            Way::ExtAuthz => {
                start = [&*method, b" /authz/ext-authz", &*self.target].concat();
            }
        }
        let host = if way == Way::ExtAuthz { self.host.clone() } else { b"tiergate.internal".to_vec() };
        let mut lines: Vec<(&str, Vec<u8>)> = vec![("Host", host)];
        let own = |name: &str| self.headers.iter().any(|(held, _)| held.eq_ignore_ascii_case(name));
        if !own("connection") {
            lines.push(("Connection", b"close".to_vec()));
        }
        if !self.body.is_empty() {
            lines.push(("Content-Length", self.body.len().to_string().into_bytes()));
        }
        lines.extend(told.into_iter().filter(|(name, _)| self.says_target && !own(name)));
        lines.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));

        let mut bytes = start;
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in lines {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", &*value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer in one form for all protocols.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    /// 200 for an allow, else the status of the refusal.
    pub(super) status: u16,
    /// Names in lower case: what goes to the upstream on an allow (over HTTP
    /// among the other headers of the answer), else the refusal's own headers.
    pub(super) headers: Vec<(String, String)>,
    /// What gRPC tells Envoy to take away.
    pub(super) removed: Vec<String>,
    pub(super) body: String,
    /// By which the decision line is found; `None` where the HTTP library
    /// refused bytes that are no request, so that there was nothing to decide.
    pub(super) request_id: Option<String>,
}

impl Answered {
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(held, _)| held == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Asks, and checks what holds of every answer.
pub(super) fn ask(service: &Service, way: Way, ask: &Ask) -> Result<Answered, String> {
    let answered = if way == Way::Grpc {
        let bytes = service.grpc.check(ask.check_request().encode_to_vec()).map_err(|status| {
            format!("a gRPC error, which Envoy may take for an allow: {:?} {}", status.code(), status.message())
        })?;
        of_check(CheckResponse::decode(&*bytes).map_err(|error| error.to_string())?)?
    } else {
        of_http(raw_request(service.http(), ask.http_request(way)).map_err(|error| format!("{error:#}"))?)
    };
    hold_invariants(way, &answered)?;
    Ok(answered)
}

/// Every verdict is one: G001, G005.
pub(super) fn of_check(response: CheckResponse) -> Result<Answered, String> {
    let code = response.status.as_ref().map(|status| status.code);
    let answered = match (code, response.http_response) {
        (Some(0), Some(HttpResponse::OkResponse(ok))) => Answered {
            status: 200,
            headers: overwriting(&ok.headers)?,
            removed: ok.headers_to_remove,
            body: String::new(),
            request_id: None,
        },
        (Some(7 | 16), Some(HttpResponse::DeniedResponse(denied))) => Answered {
            status: denied
                .status
                .and_then(|status| u16::try_from(status.code).ok())
                .ok_or("a refusal without status")?,
            headers: overwriting(&denied.headers)?,
            removed: Vec::new(),
            body: denied.body,
            request_id: None,
        },
        (code, response) => return Err(format!("code {code:?} with {response:?}")),
    };
    Ok(with_request_id(answered))
}

/// The headers of a gRPC answer, each of which takes the place of what was there.
fn overwriting(options: &[HeaderValueOption]) -> Result<Vec<(String, String)>, String> {
    let read = |option: &HeaderValueOption| {
        let header = option.header.as_ref().ok_or("an option without header")?;
        #[expect(deprecated, reason = "older Envoys read only this field")]
        let append = option.append.as_ref().map(|append| append.value);
        if append != Some(false) || option.append_action() != HeaderAppendAction::OverwriteIfExistsOrAdd {
            return Err(format!("`{}` would be appended to what the client sent", header.key));
        }
        Ok((header.key.clone(), header.value.clone()))
    };
    options.iter().map(read).collect()
}

fn of_http(response: RawResponse) -> Answered {
    let body = response.text();
    let headers = response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    with_request_id(Answered { status: response.status, headers, removed: Vec::new(), body, request_id: None })
}

fn with_request_id(mut answered: Answered) -> Answered {
    let body: Option<serde_json::Value> = serde_json::from_str(&answered.body).ok();
    let in_body = body.as_ref().and_then(|body| body.get("request_id")?.as_str());
    let id = in_body.or_else(|| answered.values("x-auth-request-id").first().copied());
    answered.request_id = id.filter(|id| !id.is_empty()).map(str::to_owned);
    answered
}

fn hold_invariants(way: Way, answered: &Answered) -> Result<(), String> {
    let Answered { status, headers, removed, .. } = answered;
    let known: &[u16] = match way {
        Way::Grpc | Way::ForwardAuth => &[200, 302, 303, 400, 401, 403, 503],
        // nginx makes 500 of the rest (G019; the 503 is the contract's); Envoy reads a 5xx as a failure of the filter (G022).
        Way::AuthRequestUrl | Way::AuthRequestUri => &[200, 401, 403, 503],
        Way::ExtAuthz => &[200, 302, 303, 400, 401, 403],
    };
    if !known.contains(status) {
        return Err(format!("status {status} means nothing to this proxy"));
    }
    if *status != 200 {
        let refused_by_http_library = answered.request_id.is_none() && answered.body.is_empty();
        let kept = answered.values("cache-control") != ["no-store"];
        return if kept && !refused_by_http_library {
            Err(format!("refused, and may be kept: {headers:?}"))
        } else {
            Ok(())
        };
    }
    // Envoy removes after it sets (H007).
    if let Some((name, _)) = headers.iter().find(|(name, _)| removed.contains(name)) {
        return Err(format!("`{name}` is set and removed"));
    }
    for name in MANAGED {
        let (set, gone) = (answered.values(name).len(), removed.iter().filter(|held| *held == name).count());
        let whole = if way == Way::Grpc { set + gone == 1 } else { set == 1 };
        if !whole {
            return Err(format!("allowed, with `{name}` set {set} times and removed {gone} times"));
        }
    }
    Ok(())
}
