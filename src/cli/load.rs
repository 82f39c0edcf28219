//! Reads the config that a command names: file, `.env`, environment.

#![expect(clippy::disallowed_methods, reason = "this module brings files and environment to the config")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::ConfigArg;
use crate::app::{self, Disk, LoadError, LoadedApps, LoadedConfig, Loading, ReadFile};
use crate::config::{Config, ConfigErrors, ReadFiles, Sources, with_dotenv};

/// Where the config is when nobody names a file.
const DEFAULT_FILE: &str = "tiergate.yaml";

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The config is invalid.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A value of the config that no layer below can judge is not usable.
    #[error("{0:#}")]
    Value(anyhow::Error),
    /// A file of the config cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The command was called wrongly, or with a file that says nothing it could do.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Something else went wrong.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// A config and the apps that go with it.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) apps: LoadedApps,
    /// What the config was read with.
    pub(super) variables: BTreeMap<String, String>,
}

/// The config, or everything that is wrong with it.
pub(super) fn config(arg: &ConfigArg) -> Result<Config, Failure> {
    read_config(arg, &Files::default()).map(|loaded| loaded.config)
}

/// The config and its apps. A faulty file of an app leaves out that app, as it
/// does when the service starts, and stderr says so.
pub(super) fn with_apps(arg: &ConfigArg) -> Result<Loaded, Failure> {
    let loaded = with_faulty_apps(arg)?;
    for fault in &loaded.apps.faults {
        eprintln!("warning: a start would leave this app out\n{}", fault.errors);
    }
    Ok(loaded)
}

/// The same; what is wrong with the apps is the caller's to tell.
pub(super) fn with_faulty_apps(arg: &ConfigArg) -> Result<Loaded, Failure> {
    let LoadedConfig { config, variables } = read_config(arg, &Files::default())?;
    let apps = app::load_apps(&config, &variables);
    Ok(Loaded { config, apps, variables })
}

/// The config file, if there is one, and its text.
pub(super) fn config_text(arg: &ConfigArg) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = arg.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::Unreadable { path, source }.into()),
    }
}

/// The config as it would be if its file held `text`.
pub(super) fn as_if(path: &Path, text: &str, variables: &BTreeMap<String, String>) -> Result<Config, ConfigErrors> {
    let name = path.display().to_string();
    let read_secret = |path: &str| std::fs::read_to_string(path);
    let sources =
        Sources { file: Some((&name, text)), environment: variables.clone(), read_secret: &read_secret, files: &Disk };
    Config::load(&sources)
}

/// The config for the service, and the files that it follows from then on.
pub(super) fn followed(arg: &ConfigArg) -> Result<(LoadedConfig, Vec<ReadFile>), Failure> {
    let files = Files::default();
    let config = read_config(arg, &files)?;
    Ok((config, files.0.into_inner()))
}

/// The config anew, as [`followed`] read it.
pub(super) fn again(arg: &ConfigArg) -> Loading {
    let files = Files::default();
    let result = read_config(arg, &files).map_err(|failure| match failure {
        Failure::Config(errors) => LoadError::Config(errors),
        other @ (Failure::Value(_) | Failure::Unreadable { .. } | Failure::Usage(_) | Failure::Other(_)) => {
            LoadError::Other(other.to_string())
        }
    });
    Loading { result, files: files.0.into_inner() }
}

/// Every file that takes part in a config.
#[derive(Default)]
struct Files(RefCell<Vec<ReadFile>>);

impl Files {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = std::fs::read_to_string(path);
        self.0.borrow_mut().push(ReadFile::new(path, text.as_deref().ok()));
        text
    }

    fn follow(&self, path: &Path, bytes: Option<&[u8]>) {
        if let Some(Ok(text)) = bytes.map(std::str::from_utf8) {
            self.0.borrow_mut().push(ReadFile::new(path, Some(text)));
        }
    }
}

/// What the pages are made of is followed as well, so far as it is text.
impl ReadFiles for Files {
    fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let bytes = Disk.bytes(path);
        self.follow(Path::new(path), bytes.as_deref().ok());
        bytes
    }

    fn folder(&self, path: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
        let files = Disk.folder(path)?;
        files.iter().for_each(|(name, bytes)| self.follow(&Path::new(path).join(name), Some(bytes)));
        Ok(files)
    }
}

fn read_config(arg: &ConfigArg, files: &Files) -> Result<LoadedConfig, Failure> {
    let environment = environment(files)?;
    let file = match &arg.config {
        Some(path) => Some((path.display().to_string(), read(path, files)?)),
        None => read_if_there(DEFAULT_FILE, files)?.map(|text| (DEFAULT_FILE.to_owned(), text)),
    };
    let read_secret = |path: &str| files.read(Path::new(path));
    let sources = Sources {
        file: file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())),
        environment,
        read_secret: &read_secret,
        files,
    };
    let config = Config::load(&sources)?;
    app::check_session_store(&config).map_err(Failure::Value)?;
    Ok(LoadedConfig { config, variables: sources.environment })
}

fn environment(files: &Files) -> Result<BTreeMap<String, String>, Failure> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match read_if_there(".env", files)? {
        Some(text) => Ok(with_dotenv(".env", &text, variables)?),
        None => Ok(variables),
    }
}

fn read_if_there(path: &str, files: &Files) -> Result<Option<String>, Failure> {
    match read(Path::new(path), files) {
        Ok(text) => Ok(Some(text)),
        Err(Failure::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn read(path: &Path, files: &Files) -> Result<String, Failure> {
    files.read(path).map_err(|source| Failure::Unreadable { path: path.to_owned(), source })
}
