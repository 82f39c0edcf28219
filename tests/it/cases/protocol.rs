//! `protocol`: how a verdict travels. An answer that a proxy could take for a
//! failure or for an allow is none.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use prost::Message as _;
use tiergate_testbed::{Component, Tiergate, repo_root};

use super::ask::{Answered, Ask, Way, ask, of_check};
use super::corpus::{Failures, corpus, runnable};
use super::jwks::is_answered_within_envoys_deadline;
use super::metrics::labels_are_from_closed_sets;
use super::service::{GrpcConnection, PATIENCE, Service, service, token};
use crate::sessions;

type Check = fn() -> Result<(), String>;

/// The check of a case.
fn check(id: &str) -> Option<Check> {
    Some(match id {
        "G001" | "G005" => every_refusal_is_in_band,
        "G003" => is_answered_within_envoys_deadline,
        "G009" => pseudo_headers_say_the_same,
        "G017" => idle_connections_are_capped,
        "G018" => bytes_that_are_no_request_are_refused_in_band,
        "G019" => nginx_gets_only_statuses_it_knows,
        "G021" => a_location_is_absolute,
        "G022" => an_allow_over_envoys_http_is_200,
        "G026" => the_samples_clear_no_route_cache,
        "G029" => an_empty_list_is_a_config_error,
        "G030" => || told(sessions::a_store_that_is_down_is_told_apart_from_a_session_that_is_over),
        "G031" => || told(sessions::a_record_that_was_changed_is_no_session_and_is_removed),
        "G035" => || told(sessions::two_tabs_refresh_a_session_once),
        "G040" => labels_are_from_closed_sets,
        _ => return None,
    })
}

#[test]
fn a_verdict_reaches_its_proxy_as_a_verdict() {
    let mut failures = Failures::default();
    for case in runnable(&corpus().protocol, |case| &case.id, |case| check(&case.id).is_some(), &mut failures) {
        if let Some(check) = check(&case.id) {
            failures.note(&case.id, check().map_err(|what| format!("{what} ({})", case.desc)));
        }
    }
    failures.report();
}

/// A story of sessions, which panics where it goes wrong.
fn told(story: fn()) -> Result<(), String> {
    story();
    Ok(())
}

/// Sends `Check` these bytes; a gRPC error is none of the answers it may give.
fn check_bytes(grpc: &GrpcConnection, message: Vec<u8>) -> Result<Answered, String> {
    let answer = grpc.check(message).map_err(|status| format!("a gRPC error: {:?}", status.code()))?;
    of_check(CheckResponse::decode(&*answer).map_err(|error| error.to_string())?)
}

fn expect(what: &str, answered: Result<Answered, String>, status: u16) -> Result<(), String> {
    let answered = answered.map_err(|error| format!("{what}: {error}"))?;
    if answered.status == status { Ok(()) } else { Err(format!("{what}: {} in place of {status}", answered.status)) }
}

/// [`of_check`] accepts no answer without a code and a response that fit each
/// other; here is one of each kind.
fn every_refusal_is_in_band() -> Result<(), String> {
    let devel = Ask::get("/apps/devel/x");
    let stable = token("stable");
    let no_host = Ask { host: Vec::new(), ..devel.clone() };
    let no_method = Ask { method: String::new(), ..devel.clone() };
    let refusals = [
        ("nobody", devel.clone(), 401),
        ("a bad token", devel.clone().bearer("x.y.z"), 401),
        ("two tokens", devel.clone().bearer("x.y.z").bearer("x.y.z"), 401),
        ("too little", devel.clone().bearer(&stable), 403),
        ("no rule", Ask::get("/elsewhere"), 403),
        ("a bad target", Ask::get("/apps/../x"), 400),
        ("no target", Ask::get(""), 400),
        ("no method", no_method, 400),
        ("no host", no_host, 400),
        ("a tunnel", Ask { method: "CONNECT".to_owned(), ..devel }, 400),
    ];
    for (what, request, status) in refusals {
        expect(what, check_bytes(&service().grpc, request.check_request().encode_to_vec()), status)?;
    }
    let allow = Ask::get("/public/x").check_request().encode_to_vec();
    expect("an allow", check_bytes(&service().grpc, allow), 200)
}

fn pseudo_headers_say_the_same() -> Result<(), String> {
    for (name, value) in [(":path", "/public/x"), (":method", "POST"), (":authority", "evil.example"), ("host", "x")] {
        let mut request = Ask::get("/apps/devel/x").bearer(&token("devel")).check_request();
        let http = request.attributes.as_mut().and_then(|it| it.request.as_mut()).and_then(|it| it.http.as_mut());
        let headers = &mut http.and_then(|http| http.header_map.as_mut()).ok_or("no headers")?.headers;
        headers.retain(|header| header.key != name);
        headers.push(HeaderValue { key: name.to_owned(), raw_value: value.into(), ..HeaderValue::default() });
        expect(name, check_bytes(&service().grpc, request.encode_to_vec()), 400)?;
    }
    Ok(())
}

/// A message within a message, `depth` times: `ListValue { values: [Value { list_value }] }`
/// in a `Struct` in the metadata of the request.
fn nested(depth: usize) -> Vec<u8> {
    let field = |number: u8, content: Vec<u8>| {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        bytes.extend(content);
        bytes
    };
    let entry = |value: Vec<u8>| field(1, [field(1, b"x".to_vec()), field(2, value)].concat());
    let list = (0..depth).fold(Vec::new(), |inner, _| field(6, field(1, inner)));
    field(1, field(11, entry(entry(list))))
}

fn bytes_that_are_no_request_are_refused_in_band() -> Result<(), String> {
    let grpc = &service().grpc;
    CheckRequest::decode(&*nested(3)).map_err(|error| format!("the nesting is not what it should be: {error}"))?;
    let whole = Ask::get("/public/x").check_request().encode_to_vec();
    let cut = whole.get(..whole.len() / 2).unwrap_or_default().to_vec();
    let messages = [
        ("nothing", Vec::new()),
        ("nested 5 000 deep", nested(5_000)),
        ("garbage", vec![0xFF; 64]),
        ("a group without end", vec![0x0B; 4096]),
        ("a length beyond the end", vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ("half a request", cut),
        ("a megabyte", vec![0x0A; 1 << 20]),
        // More than a gRPC library takes by default.
        ("five megabytes", vec![0x0A; 5 << 20]),
    ];
    for (what, message) in messages {
        expect(what, check_bytes(grpc, message), 400)?;
    }
    expect("a request after all that", check_bytes(grpc, whole), 200)
}

#[test]
fn any_other_grpc_method_is_unimplemented() {
    for path in [
        "/envoy.service.auth.v3.Authorization/check",
        "/envoy.service.auth.v3.Authorization/CheckX",
        "/envoy.service.auth.v2.Authorization/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Checks",
        "/grpc.health.v1.HealthX/Check",
        "//envoy.service.auth.v3.Authorization/Check",
        "/",
    ] {
        let status = service().grpc.call(path, Vec::new()).expect_err(path);
        assert_eq!(status.code(), tonic::Code::Unimplemented, "{path}");
    }
}

/// The statuses are held by [`ask`]; here is what else could make a verdict.
fn nginx_gets_only_statuses_it_knows() -> Result<(), String> {
    let good = token("admin devel ea stable");
    // The HTTP library refuses the other control characters with a 400, as it should; nginx sends none.
    let bytes = [b'\t'].into_iter().chain(b' '..=b'~').chain(0x80..=0xFF);
    let mut seen = std::collections::BTreeSet::new();
    for target in bytes.flat_map(|byte| [vec![byte], [b"/apps/devel/", &[byte][..]].concat()]) {
        for way in [Way::AuthRequestUrl, Way::AuthRequestUri] {
            for request in [Ask::get(target.clone()), Ask::get(target.clone()).bearer(&good)] {
                seen.insert(ask(service(), way, &request).map_err(|what| format!("{target:?}: {what}"))?.status);
            }
        }
    }
    for method in ["", "get", "TRACE", "CONNECT", "G@T", "GET GET", "\t"] {
        let request = Ask { method: method.to_owned(), ..Ask::get("/public/x") };
        let status = ask(service(), Way::AuthRequestUri, &request)?.status;
        if status != 403 {
            return Err(format!("{status} for method {method:?}"));
        }
    }
    if seen.into_iter().eq([200, 401, 403]) { Ok(()) } else { Err("not every verdict was tried".to_owned()) }
}

fn an_allow_over_envoys_http_is_200() -> Result<(), String> {
    let good = token("devel");
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "OPTIONS"] {
        let request = Ask { method: method.to_owned(), ..Ask::get("/apps/devel/x").bearer(&good) };
        expect(method, ask(service(), Way::ExtAuthz, &request), 200)?;
    }
    // Over gRPC a preflight is answered with 204; here that would be a denial.
    let preflight = Ask { method: "OPTIONS".to_owned(), ..Ask::get("/cors/x") }
        .header("origin", "https://portal.example.com")
        .header("access-control-request-method", "GET")
        .header("x-auth-user", "admin");
    for way in [Way::ExtAuthz, Way::ForwardAuth, Way::AuthRequestUri] {
        let answered = ask(service(), way, &preflight)?;
        if answered.status != 200 || answered.values("x-auth-user") != [""] {
            return Err(format!("{way:?}: a preflight gets {}", answered.status));
        }
    }
    Ok(())
}

fn the_samples_clear_no_route_cache() -> Result<(), String> {
    for sample in ["envoy/envoy.yaml", "envoy/envoy-http.yaml"] {
        let text = std::fs::read_to_string(repo_root().join(sample)).map_err(|error| format!("{sample}: {error}"))?;
        let mut settings = text.lines().filter_map(|line| line.trim().strip_prefix("clear_route_cache:")).peekable();
        if settings.peek().is_none() || settings.any(|value| value.trim() != "false") {
            return Err(format!("{sample} does not say `clear_route_cache: false`"));
        }
    }
    Ok(())
}

fn an_empty_list_is_a_config_error() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = dir.path().join("tiergate.yaml");
    for (rule, code) in [("scopes: []", 78), ("require: { any: [] }", 78), ("scopes: [devel]", 0)] {
        let config = format!("tiers: {{ public: {{ grant: anyone }} }}\nrules: [{{ path: /x, {rule} }}]\n");
        std::fs::write(&path, config).map_err(|error| error.to_string())?;
        let command =
            Component::new("tiergate", env!("CARGO_BIN_EXE_tiergate")).args(["config", "check", "-c"]).arg(&path);
        let (status, said) = command.run().map_err(|error| format!("{error:#}"))?;
        if status.code() != Some(code) {
            return Err(format!("`{rule}` ends with {status}: {said}"));
        }
    }
    Ok(())
}

/// Half of the connections find no place. Which of them had one before keeps it.
fn idle_connections_are_capped() -> Result<(), String> {
    const PLACES: usize = 200;
    let config = format!(
        "trusted_proxies: [127.0.0.1/32]\nlimits: {{ max_connections: {PLACES} }}\n\
         tiers: {{ public: {{ grant: anyone }} }}\nrules: [{{ path: /public/**, tier: public }}]\n"
    );
    let capped = Service::start(&Tiergate::builder(env!("CARGO_BIN_EXE_tiergate"), &config));
    let allow = || Ask::get("/public/x").check_request().encode_to_vec();
    expect("before", check_bytes(&capped.grpc, allow()), 200)?;
    for address in [capped.tiergate.grpc(), capped.tiergate.http()] {
        let idle = connect(address, 2 * PLACES)?;
        let deadline = Instant::now() + PATIENCE;
        let refused = loop {
            let refused = idle.iter().filter(|stream| is_closed(stream)).count();
            if refused >= PLACES || Instant::now() > deadline {
                break refused;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        // The connection of this test holds one of the places of gRPC.
        if !(PLACES..=PLACES + 1).contains(&refused) {
            return Err(format!("{refused} of {} connections were refused", idle.len()));
        }
        expect("meanwhile", check_bytes(&capped.grpc, allow()), 200)?;
    }
    // Idle connections that are closed give their places back.
    let deadline = Instant::now() + PATIENCE;
    while let Err(what) = ask(&capped, Way::ForwardAuth, &Ask::get("/public/x")) {
        if Instant::now() > deadline {
            return Err(what);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn connect(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let connect = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..count).map(connect).collect::<std::io::Result<_>>().map_err(|error| format!("cannot connect: {error}"))
}

/// Whether the other side has closed it; what it may have said first is read.
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut said = [0; 256];
    loop {
        match stream.read(&mut said) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Traefik resolves a relative one against the address of the check.
fn a_location_is_absolute() -> Result<(), String> {
    for (method, status) in [("GET", 302), ("POST", 303)] {
        let request =
            Ask { method: method.to_owned(), ..Ask::get("/apps/devel/x") }.header("sec-fetch-mode", "navigate");
        for way in Way::ALL {
            let answered = ask(service(), way, &request).map_err(|error| format!("{way:?}: {error}"))?;
            let location = answered.values("location").concat();
            let expected = if way.is_nginx() { 401 } else { status };
            if answered.status != expected || !location.starts_with("https://portal.example.com/_auth/login?") {
                return Err(format!("{way:?}: {} to `{location}`", answered.status));
            }
        }
    }
    Ok(())
}
