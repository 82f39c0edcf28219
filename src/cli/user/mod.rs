//! `user …`: the user directory, from the shell.

mod sync;

pub(super) use sync::{SyncArgs, run as sync};
