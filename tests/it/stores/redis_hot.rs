//! Hot sessions in the process: no round trip for them, and no answer that Redis
//! would have contradicted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tiergate::backend::redis_store::RedisStore;
use tiergate::session::{SessionKey, SessionStore, StoreError};

use super::redis::{Turn, cluster, sentinel, standalone, tls};
use super::stage::{SECOND, comes_true, new_key, now, run, session};

/// Within this time a revocation is seen by every replica.
const IN_TIME: Duration = Duration::from_millis(100);
const ROUNDS: usize = 50;
/// One of the rounds may fall into a moment in which the machine was busy.
const OUTLIER: Duration = Duration::from_millis(250);

async fn find(store: &RedisStore, key: SessionKey) -> bool {
    store.find(key, now()).await.unwrap().is_some()
}

/// Keeps a new session, once the replicas are not too busy to confirm it.
async fn begin(store: &RedisStore) -> SessionKey {
    let deadline = Instant::now() + 10 * SECOND;
    loop {
        let key = new_key();
        match store.insert(key, session(now()), now()).await {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {}
            result => {
                result.unwrap();
                return key;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until the session is in the process.
async fn warm_up(store: &RedisStore, key: SessionKey) {
    for _ in 0..3 {
        assert!(find(store, key).await);
    }
}

/// How many commands the servers have run, apart from those that only ask
/// whether they live.
fn commands(turn: &Turn) -> u64 {
    let redis = turn.redis();
    let of_one = |port: u16| -> u64 {
        let stats = redis.cli(port, &["INFO", "commandstats"]).unwrap();
        let counted = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let counted = counted.filter(|(name, _)| ["hmget", "evalsha", "eval", "get", "hgetall"].contains(name));
        counted.map(|(_, rest)| rest.split(',').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    redis.ports().into_iter().map(of_one).sum()
}

async fn a_hot_session_costs_no_round_trip(turn: Turn) {
    let store = turn.open().await;
    let key = begin(&store).await;
    warm_up(&store, key).await;
    let before = commands(&turn);
    let start = Instant::now();
    for _ in 0..1000 {
        assert!(find(&store, key).await);
    }
    let took = start.elapsed();
    let asked = commands(&turn) - before;
    println!("1000 finds took {took:?} and {asked} commands");
    // A session is read anew after five seconds, and a machine may be slow.
    assert!(asked <= 1 + took.as_secs(), "1000 finds of one session cost {asked} commands");
}

async fn a_revocation_reaches_a_hot_replica(turn: Turn) {
    let (one, other) = (turn.open().await, turn.open().await);
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let key = begin(&one).await;
        warm_up(&other, key).await;
        assert!(one.remove(key, now()).await.unwrap());
        let removed = Instant::now();
        assert!(comes_true(SECOND, || async { !find(&other, key).await }).await, "it is never seen");
        seen.push(removed.elapsed());
    }
    println!("revocations were seen after {seen:?}");
    seen.sort_unstable();
    assert!(seen[ROUNDS - 2] < IN_TIME && seen[ROUNDS - 1] < OUTLIER, "revocations were seen after {seen:?}");
}

/// Cuts every connection of every client but those of replication.
fn cut(turn: &Turn) {
    for port in turn.redis().primaries() {
        turn.redis().cli(port, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    }
}

async fn a_lost_connection_takes_the_hot_sessions_along(turn: Turn) {
    let (one, other) = (turn.open().await, turn.open().await);
    for _ in 0..5 {
        let key = begin(&one).await;
        warm_up(&other, key).await;
        cut(&turn);
        // Whoever connects first, the removal happens while the other may be deaf.
        let removed = comes_true(5 * SECOND, || async { one.remove(key, now()).await.is_ok() });
        assert!(removed.await, "it does not connect again");
        let start = Instant::now();
        loop {
            match other.find(key, now()).await {
                Ok(found) => {
                    assert!(found.is_none(), "a session was believed that had been removed meanwhile");
                    break;
                }
                Err(StoreError::Unavailable(_)) => assert!(start.elapsed() < 5 * SECOND, "it does not connect again"),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn a_silent_redis_is_not_believed_for_long(turn: Turn) {
    let store = turn.open().await;
    let key = begin(&store).await;
    warm_up(&store, key).await;
    turn.redis().pause();
    let start = Instant::now();
    let mut last_answer = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    while start.elapsed() < 3 * SECOND {
        let asked = Instant::now();
        match store.find(key, now()).await {
            Ok(found) => {
                assert!(found.is_some(), "an outage is no end of a session");
                last_answer = start.elapsed();
            }
            Err(StoreError::Unavailable(_)) => slowest = slowest.max(asked.elapsed()),
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the last answer after {last_answer:?}, the slowest refusal after {slowest:?}");
    assert!(last_answer < SECOND + IN_TIME, "a silent Redis was believed for {last_answer:?}");
    assert!(slowest < 2 * IN_TIME + SECOND / 4, "a refusal took {slowest:?}");
    turn.redis().resume();
    assert!(comes_true(10 * SECOND, || async { store.find(key, now()).await.is_ok() }).await, "it stays broken");
    warm_up(&store, key).await;
}

/// A write through a connection that has no tracking, such as an operator's.
async fn a_change_from_outside_is_seen(turn: Turn) {
    let store: Arc<RedisStore> = turn.open().await;
    let key = begin(&store).await;
    warm_up(&store, key).await;
    let name = format!("tiergate:{{{key}}}:s");
    for port in turn.redis().primaries() {
        // In a Cluster all but one say that the key is elsewhere.
        let _ = turn.redis().cli(port, &["DEL", &name]);
    }
    assert!(comes_true(IN_TIME, || async { !find(&store, key).await }).await, "what is gone is believed");
    // All at once, as FLUSHALL says it.
    let key = begin(&store).await;
    warm_up(&store, key).await;
    for port in turn.redis().primaries() {
        turn.redis().cli(port, &["FLUSHALL"]).unwrap();
    }
    assert!(comes_true(IN_TIME, || async { !find(&store, key).await }).await, "what is gone is believed");
}

macro_rules! in_each_shape {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn standalone() {
                run(async { super::$name(super::standalone::start().await).await });
            }

            #[test]
            fn tls() {
                run(async { super::$name(super::tls::start().await).await });
            }

            #[test]
            fn sentinel() {
                run(async { super::$name(super::sentinel::start().await).await });
            }

            #[test]
            fn cluster() {
                run(async { super::$name(super::cluster::start().await).await });
            }
        })*
    };
}

in_each_shape!(
    a_hot_session_costs_no_round_trip
    a_revocation_reaches_a_hot_replica
    a_lost_connection_takes_the_hot_sessions_along
    a_silent_redis_is_not_believed_for_long
    a_change_from_outside_is_seen
);
