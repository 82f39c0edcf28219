//! The hook as its senders see it, over a directory in memory.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::*;
use crate::check::{OwnPages as _, PageRequest, Sender, fixture};
use crate::directory::fixture::GuardedStore;
use crate::directory::{DirectoryPorts, UserDirectory as _, UserQuery};
use crate::http::pages::{PageSettings, Pages};
use crate::session::fixture::SetClock;
use crate::types::{Email, ProviderId, Random, Secret};

const KEY: &str = "the-key-of-the-hook-of-main-0123456789";
const OTHER_KEY: &str = "the-key-of-the-hook-of-other-987654321";

struct Counting(std::sync::atomic::AtomicU8);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

struct Stage {
    pages: Pages,
    store: Arc<GuardedStore>,
    clock: Arc<SetClock>,
}

/// A message before it is sent.
struct Message<'a> {
    stage: &'a Stage,
    method: &'static str,
    body: Vec<u8>,
    timestamp: String,
    event: Option<String>,
    signature: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn mac(key: &str, parts: &[&[u8]]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    format!("sha256={}", hex(hmac::sign(&key, &parts.concat()).as_ref()))
}

impl Stage {
    fn new() -> Self {
        let (store, clock) = (Arc::new(GuardedStore::default()), SetClock::new());
        let random = Arc::new(Counting(1.into()));
        let ports = DirectoryPorts { store: store.clone(), clock: clock.clone(), random };
        let window = Duration::from_secs(300);
        let keys = [("main", KEY), ("other", OTHER_KEY)]
            .map(|(provider, key)| HookKey::new(ProviderId::new(provider), &Secret::new(key.to_owned()), window));
        let hook = UserHook::new(keys.into(), Arc::new(Directory::new(ports)), clock.clone());
        let settings = PageSettings {
            base_path: "/_auth".to_owned(),
            seed_paths: false,
            oauth2_proxy: false,
            portal_path: None,
            public_origin: None,
            trusted_proxies: Vec::new(),
        };
        let pages = Pages::new(settings, Arc::new(fixture::checker()), clock.clone(), None);
        let pages = pages.with_area("/_auth/hooks/users".to_owned(), Arc::new(hook));
        Self { pages, store, clock }
    }

    /// From now on it is this moment, which is later than before.
    fn at(&self, secs: i64) {
        self.clock.forward(UnixTime::from_secs(secs).since(self.clock.now()));
    }

    fn now(&self) -> i64 {
        self.clock.now().as_secs()
    }

    /// A good message with this body, at this moment.
    fn message(&self, body: impl Into<Vec<u8>>) -> Message<'_> {
        let timestamp = self.now().to_string();
        Message { stage: self, method: "POST", body: body.into(), timestamp, event: None, signature: None }
    }

    async fn user(&self, provider: &str, subject: &str) -> Option<User> {
        let key = UserKey::new(&ProviderId::new(provider), subject);
        self.store.user(UserRef::Key(key)).await.expect("the store")
    }

    async fn count(&self) -> u64 {
        self.store.users(UserQuery { limit: 10, ..UserQuery::default() }).await.expect("the store").total
    }
}

impl Message<'_> {
    fn at(self, secs: i64) -> Self {
        Self { timestamp: secs.to_string(), ..self }
    }

    fn event(self, id: &str) -> Self {
        Self { event: Some(id.to_owned()), ..self }
    }

    fn signature(self, signature: String) -> Self {
        Self { signature: Some(signature), ..self }
    }

    /// Signed as documented, and sent: status and body.
    async fn send(self) -> (u16, Value) {
        let parts: Vec<&[u8]> = match &self.event {
            None => vec![self.timestamp.as_bytes(), b".", &self.body],
            Some(id) => vec![self.timestamp.as_bytes(), b".", id.as_bytes(), b".", &self.body],
        };
        let signature = self.signature.clone().unwrap_or_else(|| mac(KEY, &parts));
        let mut headers = vec![("content-type", "application/json")];
        headers.push(("x-tiergate-timestamp", &self.timestamp));
        headers.push(("x-tiergate-signature", &signature));
        if let Some(event) = &self.event {
            headers.push(("x-tiergate-event", event));
        }
        self.send_with(&headers).await
    }

    async fn send_with(&self, headers: &[(&str, &str)]) -> (u16, Value) {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = PageRequest {
            method: self.method,
            path: "/_auth/hooks/users",
            query: b"",
            headers: &headers,
            body: Some(&self.body),
            sender: Sender::Unknown,
        };
        let page = self.stage.pages.answer(&request).await;
        (page.status, serde_json::from_str(&page.body).unwrap_or_default())
    }
}

fn plain(event: &str, time: i64, user: Value) -> String {
    let mut message = json!({ "event": event, "time": time });
    message["user"] = user;
    message.to_string()
}

#[tokio::test]
async fn a_user_is_made_changed_refused_let_in_and_deleted() {
    let stage = Stage::new();
    let now = stage.now();
    let ann = json!({ "subject": "a1", "email": "ann@example.com", "email_verified": true, "name": "Ann", "groups": ["audit"], "attributes": { "plan": "gold" } });
    let (status, made) = stage.message(plain("user.created", now - 10, ann.clone())).send().await;
    assert_eq!((status, &made["result"]), (200, &json!("created")));
    let user = stage.user("main", "a1").await.expect("a user");
    assert_eq!(made["id"], json!(user.id.to_string()));
    assert_eq!(
        (user.name.as_deref(), user.groups.contains("audit"), &user.attributes["plan"]),
        (Some("Ann"), true, &json!("gold"))
    );
    assert_eq!(user.email.as_ref().and_then(Email::verified_domain), Some("example.com"));
    assert!(stage.user("other", "a1").await.is_none());
    for (event, time, result, disabled, gone) in [
        ("user.updated", now - 9, "updated", false, false),
        ("user.disabled", now - 8, "updated", true, false),
        ("user.enabled", now - 7, "updated", false, false),
        ("user.deleted", now - 6, "updated", false, true),
        ("user.updated", now - 7, "unchanged", false, true),
    ] {
        let (status, told) = stage.message(plain(event, time, json!({ "subject": "a1", "name": event }))).send().await;
        assert_eq!((status, &told["result"]), (200, &json!(result)), "{event}");
        let user = stage.user("main", "a1").await.expect("a user");
        assert_eq!((user.is_disabled(), user.deleted_at.is_some()), (disabled, gone), "{event}");
    }
}

#[tokio::test]
async fn what_is_not_signed_in_time_by_a_key_is_refused_with_one_answer() {
    let stage = Stage::new();
    let now = stage.now();
    let body = plain("user.created", now, json!({ "subject": "a1" }));
    let good = |secs: i64| mac(KEY, &[secs.to_string().as_bytes(), b".", body.as_bytes()]);
    let (_, expected) = stage.message(body.clone()).signature(mac("another-key", &[b"x"])).send().await;
    for (what, message) in [
        (
            "mac over another body",
            stage.message(body.clone()).signature(mac(KEY, &[now.to_string().as_bytes(), b".{}"])),
        ),
        ("mac over the body alone", stage.message(body.clone()).signature(mac(KEY, &[body.as_bytes()]))),
        ("mac of another moment", stage.message(body.clone()).signature(good(now - 1))),
        (
            "another key",
            stage
                .message(body.clone())
                .signature(mac("another-key", &[now.to_string().as_bytes(), b".", body.as_bytes()])),
        ),
        ("too old", stage.message(body.clone()).at(now - 301)),
        ("too far ahead", stage.message(body.clone()).at(now + 301)),
        ("no number", stage.message(body.clone()).at(-now)),
        ("no scheme", stage.message(body.clone()).signature(good(now).replace("sha256=", ""))),
        ("cut", stage.message(body.clone()).signature(good(now)[..70].to_owned())),
        ("longer", stage.message(body.clone()).signature(format!("{}00", good(now)))),
        ("no hex", stage.message(body.clone()).signature(format!("sha256={}", "g".repeat(64)))),
        ("empty", stage.message(body.clone()).signature(String::new())),
        ("an id that was not signed", stage.message(body.clone()).event("e1").signature(good(now))),
        ("an id with a point", stage.message(body.clone()).event("e.1")),
    ] {
        assert_eq!(message.send().await, (401, expected.clone()), "{what}");
    }
    let timestamp = now.to_string();
    let signature = good(now);
    let message = stage.message(body.clone());
    for headers in [
        &[("x-tiergate-timestamp", timestamp.as_str())][..],
        &[("x-tiergate-signature", signature.as_str())],
        &[
            ("x-tiergate-timestamp", &timestamp),
            ("x-tiergate-timestamp", &timestamp),
            ("x-tiergate-signature", &signature),
        ],
        &[
            ("x-tiergate-timestamp", &timestamp),
            ("x-tiergate-signature", &signature),
            ("x-tiergate-signature", &signature),
        ],
        &[],
    ] {
        assert_eq!(message.send_with(headers).await, (401, expected.clone()), "{headers:?}");
    }
    assert_eq!(stage.count().await, 0);
    // The window's own ends count.
    for secs in [now - 300, now + 300] {
        assert_eq!(stage.message(body.clone()).at(secs).send().await.0, 200, "{secs}");
    }
}

#[tokio::test]
async fn each_key_speaks_for_its_own_provider() {
    let stage = Stage::new();
    let body = plain("user.created", stage.now(), json!({ "subject": "a1" }));
    let signature = mac(OTHER_KEY, &[stage.now().to_string().as_bytes(), b".", body.as_bytes()]);
    assert_eq!(stage.message(body).signature(signature).send().await.0, 200);
    assert!(stage.user("main", "a1").await.is_none());
    assert!(stage.user("other", "a1").await.is_some());
}

#[tokio::test]
async fn what_comes_again_has_no_effect() {
    let stage = Stage::new();
    let now = stage.now();
    let disabled = plain("user.disabled", now, json!({ "subject": "a1" }));
    assert_eq!(stage.message(disabled.clone()).send().await.1["result"], json!("created"));
    let key = UserRef::Key(UserKey::new(&ProviderId::new("main"), "a1"));
    let request = |change| crate::directory::ChangeRequest {
        target: key.clone(),
        change,
        actor: Actor::Shell,
        new_id: crate::directory::UserId::from_bytes([9; 16]),
        expected_version: None,
        event: None,
        request_id: None,
        now: stage.clock.now(),
    };
    stage.store.change(request(crate::directory::UserChange::Enable)).await.expect("enabled");
    let version = stage.user("main", "a1").await.expect("a user").version;
    // The very bytes again, until their time is over.
    for later in [0, 200, 300] {
        stage.at(now + later);
        let again = stage.message(disabled.clone()).at(now).send().await;
        assert_eq!(again, (200, json!({ "result": "duplicate" })), "{later}");
    }
    stage.at(now + 301);
    assert_eq!(stage.message(disabled.clone()).at(now).send().await.0, 401);
    assert_eq!(stage.user("main", "a1").await.expect("a user").version, version);
    // One event under its id, sent again at another moment and with another body.
    let (one, two) = (json!({ "subject": "b1", "name": "One" }), json!({ "subject": "b1", "name": "Two" }));
    assert_eq!(stage.message(plain("user.created", now, one)).event("e-1").send().await.1["result"], json!("created"));
    stage.at(now + 400);
    let again = stage.message(plain("user.updated", now + 1, two)).event("e-1").send().await;
    assert_eq!(again, (200, json!({ "result": "duplicate" })));
    assert_eq!(stage.user("main", "b1").await.expect("a user").name.as_deref(), Some("One"));
}

#[tokio::test]
async fn what_comes_late_changes_nothing() {
    let stage = Stage::new();
    let now = stage.now();
    for (name, time) in [("Third", now - 1), ("First", now - 3), ("Second", now - 2)] {
        let body = plain(
            "user.updated",
            time,
            json!({ "subject": "a1", "name": name, "groups": [name], "disabled": name == "First" }),
        );
        assert_eq!(stage.message(body).send().await.0, 200, "{name}");
    }
    let user = stage.user("main", "a1").await.expect("a user");
    assert_eq!((user.name.as_deref(), user.groups.len(), user.is_disabled()), (Some("Third"), 1, false));
    // Who says that something happens later than it was signed gains nothing.
    let ahead = plain("user.updated", now + 1_000_000, json!({ "subject": "a1", "name": "Ahead" }));
    assert_eq!(stage.message(ahead).send().await.0, 200);
    // Nor does one whose clock is ahead of ours, as far as the window lets it be.
    let ahead = plain("user.updated", now + 200, json!({ "subject": "a1", "name": "Ahead by the clock" }));
    assert_eq!(stage.message(ahead).at(now + 200).send().await.0, 200);
    stage.at(now + 5);
    let body = plain("user.updated", now + 5, json!({ "subject": "a1", "name": "Now" }));
    assert_eq!(stage.message(body).send().await.1["result"], json!("updated"));
    assert_eq!(stage.user("main", "a1").await.expect("a user").name.as_deref(), Some("Now"));
}

#[tokio::test]
async fn what_is_no_message_is_told() {
    let stage = Stage::new();
    for (body, status) in [
        (b"{".to_vec(), 400),
        (b"\xff\xfe".to_vec(), 400),
        (br#"{"event":"user.created","user":{"subject":"a","subject":"b"}}"#.to_vec(), 400),
        (br#"{"event":"user.created","user":{"subject":"a","tier":"admin"}}"#.to_vec(), 400),
        ([vec![b'['; 5000], vec![b']'; 5000]].concat(), 400),
        (vec![b' '; MAX_MESSAGE + 1], 413),
    ] {
        assert_eq!(stage.message(body).send().await.0, status);
    }
    let named = stage.message(plain("user.created", 1, json!({ "subject": "a", "tier": "admin" }))).send().await;
    assert!(named.1["detail"].as_str().is_some_and(|detail| detail.contains("`tier`")), "{named:?}");
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(Message { method, ..stage.message("{}") }.send().await.0, 405, "{method}");
    }
    assert_eq!(stage.count().await, 0);
}

#[tokio::test]
async fn while_the_directory_is_down_senders_are_asked_to_come_again() {
    let stage = Stage::new();
    let body = plain("user.created", stage.now(), json!({ "subject": "a1" }));
    stage.store.set_down(true);
    assert_eq!(stage.message(body.clone()).send().await.0, 503);
    stage.store.set_down(false);
    // The very same message: it was not taken for one that had come.
    assert_eq!(stage.message(body).send().await.1["result"], json!("created"));
}

#[tokio::test]
async fn each_recorded_shape_is_taken() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../../tests/vectors/hooks/shapes.json")).expect("vectors");
    for vector in vectors {
        let (stage, what) = (Stage::new(), &vector["what"]);
        for step in vector["steps"].as_array().expect("steps") {
            let (status, told) = stage.message(step["message"].to_string()).send().await;
            assert_eq!((status, &told["result"]), (200, &step["result"]), "{what}: {told}");
        }
        let expected = &vector["user"];
        let user = stage.user("main", vector["subject"].as_str().expect("subject")).await;
        let shown = user.map_or(Value::Null, |user| {
            json!({
                "user_name": user.user_name, "email": user.email.as_ref().map(Email::address),
                "verified": user.email.as_ref().is_some_and(|email| email.verified_domain().is_some()),
                "name": user.name, "picture": user.picture, "groups": user.groups, "disabled": user.disabled_there,
                "attributes": user.attributes, "deleted": user.deleted_at.is_some(),
            })
        });
        assert_eq!(&shown, expected, "{what}");
    }
}

#[tokio::test]
async fn in_one_second_and_without_a_time_who_is_refused_stays_so() {
    for events in [["user.disabled", "user.enabled"], ["user.enabled", "user.disabled"]] {
        let stage = Stage::new();
        for event in events {
            let body = json!({ "event": event, "user": { "subject": "a1" } }).to_string();
            assert_eq!(stage.message(body).send().await.0, 200, "{event}");
        }
        assert!(stage.user("main", "a1").await.expect("a user").disabled_there, "{events:?}");
        stage.at(stage.now() + 1);
        let body = json!({ "event": "user.enabled", "user": { "subject": "a1" } }).to_string();
        assert_eq!(stage.message(body).send().await.0, 200);
        assert!(!stage.user("main", "a1").await.expect("a user").disabled_there, "{events:?}");
    }
}
