use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::oidc::fixture::{Answer, FakeProvider, discovery, discovery_url, id, poll, provider};
use crate::session::fixture::{SetClock, TestTasks};
use crate::token::Rejection;
use crate::token::test_keys::{ISSUER, NOW, issuers, with, without};

const TOKEN: &str = "an-opaque-token+with/signs=";

#[derive(Default)]
struct Heard(Mutex<Vec<Asked>>);

impl IntrospectionWatch for Heard {
    fn asked(&self, _: &ProviderId, result: Asked) {
        lock(&self.0).push(result);
    }
}

struct Stage {
    provider: Arc<FakeProvider>,
    clock: Arc<SetClock>,
    heard: Arc<Heard>,
    tokens: Introspection,
}

fn endpoint() -> String {
    format!("{ISSUER}/introspect")
}

fn good() -> Value {
    json!({ "active": true, "iss": ISSUER, "aud": "portal", "sub": "u-123", "scope": "devel", "exp": NOW + 300 })
}

impl Stage {
    fn new() -> Self {
        Self::with(Some(endpoint()))
    }

    fn with(url: Option<String>) -> Self {
        let (provider, clock, heard) = (provider(), SetClock::new(), Arc::new(Heard::default()));
        let settings = IntrospectionSettings {
            provider: id("main"),
            issuer: Arc::from(ISSUER),
            url: url.map(|url| FetchUrl::parse(&url).unwrap()),
            client: ("the client".to_owned(), Secret::new("s%cret:!".to_owned())),
            max_age: Duration::from_secs(60),
            capacity: 100,
        };
        let ports = IntrospectionPorts {
            http: provider.clone(),
            clock: clock.clone(),
            tasks: Arc::new(TestTasks),
            watch: heard.clone(),
        };
        let tokens = Introspection::new(settings, ports);
        provider.answer(&endpoint(), Answer::ok(good()));
        Self { provider, clock, heard, tokens }
    }

    async fn ask(&self) -> Result<String, OpaqueRejection> {
        self.ask_about(TOKEN).await
    }

    async fn ask_about(&self, token: &str) -> Result<String, OpaqueRejection> {
        let introspected = match self.tokens.known(token, &issuers()) {
            Some(known) => known,
            None => self.tokens.ask(token, &issuers()).await,
        };
        introspected.map(|token| token.principal().subject.to_string())
    }

    fn asked(&self) -> usize {
        self.provider.seen(&endpoint()).len()
    }

    fn forward(&self, seconds: u64) {
        self.clock.forward(Duration::from_secs(seconds));
    }
}

fn raw(status: u16, content_type: &'static str, body: impl Into<String>) -> Answer {
    Answer::Raw { status, content_type, body: body.into() }
}

#[tokio::test]
async fn the_provider_is_asked_once_and_sees_who_asks() {
    let stage = Stage::new();
    for _ in 0..3 {
        assert_eq!(stage.ask().await, Ok("u-123".to_owned()));
    }
    let seen = stage.provider.seen(&endpoint());
    assert_eq!(seen.len(), 1);
    let basic = format!("Basic {}", STANDARD.encode("the+client:s%25cret%3A%21"));
    assert_eq!(seen[0].authorization.as_deref(), Some(basic.as_str()));
    assert_eq!(seen[0].form["token"], TOKEN);
    assert_eq!(seen[0].form["token_type_hint"], "access_token");
    assert_eq!(*lock(&stage.heard.0), [Asked::Active]);
}

#[tokio::test]
async fn an_answer_counts_for_max_age_and_never_beyond_the_tokens_end() {
    let stage = Stage::new();
    assert!(stage.ask().await.is_ok());
    stage.provider.answer(&endpoint(), Answer::ok(json!({ "active": false })));
    stage.forward(59);
    assert!(stage.ask().await.is_ok());
    stage.forward(1);
    assert_eq!(stage.ask().await, Err(OpaqueRejection::Inactive));

    for (answer, lasts) in [(with(&good(), &json!({ "exp": NOW + 7 })), 7), (without(&good(), "exp"), 30)] {
        let stage = Stage::new();
        stage.provider.answer(&endpoint(), Answer::ok(answer));
        assert!(stage.ask().await.is_ok());
        stage.forward(lasts - 1);
        assert!(stage.ask().await.is_ok());
        assert_eq!(stage.asked(), 1);
        stage.forward(1);
        let _ = stage.ask().await;
        assert_eq!(stage.asked(), 2);
    }
}

#[tokio::test]
async fn a_bad_word_counts_shortly() {
    let stage = Stage::new();
    stage.provider.answer(&endpoint(), Answer::ok(json!({ "active": false })));
    for _ in 0..5 {
        assert_eq!(stage.ask().await, Err(OpaqueRejection::Inactive));
    }
    assert_eq!(stage.asked(), 1);
    stage.provider.answer(&endpoint(), Answer::ok(good()));
    stage.forward(5);
    assert!(stage.ask().await.is_ok());
    assert_eq!(*lock(&stage.heard.0), [Asked::Inactive, Asked::Active]);
}

#[tokio::test]
async fn whatever_is_no_answer_opens_nothing() {
    let json = "application/json";
    let text = good().to_string();
    let nested = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let long = with(&good(), &json!({ "note": "x".repeat(MAX_ANSWER) })).to_string();
    for (name, answer, told) in [
        ("active as text", Answer::ok(with(&good(), &json!({ "active": "true" }))), Asked::Malformed),
        ("active as number", Answer::ok(with(&good(), &json!({ "active": 1 }))), Asked::Malformed),
        ("active null", Answer::ok(with(&good(), &json!({ "active": null }))), Asked::Malformed),
        ("active in a list", Answer::ok(with(&good(), &json!({ "active": [true] }))), Asked::Malformed),
        ("active in an object", Answer::ok(with(&good(), &json!({ "active": { "a": true } }))), Asked::Malformed),
        ("no active", Answer::ok(without(&good(), "active")), Asked::Malformed),
        ("Active", Answer::ok(with(&without(&good(), "active"), &json!({ "Active": true }))), Asked::Malformed),
        ("active twice", raw(200, json, text.replacen('{', "{\"active\":false,", 1)), Asked::Malformed),
        ("aud twice", raw(200, json, text.replacen('{', "{\"aud\":\"x\",", 1)), Asked::Malformed),
        ("a list", raw(200, json, format!("[{text}]")), Asked::Malformed),
        ("true", raw(200, json, "true"), Asked::Malformed),
        ("nothing", raw(200, json, ""), Asked::Malformed),
        ("more behind", raw(200, json, format!("{text} {text}")), Asked::Malformed),
        ("cut off", raw(200, json, text[..text.len() - 1].to_owned()), Asked::Malformed),
        ("too deep", raw(200, json, text.replacen('{', &format!("{{\"x\":{nested},"), 1)), Asked::Malformed),
        ("too long", raw(200, json, long), Asked::Malformed),
        ("as text", raw(200, "text/plain", text.clone()), Asked::Malformed),
        ("as html", raw(200, "text/html", text.clone()), Asked::Malformed),
        ("as a jwt", raw(200, "application/token-introspection+jwt", text.clone()), Asked::Malformed),
        ("created", raw(201, json, text.clone()), Asked::Malformed),
        ("no content", raw(204, json, ""), Asked::Malformed),
        ("a redirect", raw(302, json, text.clone()), Asked::Malformed),
        ("our client, by 400", raw(400, json, r#"{"error":"invalid_client"}"#), Asked::Client),
        ("not our client", raw(401, json, text.clone()), Asked::Client),
        ("our client, by 403", raw(403, json, r#"{"error":"unauthorized_client"}"#), Asked::Client),
        ("forbidden by whoever it is", raw(403, json, text.clone()), Asked::Malformed),
        ("forbidden by a firewall", raw(403, "text/html", "<h1>Forbidden</h1>"), Asked::Malformed),
        ("not there", raw(404, json, text.clone()), Asked::Malformed),
        ("too often", raw(429, json, text.clone()), Asked::Unreachable),
        ("broken", raw(500, json, text.clone()), Asked::Unreachable),
        ("down", raw(503, json, text.clone()), Asked::Unreachable),
        ("no connection", Answer::Unreachable, Asked::Unreachable),
        ("not acceptable", Answer::Unacceptable, Asked::Malformed),
    ] {
        let stage = Stage::new();
        stage.provider.answer(&endpoint(), answer);
        assert_eq!(stage.ask().await, Err(OpaqueRejection::Unavailable), "{name}");
        assert_eq!(*lock(&stage.heard.0), [told], "{name}");
        // It is not asked again at once.
        assert_eq!(stage.ask().await, Err(OpaqueRejection::Unavailable), "{name}");
        assert_eq!(stage.asked(), 1, "{name}");
        stage.provider.answer(&endpoint(), Answer::ok(good()));
        // What is wrong with the answer about one token holds nobody else up.
        let another = stage.ask_about("another").await;
        if told == Asked::Malformed {
            assert!(another.is_ok(), "{name}: {another:?}");
        } else {
            assert_eq!(another, Err(OpaqueRejection::Unavailable), "{name}");
        }
        stage.forward(1);
        assert!(stage.ask().await.is_ok(), "{name}");
    }
    let stage = Stage::new();
    stage.provider.answer(&endpoint(), raw(200, "application/json; charset=utf-8", text));
    assert!(stage.ask().await.is_ok());
}

#[tokio::test]
async fn a_token_that_the_provider_does_not_even_read_holds_up_no_other() {
    for status in [400, 405, 413, 414, 422, 431] {
        let stage = Stage::new();
        stage.provider.answer_with(&endpoint(), move |seen| match seen.form["token"].as_str() {
            TOKEN => Answer::ok(good()),
            _ => raw(status, "application/json", r#"{"error":"invalid_request"}"#),
        });
        for _ in 0..3 {
            assert_eq!(stage.ask_about("rubbish").await, Err(OpaqueRejection::Inactive), "{status}");
        }
        assert_eq!(stage.asked(), 1);
        assert!(stage.ask().await.is_ok(), "{status}");
        assert_eq!(*lock(&stage.heard.0), [Asked::Refused, Asked::Active]);
        stage.forward(5);
        assert_eq!(stage.ask_about("rubbish").await, Err(OpaqueRejection::Inactive), "{status}");
        assert_eq!(stage.asked(), 3);
    }
}

#[tokio::test]
async fn a_word_for_another_audience_or_kind_is_not_enough() {
    for more in
        [json!({ "aud": "another" }), json!({ "token_type": "DPoP" }), json!({ "iss": "https://evil.example/" })]
    {
        let stage = Stage::new();
        stage.provider.answer(&endpoint(), Answer::ok(with(&good(), &more)));
        assert!(matches!(stage.ask().await, Err(OpaqueRejection::Claims(_))), "{more}");
        assert_eq!(*lock(&stage.heard.0), [Asked::Refused]);
    }
    let stage = Stage::new();
    stage.provider.answer(&endpoint(), Answer::ok(without(&good(), "aud")));
    assert_eq!(stage.ask().await, Err(Rejection::Aud.into()));
}

#[tokio::test]
async fn many_checks_of_one_token_are_one_question() {
    let stage = Stage::new();
    let all = futures_util::future::join_all((0..50).map(|_| stage.ask())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn who_waits_too_long_is_told_and_the_next_finds_the_answer() {
    let stage = Stage::new();
    let late = Duration::from_millis(400);
    stage.provider.answer(&endpoint(), Answer::Late(late, Box::new(Answer::ok(good()))));
    assert_eq!(stage.ask().await, Err(OpaqueRejection::Late));
    poll(|| stage.tokens.known(TOKEN, &issuers())).await.unwrap();
    assert!(stage.ask().await.is_ok());
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn no_more_than_so_many_tokens_are_asked_about_at_once() {
    let stage = Stage::new();
    stage.provider.answer(&endpoint(), Answer::Silence);
    let names: Vec<String> = (0..MAX_FLIGHTS + 10).map(|number| format!("token-{number}")).collect();
    let all = futures_util::future::join_all(names.iter().map(|name| stage.ask_about(name))).await;
    let busy = all.iter().filter(|one| **one == Err(OpaqueRejection::Busy)).count();
    assert_eq!((busy, stage.asked()), (10, MAX_FLIGHTS));
    // Who is known already is not held up.
    let stage = Stage::new();
    assert!(stage.ask().await.is_ok());
    stage.provider.answer(&endpoint(), Answer::Silence);
    futures_util::future::join_all(names.iter().map(|name| stage.ask_about(name))).await;
    assert!(stage.ask().await.is_ok());
}

#[tokio::test]
async fn bad_tokens_do_not_drive_good_ones_out() {
    let stage = Stage::new();
    stage.provider.answer_with(&endpoint(), |seen| {
        Answer::ok(if seen.form["token"] == TOKEN { good() } else { json!({ "active": false }) })
    });
    assert!(stage.ask().await.is_ok());
    for number in 0..500 {
        assert_eq!(stage.ask_about(&format!("guess-{number}")).await, Err(OpaqueRejection::Inactive));
    }
    stage.tokens.0.bad.run_pending_tasks();
    assert!(stage.tokens.0.bad.entry_count() <= 100);
    let before = stage.asked();
    assert!(stage.ask().await.is_ok());
    assert_eq!(stage.asked(), before);
}

#[tokio::test]
async fn the_endpoint_comes_from_the_providers_own_description() {
    let stage = Stage::with(None);
    let described = with(&discovery(), &json!({ "introspection_endpoint": endpoint() }));
    stage.provider.answer(&discovery_url(), Answer::ok(described.clone()));
    assert!(stage.ask().await.is_ok());
    assert!(stage.ask_about("another").await.is_ok());
    assert_eq!((stage.asked(), stage.provider.seen(&discovery_url()).len()), (2, 1));
    // What it said before counts on where it is not there.
    stage.provider.answer(&discovery_url(), Answer::Unreachable);
    stage.forward(60 * 60);
    stage.provider.answer(&endpoint(), Answer::ok(with(&good(), &json!({ "exp": NOW + 9000 }))));
    assert!(stage.ask_about("a third").await.is_ok());

    for bad in [
        discovery(),
        with(&described, &json!({ "introspection_endpoint": "http://idp.example.com/introspect" })),
        with(&described, &json!({ "introspection_endpoint": 7 })),
        with(&described, &json!({ "issuer": "https://evil.example.com" })),
    ] {
        let stage = Stage::with(None);
        stage.provider.answer(&discovery_url(), Answer::ok(bad.clone()));
        assert_eq!(stage.ask().await, Err(OpaqueRejection::Unavailable), "{bad}");
        assert_eq!(stage.asked(), 0);
    }
}

#[tokio::test]
async fn a_token_of_an_issuer_that_is_gone_is_not_asked_about() {
    let stage = Stage::new();
    assert!(stage.ask().await.is_ok());
    let none = Issuers::default();
    assert!(stage.tokens.known(TOKEN, &none).is_none());
    assert_eq!(stage.tokens.ask(TOKEN, &none).await.err(), Some(OpaqueRejection::Unavailable));
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn a_flight_that_panics_is_an_outage_and_blocks_nobody() {
    let stage = Stage::new();
    let times = AtomicUsize::new(0);
    stage.provider.answer_with(&endpoint(), move |_| {
        assert!(times.fetch_add(1, Ordering::SeqCst) > 0, "as the test wants");
        Answer::ok(good())
    });
    assert_eq!(stage.ask().await, Err(OpaqueRejection::Unavailable));
    assert!(stage.ask().await.is_ok());
}
