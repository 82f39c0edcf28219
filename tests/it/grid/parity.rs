//! The same request asked in all four protocols is decided alike, and no allow
//! leaves a managed header as the client sent it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use tiergate_testbed::{Key, Provider, Tiergate, TokenSpec};

use super::stage::{BINARY, PUBLIC_URL, config_with_login};
use super::wire::{Asker, Question, Told, Wire};
use crate::browser;

const QUESTIONS: usize = 600;

const RULES: &str = r#"
assertion: { audience: upstreams }
identity_headers: { claims: { X-Auth-Plan: /plan }, strip: [X-Envoy-Peer-Metadata] }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /apps/devel/chat/**, tier: devel, token_from: [header, query, websocket_protocol] }
  - { path: /public/**, tier: public }
  - { path: /public/files/**, tier: public, encoded: [slash, percent] }
  - { path: /drinks, methods: [GET], tier: public, cors: { origins: ["http://localhost:8100"] } }
  - { path: /drinks, methods: [POST], permissions: ["post:drinks"], cors: { origins: ["http://localhost:8100"] } }
  - { path: /orders, permissions: ["get:orders"] }
  - { host: api.example.com, path: /public/secret, scopes: ["read:secret", "access:admin"] }
  - { host: "*.example.com", path: /staff/**, groups: [staff] }
"#;

/// On every allow, in each protocol.
const MANAGED: [&str; 12] = [
    "x-auth-user",
    "x-auth-email",
    "x-auth-name",
    "x-auth-tier",
    "x-auth-tiers",
    "x-auth-scopes",
    "x-auth-groups",
    "x-auth-issuer",
    "x-auth-request-id",
    "x-auth-plan",
    "x-auth-assertion",
    "x-envoy-peer-metadata",
];

#[test]
fn four_protocols_one_decision() {
    let provider = Provider::start().unwrap();
    let tiergate = Tiergate::start(BINARY, &config_with_login(&provider, RULES)).unwrap();
    let asker = Asker::new(&tiergate).unwrap();
    let questions = questions(&provider, &tiergate);
    let mut told: Vec<Vec<Told>> = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        let answers = Wire::ALL.map(|wire| {
            let mut question = question.clone();
            question.headers.push(("X-Request-Id".to_owned(), format!("q{number}")));
            asker.ask(wire, &question).unwrap_or_else(|error| panic!("{}: {question:?}: {error:#}", wire.name()))
        });
        told.push(answers.to_vec());
    }
    let decisions = decisions(&tiergate, questions.len());
    let (mut seen, mut sent): (HashMap<String, usize>, usize) = (HashMap::new(), 0);
    for (number, (question, told)) in questions.iter().zip(&told).enumerate() {
        let decided = Wire::ALL.map(|wire| decisions[&(format!("q{number}"), wire.name())].clone());
        for (wire, decision) in Wire::ALL.into_iter().zip(&decided) {
            assert_eq!(decision, &decided[0], "{} and grpc differ about {question:#?}", wire.name());
        }
        for (wire, answer) in Wire::ALL.into_iter().zip(told) {
            fits(wire, answer, &decided[0], question);
            let same = |name: &str| answer.headers.get(name) == told[0].headers.get(name);
            // What comes with an allow for the browser stands elsewhere in gRPC.
            let cookies = decided[0].decision == "allow" || same("set-cookie");
            assert!(same("location") && cookies, "{}: {answer:?} and {:?} for {question:?}", wire.name(), told[0]);
            sent += usize::from(answer.headers.contains_key("location"));
        }
        *seen.entry(decided[0].reason.clone()).or_default() += 1;
    }
    // The requests are drawn from a fixed seed: that they meet every kind of decision is no accident.
    for reason in [
        "ok",
        "no_credentials",
        "invalid_token",
        "expired_token",
        "insufficient_tier",
        "insufficient_permission",
        "no_rule",
        "bad_target",
        "multiple_credentials",
        "session_expired",
    ] {
        assert!(seen.get(reason).is_some_and(|count| *count >= 3), "hardly any `{reason}` among {seen:?}");
    }
    assert!(sent >= 12, "hardly anybody is sent to sign in: {sent}");
}

/// What the log says of a decision, as far as protocols may not differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decided {
    decision: String,
    reason: String,
    cause: Value,
    rule: Value,
    tier: Value,
    subject: Value,
    path: Value,
}

fn decisions(tiergate: &Tiergate, questions: usize) -> HashMap<(String, &'static str), Decided> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut decisions = HashMap::new();
        for line in tiergate.log_lines() {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let Some(wire) = Wire::ALL.into_iter().find(|wire| wire.name() == text("protocol")) else { continue };
            let decided = Decided {
                decision: text("decision"),
                reason: text("reason"),
                cause: line["cause"].clone(),
                rule: line["rule"].clone(),
                tier: line["tier"].clone(),
                subject: line["subject"].clone(),
                path: line["path"].clone(),
            };
            let twice = decisions.insert((text("request_id"), wire.name()), decided);
            assert!(twice.is_none(), "two decisions for one request: {line}");
        }
        if decisions.len() == questions * Wire::ALL.len() {
            return decisions;
        }
        assert!(Instant::now() < deadline, "{} decisions of {questions} requests are in the log", decisions.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The answer says what was decided, by the table of its protocol.
fn fits(wire: Wire, told: &Told, decided: &Decided, question: &Question) {
    let context = || format!("{} was told {told:#?} about {question:#?}, decided as {decided:?}", wire.name());
    if decided.decision == "allow" {
        if told.answered {
            assert!((question.method.as_str(), told.status) == ("OPTIONS", 204), "{}", context());
            return;
        }
        assert_eq!(told.status, 200, "{}", context());
        for name in MANAGED {
            assert!(told.headers.contains_key(name), "{name} is left as it came: {}", context());
        }
        let carriers = ["x-auth-cookie", "x-auth-query", "x-auth-websocket-protocol"];
        assert!(carriers.iter().all(|name| told.headers.contains_key(*name)), "{}", context());
        for name in ["cookie", "x-auth-cookie"] {
            assert!(told.headers.get(name).is_none_or(|cookies| !cookies.contains("__Host-")), "{}", context());
        }
        let subject = decided.subject.as_str().unwrap_or_default();
        assert_eq!(told.headers["x-auth-user"], subject, "{}", context());
        return;
    }
    let location = told.headers.get("location");
    assert!(
        location.is_none_or(|location| location.starts_with(&format!("{PUBLIC_URL}/_auth/login"))),
        "{}",
        context()
    );
    let status = match decided.reason.as_str() {
        "no_credentials" | "session_expired" | "invalid_token" | "expired_token" | "multiple_credentials" => {
            match (location, wire, question.method.as_str()) {
                (None, _, _) | (Some(_), Wire::AuthRequest, _) => 401,
                (Some(_), _, "GET" | "HEAD") => 302,
                (Some(_), _, _) => 303,
            }
        }
        "bad_target" | "spoofed_header" if wire != Wire::AuthRequest => 400,
        "unavailable" if wire == Wire::ExtAuthz => 403,
        "unavailable" => 503,
        _ => 403,
    };
    assert_eq!(told.status, status, "{}", context());
    assert_eq!(told.headers.get("cache-control").map(String::as_str), Some("no-store"), "{}", context());
    assert_eq!(told.headers.contains_key("www-authenticate"), status == 401 || challenges(decided), "{}", context());
    // HEAD has no body, and over HTTP the question has the client's method in one protocol only.
    assert!(!told.body.is_empty() || question.method == "HEAD", "{}", context());
}

/// RFC 6750 section 3.1: a missing scope is told in a challenge too.
fn challenges(decided: &Decided) -> bool {
    matches!(decided.reason.as_str(), "insufficient_tier" | "insufficient_scope")
}

/// The same requests in each run.
fn questions(provider: &Provider, tiergate: &Tiergate) -> Vec<Question> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let port = tiergate.http().port();
    let sessions = ["stable", "devel"].map(|account| {
        let person = browser::sign_in(provider, port, PUBLIC_URL, account).unwrap();
        browser::session_of(&person).unwrap()
    });
    let strategy = question(tokens(provider), sessions);
    (0..QUESTIONS).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn tokens(provider: &Provider) -> Vec<String> {
    let mint = |spec: TokenSpec| provider.mint(&spec).unwrap();
    let mut tokens: Vec<String> = ["stable", "ea", "devel", "admin", "barista", "manager"]
        .map(|name| mint(TokenSpec::for_account(name).claim("plan", "gold")))
        .to_vec();
    tokens.extend([
        mint(TokenSpec::for_account("admin").expired()),
        mint(TokenSpec::for_account("admin").audience("elsewhere")),
        mint(TokenSpec::for_account("admin").key(Key::ForeignRsa)),
        mint(TokenSpec::for_account("admin").key(Key::Unsigned)),
        mint(TokenSpec::for_account("admin").issuer("https://elsewhere.example/")),
        "e30.e30.e30".to_owned(),
        "garbage".to_owned(),
    ]);
    tokens
}

fn question(tokens: Vec<String>, sessions: [String; 2]) -> impl Strategy<Value = Question> {
    let method = prop_oneof![
        6 => Just("GET"),
        2 => Just("POST"),
        1 => Just("OPTIONS"),
        1 => prop::sample::select(vec!["HEAD", "PUT", "DELETE", "PATCH", "get", "PURGE", "TRACE"]),
    ];
    let host = prop_oneof![
        8 => Just("localhost:8080"),
        5 => prop::sample::select(vec!["api.example.com", "API.Example.com:80", "www.example.com"]),
        1 => prop::sample::select(vec!["user@api.example.com", "a,b", "example.com.", "[::1]:80"]),
    ];
    let token = prop::sample::select(tokens);
    let query = prop_oneof![
        6 => Just(String::new()),
        1 => Just("?".to_owned()),
        2 => Just("?a=b&c=%2F..%2f".to_owned()),
        2 => token.clone().prop_map(|token| format!("?access_token={token}&x=1")),
    ];
    let parts = (method, host, path(), query, headers(token), cookies(sessions));
    parts.prop_map(|(method, host, path, query, headers, cookies)| Question {
        method: method.to_owned(),
        target: format!("{path}{query}"),
        host: host.to_owned(),
        headers: [headers, cookies].concat(),
    })
}

/// None, a session with or without others beside it, or one that is none.
fn cookies([one, other]: [String; 2]) -> impl Strategy<Value = Vec<(String, String)>> {
    let nobodys = format!("{}={}", browser::SESSION, "A".repeat(43));
    let values = vec![
        one.clone(),
        other.clone(),
        format!("a=1; {other}; b=2"),
        nobodys.clone(),
        format!("a=1; {nobodys}"),
        format!("{}=short", browser::SESSION),
        format!("{one}; {other}"),
        format!("a=1,{one}"),
    ];
    let cookie = prop::sample::select(values).prop_map(|value| vec![("Cookie".to_owned(), value)]);
    prop_oneof![5 => Just(Vec::new()), 4 => cookie]
}

fn path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/apps/stable/maps/",
        "/apps/ea/reports/q",
        "/apps/devel/hazard/run",
        "/apps/devel/chat/x",
        "/apps/admin/console",
        "/apps/nightly/x",
        "/public/page",
        "/public/secret",
        "/public/files/a%2Fb%25c",
        "/drinks",
        "/staff/list",
        "/orders",
        "/",
    ]);
    let start = prop::sample::select(vec!["/apps/devel", "/public", "/public/files", "/apps/stable", ""]);
    let segment = prop::sample::select(vec![
        "x", "a%20b", "%7Euser", "", ".", "..", "%2e%2e", "a%2fb", "%5c", "a;b", "%00", "%252e", "%zz", "%C3%A9", "%FF",
    ]);
    let made = (start, prop::collection::vec(segment, 1..4)).prop_map(|(start, segments)| {
        let path = format!("{start}/{}", segments.join("/"));
        if path.is_empty() { "/".to_owned() } else { path }
    });
    prop_oneof![5 => known.prop_map(str::to_owned), 1 => made]
}

fn headers(token: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let authorization = prop_oneof![
        3 => Just(Vec::new()),
        8 => token.clone().prop_map(|token| vec![("Authorization".to_owned(), format!("Bearer {token}"))]),
        1 => (token.clone(), token.clone()).prop_map(|(one, other)| {
            [one, other].map(|token| ("Authorization".to_owned(), format!("bearer {token}"))).to_vec()
        }),
        1 => prop::sample::select(vec!["Basic dTpw", "Bearer", "Bearer ", "a, b"])
            .prop_map(move |value| pair("Authorization", value)),
    ];
    let kind = prop_oneof![
        4 => Just(Vec::new()),
        2 => Just(pair("Accept", "text/html,*/*;q=0.8")),
        2 => Just(pair("Sec-Fetch-Mode", "navigate")),
        2 => prop::sample::select(vec![PUBLIC_URL, "http://evil.example"]).prop_map(move |origin| {
            [pair("Upgrade", "websocket"), pair("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), pair("Origin", origin)].concat()
        }),
        1 => Just(pair("X-Auth-User", "root")),
        1 => Just([pair("X-Auth-Plan", "gold"), pair("X-Auth-Assertion", "e30.e30.e30")].concat()),
        1 => Just(pair("Content-Type", "application/grpc")),
        2 => prop::sample::select(vec!["http://localhost:8100", "http://evil.example", "null"]).prop_map(move |origin| {
            let asked = pair("Access-Control-Request-Method", "GET");
            [pair("Origin", origin), asked, pair("Access-Control-Request-Headers", "authorization")].concat()
        }),
        2 => token.prop_map(move |token| {
            let upgrade = [pair("Upgrade", "websocket"), pair("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")].concat();
            [upgrade, pair("Sec-WebSocket-Protocol", &format!("chat, bearer, {token}"))].concat()
        }),
        1 => Just(pair("Upgrade", "h2c")),
    ];
    (authorization, kind).prop_map(|(authorization, kind)| [authorization, kind].concat())
}
