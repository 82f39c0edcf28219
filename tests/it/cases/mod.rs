//! The attack corpus (`tests/vectors/attacks/cases.json`) against the running
//! service, over every protocol that can carry a case. What does not apply is
//! listed with its reason in `applicability.json` beside it; a case that is
//! neither run nor listed fails.

mod ask;
mod connections;
mod corpus;
mod forge;
mod headers;
mod jwks;
mod metrics;
mod paths;
mod protocol;
mod raw_codec;
mod service;
mod tokens;
