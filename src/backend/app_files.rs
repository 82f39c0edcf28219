//! The files in which apps are written: drop-ins `*.yaml` and folders
//! `<tier>/<app>/` with or without an `app.yaml`.
//!
//! A scan looks at everything and reads only what changed. What an editor, a
//! package manager or Kubernetes leaves beside the files is passed over; what
//! should be an app and cannot be read is found all the same, with the reason.

#![expect(clippy::disallowed_methods, reason = "this module reads the directories of apps")]

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use crate::apps::AppName;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// A file that changed less than this before it was read may change again
/// without its times telling: clocks of file systems tick slowly.
const TICK: Duration = Duration::from_secs(2);
/// Whoever changed a file less than this ago may be halfway through.
const HALFWAY: Duration = Duration::from_millis(100);
/// The file of a folder, in either spelling.
const APP_FILES: [&str; 2] = ["app.yaml", "app.yml"];
/// As many names as a notice shows.
const SHOWN: usize = 5;

/// One app's file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundApp {
    /// What it is known by from scan to scan: the drop-in, or the folder.
    pub key: PathBuf,
    /// The file; of a folder without one the folder.
    pub path: PathBuf,
    /// Whether it stands alone or in a folder.
    pub place: FoundPlace,
    /// What is written; nothing in a folder without a file.
    pub text: Result<Arc<str>, Unreadable>,
}

/// How an app was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundPlace {
    /// A drop-in.
    File {
        /// Its name without the extension.
        stem: String,
    },
    /// A folder.
    Folder {
        /// The name of the folder around it.
        tier: String,
        /// Its own name.
        name: String,
    },
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The system says so.
    #[error("the file cannot be read: {0}")]
    Failed(String),
    /// A symbolic link to nothing.
    #[error("the file is a link that leads to nothing")]
    Dangling,
    /// A pipe, a socket, a device, or a directory in its place.
    #[error("this is no regular file")]
    NotAFile,
    /// Longer than [`MAX_BYTES`].
    #[error("the file is {0} bytes long, and at most 1 MiB is read")]
    TooLong(u64),
    /// No UTF-8 from this byte on, counted from 0.
    #[error("the file is not UTF-8 text: byte {0} belongs to no character")]
    NotText(usize),
    /// A file name that is not UTF-8.
    #[error("the name of the file is not UTF-8 text")]
    Name,
    /// Both spellings of the folder's file.
    #[error("both `app.yaml` and `app.yml` are there")]
    TwoFiles,
}

impl Unreadable {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Failed(_) => "let the user that the service runs as read it",
            Self::Dangling => "remove the link, or put back what it leads to",
            Self::NotAFile => "give it another name, or move it away",
            Self::TooLong(_) => "an app needs a few lines",
            Self::NotText(_) => "save it as UTF-8",
            Self::Name => "rename it: lower-case letters, digits and `-`, then `.yaml`",
            Self::TwoFiles => "keep one of them",
        }
    }
}

/// What a scan came upon.
#[derive(Debug, Default)]
pub struct Scan {
    /// The apps: in the order of the directories, in each the drop-ins by name,
    /// then the folders by tier and name.
    pub found: Vec<FoundApp>,
    /// What was passed over though somebody may have meant it; one sentence each.
    pub notices: Vec<String>,
    /// Where a change could make the next scan differ.
    pub looked_at: Vec<LookedAt>,
    /// Whether a file changed just now, so that it may be half written.
    pub is_halfway: bool,
}

/// A directory whose entries matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// The directory; it need not be there.
    pub directory: PathBuf,
    /// The entries that matter; `None` when all do.
    pub names: Option<Vec<OsString>>,
}

/// The directories of apps, and what was read in them.
#[derive(Debug)]
pub struct AppFiles {
    directories: Vec<PathBuf>,
    /// Present: a folder without a file is an app, too, in one of these tiers.
    tiers_of_bare_folders: Option<Vec<String>>,
    known: HashMap<PathBuf, Known>,
    last: Vec<FoundApp>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Whether the times were old enough to tell of any later change.
    is_settled: bool,
    text: Arc<str>,
}

/// What changes with a file, in nanoseconds where it is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl AppFiles {
    /// Nothing is read so far. A folder `<tier>/<app>/` without an `app.yaml` is
    /// an app only where `tiers_of_bare_folders` holds its tier.
    #[must_use]
    pub fn new(directories: Vec<PathBuf>, tiers_of_bare_folders: Option<Vec<String>>) -> Self {
        Self { directories, tiers_of_bare_folders, known: HashMap::new(), last: Vec::new() }
    }

    /// Looks in these directories from now on; what is known of their files stays.
    pub fn look_in(&mut self, directories: Vec<PathBuf>, tiers_of_bare_folders: Option<Vec<String>>) {
        self.directories = directories;
        self.tiers_of_bare_folders = tiers_of_bare_folders;
    }

    /// Looks at everything, and reads what changed since the last scan.
    pub fn scan(&mut self) -> Scan {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut round = Round {
            known: std::mem::take(&mut self.known),
            kept: HashMap::new(),
            last: &self.last,
            tiers: self.tiers_of_bare_folders.as_deref(),
            now,
            bare: Vec::new(),
            scan: Scan::default(),
        };
        for directory in &self.directories {
            round.directory(directory);
        }
        let Round { kept, bare, mut scan, .. } = round;
        self.known = kept;
        if !bare.is_empty() {
            scan.notices.push(notice_of_bare_folders(&bare));
        }
        self.last.clone_from(&scan.found);
        scan
    }
}

fn notice_of_bare_folders(bare: &[PathBuf]) -> String {
    let shown: Vec<String> = bare.iter().take(SHOWN).map(|folder| format!("`{}`", folder.display())).collect();
    let more = bare.len().saturating_sub(SHOWN);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("no app is made of {}{and_more}: no `app.yaml` is there", shown.join(", "))
}

/// One scan under way.
struct Round<'a> {
    known: HashMap<PathBuf, Known>,
    kept: HashMap<PathBuf, Known>,
    last: &'a [FoundApp],
    tiers: Option<&'a [String]>,
    now: Duration,
    bare: Vec<PathBuf>,
    scan: Scan,
}

impl Round<'_> {
    fn directory(&mut self, directory: &Path) {
        self.look_at(directory, None);
        let Some(entries) = self.entries(directory) else { return };
        let (mut drop_ins, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            let name = entry.file_name();
            if is_passed_over(&name) {
                continue;
            }
            let path = directory.join(&name);
            let is_folder = is_directory(&entry);
            match (stem(&name), is_folder) {
                (None, true) => folders.push((name, path)),
                (None, false) => {}
                (Some(_), true) => {
                    let notice = format!("`{}` is a directory and no app: its name is that of a file", path.display());
                    self.scan.notices.push(notice);
                }
                (Some(stem), false) => drop_ins.push((path, stem)),
            }
        }
        for (path, stem) in drop_ins {
            let named = stem.to_str().map(str::to_owned);
            let text = match &named {
                Some(_) => self.read(&path),
                None => Some(Err(Unreadable::Name)),
            };
            let stem = named.unwrap_or_else(|| stem.to_string_lossy().into_owned());
            self.found(path.clone(), path, FoundPlace::File { stem }, text);
        }
        for (tier, path) in folders {
            self.tier(&tier, &path);
        }
    }

    fn tier(&mut self, tier: &OsStr, path: &Path) {
        self.look_at(path, None);
        let Some(entries) = self.entries(path) else { return };
        for entry in entries {
            let name = entry.file_name();
            if is_passed_over(&name) || !is_directory(&entry) {
                continue;
            }
            self.folder(tier, &name, path.join(&name));
        }
    }

    fn folder(&mut self, tier: &OsStr, name: &OsStr, path: PathBuf) {
        self.look_at(&path, Some(APP_FILES.map(OsString::from).to_vec()));
        let place =
            FoundPlace::Folder { tier: tier.to_string_lossy().into_owned(), name: name.to_string_lossy().into_owned() };
        let mut files = Vec::new();
        for file in APP_FILES {
            let file = path.join(file);
            match fs::symlink_metadata(&file) {
                Ok(_) => files.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.found(path, file, place, Some(Err(Unreadable::Failed(error.to_string()))));
                    return;
                }
            }
        }
        let named = tier.to_str().zip(name.to_str());
        match (files.as_slice(), named) {
            ([], Some((tier, name))) if self.is_app_without_file(tier, name) => {
                self.found(path.clone(), path, place, Some(Ok(Arc::from(""))));
            }
            ([], _) => self.bare.push(path),
            ([file], Some(_)) => {
                let text = self.read(file);
                self.found(path, file.clone(), place, text);
            }
            ([file], None) => self.found(path, file.clone(), place, Some(Err(Unreadable::Name))),
            ([file, ..], _) => self.found(path, file.clone(), place, Some(Err(Unreadable::TwoFiles))),
        }
    }

    /// A folder of something else beside the apps is no faulty app.
    fn is_app_without_file(&self, tier: &str, name: &str) -> bool {
        self.tiers.is_some_and(|tiers| tiers.iter().any(|known| known == tier)) && AppName::parse(name).is_ok()
    }

    fn found(&mut self, key: PathBuf, path: PathBuf, place: FoundPlace, text: Option<Result<Arc<str>, Unreadable>>) {
        // Without a text it went away since the directory was listed.
        self.scan.found.extend(text.map(|text| FoundApp { key, path, place, text }));
    }

    fn look_at(&mut self, directory: &Path, names: Option<Vec<OsString>>) {
        self.scan.looked_at.push(LookedAt { directory: directory.to_owned(), names });
    }

    /// The entries by name. A directory that is not there holds nothing; of one
    /// that cannot be read, what was found before stays.
    fn entries(&mut self, directory: &Path) -> Option<Vec<DirEntry>> {
        let listed = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>);
        let error = match listed {
            Ok(mut entries) => {
                entries.sort_by_key(DirEntry::file_name);
                return Some(entries);
            }
            Err(error) => error,
        };
        if matches!(error.kind(), io::ErrorKind::NotFound) {
            self.scan.notices.push(format!("the directory `{}` is not there", directory.display()));
            return None;
        }
        self.scan.notices.push(format!("the directory `{}` cannot be read: {error}", directory.display()));
        let before = self.last.iter().filter(|found| found.key.starts_with(directory)).cloned();
        self.scan.found.extend(before);
        let known = std::mem::take(&mut self.known);
        let (below, others) = known.into_iter().partition(|(path, _)| path.starts_with(directory));
        self.known = others;
        self.kept.extend::<HashMap<PathBuf, Known>>(below);
        None
    }

    /// The text of the file, read anew if it may have changed; `None` when the
    /// file is gone.
    fn read(&mut self, path: &Path) -> Option<Result<Arc<str>, Unreadable>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return fs::symlink_metadata(path).is_ok().then_some(Err(Unreadable::Dangling));
            }
            Err(error) => return Some(Err(Unreadable::Failed(error.to_string()))),
        };
        if !metadata.is_file() {
            return Some(Err(Unreadable::NotAFile));
        }
        if let Some(known) = self.known.remove(path)
            && known.is_settled
            && known.stamp == Stamp::of(&metadata)
        {
            let text = Arc::clone(&known.text);
            self.kept.insert(path.to_owned(), known);
            return Some(Ok(text));
        }
        match read_text(path) {
            Ok((stamp, text)) => {
                self.scan.is_halfway |= stamp.is_fresh(self.now);
                let known = Known { stamp, is_settled: stamp.is_settled(self.now), text: Arc::clone(&text) };
                self.kept.insert(path.to_owned(), known);
                Some(Ok(text))
            }
            Err(ReadError::Gone) => None,
            Err(ReadError::Unreadable(why)) => Some(Err(why)),
        }
    }
}

enum ReadError {
    Gone,
    Unreadable(Unreadable),
}

fn read_text(path: &Path) -> Result<(Stamp, Arc<str>), ReadError> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            ReadError::Gone
        } else {
            ReadError::Unreadable(Unreadable::Failed(error.to_string()))
        }
    };
    // Whatever took the file's place since it was looked at: a pipe must not hold the scan.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ReadError::Unreadable(Unreadable::NotAFile));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > MAX_BYTES {
        return Err(ReadError::Unreadable(Unreadable::TooLong(metadata.len().max(length))));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| ReadError::Unreadable(Unreadable::NotText(error.utf8_error().valid_up_to())))?;
    Ok((Stamp::of(&metadata), Arc::from(text)))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it changed just now. A time that lies far ahead is another clock's.
    fn is_fresh(&self, now: Duration) -> bool {
        let at = |(secs, nanos): (i64, i64)| {
            Duration::new(u64::try_from(secs).unwrap_or_default(), u32::try_from(nanos).unwrap_or_default())
        };
        let changed = at(self.changed);
        changed.saturating_add(HALFWAY) > now && changed < now.saturating_add(TICK)
    }

    /// Whether both times lie further back than one tick of any clock.
    fn is_settled(&self, now: Duration) -> bool {
        let latest = self.modified.0.max(self.changed.0).saturating_add(1);
        i64::try_from(now.saturating_sub(TICK).as_secs()).is_ok_and(|before| latest <= before)
    }
}

/// Hidden files and folders, Kubernetes' `..data`, editors' locks, and Python's
/// own folders.
fn is_passed_over(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || name.starts_with(b"#") || name.starts_with(b"__") || name.ends_with(b"~")
}

/// The name without the extension of a drop-in.
fn stem(name: &OsStr) -> Option<OsString> {
    let path = Path::new(name);
    let extension = path.extension()?;
    (extension == "yaml" || extension == "yml").then(|| path.file_stem().map(OsStr::to_owned)).flatten()
}

fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|target| target.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

#[cfg(test)]
#[path = "app_files_tests.rs"]
mod tests;
