//! `serve`: runs the service until it is told to stop.

use super::load::{self, Failure};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let config = load::config(arg)?;
    crate::app::init_tracing(config.log);
    crate::app::serve(&config)?;
    Ok(Exit::Done)
}
