//! Layer 1: the policy, from its written form to a decision. Pure: no clock,
//! no file, no log, no await.

pub mod document;
