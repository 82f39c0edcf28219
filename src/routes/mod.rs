//! Layer 4: the catalogue as configs of proxies. Pure: text from values.
//!
//! ```text
//! RouteSettings + Catalogue ──render──▶ the whole config of a proxy
//!                           ──EnvoyResources, nginx_routes──▶ the part of it that follows the apps
//! ```

mod envoy;
mod envoy_clusters;
mod forward_auth;
mod gateway_api;
mod nginx;
mod settings;
mod table;
mod template;
mod yaml;

use std::net::SocketAddr;

pub use envoy::EnvoyResources;
pub use envoy_clusters::ClusterNames;
pub use nginx::{routes as nginx_routes, routes_without as nginx_routes_without};
pub use settings::{Proxy, RouteError, RouteSettings, ServiceAddress};

use crate::apps::Catalogue;

/// One file of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its name, by which the other files of the config may know it.
    pub name: &'static str,
    /// What it says.
    pub text: String,
}

/// The config of a proxy that listens at `listen`, the file with the apps first.
///
/// # Errors
/// When the proxy cannot do what the settings ask.
pub fn render(
    proxy: Proxy,
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<Vec<ConfigFile>, RouteError> {
    match proxy {
        Proxy::Envoy => Ok(vec![config_file("envoy.yaml", envoy::config(settings, listen, catalogue)?)]),
        Proxy::Nginx => Ok(vec![config_file("nginx.conf", nginx::config(settings, listen, catalogue)?)]),
        Proxy::Caddy => forward_auth::caddy(settings, listen, catalogue),
        Proxy::HaProxy => forward_auth::haproxy(settings, listen, catalogue),
        Proxy::Traefik => forward_auth::traefik(settings, listen, catalogue),
        Proxy::GatewayApi => gateway_api::manifests(settings, catalogue),
    }
}

const fn config_file(name: &'static str, text: String) -> ConfigFile {
    ConfigFile { name, text }
}

#[cfg(test)]
mod tests;
