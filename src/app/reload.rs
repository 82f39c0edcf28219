//! Lets a running service follow its config and its apps: one thread looks at
//! the files when something changed, and swaps what checks are decided by.
//!
//! ```text
//! events, a slow poll, SIGHUP ─▶ config files changed? ─▶ load all of it anew
//!                            └─▶ app files changed?    ─▶ read those anew
//!                                                        └─▶ one Snapshot ─▶ Checker, then routes
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use metrics::counter;

use super::app_report::AppReport;
use super::build;
use super::catalogue::{CatalogueFiles, LoadedApps};
use super::read_file::ReadFile;
use super::routes::RouteWriter;
use super::telemetry::Decisions;
use crate::backend::app_files::LookedAt;
use crate::backend::file_watch::FileWatch;
use crate::check::Checker;
use crate::config::{Config, ConfigErrors};
use crate::types::{Clock, Monotonic};

/// How long it has to be quiet before files are looked at: an editor may be
/// halfway through.
const QUIET: Duration = Duration::from_millis(100);
/// How often a file that changed just now is waited for.
const PATIENCE: u32 = 5;
/// Changes that never end are looked at all the same after this.
const IMPATIENCE: Duration = Duration::from_millis(600);
/// How often files are looked at though no event came, as on a network file
/// system; but looking takes at most one fiftieth of the time.
const POLL: Duration = Duration::from_secs(1);
const POLL_SHARE: u32 = 50;

/// A config and the variables that it was read with.
pub struct LoadedConfig {
    /// The config.
    pub config: Config,
    /// The environment, with `.env` in it.
    pub variables: BTreeMap<String, String>,
}

/// What came of loading the config.
pub struct Loading {
    /// The config, or what is wrong with it.
    pub result: Result<LoadedConfig, LoadError>,
    /// Every file that took part, also those that were not there.
    pub files: Vec<ReadFile>,
}

/// Why there is no config.
#[derive(Debug)]
pub enum LoadError {
    /// Faults with their places.
    Config(ConfigErrors),
    /// Something else.
    Other(String),
}

/// Loads the config as the start did.
pub type LoadConfig = Box<dyn Fn() -> Loading + Send>;

/// What wakes the reloader.
enum Wake {
    Files,
    Reload,
    Stop,
}

/// The way to wake it; cheap to clone.
#[derive(Clone)]
pub(super) struct Waker {
    way: Sender<Wake>,
    is_awake: Arc<AtomicBool>,
}

/// Where the wakes arrive.
pub(super) struct Wakes {
    wakes: Receiver<Wake>,
    waker: Waker,
}

impl Waker {
    pub(super) fn new() -> (Self, Wakes) {
        let (way, wakes) = channel();
        let waker = Self { way, is_awake: Arc::new(AtomicBool::new(false)) };
        (waker.clone(), Wakes { wakes, waker })
    }

    /// Something may have changed. Further calls cost nothing until it is looked at.
    fn look(&self) {
        if !self.is_awake.swap(true, Ordering::AcqRel) {
            self.send(Wake::Files);
        }
    }

    /// All is to be read anew.
    pub(super) fn reload(&self) {
        self.send(Wake::Reload);
    }

    pub(super) fn stop(&self) {
        self.send(Wake::Stop);
    }

    fn send(&self, wake: Wake) {
        // Without a reloader the service is stopping.
        let _ = self.way.send(wake);
    }
}

/// What becomes of the time until the next look.
enum Next {
    Look { anew: bool },
    Stop,
}

/// What is swapped, and who is told.
pub(super) struct Live {
    pub(super) checker: Arc<Checker>,
    pub(super) decisions: Arc<Decisions>,
    pub(super) routes: RouteWriter,
}

/// Follows the files.
pub(super) struct Reloader {
    pub(super) load: LoadConfig,
    /// The files of the config as they were when it was last loaded.
    pub(super) config_files: Vec<ReadFile>,
    pub(super) current: LoadedConfig,
    pub(super) app_files: CatalogueFiles,
    pub(super) report: AppReport,
    pub(super) live: Live,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reloader {
    /// Runs until it is stopped; `looked_at` is where the first apps were found.
    pub(super) fn run(mut self, wakes: &Wakes, looked_at: Vec<LookedAt>) {
        let waker = wakes.waker.clone();
        let mut watch = match FileWatch::start(move || waker.look()) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "files are looked at once a second");
                None
            }
        };
        let mut is_in_trouble = false;
        let mut looked_at = looked_at;
        // What changed between the first look and the watch is seen by the first poll.
        let mut cost = Duration::ZERO;
        loop {
            if let Some(watch) = &mut watch {
                looked_at.extend(self.config_files.iter().map(ReadFile::looked_at));
                let trouble = watch.follow(&looked_at).err();
                match &trouble {
                    Some(error) if !is_in_trouble => {
                        tracing::warn!(%error, "some changes are seen by looking once in a while only");
                    }
                    Some(_) | None => {}
                }
                is_in_trouble = trouble.is_some();
            }
            let anew = match wakes.next(self.clock.as_ref(), cost) {
                Next::Look { anew } => anew,
                Next::Stop => return,
            };
            let start = self.clock.monotonic();
            looked_at = self.look(anew);
            cost = self.clock.monotonic().since(start);
        }
    }

    /// Looks at everything once, and swaps what changed.
    fn look(&mut self, anew: bool) -> Vec<LookedAt> {
        if (anew || self.is_config_changed())
            && let Some(looked_at) = self.reload()
        {
            return looked_at;
        }
        let start = self.clock.monotonic();
        let (loaded, looked_at) = self.app_files.read_changes(&self.current.config, &self.current.variables);
        if let Some(loaded) = loaded {
            let is_worse = self.report.tell(&loaded);
            if is_worse {
                count("invalid");
            }
            if loaded.is_other {
                self.swap(&loaded, start);
            }
        }
        looked_at
    }

    /// Waits a little for files that may be half written.
    fn is_config_changed(&self) -> bool {
        for _ in 0..PATIENCE {
            if !self.config_files.iter().any(ReadFile::is_changed) {
                return false;
            }
            if !self.config_files.iter().any(ReadFile::is_halfway) {
                return true;
            }
            std::thread::sleep(QUIET);
        }
        true
    }

    /// The config anew, and with it all the apps; `None` when it stays as it is.
    fn reload(&mut self) -> Option<Vec<LookedAt>> {
        let start = self.clock.monotonic();
        let loading = (self.load)();
        self.config_files = loading.files;
        let new = match loading.result {
            Ok(new) => new,
            Err(error) => {
                say_invalid(&error);
                count("invalid");
                return None;
            }
        };
        let keys = self.current.config.needs_restart(&new.config);
        if !keys.is_empty() {
            let keys = keys.join(", ");
            tracing::error!(keys, "the changed config needs a restart, nothing of it is applied");
            count("restart_needed");
            return None;
        }
        for notice in &new.config.notices {
            tracing::warn!(notice, "config");
        }
        self.current = new;
        self.app_files.follow(&self.current.config);
        let (loaded, looked_at) = self.app_files.read(&self.current.config, &self.current.variables);
        if self.report.tell(&loaded) {
            count("invalid");
        }
        self.swap(&loaded, start);
        Some(looked_at)
    }

    /// Policy first, then the routes: a route that leads to an app which is not
    /// protected so far would be worse than one that comes a moment later.
    fn swap(&mut self, loaded: &LoadedApps, start: Monotonic) {
        let snapshot = match build::snapshot(&self.current.config, loaded) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the policy stays as it is");
                count("invalid");
                return;
            }
        };
        let policy = snapshot.policy.fingerprint().to_owned();
        self.live.decisions.follow(&snapshot.policy);
        self.live.checker.replace(snapshot);
        self.live.routes.publish(&self.current.config, &loaded.catalogue);
        count("ok");
        let took_ms = u64::try_from(self.clock.monotonic().since(start).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(policy, apps = loaded.catalogue.apps().len(), took_ms, "policy reloaded");
    }
}

impl Wakes {
    /// Waits for something to do, then until it is quiet.
    fn next(&self, clock: &dyn Clock, cost: Duration) -> Next {
        let poll = POLL.max(cost.saturating_mul(POLL_SHARE));
        let mut anew = match self.wakes.recv_timeout(poll) {
            Ok(Wake::Files) => false,
            Ok(Wake::Reload) => true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Next::Stop,
            Err(RecvTimeoutError::Timeout) => return Next::Look { anew: false },
        };
        let start = clock.monotonic();
        // Where looking is slow, directories that never rest must not take all the time.
        let quiet = QUIET.max(cost.saturating_mul(4)).min(IMPATIENCE);
        while !anew && clock.monotonic().since(start) < IMPATIENCE {
            self.waker.is_awake.store(false, Ordering::Release);
            match self.wakes.recv_timeout(quiet) {
                Ok(Wake::Files) => {}
                Ok(Wake::Reload) => anew = true,
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Next::Stop,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        self.waker.is_awake.store(false, Ordering::Release);
        Next::Look { anew }
    }
}

fn count(result: &'static str) {
    counter!("tiergate_policy_reload_total", "result" => result).increment(1);
}

fn say_invalid(error: &LoadError) {
    match error {
        LoadError::Config(errors) => {
            super::app_report::say(errors, "the changed config is invalid, the last good one stays");
        }
        LoadError::Other(error) => tracing::error!(error, "the changed config is invalid, the last good one stays"),
    }
}
