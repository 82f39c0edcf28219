//! Whole checks: in process, and from the bytes of a protocol to its bytes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer as EnvoyPeer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tiergate::check::Answer;
use tiergate::grpc::GrpcServer;
use tiergate::http::{Aliases, HttpServer, Peer};
use tiergate::session::SESSION_COOKIE;
use tiergate::types::{Protocol, RequestView};
use tokio::runtime::{Builder, Runtime};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service as _;

use super::{Case, Operation};
use crate::stage::{Stage, at_once};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const TARGET: &str = "/apps/devel/hazard/";
const HOST: &str = "localhost:8080";
/// What a browser sends besides its credentials.
const CLIENT: [(&str, &str); 6] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br"),
    ("x-request-id", "3f9a4e0a-5a8e-4f0e-9a37-1d0f0c9b7e55"),
    ("x-forwarded-proto", "http"),
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A token that was seen before.
    Bearer,
    /// Nobody; the rule wants somebody.
    Anonymous,
    /// Somebody who is signed in with a browser.
    Session,
}

impl Caller {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Anonymous => "anonymous",
            Self::Session => "cookie",
        }
    }

    fn stage(self) -> Stage {
        match self {
            Self::Bearer | Self::Anonymous => Stage::readme(),
            Self::Session => Stage::with_sign_in(),
        }
    }

    fn headers(self, stage: &Stage) -> Vec<(&'static str, String)> {
        let mut headers: Vec<(&'static str, String)> =
            CLIENT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match self {
            Self::Bearer => headers.push(("authorization", format!("Bearer {}", stage.credentials.token("RS256")))),
            Self::Anonymous => {}
            Self::Session => {
                let (_, _, id) = stage.sessions.as_ref().expect("sessions");
                headers.push(("cookie", format!("theme=dark; {SESSION_COOKIE}={}", id.written().expose())));
            }
        }
        headers
    }

    const fn is_allowed(self) -> bool {
        match self {
            Self::Bearer | Self::Session => true,
            Self::Anonymous => false,
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for caller in [Caller::Bearer, Caller::Anonymous, Caller::Session] {
        cases.push(Case::new("check in process", caller.as_str(), move || in_process(caller)).gated());
    }
    cases.push(Case::new("message decoded by prost", "", decoded));
    cases.push(Case::new("answer encoded by prost", "", encoded));
    for caller in [Caller::Bearer, Caller::Anonymous, Caller::Session] {
        cases.push(Case::new("grpc check", caller.as_str(), move || grpc(caller)).gated());
    }
    for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
        let name = match protocol {
            Protocol::AuthRequest => "http auth-request",
            Protocol::ForwardAuth => "http forward-auth",
            Protocol::Grpc | Protocol::ExtAuthz => "http ext-authz",
        };
        cases.push(Case::new(name, Caller::Bearer.as_str(), move || http_check(protocol, Caller::Bearer)).gated());
    }
    let anonymous = || http_check(Protocol::AuthRequest, Caller::Anonymous);
    cases.push(Case::new("http auth-request", Caller::Anonymous.as_str(), anonymous).gated());
    cases
}

fn in_process(caller: Caller) -> Operation {
    let stage = caller.stage();
    let headers = caller.headers(&stage);
    let check = stage.check;
    Box::new(move || {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let view = RequestView {
            protocol: Protocol::Grpc,
            method: "GET",
            target: TARGET.as_bytes(),
            host: Some(HOST.as_bytes()),
            headers: &headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        let outcome = black_box(at_once(check.answer(black_box(&view))));
        assert_eq!(matches!(outcome.answer, Answer::Allow(_)), caller.is_allowed(), "another decision");
    })
}

/// The message as Envoy's filter makes it.
fn message(caller: Caller, stage: &Stage) -> Vec<u8> {
    let pseudo = [(":authority", HOST), (":method", "GET"), (":path", TARGET), (":scheme", "http")];
    let headers = caller.headers(stage);
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).chain(pseudo);
    let http = HttpRequest {
        id: "13359530607844510314".to_owned(),
        method: "GET".to_owned(),
        path: TARGET.to_owned(),
        host: HOST.to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext {
        source: Some(EnvoyPeer::default()),
        destination: Some(EnvoyPeer::default()),
        request: Some(Request { http: Some(http), time: None }),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

/// A message as gRPC frames it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    frame.freeze()
}

/// For the time limits of the servers; nothing waits for them.
fn clockwork() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

struct Grpc {
    clockwork: Runtime,
    server: GrpcServer<HealthService>,
    message: Bytes,
}

impl Grpc {
    fn new(caller: Caller) -> Self {
        let stage = caller.stage();
        let message = framed(&message(caller, &stage));
        let health = HealthService::from_health_reporter(HealthReporter::new());
        Self { clockwork: clockwork(), server: GrpcServer::new(stage.check, HealthServer::new(health)), message }
    }

    /// The answer's message, without its frame.
    fn ask(&mut self) -> Bytes {
        let _inside = self.clockwork.enter();
        let request = http::Request::post(CHECK)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(self.message.clone()))
            .expect("a request");
        let answer = at_once(self.server.call(request)).expect("an answer");
        at_once(answer.into_body().collect()).expect("a body").to_bytes().slice(5..)
    }
}

fn grpc(caller: Caller) -> Operation {
    let mut grpc = Grpc::new(caller);
    let answer = CheckResponse::decode(grpc.ask()).expect("an answer");
    let code = answer.status.expect("a status").code;
    assert_eq!(code == 0, caller.is_allowed(), "another decision");
    Box::new(move || {
        black_box(grpc.ask());
    })
}

fn decoded() -> Operation {
    let message = Bytes::from(message(Caller::Bearer, &Caller::Bearer.stage()));
    Box::new(move || {
        black_box(CheckRequest::decode(black_box(message.clone())).expect("a message"));
    })
}

fn encoded() -> Operation {
    let answer = CheckResponse::decode(Grpc::new(Caller::Bearer).ask()).expect("an answer");
    Box::new(move || {
        black_box(black_box(&answer).encode_to_vec());
    })
}

fn http_check(protocol: Protocol, caller: Caller) -> Operation {
    let stage = caller.stage();
    let server = HttpServer::new(stage.check.clone(), &stage.config.trusted_proxies, Aliases::default());
    let (path, target): (String, &[(&str, &str)]) = match protocol {
        Protocol::AuthRequest => (
            "/authz/auth-request".to_owned(),
            &[("x-original-method", "GET"), ("x-original-url", "http://localhost:8080/apps/devel/hazard/")],
        ),
        Protocol::ForwardAuth => (
            "/authz/forward-auth".to_owned(),
            &[("x-forwarded-method", "GET"), ("x-forwarded-host", HOST), ("x-forwarded-uri", TARGET)],
        ),
        Protocol::Grpc | Protocol::ExtAuthz => (format!("/authz/ext-authz{TARGET}"), &[]),
    };
    let mut request = http::Request::get(path).header("host", HOST);
    for (name, value) in target {
        request = request.header(*name, *value);
    }
    for (name, value) in caller.headers(&stage) {
        request = request.header(name, value);
    }
    let mut request = request.body(Full::<Bytes>::default()).expect("a request");
    request.extensions_mut().insert(Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let ask = move || {
        let answer = at_once(server.clone().call(request.clone())).expect("an answer");
        (answer.status(), at_once(answer.into_body().collect()).expect("a body").to_bytes())
    };
    let (status, _) = ask();
    assert_eq!(status == 200, caller.is_allowed(), "another decision");
    Box::new(move || {
        black_box(ask());
    })
}
