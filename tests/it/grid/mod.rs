//! The service behind every proxy it is documented for, each proxy real and run
//! from the shipped config, with requests written byte by byte.

mod identity;
mod matrix;
mod socket;
mod spoofing;
mod stage;
