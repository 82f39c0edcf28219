//! What the directory makes of people whose credentials count.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::fixture::{DirectoryStage, caller, directory_stage, session_cookie};
use super::*;
use crate::check::tests::value;
use crate::check::{Answer, CheckOutcome};
use crate::directory::{Actor, Because, TierGrant, UserChange, UserRef};
use crate::session::{SessionId, SessionKey};
use crate::types::{Protocol, ProviderId, RequestView, TierSource};

fn ann() -> UserKey {
    // The subject of the session `live`.
    UserKey::new(&ProviderId::new("main"), "u-1")
}

impl DirectoryStage {
    async fn change(&self, change: UserChange) {
        self.directory.change(UserRef::Key(ann()), change, Actor::Shell, Because::default()).await.unwrap();
    }

    async fn get(&self, path: &str, cookie: Option<&str>) -> CheckOutcome {
        self.get_by(Protocol::Grpc, path, cookie).await
    }

    async fn get_by(&self, protocol: Protocol, path: &str, cookie: Option<&str>) -> CheckOutcome {
        let cookie = cookie.map(session_cookie);
        let headers: Vec<(&str, &[u8])> = cookie.iter().map(|cookie| ("cookie", cookie.as_bytes())).collect();
        let request = RequestView {
            protocol,
            method: "GET",
            target: path.as_bytes(),
            host: Some(b"gate.example.com"),
            headers: &headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        self.service.answer(&request).await
    }
}

fn header(outcome: &CheckOutcome, name: &str) -> String {
    let Answer::Allow(allow) = &outcome.answer else { panic!("refused: {:?}", outcome.record) };
    value(allow, name).unwrap_or_default()
}

fn grant(tier: &str, until: Option<i64>) -> UserChange {
    UserChange::Grant(TierGrant {
        tier: tier.to_owned(),
        until: until.map(UnixTime::from_secs),
        given_by: "main/boss".to_owned(),
        given_at: UnixTime::from_secs(1_700_000_000),
    })
}

#[tokio::test]
async fn the_store_is_asked_once_and_then_never_more() {
    let stage = directory_stage().await;
    stage.change(UserChange::SetAttributes([("plan".to_owned(), json!("pro"))].into_iter().collect())).await;
    let before = stage.store.total();
    for _ in 0..200 {
        assert!(stage.get("/apps/devel/x", Some("live")).await.record.allowed);
    }
    assert_eq!(stage.store.total() - before, 1, "one look-up for the first, none for the others");
}

#[tokio::test]
async fn who_is_disabled_is_refused_where_somebody_is_asked_for_and_nobody_elsewhere() {
    let stage = directory_stage().await;
    assert!(stage.get("/apps/devel/x", Some("live")).await.record.allowed);
    stage.change(UserChange::Disable { reason: None }).await;
    for path in ["/apps/devel/x", "/apps/stable/x"] {
        let refused = stage.get(path, Some("live")).await;
        assert_eq!((refused.record.allowed, refused.record.reason), (false, Reason::DisabledUser), "{path}");
        assert_eq!(refused.record.subject(), Some("u-1"), "the log says who");
        let Answer::Deny(denial) = &refused.answer else { panic!("a refusal") };
        assert_eq!((denial.http_status(Protocol::Grpc), &denial.redirect), (403, &None));
        assert!(denial.set_cookies.is_empty(), "the session stays, to sign out with");
    }
    let open = stage.get("/public/x", Some("live")).await;
    assert!(open.record.allowed);
    assert_eq!((header(&open, "x-auth-user"), header(&open, "x-auth-tiers")), (String::new(), "public".to_owned()));
    stage.change(UserChange::Enable).await;
    assert!(stage.get("/apps/devel/x", Some("live")).await.record.allowed);
}

#[tokio::test]
async fn groups_grants_and_attributes_count_and_grants_end_by_themselves() {
    let stage = directory_stage().await;
    stage.change(UserChange::SetGroups(BTreeSet::from(["audit".to_owned()]))).await;
    assert!(!stage.get("/apps/boss/x", Some("live")).await.record.allowed);
    let now = stage.now().as_secs();
    stage.change(grant("boss", Some(now + 60))).await;
    stage.change(grant("no such tier", None)).await;
    let allowed = stage.get("/apps/boss/x", Some("live")).await;
    assert_eq!(header(&allowed, "x-auth-tiers"), "public,stable,devel,boss");
    assert_eq!(header(&allowed, "x-auth-groups"), "audit");
    assert_eq!(header(&allowed, "x-auth-plan"), "");
    assert!(stage.get("/audit/x", Some("live")).await.record.allowed);
    stage.change(UserChange::SetAttributes([("plan".to_owned(), json!("pro"))].into_iter().collect())).await;
    assert_eq!(header(&stage.get("/apps/boss/x", Some("live")).await, "x-auth-plan"), "pro");
    let asked = stage.store.total();
    stage.pass(60);
    let over = stage.get("/apps/boss/x", Some("live")).await;
    assert_eq!((over.record.allowed, over.record.reason), (false, Reason::InsufficientTier));
    assert_eq!(stage.store.total(), asked, "nobody told it");
}

#[tokio::test]
async fn the_guest_of_a_page_is_who_a_check_would_let_in() {
    let stage = directory_stage().await;
    let live = Arc::new(LiveSession {
        key: SessionKey::of(&SessionId::parse(&format!("{:A<43}", "live")).unwrap()),
        principal: caller("access:devel"),
        signed_in_at: stage.now(),
        ends_at: stage.now().plus(std::time::Duration::from_secs(60)),
        set_cookie: None,
    });
    let admit = || stage.service.checker().admit_session(Arc::clone(&live));
    let SessionGuest::Admitted(guest) = admit().await else { panic!("not let in") };
    assert!(Arc::ptr_eq(&guest, &live), "nothing is known of them");
    stage.change(UserChange::SetGroups(BTreeSet::from(["audit".to_owned()]))).await;
    stage.change(grant("boss", None)).await;
    let SessionGuest::Admitted(guest) = admit().await else { panic!("not let in") };
    assert!(guest.principal.groups.contains("audit"));
    assert!(matches!(&guest.principal.tiers, TierSource::Grants(tiers) if tiers.contains("boss")));
    stage.change(UserChange::Disable { reason: None }).await;
    assert!(matches!(admit().await, SessionGuest::Barred(_, Reason::DisabledUser)));
}

#[tokio::test]
async fn what_was_vouched_for_before_a_sign_out_counts_no_more() {
    let stage = directory_stage().await;
    assert!(stage.get("/apps/devel/x", Some("live")).await.record.allowed);
    stage.change(UserChange::SetGroups(BTreeSet::from(["audit".to_owned()]))).await;
    stage.change(UserChange::SignOut).await;
    let over = stage.get("/apps/devel/x", Some("live")).await;
    assert_eq!((over.record.reason, over.record.cause), (Reason::SessionExpired, Some("began_before_sign_out")));
    let Answer::Deny(denial) = &over.answer else { panic!("a refusal") };
    assert_eq!(denial.http_status(Protocol::ForwardAuth), 401);
    assert_eq!(denial.set_cookies.len(), 1, "its cookie goes");
    let standing = stage.directory.standing(&ann()).await.unwrap().unwrap();
    let valid_from = standing.valid_from.unwrap();
    // What is of that very moment counts.
    let before = valid_from.minus(std::time::Duration::from_millis(1));
    for (vouched, reason) in [
        (Vouched::Token(before), Some(Reason::InvalidToken)),
        (Vouched::Token(valid_from), None),
        (Vouched::Session(before), Some(Reason::SessionExpired)),
        (Vouched::Session(valid_from), None),
    ] {
        assert_eq!(bars(&standing, vouched).map(|barred| barred.reason), reason, "{vouched:?}");
    }
}

#[tokio::test]
async fn without_the_database_strangers_are_told_503_and_anybody_may_go_where_nobody_is_asked_for() {
    let stage = directory_stage().await;
    stage.store.set_down(true);
    let refused = stage.get("/apps/devel/x", Some("live")).await;
    assert_eq!((refused.record.reason, refused.record.cause), (Reason::Unavailable, Some("directory")));
    let Answer::Deny(denial) = &refused.answer else { panic!("a refusal") };
    assert_eq!(denial.http_status(Protocol::ForwardAuth), 503);
    assert!(stage.get("/public/x", Some("live")).await.record.allowed);
    assert!(stage.get("/public/x", None).await.record.allowed);
    assert_eq!(stage.get("/apps/devel/x", None).await.record.reason, Reason::NoCredentials);
}

#[tokio::test]
async fn the_administrators_paths_pass_with_their_tier_alone_by_every_protocol_over_http() {
    let stage = directory_stage().await;
    for protocol in [Protocol::AuthRequest, Protocol::ForwardAuth, Protocol::ExtAuthz] {
        for path in ["/_auth/admin", "/_auth/admin/", "/_auth/admin/api/users", "/_auth/admin/no/such/page"] {
            let case = format!("{protocol:?} {path}");
            assert_eq!(stage.get_by(protocol, path, None).await.record.reason, Reason::NoCredentials, "{case}");
            let lacks = stage.get_by(protocol, path, Some("live")).await;
            assert_eq!(lacks.record.reason, Reason::InsufficientTier, "{case}");
            let Answer::Deny(denial) = &lacks.answer else { panic!("{case}") };
            assert_eq!(denial.http_status(protocol), 403, "{case}");
        }
        assert!(stage.get_by(protocol, "/_auth/other", None).await.record.allowed, "a page passes");
    }
    stage.change(grant("boss", None)).await;
    let passes = stage.get_by(Protocol::ForwardAuth, "/_auth/admin/", Some("live")).await;
    assert!(passes.record.allowed);
    assert_eq!(header(&passes, "x-auth-user"), "", "no app lives there");
    stage.change(UserChange::Disable { reason: None }).await;
    let barred = stage.get_by(Protocol::ForwardAuth, "/_auth/admin/", Some("live")).await;
    assert_eq!(barred.record.reason, Reason::DisabledUser);
}
