//! `apps list`, `apps check` and `apps promote`: the catalogue from the shell.

mod check;
mod list;
mod promote;

pub(super) use check::{CheckArgs, check};
pub(super) use list::{ListArgs, list};
pub(super) use promote::{PromoteArgs, promote};
