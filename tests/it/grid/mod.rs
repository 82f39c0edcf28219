//! The service behind every proxy it is documented for, each proxy real and run
//! from the shipped config, with requests written byte by byte.

mod answers;
mod assertion;
mod host;
mod identity;
mod keys;
mod matrix;
mod outage;
mod parity;
mod process;
mod route_tier;
mod secrets;
mod sign_in;
mod socket;
mod spoofing;
mod stage;
pub(crate) mod wire;
