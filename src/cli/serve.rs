//! `serve`: runs the service until it is told to stop.

use anyhow::Context as _;

use super::load::{self, Failure};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let config = load::config(arg)?;
    let _log = crate::app::init_tracing(config.log).context("the log cannot be started")?;
    crate::app::serve(&config)?;
    Ok(Exit::Done)
}
