use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::check::deadline::BUDGET;
use crate::check::fixture::{checker_with, snapshot_with};
use crate::check::outcome::{Answer, CheckOutcome};
use crate::check::tests::value;
use crate::check::{Credential, DecisionRecord, Guest, Ports, Visitor};
use crate::directory::fixture::Replicas;
use crate::directory::{
    AccessTokenId, AccessTokenSecret, Actor, Because, Directory, DirectoryPorts, NewAccessToken, Rights, SignedIn,
    TierGrant, UserChange, UserId, UserRef,
};
use crate::policy::Policy;
use crate::policy::document::PolicyDocument;
use crate::session::fixture::{CountingRandom, SetClock};
use crate::token::test_keys::{ISSUER, NOW, settings};
use crate::token::{IntrospectedToken, OpaqueRejection, OpaqueTokens};
use crate::types::{Clock, Protocol, ProviderId, RequestView, Tasks};

struct Stage {
    checker: Checker,
    directory: Arc<Directory>,
    clock: Arc<SetClock>,
    opaque: Arc<Told>,
}

/// What a provider would say, and what it was asked.
#[derive(Default)]
struct Told {
    answer: Mutex<Option<Introspected>>,
    asked: Mutex<Vec<String>>,
}

impl OpaqueTokens for Told {
    fn known(&self, _: &str, _: &Issuers) -> Option<Introspected> {
        None
    }

    fn ask<'a>(&'a self, token: &'a str, _: &'a Issuers) -> Pin<Box<dyn Future<Output = Introspected> + Send + 'a>> {
        self.asked.lock().unwrap().push(token.to_owned());
        let answer = self.answer.lock().unwrap().clone().unwrap_or(Err(OpaqueRejection::Inactive));
        Box::pin(std::future::ready(answer))
    }
}

fn key() -> UserKey {
    UserKey::new(&ProviderId::new("main"), "u-1")
}

fn admin() -> Actor {
    Actor::Shell
}

impl Stage {
    async fn new() -> Self {
        let stage = Self::with(|ports| ports);
        stage.signed_in("access:devel", "post:x").await;
        stage
    }

    fn with(change: impl FnOnce(Ports) -> Ports) -> Self {
        let clock = SetClock::new();
        let ports = DirectoryPorts {
            store: Arc::new(MemoryDirectory::new()),
            clock: clock.clone(),
            random: Arc::new(CountingRandom),
        };
        let (directory, opaque) = (Arc::new(Directory::new(ports)), Arc::new(Told::default()));
        let snapshot = snapshot_with(json!([
            { "path": "/staff/**", "require": { "groups": ["staff"] } },
            { "path": "/hers/**", "require": { "users": ["main/u-1"] } },
            { "path": "/scoped/**", "require": { "scopes": ["access:devel"] } },
            { "path": "/both/**", "require": { "tier": "devel", "scopes": ["access:devel"] } },
        ]));
        let snapshot = Snapshot { issuers: Issuers::new([settings()]).unwrap(), ..snapshot };
        let checker = checker_with(snapshot, |ports| {
            change(Ports {
                clock: clock.clone(),
                directory: Some(Arc::clone(&directory)),
                access_tokens: true,
                opaque_tokens: Some(opaque.clone()),
                ..ports
            })
        });
        Self { checker, directory, clock, opaque }
    }

    async fn change(&self, change: UserChange) {
        self.directory.change(UserRef::Key(key()), change, admin(), Because::default()).await.unwrap();
    }

    async fn signed_in(&self, scopes: &str, permissions: &str) {
        let names = |text: &str| text.split(' ').filter(|name| !name.is_empty()).collect::<NameSet>();
        let rights = Rights { scopes: names(scopes), permissions: names(permissions), groups: names("staff") };
        self.change(UserChange::SignedIn(SignedIn {
            as_of: self.clock.now(),
            rights,
            email: None,
            name: Some("Zoë".to_owned()),
            picture: None,
        }))
        .await;
    }

    async fn owner(&self) -> UserId {
        self.directory.standing(&key()).await.unwrap().unwrap().id
    }

    /// A new token for these tiers, which lasts an hour.
    async fn token(&self, tiers: &[&str]) -> (AccessTokenId, String) {
        let (id, secret) = (AccessTokenId::draw(&CountingRandom), AccessTokenSecret::draw(&CountingRandom));
        let token = NewAccessToken {
            id,
            hash: secret.hash(),
            owner: self.owner().await,
            name: "script".to_owned(),
            tiers: tiers.iter().map(|tier| (*tier).to_owned()).collect(),
            expires_at: self.clock.now().plus(Duration::from_secs(3600)),
        };
        self.directory.create_access_token(token, 1000, admin()).await.unwrap();
        (id, secret.written().expose().to_owned())
    }

    async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> CheckOutcome {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = RequestView {
            protocol: Protocol::ForwardAuth,
            method,
            target: target.as_bytes(),
            host: None,
            headers: &headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        self.checker.check(&request, None).await
    }

    async fn reason(&self, target: &str, token: &str) -> (Reason, Option<&'static str>) {
        let record = self.record(target, token).await;
        (record.reason, record.cause)
    }

    async fn record(&self, target: &str, token: &str) -> DecisionRecord {
        self.ask("GET", target, &[("authorization", &format!("Bearer {token}"))]).await.record
    }

    /// What is counted of a token that does not count.
    async fn counted(&self, token: &str) -> (Option<&'static str>, Option<CacheResult>) {
        let record = self.record("/apps/devel/x", token).await;
        (record.cause, record.token)
    }

    async fn opens(&self, target: &str, token: &str) -> bool {
        self.reason(target, token).await.0 == Reason::Ok
    }
}

#[tokio::test]
async fn a_token_opens_its_tiers_and_what_they_include_and_nothing_else() {
    let stage = Stage::new().await;
    let (_, devel) = stage.token(&["devel"]).await;
    let (_, stable) = stage.token(&["stable"]).await;
    let (_, other) = stage.token(&["gone", "DEVEL", ""]).await;
    for (target, by_devel, by_stable, by_other) in [
        ("/apps/devel/x", true, false, false),
        ("/apps/stable/x", true, true, false),
        ("/apps/public/x", true, true, true),
        ("/public/x", true, true, true),
        // The owner has all of it, and none of it goes with a token.
        ("/staff/x", false, false, false),
        ("/hers/x", false, false, false),
        ("/scoped/x", false, false, false),
        ("/both/x", false, false, false),
        ("/nothing", false, false, false),
    ] {
        for (token, opens) in [(&devel, by_devel), (&stable, by_stable), (&other, by_other)] {
            assert_eq!(stage.opens(target, token).await, opens, "{target}");
        }
    }
    let record = stage.ask("POST", "/post", &[("authorization", &format!("Bearer {devel}"))]).await.record;
    assert_eq!(record.reason, Reason::InsufficientPermission);
    assert_eq!(stage.reason("/apps/devel/x", &stable).await, (Reason::InsufficientTier, None));
    let outcome = stage.ask("GET", "/apps/devel/x", &[("authorization", &format!("Bearer {devel}"))]).await;
    assert_eq!(outcome.record.subject(), Some("u-1"));
    assert!(outcome.record.tiers().eq(["public", "stable", "devel"]));
    let Answer::Allow(allow) = outcome.answer else { panic!("refused") };
    let header = |name: &str| value(&allow, &name.to_ascii_lowercase());
    for (name, expected) in [
        ("X-Auth-User", "u-1"),
        ("X-Auth-Name", "Zo%C3%AB"),
        ("X-Auth-Tier", "devel"),
        ("X-Auth-Tiers", "public,stable,devel"),
        ("X-Auth-Scopes", ""),
        ("X-Auth-Groups", ""),
        ("X-Auth-Issuer", ISSUER),
    ] {
        assert_eq!(header(name).as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_token_opens_no_more_than_its_owner_holds_now() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["devel"]).await;
    assert!(stage.opens("/apps/devel/x", &token).await);
    stage.clock.forward(Duration::from_secs(1));
    stage.signed_in("", "").await;
    assert_eq!(stage.reason("/apps/devel/x", &token).await, (Reason::InsufficientTier, None));
    assert!(stage.opens("/apps/stable/x", &token).await);
    let until = stage.clock.now().plus(Duration::from_secs(60));
    let grant = TierGrant {
        tier: "devel".to_owned(),
        until: Some(until),
        given_by: "admin".to_owned(),
        given_at: stage.clock.now(),
    };
    stage.change(UserChange::Grant(grant)).await;
    assert!(stage.opens("/apps/devel/x", &token).await);
    stage.clock.forward(Duration::from_secs(60));
    assert!(!stage.opens("/apps/devel/x", &token).await);
    // Groups of the directory count for the owner, as they do when they come themselves.
    stage.change(UserChange::SetGroups(BTreeSet::from(["staff".to_owned()]))).await;
    assert!(!stage.opens("/staff/x", &token).await);
}

#[tokio::test]
async fn a_token_that_is_over_revoked_or_unknown_opens_nothing_but_what_is_open() {
    let stage = Stage::new().await;
    let (id, revoked) = stage.token(&["devel"]).await;
    assert!(stage.directory.revoke_access_token(stage.owner().await, id, admin()).await.unwrap());
    let (_, over) = stage.token(&["devel"]).await;
    let unknown = format!("tgp_{}", "x".repeat(43));
    stage.clock.forward(Duration::from_secs(3599));
    assert!(stage.opens("/apps/devel/x", &over).await);
    stage.clock.forward(Duration::from_secs(1));
    for (token, reason, cause) in [
        (&revoked, Reason::InvalidToken, "access_token_revoked"),
        (&over, Reason::ExpiredToken, "access_token_over"),
        (&unknown, Reason::InvalidToken, "access_token_unknown"),
    ] {
        assert_eq!(stage.reason("/apps/devel/x", token).await, (reason, Some(cause)));
        assert!(stage.opens("/public/x", token).await, "{cause}");
        let outcome = stage.ask("GET", "/apps/devel/x", &[("authorization", &format!("Bearer {token}"))]).await;
        let Answer::Deny(denial) = outcome.answer else { panic!("not refused") };
        assert_eq!(denial.http_status(Protocol::ForwardAuth), 401);
        assert_eq!(denial.challenge.as_deref(), Some("Bearer error=\"invalid_token\""));
        assert!(!denial.body.text.contains(token.as_str()) && outcome.record.subject().is_none(), "{cause}");
    }
}

#[tokio::test]
async fn an_owner_who_is_refused_signed_out_or_gone_takes_the_token_along() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["devel"]).await;
    let (_, second) = stage.token(&["devel"]).await;
    stage.change(UserChange::Disable { reason: None }).await;
    for target in ["/apps/devel/x", "/apps/stable/x"] {
        assert_eq!(stage.reason(target, &token).await, (Reason::DisabledUser, Some("disabled")));
    }
    assert!(stage.opens("/public/x", &token).await);
    stage.change(UserChange::Enable).await;
    assert!(stage.opens("/apps/devel/x", &token).await);

    stage.clock.forward(Duration::from_secs(1));
    stage.change(UserChange::SignOut).await;
    for token in [&token, &second] {
        assert_eq!(stage.reason("/apps/devel/x", token).await, (Reason::InvalidToken, Some("issued_before_sign_out")));
    }
    let (_, newer) = stage.token(&["devel"]).await;
    assert!(stage.opens("/apps/devel/x", &newer).await);

    stage.clock.forward(Duration::from_secs(1));
    stage.change(UserChange::Gone { as_of: stage.clock.now() }).await;
    assert!(!stage.opens("/apps/devel/x", &newer).await);
    // Who is vouched for anew comes back without the tokens of before.
    stage.clock.forward(Duration::from_secs(1));
    stage.signed_in("access:devel", "").await;
    for token in [&token, &newer] {
        assert!(!stage.opens("/apps/devel/x", token).await);
    }
}

#[tokio::test]
async fn a_token_of_a_provider_that_is_gone_is_nobodys() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["devel"]).await;
    let snapshot = Snapshot { issuers: Issuers::default(), ..snapshot_with(json!([])) };
    stage.checker.replace(snapshot);
    let refused = (Reason::InvalidToken, Some("access_token_of_no_provider"));
    assert_eq!(stage.reason("/apps/devel/x", &token).await, refused);
}

#[tokio::test]
async fn a_token_may_stand_where_the_rule_lets_a_token_stand() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["devel"]).await;
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{token}")));
    let (bearer, protocols) = (format!("Bearer {token}"), format!("chat, {token}"));
    let ws = format!("/ws/x?access_token={token}");
    let apps = format!("/apps/devel/x?access_token={token}");
    for (target, header, reason) in [
        ("/apps/devel/x", ("authorization", bearer.as_str()), Reason::Ok),
        ("/apps/devel/x", ("authorization", &basic("zoe")), Reason::Ok),
        ("/apps/devel/x", ("authorization", &basic("")), Reason::Ok),
        ("/apps/devel/x", ("authorization", &basic("a:b")), Reason::InvalidToken),
        ("/apps/devel/x", ("sec-websocket-protocol", &protocols), Reason::NoCredentials),
        (&apps, ("accept", "*/*"), Reason::NoCredentials),
        (&ws, ("accept", "*/*"), Reason::Ok),
        ("/ws/x", ("sec-websocket-protocol", &protocols), Reason::Ok),
        (&ws, ("authorization", &bearer), Reason::MultipleCredentials),
        (&ws, ("sec-websocket-protocol", &protocols), Reason::MultipleCredentials),
    ] {
        let outcome = stage.ask("GET", target, &[header]).await;
        assert_eq!(outcome.record.reason, reason, "{target} {}", header.0);
        if let (Answer::Allow(allow), true) = (&outcome.answer, target.starts_with("/ws")) {
            let upstream = format!("{} {}", allow.query, allow.websocket_protocol);
            assert!(!upstream.contains(&token), "{upstream}");
        }
        assert!(!format!("{outcome:?}").contains(&token));
    }
}

#[tokio::test]
async fn without_personal_access_tokens_one_is_any_malformed_token() {
    let stage = Stage::with(|ports| Ports { access_tokens: false, ..ports });
    stage.signed_in("access:devel", "").await;
    let (_, token) = stage.token(&["devel"]).await;
    assert_eq!(stage.reason("/apps/devel/x", &token).await, (Reason::InvalidToken, Some("malformed")));
    assert!(stage.opaque.asked.lock().unwrap().is_empty(), "a provider was shown a token that is none of its own");
}

#[tokio::test]
async fn uses_are_noted_for_tokens_that_count() {
    let stage = Stage::new().await;
    let (id, token) = stage.token(&["devel"]).await;
    let (revoked, other) = stage.token(&["devel"]).await;
    stage.directory.revoke_access_token(stage.owner().await, revoked, admin()).await.unwrap();
    for _ in 0..3 {
        stage.opens("/apps/devel/x", &token).await;
        stage.opens("/apps/devel/x", &other).await;
    }
    assert_eq!(stage.directory.uses().take(), [(id, stage.clock.now())]);
}

#[tokio::test]
async fn a_visitor_by_such_a_token_is_told_apart() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["stable"]).await;
    let bearer = format!("Bearer {token}");
    let Visitor::Somebody(guest) = stage.checker.visitor(&[("authorization", bearer.as_bytes())]).await else {
        panic!("nobody");
    };
    assert!(matches!(guest.credential, Credential::AccessToken { as_password: false }));
    let basic = format!("Basic {}", STANDARD.encode(format!("zoe:{token}")));
    let visitor = stage.checker.visitor(&[("authorization", basic.as_bytes())]).await;
    assert!(matches!(
        visitor,
        Visitor::Somebody(Guest { credential: Credential::AccessToken { as_password: true }, .. })
    ));
    let snapshot = stage.checker.snapshot();
    let tiers = snapshot.policy.tiers();
    assert_eq!(guest.tiers.iter().map(|tier| tiers.name(tier)).collect::<Vec<_>>(), ["public", "stable"]);
    // Nothing else of its owner goes with it, whoever looks at the caller.
    let Principal { scopes, permissions, groups, .. } = guest.principal.as_ref();
    assert!(scopes.is_empty() && permissions.is_empty() && groups.is_empty(), "{:?}", guest.principal);
}

#[tokio::test]
async fn a_tier_by_a_group_counts_whoever_says_that_the_owner_is_in_it() {
    let stage = Stage::new().await;
    let document = PolicyDocument {
        tiers: serde_json::from_value(json!({
            "stable": { "grant": "authenticated" },
            "crew": { "grant": { "groups": ["staff"] }, "includes": ["stable"] },
            "ops": { "grant": { "groups": ["ops"] }, "includes": ["stable"] },
        }))
        .unwrap(),
        rules: serde_json::from_value(json!([{ "path": "/apps/{tier}/**", "tier": "{tier}" }])).unwrap(),
    };
    let policy = Arc::new(Policy::compile(&document, &["main"]).unwrap());
    let issuers = Issuers::new([settings()]).unwrap();
    stage.checker.replace(Snapshot { policy, issuers, ..snapshot_with(json!([])) });
    let (_, token) = stage.token(&["crew", "ops"]).await;
    for (groups, by_crew, by_ops) in [(&[][..], true, false), (&["ops"], true, true), (&["other"], true, false)] {
        stage.change(UserChange::SetGroups(groups.iter().map(|name| (*name).to_owned()).collect())).await;
        for (target, opens) in [("/apps/crew/x", by_crew), ("/apps/ops/x", by_ops)] {
            assert_eq!(stage.opens(target, &token).await, opens, "{groups:?} {target}");
        }
    }
}

#[tokio::test]
async fn a_websocket_with_a_password_is_not_opened_by_a_page_of_another_origin() {
    let stage = Stage::new().await;
    let (_, token) = stage.token(&["devel"]).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("zoe:{token}")));
    let bearer = format!("Bearer {token}");
    for (credential, origins, expected) in [
        (&basic, vec![], Reason::Ok),
        (&basic, vec!["https://evil.example"], Reason::InsufficientPermission),
        (&basic, vec!["null"], Reason::InsufficientPermission),
        (&basic, vec![""], Reason::InsufficientPermission),
        (&basic, vec!["https://evil.example", "https://evil.example"], Reason::InsufficientPermission),
        // No page can make a browser send this.
        (&bearer, vec!["https://evil.example"], Reason::Ok),
    ] {
        let mut headers = vec![("authorization", credential.as_str()), ("upgrade", "websocket")];
        headers.extend(origins.iter().map(|origin| ("origin", *origin)));
        let outcome = stage.ask("GET", "/apps/devel/x", &headers).await;
        assert_eq!(outcome.record.reason, expected, "{origins:?}");
        // What is no WebSocket is the app's to judge, as with a cookie.
        let plain: Vec<(&str, &str)> = headers.into_iter().filter(|(name, _)| *name != "upgrade").collect();
        assert_eq!(stage.ask("GET", "/apps/devel/x", &plain).await.record.reason, Reason::Ok, "{origins:?}");
    }
}

fn introspected(more: serde_json::Value) -> Introspected {
    introspected_at(NOW, more)
}

fn introspected_at(now: i64, more: serde_json::Value) -> Introspected {
    let mut members = json!({ "active": true, "aud": "portal", "sub": "u-1", "scope": "access:devel" });
    members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let members = members.as_object().unwrap().clone();
    IntrospectedToken::judge(members, &Arc::new(settings()), UnixTime::from_secs(now)).map(Arc::new)
}

#[tokio::test]
async fn an_opaque_token_is_what_its_provider_says() {
    let stage = Stage::new().await;
    let say = |answer: Introspected| *stage.opaque.answer.lock().unwrap() = Some(answer);
    say(introspected(json!({ "iat": NOW })));
    for target in ["/apps/devel/x", "/scoped/x", "/both/x", "/hers/x"] {
        assert!(stage.opens(target, "an-opaque-one").await, "{target}");
    }
    for (rejection, reason) in [
        (OpaqueRejection::Inactive, Reason::InvalidToken),
        (OpaqueRejection::Unavailable, Reason::Unavailable),
        (OpaqueRejection::Late, Reason::Unavailable),
        (OpaqueRejection::Busy, Reason::Overloaded),
    ] {
        let cause = rejection.as_str();
        say(Err(rejection));
        assert_eq!(stage.reason("/apps/devel/x", "an-opaque-one").await, (reason, Some(cause)));
        assert!(stage.opens("/public/x", "an-opaque-one").await);
    }
    // The directory has its say as with any other token.
    say(introspected(json!({ "iat": NOW })));
    stage.change(UserChange::Disable { reason: None }).await;
    assert_eq!(stage.reason("/apps/devel/x", "an-opaque-one").await.0, Reason::DisabledUser);
    stage.change(UserChange::Enable).await;
    stage.clock.forward(Duration::from_secs(1));
    stage.change(UserChange::SignOut).await;
    // The provider's clock may be ahead by the leeway, which is a minute: what it says was issued then may have been
    // issued before.
    for (more, opens) in [
        (json!({ "iat": NOW }), false),
        (json!({}), false),
        (json!({ "iat": NOW + 1 }), false),
        (json!({ "iat": NOW + 60 }), false),
        (json!({ "iat": NOW + 61 }), true),
    ] {
        say(introspected_at(NOW + 1, more.clone()));
        assert_eq!(stage.opens("/apps/devel/x", "an-opaque-one").await, opens, "{more}");
    }
}

/// Answers when the test says so, and timers that end when it does.
#[derive(Default)]
struct Slow {
    asked: AtomicUsize,
    lets_go: Notify,
    timers: Mutex<Vec<Duration>>,
    over: Arc<Notify>,
}

impl OpaqueTokens for Slow {
    fn known(&self, _: &str, _: &Issuers) -> Option<Introspected> {
        None
    }

    fn ask<'a>(&'a self, _: &'a str, _: &'a Issuers) -> Pin<Box<dyn Future<Output = Introspected> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            self.lets_go.notified().await;
            introspected(json!({ "iat": NOW }))
        })
    }
}

impl Tasks for Slow {
    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.timers.lock().unwrap().push(time);
        let over = Arc::clone(&self.over);
        Box::pin(async move { over.notified().await })
    }
}

#[tokio::test]
async fn provider_and_directory_together_have_the_time_of_one_check() {
    let slow = Arc::new(Slow::default());
    let Replicas { store, world } = Replicas::default();
    let directory = Replicas { store: store.clone(), world }.start();
    directory.follow().await.unwrap();
    store.hold();
    let stage = Stage::with(|ports| Ports {
        opaque_tokens: Some(slow.clone()),
        tasks: slow.clone(),
        directory: Some(directory),
        ..ports
    });
    let mut check = pin!(stage.reason("/apps/devel/x", "an-opaque-one"));
    assert_eq!(check.as_mut().now_or_never(), None, "it waits for the provider");
    assert_eq!((slow.asked.load(Ordering::SeqCst), store.calls("standing")), (1, 0));
    slow.lets_go.notify_one();
    assert_eq!(check.as_mut().now_or_never(), None, "it waits for the directory");
    assert_eq!(store.calls("standing"), 1);
    slow.over.notify_one();
    assert_eq!(check.await, (Reason::Unavailable, Some("too_late")));
    assert_eq!(*slow.timers.lock().unwrap(), [BUDGET], "one timer for both");
    // And where the provider alone takes all of it.
    let mut check = pin!(stage.counted("another-one"));
    assert_eq!(check.as_mut().now_or_never(), None);
    slow.over.notify_one();
    assert_eq!(check.await, (Some("too_late"), None), "nobody has judged it");
}

#[tokio::test]
async fn what_was_judged_is_counted_as_what_it_is() {
    let stage = Stage::new().await;
    let rejected = Some(CacheResult::Rejected);
    assert_eq!(stage.counted("a.b.c").await, (Some("malformed"), rejected));
    assert_eq!(stage.counted("tgp_short").await, (Some("inactive"), rejected));
    let unknown = format!("tgp_{}", "x".repeat(43));
    assert_eq!(stage.counted(&unknown).await.1, rejected);
    let unseen = Some(CacheResult::Unseen);
    let flood = (0u64..).map(|number| format!("e30.e30.{number:016000}"));
    let mut cause = None;
    for token in flood.take(2000) {
        let counted = stage.counted(&token).await;
        if counted.1 == unseen {
            cause = counted.0;
            break;
        }
        assert_eq!(counted.1, rejected);
    }
    assert_eq!(cause, Some("too_many_bad_tokens"));
}

#[tokio::test]
async fn a_provider_is_asked_about_opaque_tokens_only() {
    let stage = Stage::new().await;
    let long = "x".repeat(4097);
    for token in ["eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "a.b.c", &long, &format!("tgp_{}", "x".repeat(43))] {
        assert_eq!(stage.reason("/apps/devel/x", token).await.0, Reason::InvalidToken, "{token}");
    }
    assert_eq!(stage.opaque.asked.lock().unwrap().len(), 0);
    assert_eq!(stage.reason("/apps/devel/x", "tgp_short").await, (Reason::InvalidToken, Some("inactive")));
    assert_eq!(*stage.opaque.asked.lock().unwrap(), ["tgp_short"]);
}
