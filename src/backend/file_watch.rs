//! Wakes somebody when something changes in a directory that matters.
//!
//! Events say that it is time to look, and nothing else: what is there is found
//! by looking. Opening and reading a file is no change, or looking would wake.

#![expect(clippy::disallowed_methods, reason = "this module looks which directories are there")]

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::app_files::LookedAt;

/// Why changes go unnoticed until somebody looks.
#[derive(Debug, thiserror::Error)]
#[error("changes of files cannot be watched: {0}")]
pub struct WatchError(#[from] notify::Error);

/// Directories under watch.
pub struct FileWatch {
    watcher: RecommendedWatcher,
    shared: Arc<Mutex<Shared>>,
    watched: HashMap<PathBuf, Inode>,
}

/// Device and inode of a directory.
type Inode = (u64, u64);
/// The entries of a directory that matter; `None` for all of them.
type Names = Option<Vec<OsString>>;

#[derive(Default)]
struct Shared {
    /// Of each directory under watch.
    names: HashMap<PathBuf, Names>,
    /// What was moved or removed: the watch of a directory goes with it.
    gone: HashSet<PathBuf>,
}

impl FileWatch {
    /// Nothing is watched so far. `wake` is called on a thread of its own and
    /// must not wait.
    ///
    /// # Errors
    /// When the system has no watch to give.
    pub fn start(wake: impl Fn() + Send + 'static) -> Result<Self, WatchError> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let seen = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let matters = match event {
                Ok(event) => locked(&seen).matters(&event),
                // Something was lost, or the watch itself is in trouble.
                Err(_) => true,
            };
            if matters {
                wake();
            }
        })?;
        Ok(Self { watcher, shared, watched: HashMap::new() })
    }

    /// Watches these directories from now on and no others. In the place of one
    /// that is not there, the nearest one around it is watched.
    ///
    /// # Errors
    /// The first trouble; the other directories are watched all the same.
    pub fn follow(&mut self, looked_at: &[LookedAt]) -> Result<(), WatchError> {
        let mut wanted: HashMap<PathBuf, (Inode, Names)> = HashMap::new();
        let places = looked_at.iter().flat_map(|LookedAt { directory, names }| {
            // Another one in its place shows in the directory around it.
            let around = directory.parent().zip(directory.file_name());
            let around = around.map(|(around, name)| (around, Some(vec![name.to_owned()])));
            std::iter::once((directory.as_path(), names.clone())).chain(around)
        });
        for (directory, names) in places {
            let Some((directory, inode, names)) = nearest(directory, names) else { continue };
            let (_, all_names) = wanted.entry(directory).or_insert_with(|| (inode, Some(Vec::new())));
            match (all_names.as_mut(), names) {
                (Some(all), Some(names)) => all.extend(names),
                (_, None) => *all_names = None,
                (None, Some(_)) => {}
            }
        }
        let gone = {
            let mut shared = locked(&self.shared);
            shared.names = wanted.iter().map(|(path, (_, names))| (path.clone(), names.clone())).collect();
            std::mem::take(&mut shared.gone)
        };
        let is_lost = |path: &Path| path.ancestors().any(|above| gone.contains(above));
        let stale: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, inode)| wanted.get(*path).is_none_or(|(now, _)| now != *inode) || is_lost(path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in stale {
            // It went with its directory, most likely.
            let _ = self.watcher.unwatch(&path);
            self.watched.remove(&path);
        }
        let mut trouble = Ok(());
        for (path, (inode, _)) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, inode);
                }
                Err(error) => trouble = trouble.and(Err(error.into())),
            }
        }
        trouble
    }
}

impl Shared {
    fn matters(&mut self, event: &Event) -> bool {
        if event.need_rescan() {
            return true;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            EventKind::Access(_) => return false,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Any)) => {
                self.gone.extend(event.paths.iter().cloned());
            }
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {}
        }
        event.paths.is_empty() || event.paths.iter().any(|path| self.is_of_interest(path))
    }

    fn is_of_interest(&self, path: &Path) -> bool {
        if self.names.contains_key(path) {
            return true;
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else { return true };
        match self.names.get(parent) {
            // Kubernetes changes all files of a volume by moving `..data`.
            Some(Some(names)) => names.iter().any(|held| held == name) || name.as_encoded_bytes().starts_with(b".."),
            Some(None) => true,
            None => false,
        }
    }
}

/// The directory itself, or the nearest one around it and the name to wait for.
fn nearest(directory: &Path, names: Names) -> Option<(PathBuf, Inode, Names)> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let (mut directory, mut names) = (directory.to_owned(), names);
    loop {
        match fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => {
                // One directory under two names would be watched under the later one only.
                let whole = fs::canonicalize(&directory).ok()?;
                return Some((whole, (metadata.dev(), metadata.ino()), names));
            }
            Ok(_) | Err(_) => {}
        }
        names = Some(vec![directory.file_name()?.to_owned()]);
        let parent = directory.parent()?;
        directory = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() };
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "file_watch_tests.rs"]
mod tests;
