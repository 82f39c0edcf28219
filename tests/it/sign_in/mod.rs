//! Signing in and out end to end: real Envoy (gRPC) and real nginx in front,
//! and behind the service the development provider and two that are not ours.
//!
//! Gateway and provider have a host each (`localhost`, `127.0.0.1`), because
//! cookies know hosts and no ports.

mod attempts;
mod chromium;
mod ending;
mod many;
mod plain;
mod refresh;
mod stage;
