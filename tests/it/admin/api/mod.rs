//! The JSON API.

mod decisions;
mod document;
mod explain;
mod input;
mod origins;
mod refusals;
mod scale;
mod schemathesis;
mod tokens;
mod users;
