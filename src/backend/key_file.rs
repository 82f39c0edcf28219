//! The secret of a service that nobody gave one: 32 random bytes in a file
//! beside the sessions, made at the first start and kept for every later one.

#![expect(clippy::disallowed_methods, reason = "this module is the file of the key")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::types::{Random, Secret};

const KEY_BYTES: usize = 32;
/// More than a key with any blanks around it.
const MAX_FILE_BYTES: u64 = 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be made.
    #[error("the key file `{}` cannot be made: give `sessions.secrets`, or a folder that the service may write to", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("others than its owner may open the key file `{}`: run `chmod 600 {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// It holds something else.
    #[error("the key file `{}` does not hold 32 bytes in base64: put the old one back, or remove it, which ends all sessions", .0.display())]
    Malformed(PathBuf),
}

/// Where the key of the sessions in `database` is.
#[must_use]
pub fn beside(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(".key");
    PathBuf::from(path)
}

/// The key in the file, which is made when it is not there. Processes that
/// start at once agree on one.
///
/// # Errors
/// When it cannot be read or made, or others may read it.
pub fn read_or_create(path: &Path, random: &dyn Random) -> Result<Secret, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        ended => return ended,
    }
    create(path, random).map_err(|source| KeyFileError::Unwritable { path: path.to_owned(), source })?;
    read(path)
}

/// The key in the file.
///
/// # Errors
/// When there is none, it cannot be read, or others may read it.
pub fn read(path: &Path) -> Result<Secret, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Asked of the open file: what stands under the name may change.
    if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    match file.take(MAX_FILE_BYTES).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(KeyFileError::Malformed(path.to_owned()));
        }
        read => read.map_err(unreadable)?,
    };
    let key = text.trim();
    let bytes = STANDARD.decode(key).map(Zeroizing::new);
    if bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES) {
        Ok(Secret::new(key.to_owned()))
    } else {
        Err(KeyFileError::Malformed(path.to_owned()))
    }
}

/// Writes a key whole under another name, then gives it its own, unless
/// somebody else was faster.
fn create(path: &Path, random: &dyn Random) -> io::Result<()> {
    let (mut key, mut nonce) = (Zeroizing::new([0; KEY_BYTES]), [0; 8]);
    random.fill(key.as_mut_slice());
    random.fill(&mut nonce);
    let mut line = Zeroizing::new(STANDARD.encode(key.as_slice()));
    line.push('\n');
    let mut temporary = OsString::from(path);
    temporary.push(format!(".{:016x}.tmp", u64::from_be_bytes(nonce)));
    let temporary = PathBuf::from(temporary);

    let made = write_new(&temporary, &line).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&temporary);
    made?;
    removed?;
    // The name has to outlive a power cut as the sessions do.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
