//! What is said of faulty app files: each fault once, and when it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use metrics::gauge;

use super::catalogue::LoadedApps;
use crate::config::{ConfigErrors, Place};

/// What was said last.
#[derive(Default)]
pub(super) struct AppReport {
    /// The faults by the keys of their files.
    faults: BTreeMap<PathBuf, String>,
    notices: BTreeSet<String>,
}

impl AppReport {
    /// Says what is new in `loaded`; whether some file is faulty in a new way.
    pub(super) fn tell(&mut self, loaded: &LoadedApps) -> bool {
        let mut is_worse = false;
        let mut faults = BTreeMap::new();
        for fault in &loaded.faults {
            let text = fault.errors.to_string();
            if self.faults.get(&fault.key) != Some(&text) {
                is_worse = true;
                let message = if fault.keeps_last {
                    "the app file is refused, its last good version stays"
                } else {
                    "the app file is refused, there is no such app"
                };
                say(&fault.errors, message);
            }
            faults.insert(fault.key.clone(), text);
        }
        for key in self.faults.keys().filter(|key| !faults.contains_key(*key)) {
            let is_there = loaded.files.iter().any(|file| file.folder.as_ref().unwrap_or(&file.path) == key);
            let message = if is_there { "the app file is refused no longer" } else { "the refused app file is gone" };
            tracing::info!(file = %key.display(), "{message}");
        }
        let notices: BTreeSet<String> = loaded.notices.iter().cloned().collect();
        for notice in notices.difference(&self.notices) {
            tracing::warn!(notice, "apps");
        }
        gauge!("tiergate_apps").set(count(loaded.catalogue.apps().len()));
        gauge!("tiergate_app_files_bad").set(count(faults.len()));
        (self.faults, self.notices) = (faults, notices);
        is_worse
    }
}

/// One line for each fault, with its place.
pub(super) fn say(errors: &ConfigErrors, message: &'static str) {
    let file = errors.source_name();
    for error in errors.errors() {
        let (line, column) = match &error.place {
            Place::File { line, column } => (Some(*line), Some(*column)),
            Place::Variable(_) | Place::Nowhere => (None, None),
        };
        let variable = match &error.place {
            Place::Variable(name) => Some(name.as_str()),
            Place::File { .. } | Place::Nowhere => None,
        };
        tracing::error!(file, line, column, variable, error = error.message, hint = error.hint, "{message}");
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
