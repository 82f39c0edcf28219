//! Layer 7: everything wired together and kept running.
//!
//! ```text
//! Config ──build──▶ Service ──serve──▶ listeners ──deal──▶ one worker a core
//!                      └─▶ key fetchers, decision log, metrics
//! ```

mod background;
mod build;
mod catalogue;
mod connection;
mod counted_store;
mod envoy_routes;
mod lines;
mod listener;
mod nginx_routes;
mod once;
mod readiness;
mod route_settings;
mod routes;
mod sign_in;
mod stores;
mod supervise;
mod telemetry;
mod workers;

pub use build::{issuers, snapshot};
pub use catalogue::{AppFault, AppFile, LoadedApps, load_apps};
pub use once::{FetchedKeys, fetch_keys, now};
pub use route_settings::route_settings;
pub use stores::{check_session_store, visit_sessions};
pub use supervise::serve;
pub use telemetry::{ServiceLog, init_tracing};
