//! A store that fails says so, soon, and never that a session is over.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use tiergate::session::StoreError;

use super::stage::{Breakable, MINUTE, Outage, SECOND, comes_true, new_key, new_lease, new_once, now, session};

/// Every call ends within 250 ms; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_millis(250 + 100);

/// What a call came to, which has to be soon.
async fn soon<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let start = Instant::now();
    let result = call.await;
    let took = start.elapsed();
    assert!(took < SOON, "the call took {took:?}");
    result
}

/// A call that fails, soon.
async fn fails<T: Debug>(call: impl Future<Output = Result<T, StoreError>>) {
    let result = soon(call).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

pub(crate) async fn an_outage_is_told_as_an_outage(stage: &impl Breakable) {
    let store = stage.open_replica().await;
    let (key, kept, attempt) = (new_key(), session(now()), new_once());
    store.insert(key, kept.clone(), now()).await.unwrap();
    assert!(store.put_once(attempt, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    let outage = stage.break_it().await;
    let until = now().plus(MINUTE);
    for _ in 0..2 {
        fails(store.insert(new_key(), session(now()), now())).await;
        fails(store.replace(key, 1, session(now()), now())).await;
        fails(store.touch(key, kept.ends_at, now())).await;
        fails(store.remove(key, now())).await;
        fails(store.claim_refresh(key, new_lease(), until, now())).await;
        fails(store.release_refresh(key, new_lease())).await;
        fails(store.put_once(new_once(), b"x".to_vec(), until, now())).await;
        fails(store.take(attempt, now())).await;
        fails(store.probe(now())).await;
        match outage {
            Outage::All => {
                fails(store.find(key, now())).await;
                fails(store.indexed(kept.subject, 10, now())).await;
                fails(store.list(10, now())).await;
            }
            // Whoever still answers says the truth.
            Outage::Writes => {
                assert!(soon(store.find(key, now())).await.unwrap().is_some());
                assert_eq!(soon(store.indexed(kept.subject, 10, now())).await.unwrap(), [key]);
                assert_eq!(soon(store.list(10, now())).await.unwrap().len(), 1);
            }
        }
    }
    stage.mend().await;
    assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await, "it stays broken");
}

pub(crate) async fn what_was_kept_outlives_an_outage(stage: &impl Breakable) {
    let (one, other) = (stage.open_replica().await, stage.open_replica().await);
    let (key, kept, attempt) = (new_key(), session(now()), new_once());
    one.insert(key, kept.clone(), now()).await.unwrap();
    assert!(one.put_once(attempt, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
    stage.break_it().await;
    fails(other.insert(new_key(), session(now()), now())).await;
    stage.mend().await;
    for store in [&one, &other] {
        assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await, "it stays broken");
        let found = store.find(key, now()).await.unwrap();
        assert!(found.as_deref() == Some(&kept), "{found:?}");
    }
    assert_eq!(one.take(attempt, now()).await.unwrap().as_deref(), Some(&b"x"[..]));
}
