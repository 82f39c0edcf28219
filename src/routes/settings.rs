//! What the routes are made from besides the catalogue.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::apps::{AppPath, Upstream};
use crate::types::Host;

/// A proxy that a config can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// Envoy, which asks over gRPC.
    Envoy,
    /// nginx, by `auth_request`.
    Nginx,
    /// Caddy, by forward authentication.
    Caddy,
    /// HAProxy, by forward authentication in Lua.
    HaProxy,
    /// Traefik, by `forwardAuth`.
    Traefik,
    /// The Kubernetes Gateway API, by the filter `ExternalAuth`.
    GatewayApi,
}

impl Proxy {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Envoy, Self::Nginx, Self::Caddy, Self::HaProxy, Self::Traefik, Self::GatewayApi];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::HaProxy => "haproxy",
            Self::Traefik => "traefik",
            Self::GatewayApi => "gateway-api",
        }
    }

    /// Where it listens when nobody says.
    #[must_use]
    pub fn default_listen(self) -> SocketAddr {
        let port = match self {
            Self::Envoy | Self::GatewayApi => 8080,
            Self::Nginx => 8081,
            Self::Caddy => 8083,
            Self::HaProxy => 8084,
            Self::Traefik => 8085,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a proxy reaches a listener of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAddress {
    /// A name or an address (IPv6 without brackets), and a port.
    Tcp {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// An absolute path of a unix socket.
    Unix(String),
}

impl ServiceAddress {
    /// The way to a listener at `address`: loopback, when it listens on every
    /// interface, or the host that is given.
    #[must_use]
    pub fn of(address: SocketAddr, host: Option<&str>) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        Self::Tcp { host: host.map_or_else(|| ip.to_string(), str::to_owned), port: address.port() }
    }

    /// Host and port as they stand in a URL.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::Tcp { host, port } if host.contains(':') => Some(format!("[{host}]:{port}")),
            Self::Tcp { host, port } => Some(format!("{host}:{port}")),
            Self::Unix(_) => None,
        }
    }
}

/// What the routes are made from besides the catalogue.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// Where Envoy asks.
    pub grpc: ServiceAddress,
    /// Where the other proxies ask, and where the service's own pages are.
    pub http: ServiceAddress,
    /// Whether browsers come by https.
    pub public_https: bool,
    /// The host that browsers see, where the config says it.
    pub public_host: Option<String>,
    /// The path of the service's own pages.
    pub base_path: AppPath,
    /// Single paths of the service elsewhere: a callback, `/login`.
    pub own_paths: Vec<AppPath>,
    /// Paths of the service elsewhere, with all that is below them: SCIM. The
    /// same is below `base_path`.
    pub own_prefixes: Vec<AppPath>,
    /// The headers that tell an app who calls, in lower case.
    pub managed_headers: Vec<String>,
    /// Further names that no client may send to an app, in lower case.
    pub stripped_headers: Vec<String>,
    /// What serves that no app does; nobody, when absent.
    pub site: Option<Upstream>,
    /// The certificates by which an upstream with https is known.
    pub trusted_ca: String,
    /// The directory from which Envoy takes its routes as they change.
    pub envoy_dir: Option<String>,
    /// The file from which nginx takes its routes as they change.
    pub nginx_file: Option<String>,
}

impl RouteSettings {
    /// Whether browsers may see this host as the public one, with one port of it or any.
    pub(super) fn is_public(&self, host: &Host) -> bool {
        let public = self.public_host.as_deref().and_then(|public| Host::parse(public.as_bytes()).ok());
        public.is_none_or(|public| public == *host || (host.port().is_empty() && host.name() == public.name()))
    }
}

/// Why no config can be written.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A listener that this proxy cannot reach.
    #[error("{proxy} cannot ask over the unix socket of `listen.{listener}`: give it a TCP address")]
    UnixSocket {
        /// The proxy.
        proxy: Proxy,
        /// The listener.
        listener: &'static str,
    },
    /// An app on one port of a host, where a proxy does not tell ports apart.
    #[error(
        "{proxy} cannot tell one port of a host from another: give the app a `host` without the port in place of `{host}`"
    )]
    HostPort {
        /// The proxy.
        proxy: Proxy,
        /// The host.
        host: String,
    },
    /// An upstream that is no Service of a cluster.
    #[error("the upstream `{host}` is no Service: write it as `http://name:port` or `http://name.namespace:port`")]
    NotAService {
        /// Its host.
        host: String,
    },
    /// Something of the config that means another thing in the config of a proxy.
    #[error(
        "`{value}` (`{key}`) holds a character that proxies could read in two ways: use letters, digits, `-`, `.`, `_`, `~` and `/`"
    )]
    Character {
        /// Where it stands.
        key: &'static str,
        /// What it is.
        value: String,
    },
    /// A template that does not render, which a test excludes.
    #[error("the config cannot be written: {0}")]
    Template(#[from] minijinja::Error),
}
