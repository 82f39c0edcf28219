//! The running service with the corpus' config, shared by the cases.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiergate::backend::sql_directory::{SqlAddress, SqlDirectory};
use tiergate::backend::system::SystemRandom;
use tiergate::directory::{Actor, ChangeRequest, UserChange, UserDirectory as _, UserId, UserKey, UserRef};
use tiergate::types::{ProviderId, UnixTime};
use tiergate_testbed::provider::{WEB_CLIENT, WEB_CLIENT_SECRET, base64url, now};
use tiergate_testbed::{Key, Provider, Tiergate, TiergateBuilder, TokenSpec};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::headers::SUBJECT;
use super::raw_codec::RawCodec;
use crate::browser;

/// The issuer of the corpus; its keys come from the development provider.
pub(super) const ISSUER: &str = "https://idp.example.com/realms/main";
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// How long a line of the log or a metric may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
public_url: https://portal.example.com
trusted_proxies: @TRUSTED@
identity_providers:
  - id: main
    issuer: https://idp.example.com/realms/main
    audience: [portal]
    token_types: [at+jwt]
    leeway: 60s
    jwks: { uri: "@JWKS@" }
    login: { client_id: portal-web }
  - id: b
    issuer: https://idp.example.com/realms/b
    audience: [portal]
    jwks: { file: b.json }
tiers: # independent: none includes another
  public: { grant: anyone }
  stable: { grant: authenticated }
  ea:     { grant: { scopes: [ea] } }
  devel:  { grant: { scopes: [devel] } }
  admin:  { grant: { scopes: [admin] } }
rules:
  - { host: portal.example.com, path: /apps/admin/**,  tier: admin }
  - { host: portal.example.com, path: /apps/devel/**,  tier: devel }
  - { host: portal.example.com, path: /apps/ea/**,     tier: ea }
  - { host: portal.example.com, path: /apps/stable/**, tier: stable }
  - { host: portal.example.com, path: /public/**,      tier: public }
  - { host: portal.example.com, path: /cors/**,        tier: devel, cors: { origins: ["https://portal.example.com"] } }
  - { host: portal.example.com, path: /mail/**,        require: { email_domains: [example.com] } }
identity_headers:
  strip: [X-Forwarded-User, X-WebAuth-User, X-Forwarded-Email, X-Forwarded-Access-Token, X-MS-Client-Principal,
          Cf-Access-Jwt-Assertion, X-Original-User, SSL-CLIENT-S-DN, X-Client-Cert, X-Envoy-Peer-Metadata]
sessions: { store: memory }
log: { level: warn }
"#;

/// A config whose provider really signs people in, which it does for addresses
/// on this machine.
const BROWSER_CONFIG: &str = r#"
public_url: http://localhost:8080
trusted_proxies: [127.0.0.1/32]
identity_providers:
  - id: main
    issuer: "@ISSUER@"
    audience: ["@AUDIENCE@"]
    login: { client_id: @CLIENT@, client_secret: @SECRET@, extra_params: { audience: "@AUDIENCE@" } }
tiers:
  public: { grant: anyone }
  devel:  { grant: { scopes: ["access:devel"] } }
rules:
  - { host: portal.example.com, path: /apps/devel/**, tier: devel }
  - { host: portal.example.com, path: /public/**,     tier: public }
sessions: { store: memory }
"#;

/// One running service and a connection to its gRPC side.
pub(super) struct Service {
    pub(super) tiergate: Tiergate,
    pub(super) grpc: GrpcConnection,
}

impl Service {
    pub(super) fn start(builder: &TiergateBuilder) -> Self {
        let tiergate = builder.start().expect("the service starts");
        let grpc = GrpcConnection::open(tiergate.grpc());
        Self { tiergate, grpc }
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.tiergate.http()
    }

    /// The decision lines by request id, once those of `ids` are all written.
    pub(super) fn decisions(&self, ids: &[String]) -> HashMap<String, Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.tiergate.log_lines().into_iter();
            let lines: HashMap<String, Value> =
                lines.filter_map(|line| Some((line.get("request_id")?.as_str()?.to_owned(), line))).collect();
            let missing = ids.iter().filter(|id| !lines.contains_key(*id)).count();
            if missing == 0 {
                return lines;
            }
            assert!(Instant::now() < deadline, "{missing} of {} decisions were not logged", ids.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A gRPC connection for the threads of a test; the bytes of a message are the
/// caller's affair.
pub(super) struct GrpcConnection {
    runtime: Mutex<tokio::runtime::Runtime>,
    channel: Channel,
}

impl GrpcConnection {
    pub(super) fn open(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an endpoint");
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Self { runtime: Mutex::new(runtime), channel }
    }

    /// `Check` with these bytes as its message.
    pub(super) fn check(&self, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.call(CHECK, message)
    }

    /// Any method with these bytes as its message.
    pub(super) fn call(&self, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(unary(self.channel.clone(), path, message))
    }

    /// `Check` with each of these messages, all of them at once.
    pub(super) fn check_all(&self, messages: Vec<Vec<u8>>) -> Vec<Result<Vec<u8>, Status>> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = messages.into_iter().map(|message| unary(self.channel.clone(), CHECK, message));
        runtime.block_on(futures_util::future::join_all(calls))
    }
}

async fn unary(channel: Channel, path: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(path);
    Ok(client.unary(Request::new(message), path, RawCodec).await?.into_inner())
}

/// The provider behind issuer `main`, publishing the corpus' key set.
pub(super) fn provider() -> &'static Provider {
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let provider = Provider::start_with(0, "portal").expect("the provider starts");
        provider.publish_jwks(&key_set(&provider));
        provider
    })
}

/// The key set that the corpus describes.
fn key_set(provider: &Provider) -> Value {
    let jwk = |key: Key| provider.jwk(&key).expect("a jwk");
    let with = |jwk: &Value, kid: &str, more: Value| {
        let mut jwk = jwk.clone();
        jwk["kid"] = json!(kid);
        jwk.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        jwk
    };
    let k1 = jwk(Key::Rsa);
    let mut plain = k1.clone();
    for name in ["alg", "use"] {
        plain.as_object_mut().expect("an object").remove(name);
    }
    json!({ "keys": [
        k1,
        with(&plain, "k1-noalg", json!({})),
        jwk(Key::P256),
        jwk(Key::Ed25519),
        with(&plain, "enc1", json!({ "use": "enc" })),
        with(&plain, "ops1", json!({ "key_ops": ["encrypt"] })),
        with(&plain, "dup", json!({})),
        with(&jwk(Key::ForeignRsa), "dup", json!({})),
        with(&plain, "rsa1024", json!({ "n": base64url([0xC1; 128]) })),
        with(&plain, "rsae1", json!({ "e": "AQ" })),
        { "kty": "EC", "kid": "badpoint", "crv": "P-256", "x": base64url([7; 32]), "y": base64url([7; 32]) },
    ]})
}

fn start(trusted: &str) -> Service {
    start_with(trusted, "")
}

/// With more lines of config.
fn start_with(trusted: &str, more: &str) -> Service {
    let config = format!("{CONFIG}{more}").replace("@TRUSTED@", trusted).replace("@JWKS@", &provider().jwks_uri());
    let mut b1 = provider().jwk(&Key::ForeignP256).expect("a jwk");
    b1["kid"] = json!("b1");
    let builder = Tiergate::builder(env!("CARGO_BIN_EXE_tiergate"), &config);
    Service::start(&builder.file("b.json", &json!({ "keys": [b1] }).to_string()))
}

/// The service that believes the proxy on this machine.
pub(super) fn service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| start("[127.0.0.1/32]"))
}

/// The same service with a user directory, which says that whatever was issued
/// to the subject of the corpus more than 500 s ago counts no more.
pub(super) fn revoking_service() -> &'static Service {
    static SERVICE: OnceLock<(tempfile::TempDir, Service)> = OnceLock::new();
    let start = || {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("users.db");
        let address = SqlAddress::Sqlite(file.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = SqlDirectory::open(&address).await.expect("a directory");
            for change in [UserChange::SetGroups(["known".to_owned()].into()), UserChange::SignOut] {
                let request = ChangeRequest {
                    target: UserRef::Key(UserKey::new(&ProviderId::new("main"), SUBJECT)),
                    change,
                    actor: Actor::Shell,
                    new_id: UserId::draw(&SystemRandom),
                    expected_version: None,
                    event: None,
                    request_id: None,
                    now: UnixTime::from_secs(now() - 500),
                };
                store.change(request).await.expect("a change");
            }
        });
        let service = start_with("[127.0.0.1/32]", &format!("directory: {{ url: \"sqlite:{}\" }}\n", file.display()));
        (folder, service)
    };
    &SERVICE.get_or_init(start).1
}

/// The same service, to which nobody is a proxy.
pub(super) fn distrusting_service() -> &'static Service {
    static SERVICE: OnceLock<Service> = OnceLock::new();
    SERVICE.get_or_init(|| start("[]"))
}

/// The service where the development provider signs people in, and two sessions
/// of a person that may enter `/apps/devel`, as values of their cookie.
pub(super) fn browser_service() -> &'static (Service, [String; 2]) {
    static SERVICE: OnceLock<(Provider, (Service, [String; 2]))> = OnceLock::new();
    let start = || {
        let provider = Provider::start().expect("the provider starts");
        let config = BROWSER_CONFIG
            .replace("@ISSUER@", provider.issuer())
            .replace("@AUDIENCE@", provider.audience())
            .replace("@CLIENT@", WEB_CLIENT)
            .replace("@SECRET@", WEB_CLIENT_SECRET);
        let service = Service::start(&Tiergate::builder(env!("CARGO_BIN_EXE_tiergate"), &config));
        let sessions = [(); 2].map(|()| {
            let person = browser::sign_in(&provider, service.http().port(), "http://localhost:8080", "devel");
            person.expect("a person signs in").cookie(browser::SESSION).expect("a session").value.clone()
        });
        (provider, (service, sessions))
    };
    &SERVICE.get_or_init(start).1
}

/// The base token of the corpus, at `now`.
pub(super) fn base_token(now: i64) -> TokenSpec {
    TokenSpec::new()
        .issuer(ISSUER)
        .audience("portal")
        .scope("stable devel")
        .claim("client_id", "portal-web")
        .claim("iat", now - 10)
        .claim("nbf", now - 10)
        .claim("exp", now + 300)
}

/// A good token with these scopes.
pub(super) fn token(scopes: &str) -> String {
    provider().mint(&base_token(now()).scope(scopes)).expect("a token")
}
