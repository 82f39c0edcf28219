//! Between Envoy's messages and the check: every wire field is named here, the
//! ignored ones too.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use envoy_types::pb::google::rpc;

use crate::check::{Allow, Answer, CheckOutcome, DecisionRecord, Denial, DenyKind, Response};
use crate::types::{Protocol, RequestView};

/// The key of `context_extensions` by which a route raises its tier.
const ROUTE_TIER: &str = "tiergate.tier";
/// The key of the app that an Envoy route leads to.
const ROUTE_APP: &str = "tiergate.app";

/// gRPC status codes (`google.rpc.Code`).
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// Why a message is no request about which something could be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the check request is malformed: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// The parts of a `CheckRequest` that a decision is made from.
#[derive(Debug)]
pub(super) struct WireRequest {
    id: String,
    method: String,
    path: String,
    host: String,
    route_tier: Option<String>,
    route_app: Option<String>,
    /// Names in lower case.
    headers: Vec<(String, Vec<u8>)>,
}

impl TryFrom<CheckRequest> for WireRequest {
    type Error = Malformed;

    fn try_from(message: CheckRequest) -> Result<Self, Malformed> {
        let CheckRequest { attributes } = message;
        let AttributeContext {
            source: _,
            destination: _,
            request,
            mut context_extensions,
            metadata_context: _,
            route_metadata_context: _,
            tls_session: _,
        } = attributes.ok_or(Malformed("no_attributes"))?;
        let Request { time: _, http } = request.ok_or(Malformed("no_request"))?;
        let HttpRequest {
            id,
            method,
            headers,
            header_map,
            path,
            host,
            scheme: _,
            query: _,
            fragment: _,
            size: _,
            protocol: _,
            body: _,
            raw_body: _,
        } = http.ok_or(Malformed("no_http_request"))?;
        let request = Self {
            id,
            method,
            path,
            host,
            route_tier: context_extensions.remove(ROUTE_TIER),
            route_app: context_extensions.remove(ROUTE_APP),
            headers: all_headers(headers, header_map),
        };
        request.check_pseudo_headers()?;
        Ok(request)
    }
}

impl WireRequest {
    /// The headers as the check reads them; for [`Self::view`].
    pub(super) fn headers(&self) -> Vec<(&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }

    /// The request as the check reads it.
    pub(super) fn view<'a>(&'a self, headers: &'a [(&'a str, &'a [u8])]) -> RequestView<'a> {
        RequestView {
            protocol: Protocol::Grpc,
            method: &self.method,
            target: self.path.as_bytes(),
            host: (!self.host.is_empty()).then_some(self.host.as_bytes()),
            headers,
            route_tier: self.route_tier.as_deref(),
            route_app: self.route_app.as_deref(),
            request_id: self.request_id(),
        }
    }

    /// The id that the proxy's own log and the upstream know; Envoy's `id` is
    /// that of the stream.
    fn request_id(&self) -> Option<&str> {
        let header = self.headers.iter().find(|(name, _)| name == "x-request-id");
        let header = header.and_then(|(_, value)| std::str::from_utf8(value).ok());
        header.or((!self.id.is_empty()).then_some(self.id.as_str()))
    }

    /// Pseudo-headers say the same as the fields, or somebody reads another request.
    fn check_pseudo_headers(&self) -> Result<(), Malformed> {
        let differs = |name: &str, field: &str| {
            self.headers.iter().any(|(held, value)| held == name && !value.eq_ignore_ascii_case(field.as_bytes()))
        };
        let path_differs = self.headers.iter().any(|(name, value)| name == ":path" && *value != self.path.as_bytes());
        if path_differs {
            return Err(Malformed("path_differs"));
        }
        if differs(":method", &self.method) {
            return Err(Malformed("method_differs"));
        }
        if differs(":authority", &self.host) || differs("host", &self.host) {
            return Err(Malformed("authority_differs"));
        }
        Ok(())
    }
}

fn all_headers(joined: HashMap<String, String>, raw: Option<HeaderMap>) -> Vec<(String, Vec<u8>)> {
    let raw = raw.map(|HeaderMap { headers }| headers).filter(|headers| !headers.is_empty());
    let mut all: Vec<(String, Vec<u8>)> = match raw {
        Some(headers) => headers
            .into_iter()
            .map(|HeaderValue { key, value, raw_value }| {
                (key, if raw_value.is_empty() { value.into_bytes() } else { raw_value })
            })
            .collect(),
        None => joined.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
    };
    for (name, _) in &mut all {
        name.make_ascii_lowercase();
    }
    all
}

/// The only maker of responses: each has a status and an HTTP response.
pub(super) fn response(outcome: CheckOutcome) -> CheckResponse {
    let CheckOutcome { answer, record } = outcome;
    match answer {
        Answer::Allow(allow) => allowed(*allow, &record),
        Answer::Deny(denial) => denied(*denial, &record),
        Answer::Respond(response) => responded(*response, &record),
    }
}

/// The refusal for a request whose answer could not even be written.
pub(super) fn unavailable() -> CheckResponse {
    let http_status = DenyKind::Unavailable.http_status(Protocol::Grpc);
    let response = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(http_status) }),
        headers: vec![overwrite("cache-control", "no-store".to_owned())],
        body: String::new(),
    };
    CheckResponse {
        status: Some(status(PERMISSION_DENIED)),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(response)),
    }
}

fn allowed(allow: Allow, record: &DecisionRecord) -> CheckResponse {
    let mut headers_to_remove: Vec<String> = allow.removed().map(str::to_owned).collect();
    let mut set = Vec::new();
    // Envoy removes after it sets: a name is in one of the two lists only.
    allow.each_header(|name, value| {
        if value.is_empty() {
            headers_to_remove.push(name.to_owned());
        } else {
            set.push(overwrite(name, value.to_owned()));
        }
    });
    let Allow {
        query: _,
        query_cut,
        websocket_protocol,
        websocket_protocol_cut,
        cookie,
        cookie_cut,
        set_cookies,
        cors_origin,
        ..
    } = allow;
    if websocket_protocol_cut {
        if websocket_protocol.is_empty() {
            headers_to_remove.push("sec-websocket-protocol".to_owned());
        } else {
            set.push(overwrite("sec-websocket-protocol", websocket_protocol));
        }
    }
    if cookie_cut {
        if cookie.is_empty() {
            headers_to_remove.push("cookie".to_owned());
        } else {
            set.push(overwrite("cookie", cookie));
        }
    }
    let mut response_headers = cors_headers(cors_origin);
    if !set_cookies.is_empty() {
        // The app's own answer may be cacheable; with somebody's session on it, it is not.
        response_headers.push(overwrite("cache-control", "no-store".to_owned()));
    }
    response_headers.extend(set_cookies.iter().map(|cookie| append("set-cookie", cookie.header_value())));
    let response = OkHttpResponse {
        headers: set,
        headers_to_remove,
        #[expect(deprecated, reason = "the field exists on the wire; the one of `CheckResponse` is used")]
        dynamic_metadata: None,
        response_headers_to_add: response_headers,
        query_parameters_to_set: Vec::new(),
        query_parameters_to_remove: query_cut,
    };
    CheckResponse {
        status: Some(status(OK)),
        dynamic_metadata: Some(metadata(record)),
        http_response: Some(HttpResponse::OkResponse(response)),
    }
}

fn denied(denial: Denial, record: &DecisionRecord) -> CheckResponse {
    let http_status = denial.http_status(Protocol::Grpc);
    let code = match denial.kind {
        DenyKind::Unauthenticated => UNAUTHENTICATED,
        DenyKind::Forbidden | DenyKind::BadTarget | DenyKind::Unavailable | DenyKind::Overloaded => PERMISSION_DENIED,
    };
    // Of several `set-cookie` Envoy sends each; they take the place of none but its own.
    let headers = denial.headers(Protocol::Grpc).into_iter().map(|(name, value)| overwrite(name, value)).collect();
    let response = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(http_status) }),
        headers,
        body: denial.body.text,
    };
    CheckResponse {
        status: Some(status(code)),
        dynamic_metadata: Some(metadata(record)),
        http_response: Some(HttpResponse::DeniedResponse(response)),
    }
}

/// An answer of the service itself goes to the client the way a refusal does.
fn responded(response: Response, record: &DecisionRecord) -> CheckResponse {
    let Response { status: http_status, headers, body, otherwise: _ } = response;
    let response = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(http_status) }),
        headers: headers.into_iter().map(|(name, value)| overwrite(name, value)).collect(),
        body,
    };
    CheckResponse {
        status: Some(status(PERMISSION_DENIED)),
        dynamic_metadata: Some(metadata(record)),
        http_response: Some(HttpResponse::DeniedResponse(response)),
    }
}

fn cors_headers(origin: Option<String>) -> Vec<HeaderValueOption> {
    let Some(origin) = origin else { return Vec::new() };
    vec![overwrite("access-control-allow-origin", origin), overwrite("vary", "Origin".to_owned())]
}

/// A header beside those of the same name that the upstream sets. Only for the
/// answer of an upstream: Envoy drops it from a refusal.
fn append(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        #[expect(deprecated, reason = "older Envoys read only this field")]
        append: Some(envoy_types::pb::google::protobuf::BoolValue { value: true }),
        append_action: HeaderAppendAction::AppendIfExistsOrAdd.into(),
        ..overwrite(name, value)
    }
}

/// A header that takes the place of whatever was there. Older Envoys read
/// `append`, newer ones `append_action`; the default of both is to append.
fn overwrite(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() }),
        #[expect(deprecated, reason = "older Envoys read only this field")]
        append: Some(envoy_types::pb::google::protobuf::BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        keep_empty_value: false,
    }
}

fn status(code: i32) -> rpc::Status {
    rpc::Status { code, message: String::new(), details: Vec::new() }
}

fn metadata(record: &DecisionRecord) -> Struct {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let tiers = record.tiers().map(text).collect();
    let fields = [
        ("subject", text(record.subject().unwrap_or_default())),
        ("tier", text(record.tier().unwrap_or_default())),
        ("tiers", Value { kind: Some(Kind::ListValue(ListValue { values: tiers })) }),
        ("rule", text(record.rule().unwrap_or_default())),
        ("decision_id", text(record.decision_id.digits().as_str())),
    ];
    Struct { fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}
