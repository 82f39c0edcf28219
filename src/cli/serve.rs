//! `serve`: runs the service until it is told to stop.

use anyhow::Context as _;

use super::load::{self, Failure};
use super::{ConfigArg, Exit};

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let (start, files) = load::followed(arg)?;
    let _log = crate::app::init_tracing(start.config.log).context("the log cannot be started")?;
    let again = arg.clone();
    crate::app::serve(start, files, Box::new(move || load::again(&again)))?;
    Ok(Exit::Done)
}
