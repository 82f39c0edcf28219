//! `user migrate`: the tables, before the service comes.

use super::kept;
use crate::app;
use crate::cli::load::{self, Failure};
use crate::cli::{ConfigArg, Exit};

pub(in crate::cli) fn migrate(arg: &ConfigArg) -> Result<Exit, Failure> {
    let config = load::config(arg)?;
    match app::migrate_directory(kept(&config)?)? {
        (0, to) => outln!("the tables of the user directory were made, schema {to}"),
        (from, to) if from == to => outln!("the user directory is up to date, schema {to}"),
        (from, to) => outln!("the user directory went from schema {from} to {to}"),
    }
    Ok(Exit::Done)
}
