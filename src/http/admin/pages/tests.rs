use std::sync::Arc;

use serde_json::{Map, json};

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::check::{Credential, Guest, PageRequest, Sender, fixture};
use crate::directory::{
    Actor, Because, Directory, DirectoryPorts, Report, Rights, SignedIn, UserChange, UserId, UserKey, UserRef,
};
use crate::http::admin::desk::{DeskPorts, KeyState, KeyStatus, KnownProvider};
use crate::http::admin::{Administrator, RecentDecisions};
use crate::session::Session;
use crate::session::fixture::{CountingRandom, SetClock, TestStore, session, sessions};
use crate::types::{Email, ProviderId, UnixTime};

const HOSTILE: &str = "<script>alert('\"&')</script>\u{202e}x";
const LANGUAGES: [&str; 3] = ["en", "de", "ko"];

struct NoKeys;

impl KeyStatus for NoKeys {
    fn of(&self, _: &ProviderId) -> KeyState {
        KeyState::default()
    }
}

struct Stage {
    pages: AdminPages,
    directory: Arc<Directory>,
    clock: Arc<SetClock>,
    sessions: Arc<TestStore>,
    id: Option<UserId>,
}

impl Stage {
    async fn empty() -> Self {
        Self::build(Vec::new()).await
    }

    async fn build(decisions: Vec<Value>) -> Self {
        let (checker, clock) = (Arc::new(fixture::checker()), SetClock::new());
        let store = Arc::new(MemoryDirectory::new());
        let random = Arc::new(CountingRandom);
        let directory = Arc::new(Directory::new(DirectoryPorts { store, clock: clock.clone(), random }));
        let recent = RecentDecisions::new(100);
        decisions.iter().for_each(|line| recent.push(line.to_string().as_bytes(), 1));
        let held = Arc::new(TestStore::default());
        let kept = sessions(&held, &clock);
        if !decisions.is_empty() {
            let mut new = session(HOSTILE);
            HOSTILE.clone_into(&mut new.user_agent);
            kept.begin(&new).await.expect("a session");
        }
        let desk = Arc::new(AdminDesk::new(DeskPorts {
            checker: Arc::clone(&checker),
            clock: clock.clone(),
            directory: Some(Arc::clone(&directory)),
            sessions: Some(kept),
            health: None,
            decisions: Arc::new(recent),
            keys: Arc::new(NoKeys),
            providers: vec![KnownProvider {
                id: ProviderId::new("main"),
                issuer: Arc::from("https://idp.example.com/"),
                login: true,
            }],
            tier: "boss".to_owned(),
            instance: "0123".to_owned(),
        }));
        let ports = PagePorts {
            desk,
            checker,
            clock: clock.clone(),
            base_path: "/_auth".to_owned(),
            managed: vec!["main".to_owned()],
        };
        Self { pages: AdminPages::new(ports), directory, clock, sessions: held, id: None }
    }

    /// With one user of whom everything is hostile that can be.
    async fn hostile() -> Self {
        let line = json!({
            "ts": "2027-01-15T20:00:00.000Z", "request_id": HOSTILE, "decision_id": "d", "protocol": "grpc", "method": "GET",
            "host": "", "path": "/apps/%3Cb%3E<b>", "rule": HOSTILE, "tier": "devel", "decision": "deny",
            "reason": "insufficient_tier", "cause": HOSTILE, "subject": HOSTILE, "provider": "main", "duration_us": 1, "policy": "p",
        });
        let mut stage = Self::build(vec![line]).await;
        let key = UserKey::new(&ProviderId::new("main"), HOSTILE);
        let told = SignedIn {
            as_of: stage.now(),
            rights: Rights { scopes: [HOSTILE].into_iter().collect(), ..Rights::default() },
            email: Some(Email::new("<b>@example.com", true)),
            name: Some(HOSTILE.to_owned()),
            picture: None,
        };
        let mut attributes = Map::new();
        attributes.insert(HOSTILE.to_owned(), json!({ "x": HOSTILE }));
        let report = Report { as_of: stage.now(), groups: Some([HOSTILE.to_owned()].into()), ..Report::default() };
        let grant = crate::directory::TierGrant {
            tier: HOSTILE.to_owned(),
            until: None,
            given_by: HOSTILE.to_owned(),
            given_at: stage.now(),
        };
        for change in [
            UserChange::SignedIn(told),
            UserChange::Reported(Box::new(report)),
            UserChange::SetAttributes(attributes),
            UserChange::Grant(grant),
            UserChange::Disable { reason: Some(HOSTILE.to_owned()) },
        ] {
            let actor = Actor::Person(UserKey::new(&ProviderId::new("main"), HOSTILE));
            let because = Because { request_id: Some(HOSTILE.to_owned()), ..Because::default() };
            let changed =
                stage.directory.change(UserRef::Key(key.clone()), change, actor, because).await.expect("a change");
            stage.id = changed.after.map(|user| user.id);
        }
        stage
    }

    fn now(&self) -> UnixTime {
        use crate::types::Clock as _;
        self.clock.now()
    }

    fn id(&self) -> UserId {
        self.id.expect("a user")
    }

    async fn ask(&self, method: &str, target: &str, language: &str, body: Option<&str>) -> Page {
        let (below, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<(&str, &[u8])> = vec![
            ("accept", b"text/html"),
            ("sec-fetch-mode", b"navigate"),
            ("accept-language", language.as_bytes()),
            ("content-type", b"application/x-www-form-urlencoded"),
        ];
        let path = format!("/_auth/admin{below}");
        let request = PageRequest {
            method,
            path: &path,
            query: query.as_bytes(),
            headers: &headers,
            body: body.map(str::as_bytes),
            sender: Sender::Proxy,
        };
        let visit = Visit::of(&request, || "0123456789abcdef".to_owned());
        let principal = fixture::caller("access:boss");
        let tiers = self.pages.checker.snapshot().policy.tiers().held_by(Some(&principal));
        let boss = Administrator::admitted(Guest { principal, tiers, credential: Credential::Bearer });
        self.pages.answer(&visit, &boss, below).await
    }

    async fn get(&self, target: &str) -> Page {
        self.ask("GET", target, "en", None).await
    }

    async fn post(&self, target: &str, body: &str) -> Page {
        self.ask("POST", target, "en", Some(body)).await
    }

    /// Every page, by name.
    fn targets(&self) -> Vec<(&'static str, String)> {
        let mut targets: Vec<(&str, String)> = [
            ("overview", "/"),
            ("users", "/users"),
            ("users_filtered", "/users?q=%3Cb%3E&state=disabled&tier=devel&group=%22"),
            ("sessions", "/sessions"),
            ("apps", "/apps"),
            ("policy", "/policy"),
            (
                "explained",
                "/policy?method=GET&url=/apps/devel/%3Cb%3E&as=names&scopes=access:devel+%3Cb%3E&groups=%3Ci%3E",
            ),
            ("decisions", "/decisions"),
            ("decisions_filtered", "/decisions?decision=deny&path=%3Cb%3E&subject=%22"),
            ("providers", "/providers"),
            ("audit", "/audit"),
            ("audit_filtered", "/audit?action=user.disable&actor=%3Cb%3E"),
        ]
        .map(|(name, target)| (name, target.to_owned()))
        .to_vec();
        if let Some(id) = self.id {
            for (name, below) in [("user", ""), ("user_disable", "/disable"), ("user_sign_out", "/sign-out")] {
                targets.push((name, format!("/users/{id}{below}")));
            }
        }
        targets
    }
}

fn location(page: &Page) -> &str {
    page.headers.iter().find(|(name, _)| *name == "location").map_or("", |(_, value)| value.as_str())
}

#[tokio::test]
async fn the_pages_read_as_they_were_reviewed() {
    for (kind, stage) in [("empty", Stage::empty().await), ("hostile", Stage::hostile().await)] {
        for (name, target) in stage.targets() {
            for language in LANGUAGES {
                let page = stage.ask("GET", &target, language, None).await;
                let body = page.body.split("<main").nth(1).expect("a body");
                // The navigation is the same on every page; it is reviewed on the first.
                let body = if name == "overview" { body } else { body.split("</nav>").nth(1).unwrap_or(body) };
                let lines: Vec<&str> = body.lines().filter(|line| !line.trim().is_empty()).collect();
                let drawn = vec![
                    (r"[0-9a-f]{64}", "[key]"),
                    (r"[0-9a-f]{32}", "[id]"),
                    (r"<svg .*?</svg>", "[symbol]"),
                    (r"\d+\.\d+\.\d+", "[version]"),
                ];
                insta::with_settings!({ filters => drawn, omit_expression => true }, {
                    let told = format!("{}\n{}", page.status, lines.join("\n"));
                    insta::assert_snapshot!(format!("admin_{name}_{kind}_{language}"), told);
                });
            }
        }
    }
}

#[tokio::test]
async fn nothing_hostile_is_markup_and_nothing_but_forms_to_ourselves_runs() {
    let stage = Stage::hostile().await;
    for (name, target) in stage.targets() {
        let page = stage.get(&target).await;
        assert_eq!(page.status, 200, "{name}");
        for never in ["<script", "<b>", "<i>", "style=", " onclick", "{{", "{count}", "{name}"] {
            assert!(!page.body.contains(never), "{name} holds {never}");
        }
        let header = |wanted: &str| {
            page.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{name}: {policy}");
        assert!(
            policy.contains("form-action 'self'; frame-ancestors 'none'") && !policy.contains("script"),
            "{name}: {policy}"
        );
        assert_eq!((header("cache-control"), header("x-frame-options")), ("no-store", "DENY"), "{name}");
    }
}

#[tokio::test]
async fn a_form_does_what_it_says_and_leads_back() {
    let stage = Stage::hostile().await;
    let at = format!("/users/{}", stage.id());
    let user =
        async || stage.directory.store().user(UserRef::Id(stage.id())).await.expect("it answers").expect("a user");
    let page = stage.post(&format!("{at}/enable"), "").await;
    assert_eq!((page.status, location(&page)), (303, format!("/_auth/admin{at}?done=enable").as_str()));
    assert!(!user().await.is_disabled());
    assert!(stage.get(&format!("{at}?done=enable")).await.body.contains("is enabled."));
    // What such an address says is said only where it is true.
    for untrue in ["disable", "sign-out", "grant&tier=devel", "revoke", "x"] {
        assert!(!stage.get(&format!("{at}?done={untrue}")).await.body.contains("class=\"told"), "{untrue}");
    }
    assert_eq!(stage.get(&format!("{at}/disable")).await.status, 200);
    assert!(!user().await.is_disabled(), "only asked");
    stage.post(&format!("{at}/disable"), "reason=+left+").await;
    assert_eq!((user().await.disabled_here, user().await.disabled_reason.as_deref()), (true, Some("left")));
    for (body, status, told) in [
        ("tier=devel&for=day&until=", 303, ""),
        ("tier=devel&for=&until=2020-01-01T00:00", 400, "a time to come"),
        ("tier=devel&for=&until=", 400, "choose for how long"),
        ("tier=devel&for=day&until=2099-01-01T00:00", 400, "not both"),
        ("tier=nothing&for=day", 400, "choose a tier"),
        ("tier=public&for=day", 400, "choose a tier"),
        ("tier=devel&tier=boss&for=day", 400, "choose a tier"),
    ] {
        let page = stage.post(&format!("{at}/grant"), body).await;
        assert_eq!(page.status, status, "{body}");
        assert!(page.body.contains(told), "{body}: {}", page.body);
    }
    let until = user().await.grants.iter().find(|grant| grant.tier == "devel").expect("a grant").until;
    assert_eq!(until, Some(UnixTime::from_secs(stage.now().as_secs() + 24 * 60 * 60)));
    assert_eq!(stage.post(&format!("{at}/revoke"), "tier=devel").await.status, 303);
    assert!(user().await.grants.iter().all(|grant| grant.tier != "devel"));
    assert_eq!(stage.post(&format!("{at}/revoke"), "tier=devel").await.status, 303, "twice is no error");
    stage.post(&format!("{at}/sign-out"), "").await;
    assert_eq!(user().await.valid_from, Some(stage.now()));
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_words() {
    let stage = Stage::hostile().await;
    let (at, other) = (format!("/users/{}", stage.id()), UserId::from_bytes([7; 16]));
    for (method, target, body, status, told) in [
        ("GET", format!("/users/{other}"), None, 404, "There is no such user"),
        ("POST", format!("/users/{other}/enable"), Some(""), 404, "There is no such user"),
        ("GET", "/nothing".to_owned(), None, 404, "There is no such page"),
        ("GET", format!("{at}/enable"), None, 405, "This does not work here"),
        ("DELETE", at.clone(), None, 405, "This does not work here"),
        // Envoy asks about a form without its body: it has to route it.
        ("POST", format!("{at}/disable"), None, 405, "This form goes nowhere"),
        ("POST", format!("{at}/end-session"), Some("key=x"), 404, "It is not there any more"),
        ("POST", format!("{at}/revoke-token"), Some("token=x"), 404, "It is not there any more"),
    ] {
        let page = stage.ask(method, &target, "en", body).await;
        assert_eq!(page.status, status, "{method} {target}");
        assert!(page.body.contains(told), "{method} {target}: {}", page.body);
    }
    let user = stage.directory.store().user(UserRef::Id(stage.id())).await.expect("it answers").expect("a user");
    assert!(user.disabled_here, "nothing of this changed anything");
}

#[tokio::test]
async fn all_sessions_are_paged_through_the_newest_first() {
    let stage = Stage::empty().await;
    let kept = sessions(&stage.sessions, &stage.clock);
    for number in 0..230 {
        stage.clock.forward(std::time::Duration::from_secs(1));
        let signed_in_at = stage.now();
        let new = Session { signed_in_at, ..session(&format!("person-{number}")) };
        kept.begin(&new).await.expect("a session");
    }
    let (mut target, mut seen, mut lengths) = ("/sessions".to_owned(), Vec::new(), Vec::new());
    loop {
        let page = stage.get(&target).await.body;
        assert_eq!(page.contains("href=\"/_auth/admin/sessions\">First"), target != "/sessions", "{target}");
        let names = page.split("person-").skip(1);
        let mut names: Vec<u32> = names.filter_map(|rest| rest.split('<').next()?.parse().ok()).collect();
        lengths.push(names.len());
        seen.append(&mut names);
        let Some((before, _)) = page.split_once("\" rel=\"next\"") else { break };
        target = before.rsplit("/_auth/admin").next().expect("an address").to_owned();
    }
    assert_eq!(lengths, [100, 100, 30]);
    assert_eq!(seen, (0..230).rev().collect::<Vec<_>>());
    let beyond = stage.get("/sessions?skip=18446744073709551615").await;
    assert!(beyond.status == 200 && !beyond.body.contains("person-"));
}

#[tokio::test]
async fn who_is_gone_is_neither_shown_nor_changed() {
    let stage = Stage::hostile().await;
    let at = format!("/users/{}", stage.id());
    assert_eq!(stage.get(&at).await.status, 200);
    let gone = UserChange::Gone { as_of: stage.now() };
    stage.directory.change(UserRef::Id(stage.id()), gone, Actor::Shell, Because::default()).await.expect("a change");
    for (method, below, body) in [
        ("GET", "", None),
        ("GET", "/disable", None),
        ("POST", "/disable", Some("")),
        ("POST", "/enable", Some("")),
        ("POST", "/grant", Some("tier=devel&for=day&until=")),
        ("POST", "/sign-out", Some("")),
    ] {
        let page = stage.ask(method, &format!("{at}{below}"), "en", body).await;
        assert_eq!(page.status, 404, "{method} {below}: {}", page.body);
    }
}

#[tokio::test]
async fn administrators_do_not_disable_themselves() {
    let mut stage = Stage::empty().await;
    let key = UserKey::new(&ProviderId::new("main"), "u-1");
    let report = UserChange::Reported(Box::new(Report { as_of: stage.now(), ..Report::default() }));
    let made =
        stage.directory.change(UserRef::Key(key), report, Actor::Shell, Because::default()).await.expect("a user");
    stage.id = made.after.map(|user| user.id);
    let at = format!("/users/{}", stage.id());
    let page = stage.get(&at).await.body;
    assert!(page.contains("this is you") && !page.contains(&format!("{at}/disable")), "{page}");
    assert_eq!(stage.get(&format!("{at}/disable")).await.status, 409);
    assert_eq!(stage.post(&format!("{at}/disable"), "").await.status, 409);
    assert!(stage.get(&format!("{at}/sign-out")).await.body.contains("This session ends too."));
}
