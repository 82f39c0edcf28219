//! The session store that the config names.

use std::sync::Arc;

use crate::backend::memory_store::MemoryStore;
use crate::config::{SessionStoreAddress, Sessions};
use crate::session::{Seals, SessionStore};
use crate::types::{Clock, Random, Secret};

/// A store, and what its records are sealed by.
pub(super) struct OpenedStore {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) seals: Seals,
}

pub(super) async fn open(
    settings: &Sessions,
    _clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> anyhow::Result<OpenedStore> {
    let store: Arc<dyn SessionStore> = match &settings.store {
        SessionStoreAddress::Memory | SessionStoreAddress::Sqlite(_) | SessionStoreAddress::Redis { .. } => {
            Arc::new(MemoryStore::new())
        }
    };
    let mut secrets = settings.secrets.clone();
    if secrets.is_empty() {
        secrets.push(Secret::new(crate::session::OpaqueId::draw(random.as_ref()).written().expose().to_owned()));
    }
    let seals = Seals::new(&secrets).ok_or_else(|| anyhow::anyhow!("no secret"))?;
    Ok(OpenedStore { store, seals })
}
