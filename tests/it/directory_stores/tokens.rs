//! Personal access tokens, and what is small: bookmarks, the probe, the sweep.

use std::time::Duration;

use tiergate::backend::system::SystemRandom;
use tiergate::directory::{
    AccessToken, AccessTokenId, AccessTokenSecret, Actor, DirectoryError, KEPT_AFTER_END, NewAccessToken, TOKEN_DAY,
    TOO_MANY_NEW_TOKENS, TokenHash, UserChange, UserDirectory, UserId, made_in_a_day,
};
use tiergate::types::UnixTime;

use super::stage::{DirectoryUnderTest, at, change, key, new_id, patiently, somebody, user};

pub(crate) fn new_token(owner: UserId, expires: i64) -> NewAccessToken {
    NewAccessToken {
        id: AccessTokenId::draw(&SystemRandom),
        hash: AccessTokenSecret::draw(&SystemRandom).hash(),
        owner,
        name: "on the train 🚆".to_owned(),
        tiers: vec!["stable".to_owned(), "devel".to_owned()],
        expires_at: at(expires),
    }
}

async fn keep(store: &dyn UserDirectory, token: &NewAccessToken, now: i64) -> AccessToken {
    store.create_access_token(token.clone(), 20, Actor::Shell, at(now)).await.unwrap()
}

pub(crate) async fn a_token_is_found_by_its_hash(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    assert_eq!(patiently(|| store.access_token(TokenHash([7; 32]))).await, None);
    let new = new_token(joe.id, 100);
    let kept = keep(store.as_ref(), &new, 10).await;
    assert_eq!((kept.id, kept.owner, &kept.name, &kept.tiers), (new.id, joe.id, &new.name, &new.tiers));
    assert_eq!((kept.created_at, kept.expires_at, kept.revoked_at, kept.last_used_at), (at(10), at(100), None, None));
    let found = stage.open_replica().await.access_token(new.hash).await.unwrap().unwrap();
    let now = user(store.as_ref(), "joe").await.unwrap();
    assert_eq!((&found.token, &found.owner, found.sequence), (&kept, &key("joe"), now.sequence));
    // The record is the same, and everybody who follows is told.
    assert_eq!((now.version, now.sequence, now.updated_at), (1, 2, joe.updated_at));
    assert_eq!(patiently(|| store.changes(1, 5)).await.users.len(), 1);
    let later = keep(store.as_ref(), &new_token(joe.id, 50), 20).await;
    assert_eq!(store.access_tokens(joe.id).await.unwrap(), [later, kept]);
    assert!(store.access_tokens(new_id()).await.unwrap().is_empty());
}

pub(crate) async fn a_token_too_many_is_refused(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    let create = |token: NewAccessToken, now| store.create_access_token(token, 2, Actor::Shell, at(now));
    let (first, second) = (new_token(joe.id, 20), new_token(joe.id, 100));
    create(first.clone(), 10).await.unwrap();
    create(second.clone(), 10).await.unwrap();
    let refused = create(new_token(joe.id, 100), 19).await;
    assert!(matches!(refused, Err(DirectoryError::TooMany("tokens"))), "{refused:?}");
    create(new_token(joe.id, 100), 20).await.unwrap();
    assert!(store.revoke_access_token(joe.id, second.id, Actor::Shell, at(21)).await.unwrap());
    create(new_token(joe.id, 100), 21).await.unwrap();
    // Signed out everywhere, they may begin anew.
    let refused = create(new_token(joe.id, 100), 22).await;
    assert!(matches!(refused, Err(DirectoryError::TooMany("tokens"))), "{refused:?}");
    change(store.as_ref(), "joe", UserChange::SignOut, 22).await;
    create(new_token(joe.id, 100), 22).await.unwrap();
    create(new_token(joe.id, 100), 23).await.unwrap();
    let refused = create(new_token(joe.id, 100), 24).await;
    assert!(matches!(refused, Err(DirectoryError::TooMany("tokens"))), "{refused:?}");
    let refused = create(NewAccessToken { id: first.id, ..new_token(joe.id, 100) }, 200).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("id"))), "{refused:?}");
    let refused = create(NewAccessToken { hash: first.hash, ..new_token(joe.id, 100) }, 200).await;
    assert!(matches!(refused, Err(DirectoryError::Taken("id"))), "{refused:?}");
    let refused = create(new_token(new_id(), 100), 10).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("user"))), "{refused:?}");
    change(store.as_ref(), "joe", UserChange::Gone { as_of: at(30) }, 30).await;
    let refused = create(new_token(joe.id, 300), 200).await;
    assert!(matches!(refused, Err(DirectoryError::Missing("user"))), "{refused:?}");
}

pub(crate) async fn making_and_revoking_has_an_end(stage: &impl DirectoryUnderTest) {
    const LIMIT: usize = 2;
    let store = stage.open_replica().await;
    let (joe, ann) = (somebody(store.as_ref(), "joe").await, somebody(store.as_ref(), "ann").await);
    let start = at(1_000);
    let create = |owner, now| store.create_access_token(new_token(owner, i64::MAX / 2), LIMIT, Actor::Shell, now);
    for _ in 0..made_in_a_day(LIMIT) {
        let made = create(joe.id, start).await.unwrap();
        assert!(store.revoke_access_token(joe.id, made.id, Actor::Shell, start).await.unwrap());
    }
    let day = start.plus(TOKEN_DAY);
    for now in [start, day.minus(Duration::from_millis(1))] {
        let refused = create(joe.id, now).await;
        assert!(matches!(refused, Err(DirectoryError::TooMany(TOO_MANY_NEW_TOKENS))), "{refused:?}");
    }
    create(ann.id, start).await.expect("somebody else makes theirs");
    create(joe.id, day).await.expect("a day later");
}

pub(crate) async fn a_revoked_token_stays_and_counts_no_more(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let (joe, ann) = (somebody(store.as_ref(), "joe").await, somebody(store.as_ref(), "ann").await);
    let token = new_token(joe.id, 100);
    keep(store.as_ref(), &token, 10).await;
    let revoke = |owner, id, now| store.revoke_access_token(owner, id, Actor::Shell, at(now));
    assert!(!revoke(ann.id, token.id, 20).await.unwrap(), "it is another one's");
    assert!(!revoke(joe.id, AccessTokenId::draw(&SystemRandom), 20).await.unwrap());
    let before = patiently(|| store.sequence()).await;
    assert!(revoke(joe.id, token.id, 20).await.unwrap());
    assert_eq!(patiently(|| store.sequence()).await, before + 1);
    assert!(!revoke(joe.id, token.id, 21).await.unwrap());
    let found = patiently(|| store.access_token(token.hash)).await.unwrap();
    assert_eq!((found.token.revoked_at, found.sequence), (Some(at(20)), before + 1));
    assert_eq!(store.access_tokens(joe.id).await.unwrap(), [found.token]);
    let over = new_token(joe.id, 30);
    keep(store.as_ref(), &over, 20).await;
    assert!(!revoke(joe.id, over.id, 30).await.unwrap(), "it had ended by itself");
}

pub(crate) async fn the_use_of_tokens_is_noted(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    let (one, other) = (new_token(joe.id, 100), new_token(joe.id, 100));
    keep(store.as_ref(), &one, 10).await;
    keep(store.as_ref(), &other, 10).await;
    let before = patiently(|| store.sequence()).await;
    let stranger = AccessTokenId::draw(&SystemRandom);
    store.access_tokens_used(vec![(one.id, at(20)), (stranger, at(20)), (one.id, at(15))]).await.unwrap();
    store.access_tokens_used(Vec::new()).await.unwrap();
    let used = |hash| async move { patiently(|| store.access_token(hash)).await.unwrap().token.last_used_at };
    assert_eq!(used(one.hash).await, Some(at(20)));
    let store = stage.open_replica().await;
    assert_eq!(patiently(|| store.access_token(other.hash)).await.unwrap().token.last_used_at, None);
    assert_eq!(patiently(|| store.sequence()).await, before);
}

pub(crate) async fn a_sweep_takes_what_is_over_and_nothing_else(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let joe = somebody(store.as_ref(), "joe").await;
    let (ends, revoked, lasts) = (new_token(joe.id, 1000), new_token(joe.id, 9_000_000), new_token(joe.id, 9_000_000));
    for token in [&ends, &revoked, &lasts] {
        keep(store.as_ref(), token, 10).await;
    }
    store.revoke_access_token(joe.id, revoked.id, Actor::Shell, at(2000)).await.unwrap();
    let long = |since: i64| at(since).plus(KEPT_AFTER_END);
    let left = |now: UnixTime| {
        let store = &store;
        async move {
            store.sweep(now, at(0)).await.unwrap();
            store.access_tokens(joe.id).await.unwrap().len()
        }
    };
    assert_eq!(left(at(5000)).await, 3);
    assert_eq!(left(UnixTime::from_millis(long(1000).as_millis() - 1)).await, 3);
    assert_eq!(left(long(1000)).await, 2);
    assert_eq!(left(long(2000)).await, 1);
    assert_eq!(patiently(|| store.access_token(ends.hash)).await, None);
    assert!(patiently(|| store.access_token(lasts.hash)).await.is_some());
}

pub(crate) async fn bookmarks_are_kept_and_dropped(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let name = |name: &str| name.to_owned();
    assert_eq!(store.bookmark(name("sync main")).await.unwrap(), None);
    for value in ["page 1", "page 2 \0 ü"] {
        store.set_bookmark(name("sync main"), Some(name(value))).await.unwrap();
        assert_eq!(stage.open_replica().await.bookmark(name("sync main")).await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(store.bookmark(name("sync Main")).await.unwrap(), None);
    for _ in 0..2 {
        store.set_bookmark(name("sync main"), None).await.unwrap();
        assert_eq!(store.bookmark(name("sync main")).await.unwrap(), None);
    }
}

pub(crate) async fn the_probe_passes_and_leaves_nothing(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    store.probe(at(1)).await.unwrap();
    store.probe(at(1)).await.unwrap();
    assert_eq!((patiently(|| store.sequence()).await, super::stage::entries(store.as_ref()).await.len()), (0, 0));
}
