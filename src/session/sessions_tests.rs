use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::moving::OLD_ID_GRACE;
use super::*;
use crate::session::fixture::{CountingRandom, LIFETIMES, SetClock, TestStore, session, sessions};
use crate::types::Secret;

struct Stage {
    store: Arc<TestStore>,
    clock: Arc<SetClock>,
    sessions: Sessions,
}

fn stage() -> Stage {
    let (store, clock) = (Arc::new(TestStore::default()), SetClock::new());
    Stage { sessions: sessions(&store, &clock), store, clock }
}

#[tokio::test]
async fn a_session_opens_with_its_id_and_reads_back_whole() {
    let Stage { sessions, .. } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    assert!(sessions.open(&id).await.unwrap().session == session("u-1"));
    let other = sessions.begin(&session("u-1")).await.unwrap();
    assert!(other != id);
}

#[tokio::test]
async fn idle_and_absolute_ends_are_met_to_the_millisecond() {
    let Stage { sessions, clock, .. } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    clock.forward(LIFETIMES.idle - Duration::from_millis(1));
    assert!(sessions.open(&id).await.is_ok());
    clock.forward(LIFETIMES.idle - Duration::from_millis(1));
    assert!(sessions.open(&id).await.is_ok(), "a use prolongs it");
    clock.forward(LIFETIMES.idle);
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Unknown)));

    let Stage { sessions, clock, .. } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let step = LIFETIMES.idle / 2;
    for _ in 0..(LIFETIMES.absolute.as_secs() / step.as_secs() - 1) {
        clock.forward(step);
        assert!(sessions.open(&id).await.is_ok());
    }
    clock.forward(step - Duration::from_millis(1));
    assert!(sessions.open(&id).await.is_ok());
    clock.forward(Duration::from_millis(1));
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Unknown)), "no use prolongs it past its end");
}

#[tokio::test]
async fn a_use_is_written_down_now_and_then_only() {
    let Stage { sessions, clock, store } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let calls = || store.calls.swap(0, Ordering::SeqCst);
    calls();
    sessions.open(&id).await.unwrap();
    assert_eq!(calls(), 1);
    clock.forward(LIFETIMES.idle / 10 + Duration::from_secs(1));
    sessions.open(&id).await.unwrap();
    assert_eq!(calls(), 2);
}

#[tokio::test]
async fn a_record_that_nothing_opens_is_removed() {
    let Stage { sessions, store, clock } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let key = SessionKey::of(&id);
    let stored = store.find(key, clock.now()).await.unwrap().unwrap();
    let mut broken = StoredSession::clone(&stored);
    broken.sealed[20] ^= 1;
    assert!(store.replace(key, 1, broken, clock.now()).await.unwrap());
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Broken)));
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Unknown)));
}

#[tokio::test]
async fn a_record_moved_to_another_place_opens_nothing() {
    let Stage { sessions, store, clock } = stage();
    let (mine, other) =
        (sessions.begin(&session("u-1")).await.unwrap(), sessions.begin(&session("u-2")).await.unwrap());
    let theirs = store.find(SessionKey::of(&other), clock.now()).await.unwrap().unwrap();
    assert!(store.replace(SessionKey::of(&mine), 1, StoredSession::clone(&theirs), clock.now()).await.unwrap());
    assert!(matches!(sessions.open(&mine).await, Err(SessionError::Broken)));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_sign_out() {
    let Stage { sessions, store, .. } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    store.break_it(true);
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Store(StoreError::Unavailable(_)))));
    store.break_it(false);
    assert!(sessions.open(&id).await.is_ok());
}

#[tokio::test]
async fn of_two_that_replace_one_wins() {
    let Stage { sessions, .. } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let opened = sessions.open(&id).await.unwrap();
    assert!(sessions.replace(&opened, &session("u-1")).await.unwrap());
    assert!(!sessions.replace(&opened, &session("u-1")).await.unwrap());
    let ended = sessions.open(&id).await.unwrap();
    assert!(sessions.end(ended.key).await.unwrap());
    assert!(!sessions.replace(&ended, &session("u-1")).await.unwrap(), "what ended does not come back");
}

#[tokio::test]
async fn sessions_are_found_by_person_and_by_the_providers_own() {
    let Stage { sessions, .. } = stage();
    let first = sessions.begin(&session("u-1")).await.unwrap();
    let second = sessions.begin(&Session { sid: Some("sid-2".to_owned()), ..session("u-1") }).await.unwrap();
    let other = sessions.begin(&session("u-2")).await.unwrap();
    let issuer = session("u-1").issuer;
    let mut both = vec![SessionKey::of(&first), SessionKey::of(&second)];
    both.sort_unstable();
    assert_eq!(sessions.of_subject(&issuer, "u-1").await.unwrap(), both);
    assert_eq!(sessions.end_of_sid("https://other.example.com/", "sid-2", None).await.unwrap(), 0);
    assert_eq!(sessions.end_of_sid(&issuer, "sid-2", Some("u-2")).await.unwrap(), 0);
    assert_eq!(sessions.end_of_sid(&issuer, "sid-2", Some("u-1")).await.unwrap(), 1);
    assert!(sessions.open(&second).await.is_err() && sessions.open(&first).await.is_ok());
    let third = sessions.begin(&session("u-1")).await.unwrap();
    assert_eq!(sessions.end_of_subject(&issuer, "u-1", Some(SessionKey::of(&third))).await.unwrap(), 1);
    assert!(sessions.open(&third).await.is_ok());
    assert_eq!(sessions.end_of_subject(&issuer, "u-1", None).await.unwrap(), 1);
    assert!(sessions.open(&other).await.is_ok());
    let card = sessions.look_at(SessionKey::of(&other)).await.unwrap().unwrap().card.unwrap();
    assert_eq!((card.subject.as_str(), card.user_agent.as_str()), ("u-2", "a browser"));
    let (listed, whole) = sessions.list(10).await.unwrap();
    assert_eq!((listed.len(), whole), (1, true));
}

#[tokio::test]
async fn a_session_that_moved_is_found_under_both_ids_until_the_new_one_was_shown() {
    let Stage { sessions, clock, store } = stage();
    let first = sessions.begin(&session("u-1")).await.unwrap();
    let opened = sessions.open(&first).await.unwrap();
    let mut more = session("u-1");
    more.user_agent = "with more rights".to_owned();
    assert!(sessions.move_on(&opened, &more).await.unwrap());
    assert!(!sessions.move_on(&opened, &more).await.unwrap(), "it moves once");
    assert_eq!(store.count(clock.now()).await.unwrap(), 2, "nothing is left of the second try");

    // A proxy that hands no cookie on: the old id goes on to count.
    clock.forward(LIFETIMES.idle - Duration::from_secs(1));
    let moved = sessions.open(&first).await.unwrap();
    assert!(moved.id != first && moved.session == more && moved.is_new_to_browser);
    clock.forward(LIFETIMES.idle - Duration::from_secs(1));
    assert!(sessions.open(&first).await.is_ok());

    let shown = sessions.open(&moved.id).await.unwrap();
    assert!(shown.id == moved.id && shown.session == more && !shown.is_new_to_browser);
    clock.forward(OLD_ID_GRACE - Duration::from_millis(1));
    let late = sessions.open(&first).await.expect("a request that was under way");
    assert!(!late.is_new_to_browser, "whoever kept the old id is not given the new one");
    clock.forward(Duration::from_millis(1));
    assert!(matches!(sessions.open(&first).await, Err(SessionError::Unknown)));
    assert!(sessions.open(&moved.id).await.unwrap().session == more);
    let (listed, _) = sessions.list(10).await.unwrap();
    assert_eq!(listed.iter().map(|listing| listing.key).collect::<Vec<_>>(), [SessionKey::of(&moved.id)]);
}

#[tokio::test]
async fn whoever_holds_the_old_id_ends_the_session_that_moved() {
    let Stage { sessions, .. } = stage();
    let first = sessions.begin(&session("u-1")).await.unwrap();
    let opened = sessions.open(&first).await.unwrap();
    assert!(sessions.move_on(&opened, &session("u-1")).await.unwrap());
    let next = sessions.open(&first).await.unwrap().id;
    assert!(sessions.end_of(&first).await.unwrap());
    for id in [&first, &next] {
        assert!(matches!(sessions.open(id).await, Err(SessionError::Unknown)));
    }
    assert!(!sessions.end_of(&first).await.unwrap());
}

#[tokio::test]
async fn a_record_under_a_secret_of_another_instance_stays() {
    let Stage { sessions, clock, store } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let ports = SessionPorts { store: store.clone(), random: Arc::new(CountingRandom), clock: clock.clone() };
    let foreign = Seals::new(&[Secret::new("another secret, which is long enough too".to_owned())]).unwrap();
    let other = Sessions::new(ports, foreign, LIFETIMES);
    assert!(matches!(other.open(&id).await, Err(SessionError::Broken)));
    assert!(sessions.open(&id).await.is_ok());
}

#[tokio::test]
async fn who_is_ended_while_moving_is_ended() {
    let Stage { sessions, clock, store } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let opened = sessions.open(&id).await.unwrap();
    let seen = store.find(SessionKey::of(&id), clock.now()).await.unwrap().unwrap();
    // What somebody does who has read the session before it moved.
    assert!(sessions.move_on(&opened, &session("u-1")).await.unwrap());
    assert!(!sessions.end_as_seen(SessionKey::of(&id), &seen).await.unwrap());
    assert!(sessions.open(&id).await.is_ok());
    assert_eq!(sessions.end_of_subject(&session("u-1").issuer, "u-1", None).await.unwrap(), 1);
    assert!(sessions.open(&id).await.is_err());
    assert_eq!(store.count(clock.now()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_move_whose_answer_was_lost_keeps_the_session() {
    let Stage { sessions, clock, store } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let opened = sessions.open(&id).await.unwrap();
    store.lose_answers(true);
    assert!(sessions.move_on(&opened, &session("u-1")).await.is_err());
    store.lose_answers(false);
    assert!(sessions.open(&id).await.is_ok());
    assert!(store.count(clock.now()).await.unwrap() >= 1);
}

#[tokio::test]
async fn a_store_that_was_written_by_others_prolongs_nothing() {
    let Stage { sessions, clock, store } = stage();
    let id = sessions.begin(&session("u-1")).await.unwrap();
    let key = SessionKey::of(&id);
    let stored = store.find(key, clock.now()).await.unwrap().unwrap();
    let far = clock.now().plus(LIFETIMES.absolute * 100);
    let longer = StoredSession { idle_until: far, ends_at: far, ..StoredSession::clone(&stored) };
    assert!(store.replace(key, 1, longer, clock.now()).await.unwrap());
    clock.forward(LIFETIMES.absolute - Duration::from_millis(1));
    assert!(sessions.open(&id).await.is_ok());
    clock.forward(Duration::from_millis(1));
    assert!(matches!(sessions.open(&id).await, Err(SessionError::Unknown)));
}
