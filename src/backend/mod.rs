//! Layer 6: the outside world that the core asks through its ports: clocks,
//! randomness, the network, stores. Only `app` imports it.

pub mod app_edit;
pub mod app_files;
pub mod app_health;
pub mod causes;
pub mod file_watch;
pub mod http_client;
mod jwks_copy;
pub mod jwks_fetch;
pub mod jwks_source;
pub mod key_file;
mod management_http;
pub mod memory_directory;
pub mod memory_store;
mod oidc_http;
pub mod redis_store;
pub mod route_files;
pub mod sql_directory;
pub mod sqlite_store;
pub mod system;
