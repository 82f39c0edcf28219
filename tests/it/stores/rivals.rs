//! Many callers at once, on two replicas: one wins, and nobody gets what is
//! another's.

use std::collections::HashSet;
use std::sync::Arc;

use tiergate::session::{SessionStore, StoreError, StoredSession};

use super::stage::{MINUTE, StoreUnderTest, at_once, new_key, new_lease, new_once, now, patiently, session};

async fn two_replicas(stage: &impl StoreUnderTest) -> [Arc<dyn SessionStore>; 2] {
    [stage.open_replica().await, stage.open_replica().await]
}

pub(crate) async fn of_a_hundred_replacers_one_wins(stage: &impl StoreUnderTest) {
    let (stores, now, key) = (two_replicas(stage).await, now(), new_key());
    let store = Arc::clone(&stores[0]);
    store.insert(key, session(now), now).await.unwrap();
    for version in 1..=3 {
        let rivals: Arc<Vec<StoredSession>> = Arc::new((0..100).map(|_| session(now)).collect());
        let (own, stores) = (Arc::clone(&rivals), stores.clone());
        let won = at_once(100, move |number| {
            let (store, next) = (Arc::clone(&stores[number % 2]), own[number].clone());
            async move { store.replace(key, version, next, now).await.unwrap() }
        });
        let won = won.await;
        let winners: Vec<usize> = (0..100).filter(|number| won[*number]).collect();
        let [winner] = winners[..] else { panic!("{winners:?} won version {version}") };
        let found = store.find(key, now).await.unwrap().unwrap();
        assert!(*found == StoredSession { version: version + 1, ..rivals[winner].clone() }, "not what {winner} wrote");
    }
}

pub(crate) async fn of_a_hundred_takers_one_gets_it(stage: &impl StoreUnderTest) {
    let (stores, now) = (two_replicas(stage).await, now());
    for _ in 0..5 {
        let (key, stores) = (new_once(), stores.clone());
        assert!(stores[0].put_once(key, b"one".to_vec(), now.plus(MINUTE), now).await.unwrap());
        let taken = at_once(100, move |number| {
            let store = Arc::clone(&stores[number % 2]);
            async move { store.take(key, now).await.unwrap() }
        });
        let taken: Vec<Vec<u8>> = taken.await.into_iter().flatten().collect();
        assert_eq!(taken, [b"one"]);
    }
}

pub(crate) async fn of_a_hundred_putters_one_wins(stage: &impl StoreUnderTest) {
    let (stores, now, key) = (two_replicas(stage).await, now(), new_once());
    let store = Arc::clone(&stores[0]);
    let put = at_once(100, move |number| {
        let (store, value) = (Arc::clone(&stores[number % 2]), vec![u8::try_from(number).unwrap()]);
        async move { store.put_once(key, value, now.plus(MINUTE), now).await.unwrap() }
    });
    let put = put.await;
    let winners: Vec<u8> = (0..100).filter(|number| put[usize::from(*number)]).collect();
    assert_eq!(winners.len(), 1, "{winners:?} won");
    assert_eq!(store.take(key, now).await.unwrap(), Some(winners));
}

pub(crate) async fn of_a_hundred_claims_of_a_refresh_one_wins(stage: &impl StoreUnderTest) {
    let (stores, now, key) = (two_replicas(stage).await, now(), new_key());
    stores[0].insert(key, session(now), now).await.unwrap();
    let claimed = at_once(100, move |number| {
        let store = Arc::clone(&stores[number % 2]);
        async move { store.claim_refresh(key, new_lease(), now.plus(MINUTE), now).await.unwrap() }
    });
    assert_eq!(claimed.await.into_iter().filter(|won| *won).count(), 1);
}

pub(crate) async fn a_thousand_sessions_do_not_mix(stage: &impl StoreUnderTest) {
    let (stores, now) = (two_replicas(stage).await, now());
    let all: Arc<Vec<_>> = Arc::new((0..1000).map(|_| (new_key(), session(now))).collect());
    let own = Arc::clone(&all);
    let seen = at_once(1000, move |number| {
        let (here, there) = (Arc::clone(&stores[number % 2]), Arc::clone(&stores[(number + 1) % 2]));
        let (key, kept) = own[number].clone();
        async move {
            // A refused try may have come true all the same.
            let again = |error| if matches!(error, StoreError::Corrupt) { Ok(()) } else { Err(error) };
            patiently(|| async { here.insert(key, kept.clone(), now).await.or_else(again) }).await;
            let found = [patiently(|| here.find(key, now)).await, patiently(|| there.find(key, now)).await];
            let by_subject = patiently(|| there.indexed(kept.subject, 10, now)).await;
            assert!(found.iter().all(|found| found.as_deref() == Some(&kept)), "{number} found {found:?}");
            assert_eq!(by_subject, [key]);
            found.into_iter().flatten().map(|found| found.sealed.clone()).collect::<HashSet<_>>()
        }
    });
    let seen: HashSet<Vec<u8>> = seen.await.into_iter().flatten().collect();
    assert_eq!(seen.len(), 1000);
}
