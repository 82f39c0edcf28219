//! From the `sessions` of a config to the store and the seals.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::backend::key_file;
use crate::backend::memory_store::MemoryStore;
use crate::backend::redis_store::{self, RedisStore};
use crate::backend::sqlite_store::SqliteStore;
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config::{self, Config, RedisTopology, SessionStoreAddress};
use crate::session::{Lifetimes, OpaqueId, Seals, SessionPorts, SessionStore, Sessions};
use crate::types::{Clock, Random, Secret};

/// A store, and what its records are sealed by.
pub(super) struct OpenedStore {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) seals: Seals,
}

/// Opens the store for the service; files that are missing are made.
pub(super) async fn open(
    settings: &config::Sessions,
    clock: &Arc<dyn Clock>,
    shared_random: &Arc<dyn Random>,
) -> anyhow::Result<OpenedStore> {
    let random = shared_random.as_ref();
    match &settings.store {
        // These sessions end with the process, and so may their secret.
        SessionStoreAddress::Memory => {
            sealed(Arc::new(MemoryStore::new()), settings, || Ok(OpaqueId::draw(random).written()))
        }
        SessionStoreAddress::Sqlite(path) => {
            let store = SqliteStore::open(path).await.with_context(|| not_opened(path))?;
            let key = || Ok(key_file::read_or_create(&key_file::beside(path), random)?);
            sealed(Arc::new(store), settings, key)
        }
        SessionStoreAddress::Redis { topology, url } => {
            let store = open_redis(*topology, url, clock, shared_random)?;
            sealed(Arc::new(store), settings, no_key)
        }
    }
}

/// Works on the sessions of a service from outside of it, with a runtime of its
/// own. Makes no file: one made by another user would keep the service out.
///
/// # Errors
/// When the sessions are out of reach, or the work fails.
pub fn visit_sessions<T>(
    settings: &config::Sessions,
    work: impl AsyncFnOnce(&Sessions) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(async {
        let opened = open_existing(settings).await.context("the session store cannot be opened")?;
        let OpenedStore { store, seals } = opened;
        let ports = SessionPorts { store, random: Arc::new(SystemRandom), clock: Arc::new(SystemClock::new()) };
        let lifetimes = Lifetimes { idle: settings.idle_timeout, absolute: settings.lifetime };
        work(&Sessions::new(ports, seals, lifetimes)).await
    })
}

async fn open_existing(settings: &config::Sessions) -> anyhow::Result<OpenedStore> {
    match &settings.store {
        SessionStoreAddress::Memory => anyhow::bail!(
            "`sessions.store` is `memory`: these sessions live in the running process only, and end with it"
        ),
        SessionStoreAddress::Sqlite(path) => {
            let store = SqliteStore::open_existing(path).await.with_context(|| not_opened(path))?;
            sealed(Arc::new(store), settings, || Ok(key_file::read(&key_file::beside(path))?))
        }
        SessionStoreAddress::Redis { topology, url } => {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let random: Arc<dyn Random> = Arc::new(SystemRandom);
            let store = open_redis(*topology, url, &clock, &random)?;
            // The service goes on while it connects; a command has one try.
            for _ in 0..CONNECT_TRIES {
                if store.probe(clock.now()).await.is_ok() {
                    break;
                }
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            sealed(Arc::new(store), settings, no_key)
        }
    }
}

const CONNECT_TRIES: u32 = 15;
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Whether the session store of a config can be what its address says, as far
/// as that can be told without asking anybody.
///
/// # Errors
/// What is wrong with it, without any password.
pub fn check_session_store(config: &Config) -> anyhow::Result<()> {
    match config.sessions.as_ref().map(|sessions| &sessions.store) {
        Some(SessionStoreAddress::Redis { topology, url }) => {
            RedisStore::check_url(of_backend(*topology), url).context("`sessions.store`")
        }
        Some(SessionStoreAddress::Memory | SessionStoreAddress::Sqlite(_)) | None => Ok(()),
    }
}

const fn of_backend(topology: RedisTopology) -> redis_store::RedisTopology {
    match topology {
        RedisTopology::Single => redis_store::RedisTopology::Single,
        RedisTopology::SingleTls => redis_store::RedisTopology::SingleTls,
        RedisTopology::Sentinel => redis_store::RedisTopology::Sentinel,
        RedisTopology::Cluster => redis_store::RedisTopology::Cluster,
    }
}

fn open_redis(
    topology: RedisTopology,
    url: &Secret,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> anyhow::Result<RedisStore> {
    Ok(RedisStore::open(of_backend(topology), url, Arc::clone(clock), Arc::clone(random))?)
}

/// A secret of its own would make each instance refuse the sessions of the others.
fn no_key() -> anyhow::Result<Secret> {
    anyhow::bail!("`sessions.secrets` is missing: with Redis, every instance needs the same keys")
}

/// With the secrets of the config, or else with the one that `key` brings.
fn sealed(
    store: Arc<dyn SessionStore>,
    settings: &config::Sessions,
    key: impl FnOnce() -> anyhow::Result<Secret>,
) -> anyhow::Result<OpenedStore> {
    let secrets = if settings.secrets.is_empty() { vec![key()?] } else { settings.secrets.clone() };
    let seals = Seals::new(&secrets).context("`sessions.secrets` holds no secret")?;
    Ok(OpenedStore { store, seals })
}

fn not_opened(path: &Path) -> String {
    format!("`sqlite:{}` cannot be opened", path.display())
}
