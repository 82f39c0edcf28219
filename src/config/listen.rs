//! Addresses and paths of the service itself.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the three listeners bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What Envoy calls.
    pub grpc: ListenAddress,
    /// What the other proxies and browsers call.
    pub http: ListenAddress,
    /// Health and metrics.
    pub admin: ListenAddress,
}

/// One place to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
