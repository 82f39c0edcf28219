//! The attack corpus (`tests/vectors/attacks/cases.json`) against the running
//! service, over every protocol that can carry a case. What does not apply is
//! listed with its reason in `applicability.json` beside it; a case that is
//! neither run nor listed fails.

#![expect(dead_code, reason = "the cases of headers, jwks and protocol follow")]

mod ask;
mod corpus;
mod forge;
mod headers;
mod paths;
mod raw_codec;
mod service;
mod tokens;
