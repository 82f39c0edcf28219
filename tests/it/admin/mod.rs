//! The administrator's area of the real service: what it tells and does, and
//! whom it tells nothing.

mod api;
mod stage;
