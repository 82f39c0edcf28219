//! From the files of the apps to the catalogue and the policy with their rules.
//!
//! ```text
//! AppFiles ─scan─▶ texts ─Config::read_app─▶ entries ─Config::assemble─▶ catalogue and policy
//!                            unchanged ones are kept from before
//! ```
//!
//! A file that turns bad keeps its last good version, and an app that is there
//! already is never pushed aside by a new one.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::apps::{AppId, Assembled, Catalogue, Conflict, Entry};
use crate::backend::app_files::{AppFiles, FoundApp, FoundPlace, LookedAt, Scan, Unreadable};
use crate::config::{AppPlace, AppText, Config, ConfigErrors, Place};
use crate::policy::Policy;

/// How often, and how long each time, a file that changed just now is waited for.
const PATIENCE: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// The apps of a config and of its files, with the policy of one make.
pub struct LoadedApps {
    /// The apps.
    pub catalogue: Arc<Catalogue>,
    /// The policy of the config with the rules of the apps.
    pub policy: Arc<Policy>,
    /// What is wrong with the files that are left out, or kept as they were.
    pub faults: Vec<AppFault>,
    /// What was passed over though somebody may have meant it.
    pub notices: Vec<String>,
    /// Where each app is written that has a file or folder of its own.
    pub files: Vec<AppFile>,
    /// Whether other versions are in use than before.
    pub(super) is_other: bool,
}

/// What is wrong with one file.
#[derive(Debug, Clone)]
pub struct AppFault {
    /// The drop-in or the folder.
    pub key: PathBuf,
    /// Every fault with its place.
    pub errors: ConfigErrors,
    /// Whether its last good version is in use.
    pub keeps_last: bool,
}

/// Where an app is written.
#[derive(Debug, Clone)]
pub struct AppFile {
    /// The app.
    pub id: AppId,
    /// The file; of a folder without one the folder.
    pub path: PathBuf,
    /// The folder `<tier>/<app>/`, when it stands in one.
    pub folder: Option<PathBuf>,
    /// What is written there.
    pub text: Arc<str>,
    /// The app with its rules.
    pub entry: Arc<Entry>,
}

/// Reads the apps once, as a start of the service would.
#[must_use]
pub fn load_apps(config: &Config, variables: &BTreeMap<String, String>) -> LoadedApps {
    CatalogueFiles::new(config).read(config, variables).0
}

/// The files of the apps, and what is in use of them.
pub(super) struct CatalogueFiles {
    files: AppFiles,
    /// By the keys of the files.
    kept: HashMap<PathBuf, Kept>,
    /// What is in use, in the order of the files.
    live: Vec<Arc<Entry>>,
    /// How long a file that may be half written is waited for each time.
    pause: Duration,
}

/// What is known of one file.
struct Kept {
    text: Result<Arc<str>, Unreadable>,
    read: Result<Arc<Entry>, ConfigErrors>,
    live: Option<Version>,
}

/// One good version of a file.
#[derive(Clone)]
struct Version {
    text: Arc<str>,
    entry: Arc<Entry>,
}

/// One file on its way into the catalogue.
struct Candidate {
    found: FoundApp,
    read: Result<Arc<Entry>, ConfigErrors>,
    last: Option<Version>,
    takes: Takes,
    fault: Option<ConfigErrors>,
}

/// Which version of a file is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    New,
    Last,
    Nothing,
}

impl CatalogueFiles {
    pub(super) fn new(config: &Config) -> Self {
        let files = AppFiles::new(config.apps_dirs.clone(), tiers_of_bare_folders(config));
        Self { files, kept: HashMap::new(), live: Vec::new(), pause: PAUSE }
    }

    /// Looks where another config says from now on.
    pub(super) fn follow(&mut self, config: &Config) {
        self.files.look_in(config.apps_dirs.clone(), tiers_of_bare_folders(config));
    }

    /// Scans the files, and says what became of them; `None` when nothing changed.
    pub(super) fn read_changes(
        &mut self,
        config: &Config,
        variables: &BTreeMap<String, String>,
    ) -> (Option<LoadedApps>, Vec<LookedAt>) {
        let scan = self.scan();
        let is_same = scan.found.len() == self.kept.len()
            && scan.found.iter().all(|found| self.kept.get(&found.key).is_some_and(|kept| kept.text == found.text));
        if is_same {
            return (None, scan.looked_at);
        }
        let mut loaded = self.judge(scan.found, config, variables, false);
        loaded.notices = scan.notices;
        (Some(loaded), scan.looked_at)
    }

    /// Scans the files, and judges all of them by `config`.
    pub(super) fn read(
        &mut self,
        config: &Config,
        variables: &BTreeMap<String, String>,
    ) -> (LoadedApps, Vec<LookedAt>) {
        // A start, and a command, have nothing to keep meanwhile.
        let scan = if self.kept.is_empty() { self.files.scan() } else { self.scan() };
        let mut loaded = self.judge(scan.found, config, variables, true);
        loaded.notices = scan.notices;
        (loaded, scan.looked_at)
    }

    /// Waits a little for files that may be half written.
    fn scan(&mut self) -> Scan {
        let mut scan = self.files.scan();
        for _ in 0..PATIENCE {
            if !scan.is_halfway {
                break;
            }
            std::thread::sleep(self.pause);
            scan = self.files.scan();
        }
        scan
    }

    fn judge(
        &mut self,
        found: Vec<FoundApp>,
        config: &Config,
        variables: &BTreeMap<String, String>,
        is_anew: bool,
    ) -> LoadedApps {
        let mut before = std::mem::take(&mut self.kept);
        let live_before: Vec<Arc<Entry>> = std::mem::take(&mut self.live);
        let read = |found: &FoundApp, text: &str| {
            let file = shown(found);
            config.read_app(&AppText { file: &file, text, place: place(found) }, variables).map(Arc::new)
        };
        let mut candidates: Vec<Candidate> = Vec::with_capacity(found.len());
        for found in found {
            let kept = before.remove(&found.key);
            let (old, last) = match kept {
                Some(Kept { text, read, live }) => (Some((text, read)), live),
                None => (None, None),
            };
            // A version that another config read says nothing about this one.
            let last = match last {
                Some(version) if is_anew && found.text.as_ref() != Ok(&version.text) => {
                    read(&found, &version.text).ok().map(|entry| Version { entry, ..version })
                }
                other => other,
            };
            let read = match (old, &found.text) {
                (Some((old, read)), text) if !is_anew && old == *text => read,
                (_, Ok(text)) => read(&found, text),
                (_, Err(why)) => Err(fault(&found, why.to_string(), why.hint())),
            };
            let last = match (&read, last) {
                (Ok(entry), Some(version)) if found.text.as_ref() == Ok(&version.text) => {
                    Some(Version { entry: Arc::clone(entry), ..version })
                }
                (_, last) => last,
            };
            candidates.push(Candidate::new(found, read, last));
        }
        let Assembled { catalogue, policy, .. } = settle(config, &mut candidates);
        let mut loaded = self.conclude(candidates, catalogue, policy);
        let is_same = |(one, other): (&Arc<Entry>, &Arc<Entry>)| Arc::ptr_eq(one, other);
        loaded.is_other = live_before.len() != self.live.len() || !live_before.iter().zip(&self.live).all(is_same);
        loaded
    }

    fn conclude(&mut self, candidates: Vec<Candidate>, catalogue: Catalogue, policy: Policy) -> LoadedApps {
        let (mut faults, mut files) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let live = candidate.version();
            let Candidate { found, read, fault, takes, .. } = candidate;
            if let Some(errors) = fault {
                faults.push(AppFault { key: found.key.clone(), errors, keeps_last: takes == Takes::Last });
            }
            if let Some(version) = &live {
                self.live.push(Arc::clone(&version.entry));
                files.push(AppFile {
                    id: version.entry.app.id.clone(),
                    path: found.path.clone(),
                    folder: matches!(found.place, FoundPlace::Folder { .. }).then(|| found.key.clone()),
                    text: Arc::clone(&version.text),
                    entry: Arc::clone(&version.entry),
                });
            }
            self.kept.insert(found.key, Kept { text: found.text, read, live });
        }
        LoadedApps {
            catalogue: Arc::new(catalogue),
            policy: Arc::new(policy),
            faults,
            notices: Vec::new(),
            files,
            is_other: true,
        }
    }
}

impl Candidate {
    fn new(found: FoundApp, read: Result<Arc<Entry>, ConfigErrors>, last: Option<Version>) -> Self {
        let (takes, fault) = match (&read, &last) {
            (Ok(_), _) => (Takes::New, None),
            (Err(errors), Some(_)) => (Takes::Last, Some(errors.clone())),
            (Err(errors), None) => (Takes::Nothing, Some(errors.clone())),
        };
        Self { found, read, last, takes, fault }
    }

    /// The version that it takes.
    fn version(&self) -> Option<Version> {
        match self.takes {
            Takes::New => {
                let (text, entry) = (self.found.text.as_ref().ok()?, self.read.as_ref().ok()?);
                Some(Version { text: Arc::clone(text), entry: Arc::clone(entry) })
            }
            Takes::Last => self.last.clone(),
            Takes::Nothing => None,
        }
    }

    fn is_live_already(&self) -> bool {
        match self.takes {
            Takes::Last => true,
            Takes::New => self.last.as_ref().is_some_and(|last| self.found.text.as_ref() == Ok(&last.text)),
            Takes::Nothing => false,
        }
    }

    fn step_back(&mut self, errors: ConfigErrors) {
        let is_back = self.takes == Takes::Last || self.is_live_already();
        self.takes = if is_back || self.last.is_none() { Takes::Nothing } else { Takes::Last };
        self.fault.get_or_insert(errors);
    }
}

/// Puts the candidates together; one in the way of another steps back to its
/// last version, then out. Those that are in use already come first.
fn settle(config: &Config, candidates: &mut [Candidate]) -> Assembled {
    loop {
        let mut order: Vec<(usize, Arc<Entry>)> = candidates
            .iter()
            .enumerate()
            .filter_map(|(position, candidate)| Some((position, candidate.version()?.entry)))
            .collect();
        order.sort_by_key(|(position, _)| !candidates.get(*position).is_some_and(Candidate::is_live_already));
        let entries: Vec<Arc<Entry>> = order.iter().map(|(_, entry)| Arc::clone(entry)).collect();
        let assembled = config.assemble(&entries);
        let mut is_settled = true;
        for (position, conflict) in &assembled.conflicts {
            let Some((at, entry)) = order.get(*position) else { continue };
            let other = other_file(conflict, entry, config, &entries);
            let Some(candidate) = candidates.get_mut(*at) else { continue };
            let message = match other {
                Some(other) => format!("{conflict} (`{other}`)"),
                None => conflict.to_string(),
            };
            candidate.step_back(fault(&candidate.found, message, conflict.hint()));
            is_settled = is_settled && candidate.takes == Takes::Nothing;
        }
        if is_settled {
            return assembled;
        }
    }
}

/// Where the app is written that a conflict names.
fn other_file(conflict: &Conflict, own: &Entry, config: &Config, entries: &[Arc<Entry>]) -> Option<String> {
    let id = match conflict {
        Conflict::SameId(id) | Conflict::SamePath(id) | Conflict::AppRule(_, id) => id,
        Conflict::ConfigRule(_) | Conflict::OtherPolicy => return None,
    };
    let mut all = config.apps.iter().chain(entries);
    let other = all.find(|entry| entry.app.id == *id && entry.app.source != own.app.source)?;
    Some(other.app.source.clone())
}

fn tiers_of_bare_folders(config: &Config) -> Option<Vec<String>> {
    let tiers = config.policy.tiers();
    config.has_default_upstream().then(|| tiers.iter().map(|tier| tiers.name(tier).to_owned()).collect())
}

fn shown(found: &FoundApp) -> String {
    found.path.display().to_string()
}

fn place(found: &FoundApp) -> AppPlace<'_> {
    match &found.place {
        FoundPlace::File { stem } => AppPlace::File { stem },
        FoundPlace::Folder { tier, name } => AppPlace::Folder { tier, name },
    }
}

fn fault(found: &FoundApp, message: String, hint: &str) -> ConfigErrors {
    ConfigErrors::single(&shown(found), Place::Nowhere, message, Some(hint.to_owned()))
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
