//! What becomes of one session from its first moment to its last.

use tiergate::session::{IndexKey, SessionKey, StoreError, StoredSession};

use super::stage::{MINUTE, MOMENT, SECOND, StoreUnderTest, comes_true, new_index, new_key, now, session};

pub(crate) async fn a_session_is_found_as_it_was_kept(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let whole = session(now);
    let bare = StoredSession { sealed: Vec::new(), card: Vec::new(), sid: None, ..session(now) };
    let every_byte = StoredSession { sealed: (0..=255).cycle().take(20_000).collect(), ..session(now) };
    for kept in [whole, bare, every_byte] {
        let key = new_key();
        store.insert(key, kept.clone(), now).await.unwrap();
        let found = store.find(key, now).await.unwrap().expect("the session");
        assert!(*found == kept, "{found:?} is not {kept:?}");
    }
    assert!(store.find(new_key(), now).await.unwrap().is_none());
}

pub(crate) async fn a_key_is_given_once(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (key, first) = (new_key(), session(now));
    store.insert(key, first.clone(), now).await.unwrap();
    let again = store.insert(key, session(now), now).await;
    assert!(matches!(again, Err(StoreError::Corrupt)), "{again:?}");
    assert!(*store.find(key, now).await.unwrap().unwrap() == first);
}

pub(crate) async fn a_session_ends_at_its_very_moment(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let idle = StoredSession { idle_until: now.plus(MINUTE), ends_at: now.plus(60 * MINUTE), ..session(now) };
    let last = StoredSession { idle_until: now.plus(MINUTE), ends_at: now.plus(MINUTE), ..session(now) };
    let never_idle = StoredSession { idle_until: now.plus(60 * MINUTE), ends_at: now.plus(MINUTE), ..session(now) };
    for kept in [idle, last, never_idle] {
        let (key, end) = (new_key(), now.plus(MINUTE));
        let (subject, sid) = (kept.subject, kept.sid.unwrap());
        store.insert(key, kept.clone(), now).await.unwrap();

        let before = end.minus(MOMENT);
        assert!(store.find(key, before).await.unwrap().is_some(), "{kept:?}");
        assert_eq!(store.indexed(subject, 10, before).await.unwrap(), [key]);

        for over in [end, end.plus(MOMENT), end.plus(600 * MINUTE)] {
            assert!(store.find(key, over).await.unwrap().is_none(), "{kept:?} at {over}");
            assert_eq!(store.indexed(subject, 10, over).await.unwrap(), []);
            assert_eq!(store.indexed(sid, 10, over).await.unwrap(), []);
            assert!(store.list(1000, over).await.unwrap().iter().all(|(other, _)| *other != key));
        }
        // What is over is not used, replaced or ended any more.
        let longer = StoredSession { idle_until: end.plus(MINUTE), ends_at: end.plus(MINUTE), ..kept.clone() };
        assert!(!store.replace(key, 1, longer, end).await.unwrap());
        store.touch(key, end.plus(MINUTE), end).await.unwrap();
        assert!(store.find(key, end).await.unwrap().is_none());
        assert!(!store.remove(key, end).await.unwrap());
    }
}

pub(crate) async fn keys_are_bytes_and_nothing_else(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let mut keys = Vec::new();
    for text in ["*", "?", "[a-z]", "{x}", ":", "\r\nFLUSHALL\r\n", "'; DELETE FROM session; --", "%", "_", "\0", "../"]
    {
        // Drawn behind the text, for other tests may share what is below the store.
        let mut bytes = *new_key().as_bytes();
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        keys.push(bytes);
    }
    keys.extend([[0; 32], [0xff; 32], [b'*'; 32], [b' '; 32]]);
    for bytes in &keys {
        let key = SessionKey::from_bytes(*bytes);
        let index = IndexKey::from_bytes(*bytes);
        let kept = StoredSession { subject: index, sid: Some(index), ..session(now) };
        store.insert(key, kept.clone(), now).await.unwrap();
        assert!(*store.find(key, now).await.unwrap().expect("the session") == kept);
        assert_eq!(store.indexed(index, 10, now).await.unwrap(), [key]);
    }
    for (number, bytes) in keys.iter().enumerate() {
        let key = SessionKey::from_bytes(*bytes);
        assert!(store.remove(key, now).await.unwrap(), "{key}");
        assert!(store.find(key, now).await.unwrap().is_none());
        for other in &keys[number + 1..] {
            assert!(
                store.find(SessionKey::from_bytes(*other), now).await.unwrap().is_some(),
                "{key} took another away"
            );
        }
    }
}

pub(crate) async fn a_touch_moves_the_end_forward_and_never_past_the_last(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (key, kept) = (new_key(), session(now));
    store.insert(key, kept.clone(), now).await.unwrap();
    let first = kept.idle_until;
    for (to, expected) in [
        (first.plus(MINUTE), first.plus(MINUTE)),
        (first, first.plus(MINUTE)),
        (first.minus(20 * MINUTE), first.plus(MINUTE)),
        (kept.ends_at.plus(MOMENT), kept.ends_at),
        (kept.ends_at.plus(60 * MINUTE), kept.ends_at),
        (first, kept.ends_at),
    ] {
        store.touch(key, to, now.plus(SECOND)).await.unwrap();
        let seen = comes_true(SECOND, || async {
            let found = store.find(key, now.plus(SECOND)).await.unwrap().unwrap();
            *found == StoredSession { idle_until: expected, ..kept.clone() }
        });
        assert!(seen.await, "moved to {to}, found {:?}", store.find(key, now.plus(SECOND)).await);
    }
    // The touch counts: the first end has passed, and the session is there.
    assert!(store.find(key, first.plus(MINUTE)).await.unwrap().is_some());
    assert!(store.find(key, kept.ends_at).await.unwrap().is_none());
    // A session that is not there does not come to be.
    let unknown = new_key();
    store.touch(unknown, now.plus(MINUTE), now).await.unwrap();
    assert!(store.find(unknown, now).await.unwrap().is_none());
}

pub(crate) async fn a_replacement_counts_its_versions(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (key, first) = (new_key(), session(now));
    store.insert(key, first.clone(), now).await.unwrap();
    for seen in 1..4 {
        // Whatever the new one says of its version, and at whatever it was seen wrongly.
        let next = StoredSession { version: 77, ..session(now) };
        for wrong in [0, seen + 1, 77, u64::MAX] {
            assert!(!store.replace(key, wrong, next.clone(), now).await.unwrap(), "version {wrong} is not there");
        }
        assert!(store.replace(key, seen, next.clone(), now).await.unwrap());
        let found = store.find(key, now).await.unwrap().unwrap();
        assert!(*found == StoredSession { version: seen + 1, ..next });
        assert!(!store.replace(key, seen, session(now), now).await.unwrap(), "version {seen} was replaced");
    }
    assert!(!store.replace(new_key(), 1, session(now), now).await.unwrap());
    assert!(store.remove(key, now).await.unwrap());
    assert!(!store.replace(key, 4, session(now), now).await.unwrap(), "a session that ended came back");
    assert!(store.find(key, now).await.unwrap().is_none());
}

pub(crate) async fn a_removed_session_is_gone(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (key, kept) = (new_key(), session(now));
    store.insert(key, kept.clone(), now).await.unwrap();
    assert!(store.find(key, now).await.unwrap().is_some());
    assert!(store.remove(key, now).await.unwrap());
    assert!(!store.remove(key, now).await.unwrap());
    store.touch(key, now.plus(60 * MINUTE), now).await.unwrap();
    assert!(store.find(key, now).await.unwrap().is_none());
    assert_eq!(store.indexed(kept.subject, 10, now).await.unwrap(), []);
    assert_eq!(store.indexed(kept.sid.unwrap(), 10, now).await.unwrap(), []);
    assert!(store.list(1000, now).await.unwrap().iter().all(|(other, _)| *other != key));
    assert!(!store.remove(new_key(), now).await.unwrap());
}

pub(crate) async fn sessions_are_found_by_subject_and_by_sid(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (person, here, there) = (new_index(), new_index(), new_index());
    let of = |sid| StoredSession { subject: person, sid, ..session(now) };
    let mut keys: Vec<SessionKey> = (0..5).map(|_| new_key()).collect();
    keys.sort_unstable();
    for (key, sid) in keys.iter().zip([Some(here), Some(here), Some(there), None, None]) {
        store.insert(*key, of(sid), now).await.unwrap();
    }
    let stranger = new_key();
    store.insert(stranger, session(now), now).await.unwrap();
    let indexed = async |index, limit, at| {
        let mut found = store.indexed(index, limit, at).await.unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(indexed(person, 100, now).await, keys);
    assert_eq!(indexed(here, 100, now).await, keys[..2]);
    assert_eq!(indexed(there, 100, now).await, keys[2..3]);
    assert_eq!(indexed(new_index(), 100, now).await, []);
    let some = indexed(person, 3, now).await;
    assert!(some.len() == 3 && some.iter().all(|key| keys.contains(key)), "{some:?}");

    // A replacement may have come from another session of the provider.
    assert!(store.replace(keys[0], 1, of(Some(there)), now).await.unwrap());
    assert_eq!(indexed(here, 100, now).await, keys[1..2]);
    assert_eq!(indexed(there, 100, now).await, [keys[0], keys[2]]);
    assert!(store.replace(keys[2], 1, of(None), now).await.unwrap());
    assert_eq!(indexed(there, 100, now).await, keys[..1]);
    assert_eq!(indexed(person, 100, now).await, keys);
    // A touch keeps them.
    store.touch(keys[0], now.plus(60 * MINUTE), now).await.unwrap();
    assert_eq!(indexed(person, 100, now.plus(45 * MINUTE)).await, keys[..1]);
    assert_eq!(indexed(there, 100, now.plus(45 * MINUTE)).await, keys[..1]);

    assert!(store.remove(keys[0], now).await.unwrap());
    assert_eq!(indexed(person, 100, now).await, keys[1..]);
    assert_eq!(indexed(there, 100, now).await, []);
}

pub(crate) async fn live_sessions_are_listed_and_counted(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let counts =
        async |expected: u64, at| comes_true(5 * SECOND, || async { store.count(at).await.unwrap() == expected }).await;
    assert_eq!(store.list(10, now).await.unwrap().len(), 0);
    assert!(counts(0, now).await);
    let mut kept = Vec::new();
    for minutes in 1..=5 {
        let (key, one) = (new_key(), StoredSession { idle_until: now.plus(minutes * MINUTE), ..session(now) });
        store.insert(key, one.clone(), now).await.unwrap();
        kept.push((key, one));
    }
    let listed = store.list(10, now).await.unwrap();
    assert_eq!(listed.len(), 5);
    for (key, one) in &kept {
        assert!(listed.iter().any(|(other, found)| other == key && **found == *one), "{key} is not listed");
    }
    assert!(counts(5, now).await);
    assert_eq!(store.list(3, now).await.unwrap().len(), 3);
    let later = now.plus(2 * MINUTE);
    assert_eq!(store.list(10, later).await.unwrap().len(), 3);
    assert!(store.remove(kept[4].0, now).await.unwrap());
    assert_eq!(store.list(10, now).await.unwrap().len(), 4);
    assert!(counts(4, now).await);
}

pub(crate) async fn a_sweep_takes_what_is_over_and_nothing_else(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    let (short, long) = (new_key(), new_key());
    let ends_soon = StoredSession { idle_until: now.plus(MINUTE), ..session(now) };
    store.insert(short, ends_soon.clone(), now).await.unwrap();
    store.insert(long, session(now), now).await.unwrap();
    store.sweep(now).await.unwrap();
    assert!(store.find(short, now).await.unwrap().is_some() && store.find(long, now).await.unwrap().is_some());
    store.sweep(now.plus(MINUTE)).await.unwrap();
    assert!(store.find(long, now.plus(MINUTE)).await.unwrap().is_some());
    assert!(store.find(short, now.plus(MINUTE)).await.unwrap().is_none());
    assert_eq!(store.indexed(ends_soon.subject, 10, now.plus(MINUTE)).await.unwrap(), []);
}

pub(crate) async fn the_probe_passes_and_leaves_nothing(stage: &impl StoreUnderTest) {
    let (store, now) = (stage.open_replica().await, now());
    store.probe(now).await.unwrap();
    store.probe(now).await.unwrap();
    assert_eq!(store.list(10, now).await.unwrap().len(), 0);
    assert!(["memory", "sqlite", "redis"].contains(&store.kind()));
}
