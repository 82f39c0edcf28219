//! What one step of a check costs, measured in two ways on the same cases:
//!
//! ```text
//! cases ─▶ benches/micro.rs                 time, by criterion            make micro
//!      └─▶ bin/tiergate-instructions.rs     instructions, by callgrind    make instructions
//!                └─▶ callgrind: read      baseline: compare      table: show
//! ```
//!
//! A case is a closure on a fixed [`stage`]: the clock stands, keys and tokens
//! are files, nothing opens a socket and no thread runs beside it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "a measurement that cannot be set up ends; it is the outside world to the service"
)]

pub mod baseline;
pub mod callgrind;
pub mod cases;
pub mod machine;
pub mod stage;
pub mod table;
