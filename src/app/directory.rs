//! The user directory as the service runs it: opened by the config, its errors
//! counted, what others change in it followed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics::gauge;
use tokio::sync::watch;

use super::counted_directory::CountedDirectory;
use super::supervise::stopped;
use crate::backend::causes::Causes;
use crate::backend::sql_directory::{SqlAddress, SqlDirectory, SqlOpenError};
use crate::config::{self, DirectoryAddress};
use crate::directory::{Directory, DirectoryPorts, Remembering, UserDirectory};
use crate::types::{Clock, Random};

/// How often it is asked what changed.
const FOLLOW_PERIOD: Duration = Duration::from_millis(250);
/// How often it is written down which personal access tokens were used.
const NOTE_PERIOD: Duration = Duration::from_secs(2);
/// As many failures in a row are an outage: one late answer, as of a busy
/// machine, is none.
const FAILURES_OF_OUTAGE: u32 = 4;
/// How often it is swept and shown to work.
const UPKEEP_PERIOD: Duration = Duration::from_secs(60);
/// After how many looks a database that could not be opened is tried again.
const LOOKS_TO_OPEN: u32 = 4;

/// The user directory with what keeps it.
pub(super) struct OpenedDirectory {
    pub(super) directory: Arc<Directory>,
    store: Arc<CountedDirectory>,
    address: DirectoryAddress,
    audit_keep: Duration,
    clock: Arc<dyn Clock>,
}

impl OpenedDirectory {
    /// Opens the directory that the config asks for. A server that does not answer
    /// is tried again later: the service begins without it, and refuses whom it
    /// cannot tell anything about.
    ///
    /// # Errors
    /// When it is there and cannot be used.
    pub(super) async fn open(
        settings: &config::Directory,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
    ) -> anyhow::Result<Self> {
        let (kind, label) = match &settings.store {
            DirectoryAddress::Sqlite(_) => ("sqlite", "directory_sqlite"),
            DirectoryAddress::Mysql(_) => ("mysql", "directory_mysql"),
            DirectoryAddress::Postgres(_) => ("postgres", "directory_postgres"),
        };
        let store = Arc::new(CountedDirectory::new(kind, label));
        match open_store(&settings.store).await {
            Ok(opened) => store.opened(opened),
            Err(error) if error.is_outage() => tracing::error!(
                store = kind,
                error = %Causes(&error),
                "the user directory cannot be reached, and is tried again"
            ),
            Err(error) => return Err(anyhow::Error::new(error).context(not_opened(&settings.store))),
        }
        let ports = DirectoryPorts {
            store: Arc::<CountedDirectory>::clone(&store),
            clock: Arc::clone(clock),
            random: Arc::clone(random),
        };
        let remembering = Remembering { users: u64::from(settings.cache), max_stale: settings.max_stale };
        let directory = Arc::new(Directory::remembering(ports, remembering));
        let (address, audit_keep) = (settings.store.clone(), settings.audit_keep);
        Ok(Self { directory, store, address, audit_keep, clock: Arc::clone(clock) })
    }

    /// Follows what others change, until the service stops.
    pub(super) async fn watch(self: Arc<Self>, stopping: watch::Receiver<bool>) -> &'static str {
        let following = gauge!("tiergate_directory_following");
        let mut stopped = Box::pin(stopped(stopping));
        let mut period = tokio::time::interval(FOLLOW_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut failures) = (0u32, 0u32);
        loop {
            tokio::select! {
                () = &mut stopped => return "directory follower",
                _ = period.tick() => {}
            }
            if !self.store.is_open() && looks.is_multiple_of(LOOKS_TO_OPEN) {
                self.open_again().await;
            }
            match self.directory.follow().await {
                Ok(()) => {
                    if failures >= FAILURES_OF_OUTAGE {
                        tracing::info!(store = self.store.kind(), "the user directory answers");
                    }
                    failures = 0;
                    following.set(1.0);
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    following.set(0.0);
                    if failures == FAILURES_OF_OUTAGE {
                        tracing::error!(
                            store = self.store.kind(),
                            error = %Causes(&error),
                            "the user directory does not answer: what is known of people counts for `directory.max_stale`, \
                             everybody else is refused (503) until it does"
                        );
                    }
                }
            }
            looks = looks.wrapping_add(1);
        }
    }

    /// Shows that it works and drops what is over, until the service stops. Beside
    /// the look at changes, which waits for nothing.
    pub(super) async fn keep_up(self: Arc<Self>, stopping: watch::Receiver<bool>) -> &'static str {
        let mut stopped = Box::pin(stopped(stopping));
        let mut period = tokio::time::interval(UPKEEP_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopped => return "directory upkeep",
                _ = period.tick() => {}
            }
            // Both are counted as errors of the store where they fail.
            if self.store.probe(self.clock.now()).await.is_ok() {
                let now = self.clock.now();
                let _ = self.store.sweep(now, now.minus(self.audit_keep)).await;
            }
        }
    }

    /// Writes down when personal access tokens were used, until the service stops.
    pub(super) async fn note_uses(self: Arc<Self>, stopping: watch::Receiver<bool>) -> &'static str {
        let mut stopped = Box::pin(stopped(stopping));
        let mut period = tokio::time::interval(NOTE_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stops = tokio::select! {
                () = &mut stopped => true,
                _ = period.tick() => false,
            };
            let used = self.directory.uses().take();
            if !used.is_empty() {
                // It is counted as an error of the store where it fails, and is of no other weight.
                let _ = self.store.access_tokens_used(used).await;
            }
            if stops {
                return "token clerk";
            }
        }
    }

    async fn open_again(&self) {
        match open_store(&self.address).await {
            Ok(store) => {
                tracing::info!(store = self.store.kind(), "the user directory is reached");
                self.store.opened(store);
            }
            Err(error) => tracing::debug!(error = %Causes(&error), "the user directory cannot be opened"),
        }
    }
}

async fn open_store(address: &DirectoryAddress) -> Result<Arc<dyn UserDirectory>, SqlOpenError> {
    Ok(Arc::new(SqlDirectory::open(&of_backend(address)).await?))
}

pub(super) fn of_backend(address: &DirectoryAddress) -> SqlAddress {
    match address {
        DirectoryAddress::Sqlite(path) => SqlAddress::Sqlite(path.clone()),
        DirectoryAddress::Mysql(url) => SqlAddress::Mysql(url.clone()),
        DirectoryAddress::Postgres(url) => SqlAddress::Postgres(url.clone()),
    }
}

/// What did not open; a URL may hold a password.
pub(super) fn not_opened(address: &DirectoryAddress) -> String {
    match address {
        DirectoryAddress::Sqlite(path) => format!("`sqlite:{}` cannot be opened", path.display()),
        DirectoryAddress::Mysql(_) | DirectoryAddress::Postgres(_) => "`directory.url` cannot be opened".to_owned(),
    }
}

/// The store of a directory for a command, which has its own runtime and waits
/// for nobody.
///
/// # Errors
/// When it cannot be opened.
pub(super) async fn open_for_command(settings: &config::Directory) -> anyhow::Result<Arc<dyn UserDirectory>> {
    open_store(&settings.store).await.with_context(|| not_opened(&settings.store))
}
