//! Redis away, wrong, or somebody else: what the store says, and what is kept.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tiergate::backend::causes::Causes;
use tiergate::backend::redis_store::{RedisStore, RedisTopology};
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::session::{SessionKey, SessionStore, StoreError};
use tiergate::types::Secret;
use tiergate_testbed::{Redis, free_port};

use super::redis::open;
use super::stage::{MINUTE, SECOND, comes_true, new_key, new_once, now, run, session};

#[test]
fn a_store_opens_before_its_redis_and_works_when_it_comes() {
    run(async {
        let redis = Redis::standalone().unwrap();
        let port = redis.ports()[0];
        redis.kill_server(port);
        let store = open(RedisTopology::Single, redis.url());
        let refused = store.probe(now()).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        redis.restart_server(port).unwrap();
        assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await, "it does not connect");
    });
}

#[test]
fn what_is_wrong_with_an_account_is_said_without_its_password() {
    run(async {
        let redis = Redis::with_password("right-word").unwrap();
        let right = open(RedisTopology::Single, redis.url());
        assert!(comes_true(10 * SECOND, || async { right.probe(now()).await.is_ok() }).await);
        let wrong = open(RedisTopology::Single, &redis.url().replace("right-word", "wrong-word"));
        let none = open(RedisTopology::Single, &redis.url().replace(":right-word@", ""));
        for (store, expected) in [(wrong, "WRONGPASS"), (none, "NOAUTH")] {
            let says = async || {
                let error = store.probe(now()).await.expect_err("no account");
                format!("{} {error:?}", Causes(&error))
            };
            let told = comes_true(5 * SECOND, || async { says().await.contains(expected) }).await;
            let text = says().await;
            assert!(told, "{expected} is not in {text}");
            assert!(!text.contains("wrong-word"), "{text}");
        }
    });
}

#[test]
fn a_stranger_with_another_certificate_is_not_spoken_to() {
    run(async {
        let (redis, other) = (Redis::tls().unwrap(), Redis::tls().unwrap());
        let ca = |redis: &Redis| redis.ca_file().unwrap().display().to_string();
        let store = open(RedisTopology::SingleTls, &redis.url().replace(&ca(&redis), &ca(&other)));
        let says = async || Causes(&store.probe(now()).await.expect_err("a stranger")).to_string();
        let told = comes_true(5 * SECOND, || async { says().await.contains("certificate") }).await;
        assert!(told, "{}", says().await);
    });
}

#[test]
fn a_url_that_leads_nowhere_is_refused_at_once_or_named() {
    run(async {
        let clock = Arc::new(SystemClock::new());
        let open = |topology, url: &str| {
            RedisStore::open(topology, &Secret::new(url.to_owned()), clock.clone(), Arc::new(SystemRandom)).err()
        };
        let error = open(RedisTopology::SingleTls, "rediss://:hunter2@localhost?ca=/nowhere.pem").unwrap();
        assert!(error.to_string().contains("`/nowhere.pem`"), "{error}");
        let error = open(RedisTopology::Single, "redis://:hunter2@local host").unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(open(RedisTopology::Single, &format!("redis://127.0.0.1:{}", free_port().unwrap())).is_none());
    });
}

/// A Redis without any disk forgets the removal with the rest; one that comes
/// back from an older copy brings the session back, and the store removes it again.
#[test]
fn a_removal_that_a_restart_undid_is_done_again() {
    run(async {
        let redis = Redis::standalone().unwrap();
        let port = redis.ports()[0];
        let store = open(RedisTopology::Single, redis.url());
        assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await);
        let (key, attempt) = (new_key(), new_once());
        store.insert(key, session(now()), now()).await.unwrap();
        assert!(store.put_once(attempt, b"x".to_vec(), now().plus(MINUTE), now()).await.unwrap());
        // What is written from here on is lost.
        redis.cli(port, &["CONFIG", "SET", "appendonly", "no"]).unwrap();
        assert!(store.remove(key, now()).await.unwrap());
        assert!(store.take(attempt, now()).await.unwrap().is_some());
        redis.kill_server(port);
        redis.restart_server(port).unwrap();
        assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await);
        assert!(store.find(key, now()).await.unwrap().is_none());
        let other = open(RedisTopology::Single, redis.url());
        assert!(comes_true(10 * SECOND, || async { other.probe(now()).await.is_ok() }).await);
        assert!(other.find(key, now()).await.unwrap().is_none(), "the removed session came back");
        assert_eq!(other.take(attempt, now()).await.unwrap(), None, "the taken attempt came back");
    });
}

/// What the callers of a failover knew for sure.
#[derive(Default)]
struct Known {
    alive: Mutex<Vec<SessionKey>>,
    removed: Mutex<Vec<SessionKey>>,
    is_over: AtomicBool,
    refused: AtomicUsize,
    answered: AtomicUsize,
}

impl Known {
    /// Signs in, looks, signs some out, until it is over.
    async fn live(&self, store: &RedisStore) {
        let mut round = 0usize;
        while !self.is_over.load(Ordering::SeqCst) {
            round += 1;
            let key = new_key();
            let inserted = store.insert(key, session(now()), now()).await.is_ok();
            let found = store.find(key, now()).await;
            match (&found, inserted) {
                (Ok(found), true) => {
                    assert!(found.is_some(), "an acknowledged session is not found");
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                (Ok(_), false) => {}
                (Err(_), _) => {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                }
            }
            if inserted && round.is_multiple_of(2) {
                if store.remove(key, now()).await.is_ok_and(|was_there| was_there) {
                    self.removed.lock().unwrap().push(key);
                }
            } else if inserted {
                self.alive.lock().unwrap().push(key);
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

async fn a_failover_loses_nothing(topology: RedisTopology, redis: Redis) {
    let stores = [Arc::new(open(topology, redis.url())), Arc::new(open(topology, redis.url()))];
    for store in &stores {
        assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await, "it does not connect");
    }
    let known = Arc::new(Known::default());
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (known, store) = (Arc::clone(&known), Arc::clone(&stores[number % 2]));
        callers.spawn(async move { known.live(&store).await });
    }
    tokio::time::sleep(SECOND).await;
    let killed = Instant::now();
    let redis = tokio::task::spawn_blocking(move || {
        redis.failover().unwrap();
        redis
    });
    let redis = redis.await.unwrap();
    let promoted = killed.elapsed();
    for store in &stores {
        let works = comes_true(20 * SECOND, || async { store.probe(now()).await.is_ok() });
        assert!(works.await, "{:?}", store.probe(now()).await);
    }
    let recovered = killed.elapsed();
    tokio::time::sleep(SECOND).await;
    known.is_over.store(true, Ordering::SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    // A third one knows nothing but what Redis has.
    let judge = open(topology, redis.url());
    assert!(comes_true(10 * SECOND, || async { judge.probe(now()).await.is_ok() }).await);
    let (alive, removed) = (known.alive.lock().unwrap().clone(), known.removed.lock().unwrap().clone());
    println!(
        "{topology:?}: {} kept, {} removed, {} answered, {} refused; promoted after {promoted:?}, recovered after {recovered:?}",
        alive.len(),
        removed.len(),
        known.answered.load(Ordering::SeqCst),
        known.refused.load(Ordering::SeqCst),
    );
    assert!(alive.len() > 20 && removed.len() > 20);
    for key in alive {
        assert!(judge.find(key, now()).await.unwrap().is_some(), "an acknowledged session is lost");
    }
    for key in removed {
        assert!(judge.find(key, now()).await.unwrap().is_none(), "a session lives that was removed");
    }
}

#[test]
fn a_failover_of_sentinel_loses_nothing() {
    run(a_failover_loses_nothing(RedisTopology::Sentinel, Redis::sentinel().unwrap()));
}

#[test]
fn a_failover_of_the_cluster_loses_nothing() {
    run(a_failover_loses_nothing(RedisTopology::Cluster, Redis::cluster().unwrap()));
}
