//! The user directory for commands, from outside of the service.

use std::sync::Arc;

use anyhow::Context as _;

use super::directory::{not_opened, of_backend};
use crate::backend::sql_directory::{Migrated, SqlDirectory};
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config;
use crate::directory::DirectoryPorts;

/// Works on the user directory of a service from outside of it, with a runtime
/// of its own. Makes no file: one made by another user would keep the service out.
///
/// # Errors
/// When the directory is out of reach, or the work fails.
pub fn visit_directory<T>(
    settings: &config::Directory,
    work: impl AsyncFnOnce(&DirectoryPorts) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    runtime()?.block_on(async {
        let store = SqlDirectory::open_existing(&of_backend(&settings.store)).await;
        let store = Arc::new(store.with_context(|| not_opened(&settings.store))?);
        work(&DirectoryPorts { store, clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) }).await
    })
}

/// Brings the tables of the user directory up to date; from which version to which one.
///
/// # Errors
/// When the database is out of reach, of a later version, or refuses.
pub fn migrate_directory(settings: &config::Directory) -> anyhow::Result<(i64, i64)> {
    let migrated = runtime()?.block_on(SqlDirectory::migrate(&of_backend(&settings.store)));
    let Migrated { from, to } = migrated.with_context(|| not_opened(&settings.store))?;
    Ok((from, to))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")
}
