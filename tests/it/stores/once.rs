//! What counts once: login attempts and the marks of what was used up.

use super::stage::{MINUTE, SECOND, StoreUnderTest, comes_true, new_once, now};

pub(crate) async fn what_is_put_once_is_taken_once(stage: &impl StoreUnderTest) {
    let (store, now, key) = (stage.open_replica().await, now(), new_once());
    assert_eq!(store.take(key, now).await.unwrap(), None);
    assert!(store.put_once(key, b"attempt".to_vec(), now.plus(10 * MINUTE), now).await.unwrap());
    assert_eq!(store.take(new_once(), now).await.unwrap(), None);
    assert_eq!(store.take(key, now).await.unwrap().as_deref(), Some(&b"attempt"[..]));
    assert_eq!(store.take(key, now).await.unwrap(), None);
    // What was taken leaves the key free.
    assert!(store.put_once(key, b"another".to_vec(), now.plus(10 * MINUTE), now).await.unwrap());
    assert_eq!(store.take(key, now).await.unwrap().as_deref(), Some(&b"another"[..]));
}

pub(crate) async fn what_is_put_first_stays(stage: &impl StoreUnderTest) {
    let (store, now, key) = (stage.open_replica().await, now(), new_once());
    assert!(store.put_once(key, b"first".to_vec(), now.plus(10 * MINUTE), now).await.unwrap());
    for later in [b"second".to_vec(), b"first".to_vec(), Vec::new()] {
        assert!(!store.put_once(key, later, now.plus(20 * MINUTE), now).await.unwrap());
    }
    assert_eq!(store.take(key, now).await.unwrap().as_deref(), Some(&b"first"[..]));
}

pub(crate) async fn values_are_bytes_of_any_size(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let values: [Vec<u8>; 6] = [
        Vec::new(),
        vec![0],
        b"\r\n$3\r\nfoo\r\n".to_vec(),
        (0..=255).collect(),
        vec![0xff; 100],
        (0..=255).cycle().take(64 * 1024).collect(),
    ];
    for value in values {
        let key = new_once();
        assert!(store.put_once(key, value.clone(), now.plus(MINUTE), now).await.unwrap());
        assert!(store.take(key, now).await.unwrap() == Some(value));
    }
}

pub(crate) async fn what_expired_is_neither_taken_nor_in_the_way(stage: &impl StoreUnderTest) {
    let store = stage.open_replica().await;
    // In real time: a store may let its own clock end what expires.
    let (taken, put) = (new_once(), new_once());
    let start = now();
    let expires = start.plus(SECOND / 4);
    assert!(store.put_once(taken, b"old".to_vec(), expires, start).await.unwrap());
    assert!(store.put_once(put, b"old".to_vec(), expires, start).await.unwrap());
    assert!(comes_true(SECOND, || async { now() >= expires }).await);
    assert_eq!(store.take(taken, now()).await.unwrap(), None);
    let free =
        comes_true(SECOND, || async { store.put_once(put, b"new".to_vec(), now().plus(MINUTE), now()).await.unwrap() });
    assert!(free.await, "what expired is in the way");
    assert_eq!(store.take(put, now()).await.unwrap().as_deref(), Some(&b"new"[..]));
}
