//! Changes an app's file, or moves its folder, in one step that others see
//! whole or not at all.

#![expect(clippy::disallowed_methods, reason = "this module writes the files of apps")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Somebody else was faster.
    #[error("`{}` changed meanwhile: look at it and try again", .0.display())]
    Changed(PathBuf),
    /// The folder is gone.
    #[error("`{}` is not there any more: somebody else moved it", .0.display())]
    Gone(PathBuf),
    /// Something is there already.
    #[error("`{}` is there already", .0.display())]
    Taken(PathBuf),
    /// A rename cannot do it.
    #[error("`{}` is on another file system than `{}`: copy the folder there, then remove the old one", .1.display(), .0.display())]
    OtherFileSystem(PathBuf, PathBuf),
    /// The file would belong to somebody else.
    #[error("`{}` belongs to another user, and would not any more: run this as its owner", .0.display())]
    Owner(PathBuf),
    /// The system says no.
    #[error("`{}` cannot be changed", path.display())]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Puts `new` in the place of `old`, which has to stand in the file still. Mode
/// and owner stay; behind a symbolic link, the file that it leads to is changed.
///
/// # Errors
/// Then nothing is changed.
pub fn replace_text(path: &Path, old: &str, new: &str) -> Result<(), EditError> {
    let failed = |source| EditError::Failed { path: path.to_owned(), source };
    let target = fs::canonicalize(path).map_err(failed)?;
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
    };
    // Whoever changes an app's file this way holds its directory; the file itself is replaced.
    let lock = File::open(directory).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    if fs::read_to_string(&target).map_err(failed)? != old {
        return Err(EditError::Changed(path.to_owned()));
    }
    let metadata = fs::metadata(&target).map_err(failed)?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = directory.join(beside);
    let written =
        write_beside(&beside, new, &metadata, path).and_then(|()| fs::rename(&beside, &target).map_err(failed));
    if written.is_err() {
        // What cannot be removed is hidden, and no app.
        let _ = fs::remove_file(&beside);
    }
    written?;
    lock.sync_all().map_err(failed)
}

fn write_beside(beside: &Path, text: &str, like: &fs::Metadata, path: &Path) -> Result<(), EditError> {
    let failed = |source| EditError::Failed { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside).map_err(failed)?;
    let own = file.metadata().map_err(failed)?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(like.uid()), Some(like.gid())).map_err(|_| EditError::Owner(path.to_owned()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777)).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Moves a folder; the folder around its new place is made when it is missing.
///
/// # Errors
/// Then nothing is moved.
pub fn move_folder(from: &Path, to: &Path) -> Result<(), EditError> {
    let failed = |source| EditError::Failed { path: from.to_owned(), source };
    let made = match to.parent() {
        Some(parent) if !parent.exists() => {
            fs::create_dir_all(parent).map_err(failed)?;
            Some(parent)
        }
        Some(_) | None => None,
    };
    let moved = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that knows no such flag: the moment between is as short as can be.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to).map_err(failed),
        Err(Errno::INVAL | Errno::NOSYS | Errno::EXIST | Errno::NOTEMPTY) => Err(EditError::Taken(to.to_owned())),
        Err(Errno::NOENT) => Err(EditError::Gone(from.to_owned())),
        Err(Errno::XDEV) => Err(EditError::OtherFileSystem(from.to_owned(), to.to_owned())),
        Err(error) => Err(failed(error.into())),
        Ok(()) => Ok(()),
    };
    if let (Err(_), Some(made)) = (&moved, made) {
        // Empty, or somebody else's by now.
        let _ = fs::remove_dir(made);
    }
    moved
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn keeps_mode_and_link_and_leaves_nothing_behind() {
        let place = TempDir::new().unwrap();
        let (file, link) = (place.path().join("deep/x.yaml"), place.path().join("x.yaml"));
        fs::create_dir(place.path().join("deep")).unwrap();
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("deep/x.yaml", &link).unwrap();
        replace_text(&link, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(matches!(replace_text(&link, "old", "newer"), Err(EditError::Changed(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::read_dir(place.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn one_of_many_at_once_wins() {
        let place = TempDir::new().unwrap();
        let file = place.path().join("x.yaml");
        fs::write(&file, "old").unwrap();
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|number| {
                    let file = &file;
                    scope.spawn(move || replace_text(file, "old", &number.to_string()).is_ok())
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }

    #[test]
    fn a_folder_moves_and_replaces_nothing() {
        let place = TempDir::new().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("devel/x/sub")).unwrap();
        move_folder(&at("devel/x"), &at("ea/x")).unwrap();
        assert!(at("ea/x/sub").is_dir() && !at("devel/x").exists());
        assert!(matches!(move_folder(&at("devel/x"), &at("stable/x")), Err(EditError::Gone(_))));
        assert!(!at("stable").exists(), "an empty folder is left");
        fs::create_dir_all(at("devel/x")).unwrap();
        assert!(matches!(move_folder(&at("devel/x"), &at("ea/x")), Err(EditError::Taken(_))));
        assert!(at("devel/x").is_dir());
    }
}
