//! The store in Redis, in each of its shapes, before real servers.
//!
//! The stories of one shape share its servers and take turns, for some freeze them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tiergate::backend::redis_store::{RedisStore, RedisTopology};
use tiergate::backend::system::{SystemClock, SystemRandom};
use tiergate::session::SessionStore;
use tiergate::types::Secret;
use tiergate_testbed::Redis;

use super::stage::{Breakable, Outage, SECOND, StoreUnderTest, comes_true, now};

/// The servers of one shape, started by the first story, or why they did not start: the others need not try again.
pub(crate) type Shared = Mutex<Option<Result<Redis, String>>>;

/// A turn at the servers of one shape.
pub(crate) struct Turn {
    topology: RedisTopology,
    held: MutexGuard<'static, Option<Result<Redis, String>>>,
}

impl Turn {
    pub(crate) fn take(shared: &'static Shared, topology: RedisTopology, start: fn() -> anyhow::Result<Redis>) -> Self {
        let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let started = held.get_or_insert_with(|| start().map_err(|error| format!("{error:#}")));
        let redis = started.as_ref().expect("Redis starts");
        // A story that failed may have left them frozen.
        redis.resume();
        redis.settle().expect("Redis as it was started");
        for port in redis.primaries() {
            redis.cli(port, &["FLUSHALL"]).expect("an empty Redis");
        }
        Self { topology, held }
    }

    pub(crate) fn redis(&self) -> &Redis {
        self.held.as_ref().and_then(|started| started.as_ref().ok()).expect("it was started")
    }

    /// A store of its own, connected.
    pub(crate) async fn open(&self) -> Arc<RedisStore> {
        connected(self.topology, self.redis().url()).await
    }
}

/// The store at `url`, once it answers.
pub(crate) async fn connected(topology: RedisTopology, url: &str) -> Arc<RedisStore> {
    let store = Arc::new(open(topology, url));
    assert!(comes_true(10 * SECOND, || async { store.probe(now()).await.is_ok() }).await, "it does not connect");
    store
}

pub(crate) fn open(topology: RedisTopology, url: &str) -> RedisStore {
    let clock = Arc::new(SystemClock::new());
    RedisStore::open(topology, &Secret::new(url.to_owned()), clock, Arc::new(SystemRandom)).expect("a good URL")
}

impl StoreUnderTest for Turn {
    async fn open_replica(&self) -> Arc<dyn SessionStore> {
        self.open().await
    }
}

impl Breakable for Turn {
    async fn break_it(&self) -> Outage {
        self.redis().pause();
        Outage::All
    }

    async fn mend(&self) {
        self.redis().resume();
    }
}

/// The whole suite before one shape.
macro_rules! shape {
    ($name:ident, $topology:ident, $start:path) => {
        pub(crate) mod $name {
            use tiergate::backend::redis_store::RedisTopology;

            use super::{Redis, Shared, Turn};

            static SHARED: Shared = Shared::new(None);

            pub(crate) async fn start() -> Turn {
                Turn::take(&SHARED, RedisTopology::$topology, $start)
            }

            conformance!(start, outages);
        }
    };
}

shape!(standalone, Single, Redis::standalone);
shape!(tls, SingleTls, Redis::tls);
shape!(sentinel, Sentinel, Redis::sentinel);
shape!(cluster, Cluster, Redis::cluster);
