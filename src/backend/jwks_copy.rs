//! The copy of a key set on disk, so that a restart while the provider is down
//! still serves.

#![expect(clippy::disallowed_methods, reason = "this module is the copy on disk")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::token::KeySet;
use crate::types::{Random, UnixTime};

/// The longest file: a key set, escaped, with what stands around it.
const MAX_FILE_BYTES: u64 = 4 * KeySet::MAX_BYTES as u64;

/// Where the copy of one provider's keys is.
#[derive(Debug, Clone)]
pub(super) struct JwksCopy {
    directory: PathBuf,
    file: PathBuf,
    issuer: String,
    source: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyFile {
    issuer: String,
    source: String,
    fetched_at_millis: i64,
    document: String,
}

/// Why a copy is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("the copy is not readable")]
    Read(#[from] io::Error),
    #[error("others than its owner may write the copy")]
    Writable,
    #[error("the copy is malformed")]
    Malformed,
    #[error("the copy is of another issuer or source")]
    Foreign,
    #[error("the copy is too old")]
    TooOld,
    #[error("the copy is from the future")]
    Future,
}

impl JwksCopy {
    /// The file is named by a hash: an issuer is no file name.
    pub(super) fn new(directory: &Path, issuer: &str, source: String) -> Self {
        let hash = digest::digest(&digest::SHA256, issuer.as_bytes());
        let name: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let file = directory.join(format!("{name}.jwks.json"));
        Self { directory: directory.to_owned(), file, issuer: issuer.to_owned(), source }
    }

    /// The key set and its age. The age is of the wall clock, the only one that
    /// outlives a process; a copy from the future has none and is refused.
    pub(super) fn load(&self, max_stale: Duration, now: UnixTime) -> Result<Option<(KeySet, Duration)>, CopyError> {
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.permissions().mode() & 0o022 != 0 {
            return Err(CopyError::Writable);
        }
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
        let copy: CopyFile = serde_json::from_slice(&text).map_err(|_| CopyError::Malformed)?;
        if copy.issuer != self.issuer || copy.source != self.source {
            return Err(CopyError::Foreign);
        }
        let fetched_at = UnixTime::from_millis(copy.fetched_at_millis);
        if fetched_at > now {
            return Err(CopyError::Future);
        }
        let age = now.since(fetched_at);
        if age > max_stale {
            return Err(CopyError::TooOld);
        }
        let keys = KeySet::parse(copy.document.as_bytes()).map_err(|_| CopyError::Malformed)?;
        Ok(Some((keys, age)))
    }

    /// Replaces the copy in one step; a reader sees the old one or the new one.
    pub(super) fn store(&self, document: &[u8], fetched_at: UnixTime, random: &dyn Random) -> io::Result<()> {
        let document = str::from_utf8(document).map_err(io::Error::other)?.to_owned();
        let fetched_at_millis = fetched_at.as_millis();
        let copy = CopyFile { issuer: self.issuer.clone(), source: self.source.clone(), fetched_at_millis, document };
        let text = serde_json::to_vec(&copy)?;

        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let mut nonce = [0; 8];
        random.fill(&mut nonce);
        let temporary = self.file.with_extension(format!("{:016x}.tmp", u64::from_be_bytes(nonce)));
        let written = write_new(&temporary, &text).and_then(|()| fs::rename(&temporary, &self.file));
        if written.is_err() {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
#[path = "jwks_copy_tests.rs"]
mod tests;
