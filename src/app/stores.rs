//! From the `sessions` of a config to the store and the seals.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::backend::key_file;
use crate::backend::memory_store::MemoryStore;
use crate::backend::sqlite_store::SqliteStore;
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config::{self, SessionStoreAddress};
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
    _clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> anyhow::Result<OpenedStore> {
    let random = random.as_ref();
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
        SessionStoreAddress::Redis { .. } => open_redis(settings).await,
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
        SessionStoreAddress::Redis { .. } => open_redis(settings).await,
    }
}

async fn open_redis(_: &config::Sessions) -> anyhow::Result<OpenedStore> {
    anyhow::bail!("`sessions.store` names Redis, which this build cannot open: use `sqlite:PATH` or `memory`")
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
