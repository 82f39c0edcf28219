//! The JSON API.

mod decisions;
mod document;
mod explain;
mod input;
mod origins;
mod refusals;
mod schemathesis;
mod users;
