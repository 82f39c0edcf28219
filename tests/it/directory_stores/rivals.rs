//! Many at once, on several replicas.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tiergate::directory::{Actor, DirectoryError, EventId, Outcome, UserDirectory};

use super::stage::{
    DirectoryUnderTest, at, entries, grant, in_groups, key, of, patiently, request, sign_in, somebody, user,
};
use super::tokens::new_token;
use crate::stores::at_once;

const MANY: usize = 40;

/// Handles of two replicas in turn.
async fn replicas(stage: &impl DirectoryUnderTest) -> Arc<[Arc<dyn UserDirectory>]> {
    Arc::new([stage.open_replica().await, stage.open_replica().await])
}

fn turn(replicas: &[Arc<dyn UserDirectory>], number: usize) -> Arc<dyn UserDirectory> {
    Arc::clone(&replicas[number % replicas.len()])
}

pub(crate) async fn of_many_changes_of_one_user_none_is_lost(stage: &impl DirectoryUnderTest) {
    let stores = replicas(stage).await;
    let of_rivals = Arc::clone(&stores);
    let changed = at_once(MANY, move |number| {
        let store = turn(&of_rivals, number);
        async move { store.change(request(of("joe"), grant(&format!("tier-{number:02}"), None), 1)).await.unwrap() }
    })
    .await;
    let mut versions: Vec<u64> = changed.iter().map(|changed| changed.after.as_ref().unwrap().version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=MANY as u64).collect::<Vec<_>>());
    let joe = user(stores[0].as_ref(), "joe").await.unwrap();
    assert_eq!((joe.grants.len(), joe.version, joe.sequence), (MANY, MANY as u64, MANY as u64));
    assert_eq!(entries(stores[1].as_ref()).await.len(), MANY);
    for one in changed {
        let (before, after) = (one.before.map_or((0, 0), |user| (user.version, user.sequence)), one.after.unwrap());
        assert_eq!(before.0 + 1, after.version);
        assert!(before.1 < after.sequence);
    }
}

pub(crate) async fn of_many_sign_ins_of_somebody_new_one_makes_them(stage: &impl DirectoryUnderTest) {
    let stores = replicas(stage).await;
    let of_rivals = Arc::clone(&stores);
    let changed = at_once(MANY, move |number| {
        let store = turn(&of_rivals, number);
        async move { store.change(request(of("joe"), sign_in(number as i64), 1)).await.unwrap() }
    })
    .await;
    let created = changed.iter().filter(|changed| changed.outcome == Outcome::Created).count();
    assert_eq!(created, 1);
    let joe = user(stores[0].as_ref(), "joe").await.unwrap();
    assert!(changed.iter().all(|changed| changed.after.as_ref().unwrap().id == joe.id));
    assert_eq!((joe.first_seen, joe.last_seen), (Some(at(0)), Some(at(MANY as i64 - 1))));
    assert_eq!(stores[1].users(super::stage::query()).await.unwrap().total, 1);
}

/// The one thing that a cache hangs on: what was seen up to a sequence is everything up to it.
pub(crate) async fn who_follows_misses_nothing(stage: &impl DirectoryUnderTest) {
    let stores = replicas(stage).await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = {
        let (store, done) = (stage.open_replica().await, Arc::clone(&done));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut known, mut through, mut looks) = (HashMap::new(), 0, 0u64);
                loop {
                    let is_last = done.load(Ordering::Acquire);
                    match store.changes(through, 7).await {
                        Ok(changes) => {
                            assert!(changes.through >= through);
                            let more = changes.users.len() == 7;
                            for (key, standing) in changes.users {
                                assert!(standing.sequence > through, "{} after {through}", standing.sequence);
                                known.insert(key, standing);
                            }
                            through = changes.through;
                            looks += 1;
                            if is_last && !more {
                                return (known, through, looks);
                            }
                        }
                        // A busy machine may take longer than a check waits.
                        Err(DirectoryError::Unavailable(_)) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
    };
    let of_rivals = Arc::clone(&stores);
    at_once(MANY, move |number| {
        let store = turn(&of_rivals, number);
        async move {
            for round in 0..3 {
                let (subject, group) = (format!("user-{}", (number + round) % 11), format!("g{number}-{round}"));
                store
                    .change(request(of(&subject), in_groups((round * MANY + number) as i64, &[&group]), 1))
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    done.store(true, Ordering::Release);
    let (known, through, looks) = follower.join().unwrap();
    assert_eq!(through, patiently(|| stores[0].sequence()).await);
    assert!(looks > 1);
    assert_eq!(known.len(), 11);
    for number in 0..11 {
        let key = key(&format!("user-{number}"));
        assert_eq!(patiently(|| stores[0].standing(key.clone())).await.as_ref(), known.get(&key));
    }
}

pub(crate) async fn of_many_with_one_event_one_counts(stage: &impl DirectoryUnderTest) {
    let stores = replicas(stage).await;
    let of_rivals = Arc::clone(&stores);
    let outcomes = at_once(MANY, move |number| {
        let store = turn(&of_rivals, number);
        async move {
            let mut request = request(of("joe"), sign_in(number as i64 + 1), 1);
            request.event = Some(EventId { digest: [9; 32], expires: at(1000) });
            store.change(request).await.unwrap().outcome
        }
    })
    .await;
    let counted = outcomes.iter().filter(|outcome| **outcome != Outcome::Duplicate).count();
    assert_eq!((counted, user(stores[0].as_ref(), "joe").await.unwrap().version), (1, 1));
}

pub(crate) async fn of_many_tokens_no_more_than_the_limit_are_kept(stage: &impl DirectoryUnderTest) {
    let stores = replicas(stage).await;
    let joe = somebody(stores[0].as_ref(), "joe").await;
    let of_rivals = Arc::clone(&stores);
    let kept = at_once(MANY, move |number| {
        let store = turn(&of_rivals, number);
        async move {
            match store.create_access_token(new_token(joe.id, 100), 5, Actor::Shell, at(1)).await {
                Ok(_) => true,
                Err(DirectoryError::TooMany(_)) => false,
                Err(error) => panic!("{error:?}"),
            }
        }
    })
    .await;
    assert_eq!(kept.into_iter().filter(|kept| *kept).count(), 5);
    assert_eq!(stores[1].access_tokens(joe.id).await.unwrap().len(), 5);
}
