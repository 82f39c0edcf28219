//! The one integration binary: each more would cost another link. Each module
//! is a subject; components come from the test bed, and one that is missing
//! fails its tests by name.
//!
//! `#[cfg(test)]` lets `clippy.toml` know the functions that tests share as tests.

#![allow(
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "clippy has no switch that allows these in tests"
)]

#[cfg(test)]
mod access_tokens;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod admin_browser;
#[cfg(test)]
mod app_files;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod directory_stores;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod envoy_requests;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod grid;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod live_apps;
#[cfg(test)]
mod look;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod scim;
#[cfg(test)]
mod session_commands;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod supply_chain;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod user_commands;
