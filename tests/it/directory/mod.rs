//! The user directory in the running service, with real databases and proxies.

mod decision;
mod stage;
