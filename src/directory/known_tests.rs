//! Checks of several replicas on one store: what they know, and what they ask.

use super::super::fixture::Replicas;
use super::super::{AccessTokenSecret, AttributesChange, Report};
use super::*;
use crate::types::{ProviderId, UnixTime};

fn key(name: &str) -> UserKey {
    UserKey::new(&ProviderId::new("main"), name)
}

fn by_hand() -> Actor {
    Actor::Shell
}

async fn change(directory: &Directory, name: &str, change: UserChange) -> Changed {
    directory.change(UserRef::Key(key(name)), change, by_hand(), Because::default()).await.unwrap()
}

async fn is_disabled(directory: &Directory, name: &str) -> Option<bool> {
    directory.standing(&key(name)).await.unwrap().map(|standing| standing.is_disabled)
}

const DISABLE: UserChange = UserChange::Disable { reason: None };

#[tokio::test]
async fn the_store_is_asked_once_for_each_user_known_or_not() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    change(&directory, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await;
    for _ in 0..100 {
        assert!(directory.standing(&key("ann")).await.unwrap().is_some());
        assert!(directory.standing(&key("nobody")).await.unwrap().is_none());
    }
    assert_eq!(replicas.store.calls("standing"), 2);
}

#[tokio::test]
async fn a_change_is_known_here_with_its_answer_and_elsewhere_with_the_next_look() {
    let replicas = Replicas::default();
    let (here, there) = (replicas.start(), replicas.start());
    for directory in [&here, &there] {
        directory.follow().await.unwrap();
    }
    change(&here, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await;
    for directory in [&here, &there] {
        assert_eq!(is_disabled(directory, "ann").await, Some(false));
    }
    change(&here, "ann", DISABLE).await;
    assert_eq!(is_disabled(&here, "ann").await, Some(true));
    assert_eq!(is_disabled(&there, "ann").await, Some(false), "nothing told it so far");
    there.follow().await.unwrap();
    assert_eq!(is_disabled(&there, "ann").await, Some(true));
    assert_eq!(replicas.store.calls("standing"), 2, "each asked once");
}

#[tokio::test]
async fn who_begins_after_a_change_joins_no_look_up_from_before_it() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    change(&directory, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await;
    replicas.store.hold();
    let before = {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { is_disabled(&directory, "ann").await })
    };
    while replicas.store.calls("standing") == 0 {
        tokio::task::yield_now().await;
    }
    change(&directory, "ann", DISABLE).await;
    let after = {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { is_disabled(&directory, "ann").await })
    };
    while replicas.store.calls("standing") == 1 {
        tokio::task::yield_now().await;
    }
    replicas.store.let_go();
    assert_eq!(after.await.unwrap(), Some(true));
    before.await.unwrap();
    assert_eq!(is_disabled(&directory, "ann").await, Some(true), "what the first one read was not kept");
}

#[tokio::test]
async fn many_who_ask_for_one_make_one_look_up_and_too_many_look_ups_are_refused() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    replicas.store.hold();
    let ask = |name: String| {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { directory.standing(&key(&name)).await.map(drop) })
    };
    let same: Vec<_> = (0..1000).map(|_| ask("ann".to_owned())).collect();
    let others: Vec<_> = (1..LOOK_UPS).map(|number| ask(format!("u-{number}"))).collect();
    while replicas.store.calls("standing") < LOOK_UPS {
        tokio::task::yield_now().await;
    }
    let refused = directory.standing(&key("one more")).await;
    assert!(matches!(refused, Err(DirectoryError::TooMany(_))), "{refused:?}");
    // One that nobody waits for any more gives its place back.
    others.first().unwrap().abort();
    while directory
        .look_ups
        .join(&key("u-free"), directory.standings.ticket(&key("u-free")), || async { Ok(None) })
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    replicas.store.let_go();
    for asked in same {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(replicas.store.calls("standing"), LOOK_UPS);
}

#[tokio::test]
async fn without_the_database_what_is_known_counts_for_a_while_and_who_was_refused_stays_so() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    for name in ["ann", "bob"] {
        change(&directory, name, UserChange::SetGroups(["audit".to_owned()].into())).await;
        is_disabled(&directory, name).await;
    }
    change(&directory, "bob", DISABLE).await;
    replicas.store.set_down(true);
    directory.follow().await.unwrap_err();
    replicas.world.pass(Duration::from_secs(600));
    directory.follow().await.unwrap_err();
    assert_eq!(is_disabled(&directory, "ann").await, Some(false));
    assert!(matches!(directory.standing(&key("new")).await, Err(DirectoryError::Unavailable(_))));
    assert!(directory.is_current());
    replicas.world.pass(Duration::from_millis(1));
    assert!(matches!(directory.standing(&key("ann")).await, Err(DirectoryError::Unavailable(_))));
    assert_eq!(is_disabled(&directory, "bob").await, Some(true));
    assert!(!directory.is_current());
    replicas.store.set_down(false);
    directory.follow().await.unwrap();
    assert_eq!(is_disabled(&directory, "ann").await, Some(false));
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_looked_up() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    for by_id in [false, true] {
        let name = if by_id { "bob" } else { "ann" };
        change(&directory, name, UserChange::SetGroups(["audit".to_owned()].into())).await;
        let id = directory.standing(&key(name)).await.unwrap().unwrap().id;
        let target = if by_id { UserRef::Id(id) } else { UserRef::Key(key(name)) };
        replicas.store.set_loses_answers(true);
        directory.change(target, DISABLE, by_hand(), Because::default()).await.unwrap_err();
        replicas.store.set_loses_answers(false);
        assert_eq!(is_disabled(&directory, name).await, Some(true), "{name}");
    }
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_is_looked_up_and_a_rehearsed_one_is_not_known() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    for (name, dry_run, loses, disabled) in
        [("ann", true, false, false), ("bob", false, true, true), ("eve", false, false, true)]
    {
        change(&directory, name, UserChange::SetGroups(["audit".to_owned()].into())).await;
        assert_eq!(is_disabled(&directory, name).await, Some(false), "{name}");
        let report = Report { as_of: UnixTime::from_secs(1_900_000_000), disabled: Some(true), ..Report::default() };
        let reports = vec![ReportRequest { key: key(name), report, new_id: UserId::from_bytes([9; 16]) }];
        replicas.store.set_loses_answers(loses);
        let reported = directory.report(reports, by_hand(), dry_run).await;
        replicas.store.set_loses_answers(false);
        assert_eq!(reported.is_err(), loses, "{name}");
        assert_eq!(is_disabled(&directory, name).await, Some(disabled), "{name}");
    }
}

#[tokio::test]
async fn more_changes_than_a_page_are_followed_to_their_end_and_far_more_are_forgotten() {
    let replicas = Replicas::default();
    let (here, there) = (replicas.start(), replicas.start());
    for many in [PAGE * 3, PAGE * (MAX_PAGES + 1)] {
        there.follow().await.unwrap();
        let last = format!("u-{}", many - 1);
        assert!(is_disabled(&there, &last).await.is_none_or(|disabled| !disabled));
        let report = |number: usize| ReportRequest {
            key: key(&format!("u-{number}")),
            report: Report {
                as_of: UnixTime::from_secs(many as i64),
                disabled: Some(number == many - 1),
                attributes: Some(AttributesChange::Replace([("n".to_owned(), many.into())].into_iter().collect())),
                ..Report::default()
            },
            new_id: UserId::from_bytes((number as u128).to_be_bytes()),
        };
        here.report((0..many).map(report).collect(), by_hand(), false).await.unwrap();
        there.follow().await.unwrap();
        assert_eq!(is_disabled(&there, &last).await, Some(true), "{many}");
    }
}

#[tokio::test]
async fn what_went_by_the_store_itself_is_caught_up_with() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    change(&directory, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await;
    assert_eq!(is_disabled(&directory, "ann").await, Some(false));
    let other = replicas.start();
    change(&other, "ann", DISABLE).await;
    directory.catch_up().await;
    assert_eq!(is_disabled(&directory, "ann").await, Some(true));
    change(&other, "ann", UserChange::Enable).await;
    replicas.store.set_down(true);
    directory.catch_up().await;
    assert!(directory.standing(&key("ann")).await.is_err(), "it cannot be told what changed");
}

#[test]
fn that_a_token_is_none_is_remembered_for_seconds() {
    // Another replica may make the token meanwhile, and tells nobody.
    let directory = Replicas::default().start();
    let lasts = directory.unknown_tokens.policy().time_to_live();
    assert!(lasts.is_some_and(|lasts| lasts <= Duration::from_secs(5)), "{lasts:?}");
}

#[tokio::test]
async fn a_token_from_before_everything_was_forgotten_is_read_again() {
    let replicas = Replicas::default();
    let directory = replicas.start();
    directory.follow().await.unwrap();
    let owner = change(&directory, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await.after.unwrap().id;
    let secret = AccessTokenSecret::draw(replicas.world.as_ref());
    let token = NewAccessToken {
        id: AccessTokenId::from_bytes([7; 16]),
        hash: secret.hash(),
        owner,
        name: "script".to_owned(),
        tiers: vec!["devel".to_owned()],
        expires_at: UnixTime::from_secs(1_900_000_000),
    };
    directory.create_access_token(token.clone(), 5, by_hand()).await.unwrap();
    // As a database kept it that was further on and is lost.
    let known = directory.access_token(secret.hash()).await.unwrap().unwrap();
    let ahead = StoredAccessToken { sequence: known.sequence + 100, ..known.as_ref().clone() };
    directory.tokens.insert(secret.hash(), (directory.standings.generation(), Arc::new(ahead)));
    replicas.store.revoke_access_token(owner, token.id, by_hand(), UnixTime::from_secs(1_800_000_001)).await.unwrap();
    directory.follow().await.unwrap();
    directory.standings.lose();
    directory.follow().await.unwrap();
    assert!(directory.access_token(secret.hash()).await.unwrap().unwrap().token.revoked_at.is_some());
}

#[tokio::test]
async fn a_token_counts_as_its_owner_stands() {
    let replicas = Replicas::default();
    let (here, there) = (replicas.start(), replicas.start());
    for directory in [&here, &there] {
        directory.follow().await.unwrap();
    }
    let owner = change(&here, "ann", UserChange::SetGroups(["audit".to_owned()].into())).await.after.unwrap().id;
    let secret = AccessTokenSecret::draw(replicas.world.as_ref());
    let token = NewAccessToken {
        id: AccessTokenId::from_bytes([7; 16]),
        hash: secret.hash(),
        owner,
        name: "script".to_owned(),
        tiers: vec!["devel".to_owned()],
        expires_at: UnixTime::from_secs(1_900_000_000),
    };
    assert!(here.access_token(secret.hash()).await.unwrap().is_none());
    assert!(here.access_token(secret.hash()).await.unwrap().is_none());
    assert_eq!(replicas.store.calls("access_token"), 1, "that it is none is remembered");
    here.create_access_token(token.clone(), 5, by_hand()).await.unwrap();
    for _ in 0..50 {
        for directory in [&here, &there] {
            let found = directory.access_token(secret.hash()).await.unwrap().unwrap();
            assert_eq!((found.token.id, found.token.revoked_at), (token.id, None));
        }
    }
    assert!(replicas.store.calls("access_token") <= 4, "{}", replicas.store.calls("access_token"));
    here.revoke_access_token(owner, token.id, by_hand()).await.unwrap();
    assert!(here.access_token(secret.hash()).await.unwrap().unwrap().token.revoked_at.is_some());
    there.follow().await.unwrap();
    assert!(there.access_token(secret.hash()).await.unwrap().unwrap().token.revoked_at.is_some());
}
