//! Apps in files of their own: found, followed while the service runs, listed,
//! checked and promoted from the shell.

mod following;
mod promote;
mod reloading;
mod scale;
mod shell;
mod stage;
