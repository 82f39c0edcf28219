use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use serde_json::json;

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::backend::system::SystemRandom;
use crate::directory::{ChangeRequest, UserRef};
use crate::management::{Kind, ManagementPorts, ManagementSettings, TokenEndpoint, Transport, TransportFuture};
use crate::session::fixture::SetClock;
use crate::types::{FetchUrl, ProviderId, Secret};

/// Auth0 with these users, by number, who are blocked or not.
#[derive(Default)]
struct Auth0(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    users: BTreeMap<u32, bool>,
    asked: Vec<String>,
    tokens: u32,
    /// What the next requests for users get in place of an answer: a status.
    faults: Vec<u16>,
    /// After so many pages nobody answers.
    pages: Option<u32>,
}

impl Auth0 {
    fn with(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn count(&self, of: impl Fn(&str) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked.iter().filter(|asked| of(asked)).count()
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = |status: u16, body: serde_json::Value| {
            let answer = Response::builder().status(status).header("retry-after", "0");
            Ok(answer.body(Bytes::from(body.to_string())).expect("an answer"))
        };
        if request.uri().path() == "/oauth/token" {
            let form = std::str::from_utf8(request.body()).expect("a form");
            assert_eq!(
                form,
                "grant_type=client_credentials&client_id=me&client_secret=s%2Becret&audience=https%3A%2F%2Fidp.example.com%2Fapi%2Fv2%2F"
            );
            kept.tokens += 1;
            let token = format!("t{}", kept.tokens);
            return answer(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 86400 }));
        }
        let expected = format!("Bearer t{}", kept.tokens);
        if request.headers()["authorization"] != expected.as_str() {
            return answer(401, json!({}));
        }
        kept.asked.push(request.uri().to_string());
        if let Some(status) = kept.faults.pop() {
            return answer(status, json!({}));
        }
        let user = |(id, blocked): (&u32, &bool)| {
            json!({ "user_id": format!("auth0|{id}"), "email": format!("u{id}@example.com"), "blocked": blocked,
                "created_at": UnixTime::from_millis(i64::from(*id)).to_string() })
        };
        if let Some(id) = request.uri().path().strip_prefix("/api/v2/users/auth0%7C") {
            let id: u32 = id.parse().expect("an id");
            return match kept.users.get_key_value(&id) {
                Some(found) => answer(200, user(found)),
                None => answer(404, json!({})),
            };
        }
        if let Some(pages) = &mut kept.pages {
            match pages.checked_sub(1) {
                Some(left) => *pages = left,
                None => return Err(TransportError::Unacceptable("the line is cut".into())),
            }
        }
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let page: usize = query["page"].parse().expect("a page");
        assert!(page < 10, "Auth0 shows 1000 users of a search");
        let since = query.get("q").map(|q| q.trim_start_matches("created_at:[").trim_end_matches(" TO *]").to_owned());
        let since = since.and_then(|since| UnixTime::parse_rfc3339(&since)).map_or(0, UnixTime::as_millis);
        let shown = kept.users.iter().filter(|(id, _)| i64::from(**id) >= since).skip(page * 100).take(100);
        answer(200, json!({ "users": shown.map(user).collect::<Vec<_>>() }))
    }
}

impl Transport for Auth0 {
    fn send(&self, request: Request<Bytes>, _: usize) -> TransportFuture<'_> {
        Box::pin(async move { self.answer(&request) })
    }
}

struct Stage {
    auth0: Arc<Auth0>,
    store: MemoryDirectory,
    clock: Arc<SetClock>,
    api: ManagementApi,
}

impl Stage {
    fn new(users: u32) -> Self {
        let (auth0, clock) = (Arc::new(Auth0::default()), SetClock::new());
        auth0.with(|kept| kept.users = (1..=users).map(|id| (id, false)).collect());
        let url = |text: &str| FetchUrl::parse(text).expect("a url");
        let settings = ManagementSettings {
            provider: ProviderId::new("main"),
            kind: Kind::Auth0,
            url: url("https://idp.example.com/api/v2/"),
            token_endpoint: TokenEndpoint::At(url("https://idp.example.com/oauth/token")),
            client_id: "me".to_owned(),
            client_secret: Secret::new("s+ecret".to_owned()),
            audience: Some("https://idp.example.com/api/v2/".to_owned()),
            scopes: Vec::new(),
        };
        let api = ManagementApi::new(settings, ManagementPorts { transport: auth0.clone(), clock: clock.clone() });
        Self { auth0, store: MemoryDirectory::new(), clock, api }
    }

    /// What was told, one line each, and what came of it. A second passes before.
    async fn sync(&self, mode: SyncMode) -> (Vec<String>, anyhow::Result<SyncSummary>) {
        self.clock.forward(Duration::from_secs(1));
        let mut told = Vec::new();
        let mut tell = |event: SyncEvent<'_>| match event {
            SyncEvent::Changed { what, parts, user } => told.push(format!("{what:?} {} {parts:?}", user.key.subject)),
            SyncEvent::Missing(user) => told.push(format!("Missing {}", user.key.subject)),
            SyncEvent::Resumed(_) => told.push("Resumed".to_owned()),
            SyncEvent::Unread(name, fault) => told.push(format!("Unread {name} {fault}")),
            SyncEvent::Read(_) | SyncEvent::Waiting(_) => {}
        };
        let sync = UserSync {
            api: &self.api,
            store: &self.store,
            clock: self.clock.as_ref(),
            random: &SystemRandom,
            mode,
            tell: &mut tell,
            summary: SyncSummary::default(),
            seen: HashSet::new(),
        };
        let ended = sync.run().await;
        (told, ended)
    }

    async fn total(&self) -> u64 {
        self.store.users(UserQuery { limit: 1, ..UserQuery::default() }).await.expect("the store").total
    }

    async fn user(&self, id: u32) -> User {
        let key = UserKey::new(&ProviderId::new("main"), &format!("auth0|{id}"));
        self.store.user(UserRef::Key(key)).await.expect("the store").expect("a user")
    }
}

#[tokio::test]
async fn every_user_is_taken_over_once_and_then_nothing_changes() {
    let stage = Stage::new(2500);
    let (told, summary) = stage.sync(SyncMode::default()).await;
    let summary = summary.expect("done");
    assert_eq!((told.len(), summary.created, stage.total().await), (2500, 2500, 2500));
    // The moments at which searches meet are read twice.
    assert_eq!(summary.read, 2502);
    let (told, summary) = stage.sync(SyncMode::default()).await;
    let summary = summary.expect("done");
    assert_eq!((told, summary.created, summary.updated, summary.missing), (Vec::new(), 0, 0, 0));
    assert_eq!(stage.auth0.0.lock().unwrap().tokens, 1);
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let stage = Stage::new(150);
    let (told, summary) = stage.sync(SyncMode { dry_run: true, ..SyncMode::default() }).await;
    assert_eq!((told.len(), summary.expect("done").created, stage.total().await), (150, 150, 0));
    assert_eq!(stage.store.bookmark("sync:main".to_owned()).await.expect("the store"), None);
}

#[tokio::test]
async fn limits_are_obeyed_and_a_refused_token_is_renewed_once() {
    let stage = Stage::new(10);
    stage.auth0.with(|kept| kept.faults = vec![503, 429, 429]);
    stage.sync(SyncMode::default()).await.1.expect("done");
    assert_eq!((stage.auth0.count(|_| true), stage.total().await), (4, 10));
    stage.auth0.with(|kept| kept.tokens = 7);
    stage.sync(SyncMode::default()).await.1.expect("done");
    assert_eq!(stage.auth0.0.lock().unwrap().tokens, 8);
    // What another try does not mend is told at once, with what to do.
    stage.auth0.with(|kept| kept.faults = vec![403]);
    let error = stage.sync(SyncMode::default()).await.1.expect_err("refused").to_string();
    assert!(error.contains("read:users"), "{error}");
}

#[tokio::test]
async fn an_interrupted_walk_goes_on_where_it_was() {
    let stage = Stage::new(2500);
    stage.auth0.with(|kept| kept.pages = Some(13));
    assert!(stage.sync(SyncMode::default()).await.1.is_err());
    // The first page of the second search begins with the last user of the first.
    assert_eq!(stage.total().await, 1299);
    stage.auth0.with(|kept| (kept.pages, kept.asked) = (None, Vec::new()));
    let (told, summary) = stage.sync(SyncMode::default()).await;
    let summary = summary.expect("done");
    assert_eq!((told.first().map(String::as_str), summary.created, summary.missing), (Some("Resumed"), 1201, 0));
    assert_eq!(stage.auth0.count(|asked| asked.contains("page=")), 13);
    assert_eq!((stage.total().await, stage.auth0.count(|asked| asked.contains("auth0%7C"))), (2500, 0));
    // Done is done: the next one begins anew, and so does one that is told to.
    stage.auth0.with(|kept| kept.pages = Some(3));
    assert!(stage.sync(SyncMode::default()).await.1.is_err());
    stage.auth0.with(|kept| kept.pages = None);
    let (told, _) = stage.sync(SyncMode { restart: true, ..SyncMode::default() }).await;
    assert_eq!(told, Vec::<String>::new());
}

#[tokio::test]
async fn who_is_blocked_or_gone_is_told_and_who_an_administrator_refused_stays_so() {
    let stage = Stage::new(5);
    stage.sync(SyncMode::default()).await.1.expect("done");
    let request = ChangeRequest {
        target: UserRef::Id(stage.user(3).await.id),
        change: UserChange::Disable { reason: None },
        actor: Actor::Shell,
        new_id: UserId::from_bytes([0; 16]),
        expected_version: None,
        event: None,
        request_id: None,
        now: stage.clock.now(),
    };
    stage.store.change(request).await.expect("disabled");
    stage.auth0.with(|kept| {
        kept.users.insert(2, true);
        kept.users.remove(&4);
    });
    let (told, summary) = stage.sync(SyncMode::default()).await;
    assert_eq!(told, [r#"Disabled auth0|2 ["disabled"]"#, "Missing auth0|4"]);
    assert_eq!((summary.as_ref().unwrap().disabled, summary.unwrap().missing), (1, 1));
    assert!(stage.user(3).await.is_disabled() && !stage.user(4).await.is_disabled());
    let (told, _) = stage.sync(SyncMode { disable_missing: true, ..SyncMode::default() }).await;
    assert_eq!(told, ["Missing auth0|4", r#"Disabled auth0|4 ["disabled"]"#]);
    stage.auth0.with(|kept| {
        kept.users.extend([(2, false), (4, false)]);
    });
    let (told, _) = stage.sync(SyncMode::default()).await;
    assert_eq!(told, [r#"Enabled auth0|2 ["disabled"]"#, r#"Enabled auth0|4 ["disabled"]"#]);
    assert!(stage.user(3).await.is_disabled());
}
