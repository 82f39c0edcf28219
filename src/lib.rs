//! Tiergate: external authorization for Envoy, nginx and any forward-auth proxy.
//!
//! A request flows upwards from the wire to the decision and back:
//!
//! ```text
//! grpc, http   the wire of each proxy protocol            layer 6
//! check        authenticate, evaluate, say the outcome    layer 5
//! oidc         signing in and out at a provider           layer 4
//! management   a provider's own word about its users      layer 4
//! routes       the apps as configs of proxies             layer 4
//! scim         what provisioning clients speak            layer 4
//! session      what keeps people signed in                layer 3
//! token        the strict gate for JWTs and key sets      layer 2
//! policy, ui   tiers and rules; how the pages look        layer 1
//! types        canonical values, ports                    layer 0
//! ```
//!
//! `config` and `backend` (layer 6) read the outside world, `app` (layer 7)
//! wires everything, `cli` (layer 8) is what people call. Arrows go downwards
//! only; `tests/it/layering.rs` holds them.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::needless_pass_by_value,
        clippy::string_slice,
        clippy::wildcard_enum_match_arm,
        reason = "the build without tests holds the code to these; clippy has no switch for tests alone"
    )
)]

pub mod app;
pub mod apps;
pub mod backend;
pub mod check;
pub mod cli;
pub mod config;
pub mod directory;
pub mod grpc;
pub mod http;
pub mod management;
pub mod oidc;
pub mod policy;
pub mod routes;
pub mod scim;
pub mod session;
pub mod token;
pub mod types;
pub mod ui;
