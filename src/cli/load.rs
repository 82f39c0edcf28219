//! Reads the config that a command names: file, `.env`, environment.

#![expect(clippy::disallowed_methods, reason = "this module brings files and environment to the config")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use super::ConfigArg;
use crate::config::{Config, ConfigErrors, Sources, with_dotenv};

/// Where the config is when nobody names a file.
const DEFAULT_FILE: &str = "tiergate.yaml";

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The config is invalid.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Something else went wrong.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The config, or everything that is wrong with it.
pub(super) fn config(arg: &ConfigArg) -> Result<Config, Failure> {
    let environment = environment()?;
    let file = match &arg.config {
        Some(path) => Some((path.display().to_string(), read(path)?)),
        None => match std::fs::read_to_string(DEFAULT_FILE) {
            Ok(text) => Some((DEFAULT_FILE.to_owned(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(anyhow::Error::new(error).context("`tiergate.yaml` cannot be read").into()),
        },
    };
    let read_secret = |path: &str| std::fs::read_to_string(path);
    let sources = Sources {
        file: file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())),
        environment,
        read_secret: &read_secret,
    };
    Ok(Config::load(&sources)?)
}

fn environment() -> Result<BTreeMap<String, String>, Failure> {
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match std::fs::read_to_string(".env") {
        Ok(text) => Ok(with_dotenv(".env", &text, variables)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(variables),
        Err(error) => Err(anyhow::Error::new(error).context("`.env` cannot be read").into()),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))
}
