use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::{HotSessions, MAX_AGE, TRUST, Tracking};
use crate::backend::redis_store::keys::Key;
use crate::session::{IndexKey, SessionKey, StoredSession};
use crate::types::{Monotonic, UnixTime};

fn at(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

fn session() -> Arc<StoredSession> {
    Arc::new(StoredSession {
        sealed: vec![1],
        card: vec![2],
        version: 1,
        idle_until: UnixTime::from_secs(10),
        ends_at: UnixTime::from_secs(10),
        subject: IndexKey::from_bytes([0; 32]),
        sid: None,
    })
}

fn tracked(from: Monotonic) -> Arc<Tracking> {
    let tracking = Arc::new(Tracking::default());
    tracking.begin(from);
    tracking
}

/// What Redis sends when this session has changed.
fn push(key: SessionKey) -> Vec<Value> {
    vec![Value::Array(vec![Value::BulkString(Key::session(key).name.into_bytes())])]
}

const KEY: SessionKey = SessionKey::from_bytes([7; 32]);

#[test]
fn a_session_is_believed_while_its_connection_is() {
    let hot = HotSessions::new();
    let tracking = tracked(at(0));
    hot.keep(KEY, session(), hot.generation(KEY), at(10), &tracking);
    assert!(hot.find(KEY, at(999)).is_some());
    assert!(hot.find(KEY, at(0).plus(TRUST)).is_none(), "no answer since");
    tracking.prove(at(900));
    assert!(hot.find(KEY, at(1500)).is_some());
    tracking.prove(at(100));
    assert!(hot.find(KEY, at(1500)).is_some(), "an old answer takes nothing back");
    tracking.prove(at(5500));
    assert!(hot.find(KEY, at(10).plus(MAX_AGE)).is_none(), "too old");
    assert!(hot.find(KEY, at(4999)).is_some());
    tracking.end();
    assert!(hot.find(KEY, at(4999)).is_none(), "the connection is lost");
    tracking.prove(at(6000));
    assert!(hot.find(KEY, at(4999)).is_none(), "and stays lost");
}

#[test]
fn an_invalidation_counts_also_for_a_read_that_it_overtook() {
    let hot = HotSessions::new();
    let tracking = tracked(at(0));
    for change in
        [&|| hot.invalidated(&push(KEY)), &|| hot.invalidated(&[Value::Nil]), &|| hot.forget(KEY)] as [&dyn Fn(); 3]
    {
        let before = hot.generation(KEY);
        change();
        hot.keep(KEY, session(), before, at(1), &tracking);
        assert!(hot.find(KEY, at(2)).is_none());
        hot.keep(KEY, session(), hot.generation(KEY), at(3), &tracking);
        assert!(hot.find(KEY, at(4)).is_some());
        change();
        assert!(hot.find(KEY, at(5)).is_none());
    }
    hot.keep(KEY, session(), hot.generation(KEY), at(3), &tracking);
    hot.invalidated(&push(SessionKey::from_bytes([8; 32])));
    assert!(hot.find(KEY, at(4)).is_some(), "another session");
}

#[test]
fn what_was_read_without_tracking_is_not_kept() {
    let hot = HotSessions::new();
    hot.keep(KEY, session(), hot.generation(KEY), at(1), &Arc::new(Tracking::default()));
    assert!(hot.find(KEY, at(1)).is_none());
}
