//! What a refused client reads, through Envoy: CORS, the body's shape, and that
//! it says nothing about why a credential does not count.

use std::sync::OnceLock;

use serde_json::json;
use tiergate_testbed::{
    Backends, Gateway, Key, Provider, RawResponse, RunningGateway, Tiergate, TokenSpec, Upstream, request,
};

use super::stage::{BINARY, config};

/// A menu whose clients know one shape of errors, and a page that may read it from another origin.
const RULES: &str = r#"
errors: { json_template: '{"error": {{ status }}, "message": "{{ message }}", "success": false}' }
rules:
  - { path: /drinks, methods: [GET], tier: public, cors: { origins: ["http://localhost:8100"] } }
  - { path: /drinks, methods: [POST], permissions: ["post:drinks"], cors: { origins: ["http://localhost:8100"] } }
  - { path: "/drinks/{id}", methods: [PATCH], permissions: ["patch:drinks"], cors: { origins: ["http://localhost:8100"] } }
  - { path: /reports/**, scopes: ["read:reports", "access:ea"] }
  - { path: /apps/devel/**, tier: devel }
"#;

const PAGE: &str = "http://localhost:8100";

struct Menu {
    envoy: RunningGateway,
    _tiergate: Tiergate,
    upstream: Upstream,
    provider: Provider,
}

fn menu() -> &'static Menu {
    static MENU: OnceLock<Menu> = OnceLock::new();
    MENU.get_or_init(|| {
        let provider = Provider::start().unwrap();
        let tiergate = Tiergate::start(BINARY, &config(&provider, RULES)).unwrap();
        let upstream = Upstream::start().unwrap();
        let envoy = Gateway::EnvoyGrpc.start(&Backends::echo(&tiergate, &upstream)).unwrap();
        Menu { envoy, _tiergate: tiergate, upstream, provider }
    })
}

impl Menu {
    /// The answer, and whether the upstream received the request; told apart by a mark in the query.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (RawResponse, bool) {
        static ASKED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let mark = format!("mark={}-", ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let answer = request(self.envoy.address(), method, &format!("{path}?{mark}"), headers).unwrap();
        (answer, !self.upstream.received_with(&mark).is_empty())
    }

    fn bearer(&self, spec: &TokenSpec) -> String {
        format!("Bearer {}", self.provider.mint(spec).unwrap())
    }
}

fn preflight<'a>(origin: &'a str, method: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ]
}

#[test]
fn a_preflight_needs_no_credentials_and_an_allowed_origin() {
    let menu = menu();
    for (path, method) in [("/drinks", "GET"), ("/drinks", "POST"), ("/drinks/7", "PATCH")] {
        let (answer, reached) = menu.ask("OPTIONS", path, &preflight(PAGE, method));
        assert_eq!(answer.status, 204, "{path} {method}");
        assert!(!reached, "the service answers itself");
        assert_eq!(answer.header_values("access-control-allow-origin"), [PAGE]);
        assert_eq!(answer.header_values("access-control-allow-methods"), [method]);
        assert_eq!(answer.header_values("access-control-allow-headers"), ["authorization,content-type"]);
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
        assert!(answer.body.is_empty());
    }
}

#[test]
fn nothing_else_is_a_preflight() {
    let menu = menu();
    let elsewhere = preflight("http://evil.example", "POST");
    let lookalike = preflight("http://localhost:8100.evil.example", "POST");
    let null = preflight("null", "POST");
    let other_method = preflight(PAGE, "DELETE");
    let no_cors = preflight(PAGE, "GET");
    let no_method = [("Origin", PAGE)];
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("/drinks", &elsewhere),
        ("/drinks", &lookalike),
        ("/drinks", &null),
        ("/drinks", &other_method),
        ("/apps/devel/x", &no_cors),
        ("/drinks", &no_method),
    ];
    for (path, headers) in cases {
        let (answer, reached) = menu.ask("OPTIONS", path, headers);
        assert!(matches!(answer.status, 401 | 403), "{path} {headers:?}: {}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path} {headers:?}");
        assert!(!reached, "{path} {headers:?}");
    }
}

#[test]
fn an_allowed_origin_may_read_the_answer_whatever_it_is() {
    let menu = menu();
    let manager = menu.bearer(&TokenSpec::for_account("manager"));
    let barista = menu.bearer(&TokenSpec::for_account("barista"));
    let cases: [(&str, Option<&str>, u16); 4] =
        [("GET", None, 200), ("POST", Some(&manager), 200), ("POST", Some(&barista), 403), ("POST", None, 401)];
    for (method, bearer, status) in cases {
        for (origin, may_read) in [(PAGE, true), ("http://evil.example", false)] {
            let mut headers = vec![("Origin", origin)];
            headers.extend(bearer.map(|bearer| ("Authorization", bearer)));
            let (answer, reached) = menu.ask(method, "/drinks", &headers);
            assert_eq!((answer.status, reached), (status, status == 200), "{method} from {origin}");
            let allowed = answer.header_values("access-control-allow-origin");
            assert_eq!(allowed, if may_read { vec![PAGE] } else { vec![] }, "{method} {status} from {origin}");
        }
    }
}

#[test]
fn an_api_keeps_the_shape_of_its_errors() {
    let menu = menu();
    let barista = menu.bearer(&TokenSpec::for_account("barista"));
    let cases: [(&str, &str, Option<&str>, u16); 4] = [
        ("POST", "/drinks", None, 401),
        ("POST", "/drinks", Some(&barista), 403),
        ("GET", "/nowhere", None, 403),
        ("GET", "/drinks/a%00b", None, 400),
    ];
    for (method, path, bearer, status) in cases {
        let headers: Vec<(&str, &str)> = bearer.map(|bearer| ("Authorization", bearer)).into_iter().collect();
        let (answer, reached) = menu.ask(method, path, &headers);
        assert_eq!((answer.status, reached), (status, false), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        let body = answer.json().unwrap();
        let message = body["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{body}");
        assert_eq!(body, json!({ "error": status, "message": message, "success": false }));
    }
}

#[test]
fn a_person_gets_a_page_and_a_program_gets_json() {
    let menu = menu();
    let navigation = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let (answer, _) = menu.ask("GET", "/apps/devel/x", &navigation);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.text().to_ascii_lowercase().starts_with("<!doctype html>"));
    for headers in [
        [("Accept", "text/html"), ("X-Requested-With", "XMLHttpRequest")],
        [("Accept", "text/html"), ("Sec-Fetch-Mode", "cors")],
        [("Accept", "application/json"), ("X-Nothing", "")],
    ] {
        let (answer, _) = menu.ask("GET", "/apps/devel/x", &headers);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{headers:?}");
    }
    // Envoy says it in the way of gRPC: UNAUTHENTICATED in a header, and no body.
    let (answer, reached) = menu.ask("GET", "/apps/devel/x", &[("Content-Type", "application/grpc")]);
    assert_eq!((answer.header("grpc-status"), reached), (Some("16"), false));
}

#[test]
fn a_challenge_says_what_is_missing() {
    let menu = menu();
    let stable = menu.bearer(&TokenSpec::for_account("stable"));
    let expired = menu.bearer(&TokenSpec::for_account("devel").expired());
    let cases: [(&str, Option<&str>, u16, Option<&str>); 5] = [
        ("/apps/devel/x", None, 401, Some("Bearer")),
        ("/apps/devel/x", Some(&expired), 401, Some("Bearer error=\"invalid_token\"")),
        ("/apps/devel/x", Some("Bearer garbage"), 401, Some("Bearer error=\"invalid_token\"")),
        (
            "/reports/x",
            Some(&stable),
            403,
            Some("Bearer error=\"insufficient_scope\", scope=\"read:reports access:ea\""),
        ),
        ("/nowhere", Some(&stable), 403, None),
    ];
    for (path, bearer, status, challenge) in cases {
        let headers: Vec<(&str, &str)> = bearer.map(|bearer| ("Authorization", bearer)).into_iter().collect();
        let (answer, _) = menu.ask("GET", path, &headers);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
    }
}

#[test]
fn no_answer_says_which_check_of_a_token_failed() {
    let menu = menu();
    let admin = || TokenSpec::for_account("admin");
    let mut answers = Vec::new();
    for spec in [
        admin().audience("elsewhere"),
        admin().issuer("https://elsewhere.example/"),
        admin().key(Key::ForeignRsa),
        admin().key(Key::Unsigned),
        admin().header("kid", "unknown"),
        admin().header("typ", "id+jwt"),
        admin().without_claim("sub"),
        admin().header("crit", json!(["exp"])),
        admin().map_signature(|mut signature| {
            signature.reverse();
            signature
        }),
        admin().map_compact(|token| token.chars().take(20).collect()),
    ] {
        let (answer, reached) = menu.ask("GET", "/apps/devel/x", &[("Authorization", &menu.bearer(&spec))]);
        assert!(!reached);
        answers.push((answer.status, answer.header("www-authenticate").map(str::to_owned), answer.text()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "these can be told apart: {answers:#?}");
    let (_, _, body) = &answers[0];
    for word in ["signature", "audience", "issuer", "kid", "alg", "elsewhere", "admin"] {
        assert!(!body.to_ascii_lowercase().contains(word), "{body}");
    }
}
