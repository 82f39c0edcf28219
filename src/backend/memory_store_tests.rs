use std::time::Duration;

use super::*;
use crate::backend::system::SystemRandom;
use crate::types::Random as _;

const START: UnixTime = UnixTime::from_secs(1_000_000);

fn drawn() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    bytes
}

fn session(seconds: u64) -> StoredSession {
    let ends_at = START.plus(Duration::from_secs(seconds));
    let subject = IndexKey::from_bytes(drawn());
    StoredSession { sealed: vec![1], card: vec![2], version: 1, idle_until: ends_at, ends_at, subject, sid: None }
}

fn key() -> SessionKey {
    SessionKey::from_bytes(drawn())
}

fn later(seconds: u64) -> UnixTime {
    START.plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_full_store_refuses_a_session_and_keeps_those_it_has() {
    let store = MemoryStore::with_limits(MemoryLimits { sessions: 3, once: 3 });
    let keys = [key(), key(), key()];
    for (key, seconds) in keys.iter().zip([10, 20, 30]) {
        store.insert(*key, session(seconds), START).await.unwrap();
    }
    assert!(matches!(store.insert(key(), session(60), START).await, Err(StoreError::Full)));
    // Attempts take no room from them.
    for _ in 0..100 {
        assert!(store.put_once(OnceKey(drawn()), vec![0; 100], later(600), START).await.unwrap());
    }
    for key in keys {
        assert!(store.find(key, START).await.unwrap().is_some());
    }
    assert!(store.replace(keys[0], 1, session(10), START).await.unwrap(), "a replacement needs no more room");

    // One that is over makes room for one more.
    let next = key();
    store.insert(next, session(60), later(10)).await.unwrap();
    assert!(matches!(store.insert(key(), session(60), later(10)).await, Err(StoreError::Full)));
    assert_eq!(store.count(later(10)).await.unwrap(), 3);
    assert!(store.remove(next, later(10)).await.unwrap());
    store.insert(key(), session(60), later(10)).await.unwrap();
}

#[tokio::test]
async fn one_attempt_too_many_drops_the_oldest() {
    let store = MemoryStore::with_limits(MemoryLimits { sessions: 3, once: 3 });
    let keys: Vec<OnceKey> = (0..5).map(|_| OnceKey(drawn())).collect();
    for key in &keys {
        assert!(store.put_once(*key, key.0.to_vec(), later(600), START).await.unwrap());
    }
    for key in &keys[..2] {
        assert_eq!(store.take(*key, START).await.unwrap(), None);
    }
    for key in &keys[2..] {
        assert_eq!(store.take(*key, START).await.unwrap(), Some(key.0.to_vec()));
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_is_over() {
    let store = MemoryStore::new();
    for number in 0..100 {
        let (key, mut session) = (key(), session(10));
        session.sid = (number % 2 == 0).then(|| IndexKey::from_bytes(drawn()));
        store.insert(key, session.clone(), START).await.unwrap();
        store.replace(key, 1, session, START).await.unwrap();
        store.touch(key, later(9), START).await.unwrap();
        store.claim_refresh(key, Lease([1; 16]), later(5), START).await.unwrap();
        store.put_once(OnceKey(drawn()), vec![1], later(10), START).await.unwrap();
        if number % 4 == 0 {
            store.remove(key, START).await.unwrap();
        }
    }
    assert!(!store.claim_refresh(key(), Lease([1; 16]), later(5), START).await.unwrap());
    store.sweep(later(10)).await.unwrap();
    let kept = store.kept();
    let left = [
        kept.sessions.len(),
        kept.indexes.len(),
        kept.ends.len(),
        kept.leases.len(),
        kept.once.len(),
        kept.once_by_age.len(),
    ];
    assert_eq!(left, [0; 6]);
}
