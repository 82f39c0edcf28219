//! Files that a config was read from, to know when one of them changes.

#![expect(clippy::disallowed_methods, reason = "this module looks whether files of the config changed, and when")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use crate::backend::app_files::LookedAt;

/// Whoever changed a file less than this ago may be halfway through.
const HALFWAY: Duration = Duration::from_millis(100);

/// A file, and what stood in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    path: PathBuf,
    /// SHA-256; `None` when the file could not be read.
    digest: Option<[u8; 32]>,
}

impl ReadFile {
    /// `content` is what was read, if anything.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, content: Option<&str>) -> Self {
        Self { path: path.into(), digest: content.map(|content| digest_of(content.as_bytes())) }
    }

    /// Whether something else stands in it now. A pipe is read once in its life.
    pub(super) fn is_changed(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {
                Self::new(&self.path, std::fs::read_to_string(&self.path).ok().as_deref()) != *self
            }
            Ok(_) => false,
            Err(_) => self.digest.is_some(),
        }
    }

    /// Whether it changed just now, so that it may be half written.
    pub(super) fn is_halfway(&self) -> bool {
        let changed = std::fs::metadata(&self.path).and_then(|metadata| metadata.modified());
        let now = SystemTime::now();
        changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|ago| ago < HALFWAY))
    }

    /// Where a change of it shows.
    pub(super) fn looked_at(&self) -> LookedAt {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let names = self.path.file_name().map(|name| vec![OsString::from(name)]);
        LookedAt { directory: directory.to_owned(), names }
    }
}

fn digest_of(content: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, content).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_change_by_what_stands_there() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("secret");
        let missing = ReadFile::new(&path, None);
        assert!(!missing.is_changed());
        std::fs::write(&path, "one").unwrap();
        assert!(missing.is_changed());
        let one = ReadFile::new(&path, Some("one"));
        std::fs::write(&path, "one").unwrap();
        assert!(!one.is_changed(), "only its time changed");
        std::fs::write(&path, "two").unwrap();
        assert!(one.is_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(one.is_changed());
    }

    #[test]
    fn waits_for_no_pipe() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(!ReadFile::new(&path, Some("once")).is_changed());
    }
}
