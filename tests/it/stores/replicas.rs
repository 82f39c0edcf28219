//! Two replicas of the service on one store, and one that starts anew.

use std::time::{Duration, Instant};

use tiergate::session::{SessionKey, SessionStore, StoredSession};

use super::stage::{MINUTE, SECOND, StoreUnderTest, comes_true, new_key, new_lease, new_once, now, session};

/// Within this time a replica knows what another one did.
const IN_TIME: Duration = Duration::from_millis(100);

/// Has the replica find the session, more than once: it may keep hot ones.
async fn warm_up(replica: &dyn SessionStore, key: SessionKey) {
    for _ in 0..3 {
        assert!(replica.find(key, now()).await.unwrap().is_some());
    }
}

pub(crate) async fn what_one_replica_keeps_the_other_finds(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let (key, kept, attempt) = (new_key(), session(now()), new_once());
    one.insert(key, kept.clone(), now()).await.unwrap();
    assert!(*other.find(key, now()).await.unwrap().expect("the session") == kept);
    assert_eq!(other.indexed(kept.subject, 10, now()).await.unwrap(), [key]);
    assert!(one.put_once(attempt, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    assert!(!other.put_once(attempt, b"y".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    assert_eq!(other.take(attempt, now()).await.unwrap().as_deref(), Some(&b"x"[..]));
}

pub(crate) async fn a_removal_reaches_the_replica_in_time(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    for _ in 0..20 {
        let (key, kept) = (new_key(), session(now()));
        one.insert(key, kept.clone(), now()).await.unwrap();
        warm_up(&*other, key).await;
        assert!(one.remove(key, now()).await.unwrap());
        let gone = comes_true(IN_TIME, || async { other.find(key, now()).await.unwrap().is_none() });
        assert!(gone.await, "the replica still finds what was removed");
        assert_eq!(other.indexed(kept.subject, 10, now()).await.unwrap(), []);
    }
}

pub(crate) async fn a_replacement_reaches_the_replica_in_time(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let key = new_key();
    one.insert(key, session(now()), now()).await.unwrap();
    for version in 1..20 {
        warm_up(&*other, key).await;
        let next = session(now());
        assert!(one.replace(key, version, next.clone(), now()).await.unwrap());
        let expected = StoredSession { version: version + 1, ..next };
        let seen = comes_true(IN_TIME, || async { *other.find(key, now()).await.unwrap().unwrap() == expected });
        assert!(seen.await, "the replica still finds version {version}");
        assert!(!other.replace(key, version, session(now()), now()).await.unwrap());
    }
}

pub(crate) async fn a_claim_is_held_against_the_replica_until_it_is_given_back(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let (key, another) = (new_key(), new_key());
    one.insert(key, session(now()), now()).await.unwrap();
    one.insert(another, session(now()), now()).await.unwrap();
    let (mine, theirs) = (new_lease(), new_lease());
    let claim = async |store: &dyn SessionStore, key, lease| {
        store.claim_refresh(key, lease, now().plus(MINUTE), now()).await.unwrap()
    };
    assert!(claim(&*one, key, mine).await);
    assert!(!claim(&*other, key, theirs).await);
    assert!(!claim(&*one, key, theirs).await);
    assert!(claim(&*other, another, theirs).await, "another session has its own claim");
    // Only its holder gives it back.
    other.release_refresh(key, theirs).await.unwrap();
    assert!(!claim(&*other, key, theirs).await);
    one.release_refresh(key, mine).await.unwrap();
    assert!(claim(&*other, key, theirs).await);
    assert!(!claim(&*one, key, mine).await);
    // A replacement does not give it back.
    assert!(other.replace(key, 1, session(now()), now()).await.unwrap());
    assert!(!claim(&*one, key, mine).await);
}

pub(crate) async fn a_claim_ends_with_its_time(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let (key, dead, alive) = (new_key(), new_lease(), new_lease());
    one.insert(key, session(now()), now()).await.unwrap();
    // In real time: a store may let its own clock end what expires.
    let until = now().plus(SECOND / 2);
    assert!(one.claim_refresh(key, dead, until, now()).await.unwrap());
    let mut refused = 0;
    let deadline = Instant::now() + 3 * SECOND;
    loop {
        let asked = now();
        if other.claim_refresh(key, alive, asked.plus(MINUTE), asked).await.unwrap() {
            assert!(now() >= until, "claimed {:?} too early", until.since(asked));
            break;
        }
        refused += 1;
        assert!(Instant::now() < deadline, "a dead holder keeps its claim");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused > 0, "nobody held the claim");
    // The one that lost it cannot give it back.
    one.release_refresh(key, dead).await.unwrap();
    assert!(!one.claim_refresh(key, dead, now().plus(MINUTE), now()).await.unwrap());
}

pub(crate) async fn what_one_replica_took_the_other_does_not_get(stage: &impl StoreUnderTest) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let key = new_once();
    assert!(one.put_once(key, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    assert!(one.take(key, now()).await.unwrap().is_some());
    assert_eq!(other.take(key, now()).await.unwrap(), None);
}

pub(crate) async fn a_restart_brings_nothing_back(stage: &impl StoreUnderTest) {
    let before = stage.open_replica().await;
    let (kept, removed, taken, put) = (new_key(), new_key(), new_once(), new_once());
    let session_kept = session(now());
    before.insert(kept, session_kept.clone(), now()).await.unwrap();
    before.insert(removed, session(now()), now()).await.unwrap();
    assert!(before.put_once(taken, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    assert!(before.put_once(put, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    assert!(before.remove(removed, now()).await.unwrap());
    assert!(before.take(taken, now()).await.unwrap().is_some());
    assert!(before.replace(kept, 1, session_kept.clone(), now()).await.unwrap());
    drop(before);

    let after = stage.open_replica().await;
    let found = after.find(kept, now()).await.unwrap().expect("a restart logs nobody out");
    assert!(*found == StoredSession { version: 2, ..session_kept });
    assert!(after.find(removed, now()).await.unwrap().is_none());
    assert_eq!(after.take(taken, now()).await.unwrap(), None);
    assert!(!after.put_once(put, b"y".to_vec(), now().plus(MINUTE), now()).await.unwrap());
}
