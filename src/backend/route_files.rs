//! Files that a proxy reads while they are replaced: each is whole at every moment.

#![expect(clippy::disallowed_methods, reason = "this module writes the files of routes")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What a file says; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        // What is no text was not written by this service.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `text` in the place of the file in one step, readable by everybody: the
/// proxy is another user. The directory is made when it is not there.
///
/// # Errors
/// When the directory cannot be made or written to; the file is then as it was.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    };
    fs::create_dir_all(dir)?;
    let new = dir.join(new_name(&name.to_string_lossy()));
    let written = write_new(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    // The rename itself outlives a crash once its directory is written.
    File::open(dir)?.sync_all()
}

/// Beside the file, because a rename works within one file system only; hidden, so that no pattern includes it; of this
/// process, so that two that write the same file never rename each other's half.
fn new_name(name: &str) -> String {
    format!(".{name}.{}.new", std::process::id())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // What a crash left behind, or what somebody put there to be written through.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/routes.json");
        assert_eq!(read(&path).unwrap(), None);
        for text in ["one", "two"] {
            replace(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["routes.json"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn is_not_led_elsewhere_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("routes.json"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(new_name("routes.json"))).unwrap();
        replace(&path, "text").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn what_cannot_be_written_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let occupied = dir.path().join("file");
        fs::write(&occupied, "x").unwrap();
        assert!(replace(&occupied.join("routes.json"), "text").is_err());
        let directory = dir.path().join("routes.json");
        fs::create_dir(&directory).unwrap();
        assert!(replace(&directory, "text").is_err());
        assert!(!dir.path().join(new_name("routes.json")).exists());
    }
}
