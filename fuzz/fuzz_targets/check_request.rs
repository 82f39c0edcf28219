//! The very server that Envoy calls, given any message: it answers in band, and
//! without a key nothing but the public prefix is ever allowed.

#![no_main]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use http_body_util::{BodyExt as _, Full};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use serde_json::json;
use tiergate::check::{
    CheckService, Checker, DecisionLog, DecisionRecord, HeaderProfile, IdentityHeaders, KeyRefresh, Ports, Snapshot,
    TokenCache,
};
use tiergate::grpc::GrpcServer;
use tiergate::policy::Policy;
use tiergate::policy::document::PolicyDocument;
use tiergate::token::{Issuers, KeySet, KeySource};
use tiergate::types::{CanonicalPath, Clock, Monotonic, ProviderId, Random, Tasks, UnixTime};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

/// No keys, a clock that stands, nothing random.
struct World;

impl KeySource for World {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        None
    }
}

impl KeyRefresh for World {
    fn refresh<'a>(&'a self, _: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

impl Clock for World {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(1_800_000_000)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

impl Random for World {
    fn fill(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

impl Tasks for World {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

impl DecisionLog for World {
    fn record(&self, record: &DecisionRecord, _: Duration) {
        assert_ne!(record.cause, Some("panic"));
    }
}

/// For the time limit of a message; nothing here waits.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static SERVICE: LazyLock<CheckService> = LazyLock::new(|| {
    let document = PolicyDocument {
        tiers: serde_json::from_value(json!({
            "public": { "grant": "anyone" },
            "stable": { "grant": "authenticated" },
            "devel": { "grant": { "scopes": ["access:devel"] }, "includes": ["stable"] }
        }))
        .expect("tiers"),
        rules: serde_json::from_value(json!([
            { "path": "/public/**", "tier": "public", "token_from": ["header", "query", "websocket_protocol"] },
            { "path": "/apps/{tier}/**", "tier": "{tier}", "encoded": ["slash", "percent", "question", "hash"] },
            { "path": "/ws/**", "tier": "devel", "token_from": ["header", "query", "websocket_protocol"] }
        ]))
        .expect("rules"),
    };
    let snapshot = Snapshot {
        policy: Arc::new(Policy::compile(&document, &[]).expect("policy")),
        catalogue: Arc::default(),
        earlier: Vec::new(),
        issuers: Issuers::default(),
        identity: IdentityHeaders::new(&[HeaderProfile::XAuth], &[], &[]),
        errors: None,
        assertion: None,
        base_path: "/_auth".to_owned(),
        login: None,
        ui: Arc::default(),
        show_locked: false,
    };
    let world = Arc::new(World);
    let ports = Ports {
        keys: world.clone(),
        refresh: world.clone(),
        clock: world.clone(),
        random: world.clone(),
        tasks: world.clone(),
        sessions: None,
        directory: None,
        access_tokens: false,
        opaque_tokens: None,
    };
    let checker = Checker::new(snapshot, TokenCache::new(10), ports);
    CheckService::new(Arc::new(checker), world.clone(), world)
});

fuzz_target!(|message: &[u8]| {
    let CheckResponse { status, http_response, dynamic_metadata: _ } = ask(message);
    match (status.expect("a status").code, http_response.expect("an answer")) {
        (0, HttpResponse::OkResponse(_)) => {
            let request = CheckRequest::decode(message).expect("an allow for what is no message");
            let path = request.attributes.and_then(|attributes| attributes.request?.http).expect("a request").path;
            let path = CanonicalPath::parse(path.as_bytes()).expect("an allow for an ambiguous path");
            let (path, prefix) = (path.as_str(), "/public");
            let is_public = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // A segment of /apps/{tier}/ may name the public tier too.
            let is_public_app =
                path.strip_prefix("/apps/public").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            assert!(is_public || is_public_app, "an allow for `{path}`");
        }
        (7 | 16, HttpResponse::DeniedResponse(denied)) => {
            assert!((400..600).contains(&denied.status.expect("an HTTP status").code));
        }
        (code, answer) => panic!("{code} with {answer:?}"),
    }
});

/// Frames the message, calls the server and reads the one message it answers.
fn ask(message: &[u8]) -> CheckResponse {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("a small message"));
    body.put_slice(message);
    let request = http::Request::post("/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .body(Full::new(body.freeze()))
        .expect("a request");
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = GrpcServer::new(SERVICE.clone(), health);
    let collected: Bytes = RUNTIME.block_on(async {
        let response = server.call(request).await.expect("an answer");
        response.into_body().collect().await.expect("a whole answer").to_bytes()
    });
    let answer = collected.get(5..).expect("a framed message, not a gRPC error");
    CheckResponse::decode(answer).expect("a response")
}
