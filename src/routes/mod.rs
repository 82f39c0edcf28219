//! Layer 4: the catalogue as configs of proxies. Pure: text from values.
//!
//! ```text
//! RouteSettings + Catalogue ──render──▶ the whole config of a proxy
//!                           ──envoy::resources, nginx::routes──▶ the part of it that follows the apps
//! ```

mod envoy;
mod nginx;
mod settings;
mod table;
mod template;
mod yaml;

use std::net::SocketAddr;

pub use envoy::{ClusterNames, EnvoyResources};
pub use nginx::routes as nginx_routes;
pub use settings::{Proxy, RouteError, RouteSettings, ServiceAddress};

use crate::apps::Catalogue;

/// The config of a proxy that listens at `listen`.
///
/// # Errors
/// When the proxy cannot do what the settings ask.
pub fn render(
    proxy: Proxy,
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<String, RouteError> {
    match proxy {
        Proxy::Envoy => envoy::config(settings, listen, catalogue),
        Proxy::Nginx => nginx::config(settings, listen, catalogue),
    }
}
