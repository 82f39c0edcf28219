//! `serve`: runs the service until it is told to stop.

use anyhow::Context as _;

use super::load::{self, Failure, Loaded};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let Loaded { config, apps } = load::with_apps(arg)?;
    let _log = crate::app::init_tracing(config.log).context("the log cannot be started")?;
    crate::app::serve(&config, &apps)?;
    Ok(Exit::Done)
}
