//! Layer 7: everything wired together and kept running.
//!
//! ```text
//! Config ──build──▶ Service ──serve──▶ listeners ──deal──▶ one worker a core
//!                      └─▶ key fetchers, decision log, metrics, reloader
//! ```

mod admin;
mod app_health;
mod app_report;
mod areas;
mod background;
mod build;
mod catalogue;
mod connection;
mod counted_directory;
mod counted_store;
mod decision_line;
mod directory;
mod envoy_routes;
mod files;
mod introspection;
mod lines;
mod listener;
mod management;
mod nginx_routes;
mod once;
mod one_buffer;
mod read_file;
mod readiness;
mod reload;
mod route_settings;
mod routes;
mod scim;
mod sign_in;
mod stores;
mod supervise;
mod telemetry;
mod user_sync;
mod visit_directory;
mod workers;

pub use crate::backend::app_edit::{EditError, move_folder, replace_text};
pub use app_health::{Reach, reach};
pub use build::{issuers, snapshot};
pub use catalogue::{AppFault, AppFile, LoadedApps, load_apps};
pub use files::Disk;
pub use management::sync_users;
pub use once::{FetchedKeys, fetch_keys, now};
pub use read_file::ReadFile;
pub use reload::{LoadConfig, LoadError, LoadedConfig, Loading};
pub use route_settings::route_settings;
pub use stores::{check_session_store, visit_sessions};
pub use supervise::serve;
pub use telemetry::{ServiceLog, init_tracing};
pub use user_sync::{SyncChange, SyncEvent, SyncMode, SyncSummary};
pub use visit_directory::{migrate_directory, visit_directory};
