//! Addresses and paths of the service itself, and whom it believes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::{ConfigFile, ListenFile};
use super::node::push;
use super::url::HttpUrl;
use crate::types::{CanonicalPath, EncodedSet};

const DEFAULT_GRPC: &str = "127.0.0.1:9191";
const DEFAULT_HTTP: &str = "127.0.0.1:4180";
const DEFAULT_ADMIN: &str = "127.0.0.1:9190";
const DEFAULT_BASE_PATH: &str = "/_auth";
/// Paths on which the decision endpoints answer.
const DECISION_PATHS: [&str; 3] = ["/authz", "/oauth2", "/api/authz"];

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

/// What browsers see of the service: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
}

impl PublicUrl {
    /// The origin, such as `https://app.example.com`, without a trailing `/`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether browsers come by https, so that cookies can be `Secure`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

impl Listen {
    pub(crate) fn read(file: &ListenFile, check: &mut Check<'_>) -> Self {
        let mut taken: Vec<(&'static str, ListenAddress)> = Vec::new();
        let mut read = |key: &'static str, written: Option<&str>, default: &str| {
            let pointer = push("/listen", key);
            let address = read_address(&pointer, written.unwrap_or(default));
            let address = check.or(address, ListenAddress::Unix(PathBuf::from(key)));
            let free_port = matches!(&address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
            match taken.iter().find(|(_, held)| *held == address && !free_port) {
                Some((other, _)) => {
                    let fault = Fault::new(&pointer, format!("`{other}` listens on `{address}` already"));
                    check.fault(fault.hint("give each listener its own address"));
                }
                None => taken.push((key, address.clone())),
            }
            address
        };
        Self {
            grpc: read("grpc", file.grpc.as_deref(), DEFAULT_GRPC),
            http: read("http", file.http.as_deref(), DEFAULT_HTTP),
            admin: read("admin", file.admin.as_deref(), DEFAULT_ADMIN),
        }
    }
}

fn read_address(pointer: &str, text: &str) -> Result<ListenAddress, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.starts_with('/') && !path.ends_with('/') {
            return Ok(ListenAddress::Unix(PathBuf::from(path)));
        }
        return Err(Fault::new(pointer, format!("{} names no absolute path", quoted(text)))
            .hint("such as `unix:/run/tiergate/grpc.sock`"));
    }
    text.parse().map(ListenAddress::Tcp).map_err(|_| {
        let hint = match text.rsplit_once(':') {
            Some(("" | "*", port)) => {
                format!("write the address too: `127.0.0.1:{port}`, or `0.0.0.0:{port}` for every interface")
            }
            Some(("localhost", port)) => format!("names are not looked up: `127.0.0.1:{port}`"),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => format!("write the address too: `127.0.0.1:{text}`"),
            _ if text.parse::<IpAddr>().is_ok() => "add a port, such as `127.0.0.1:9191`".to_owned(),
            _ => "such as `127.0.0.1:9191`, `[::1]:9191` or `unix:/run/tiergate/grpc.sock`".to_owned(),
        };
        Fault::new(pointer, format!("{} is not an address", quoted(text))).hint(hint)
    })
}

pub(crate) fn read_public_url(file: &ConfigFile, check: &mut Check<'_>) -> Option<PublicUrl> {
    const POINTER: &str = "/public_url";
    let text = file.public_url.as_deref()?;
    let url = HttpUrl::read(POINTER, text).and_then(|url| {
        if url.path == "/" && !url.has_query {
            return Ok(url);
        }
        Err(Fault::new(POINTER, format!("{} has a path", quoted(text)))
            .hint(format!("write `{}`; the service's pages live under `base_path` there", url.origin())))
    });
    let url = check.ok(url)?;
    if !url.https && !url.is_loopback() {
        check.notice(
            "`public_url` is plain http: browsers keep the cookies of a sign-in for https (and loopback) only, so nobody can sign in there",
        );
    }
    Some(PublicUrl { origin: url.origin(), https: url.https })
}

pub(crate) fn read_base_path(file: &ConfigFile, check: &mut Check<'_>) -> String {
    const POINTER: &str = "/base_path";
    let Some(text) = file.base_path.as_deref() else { return DEFAULT_BASE_PATH.to_owned() };
    let path = read_path(POINTER, text).and_then(|path| {
        let taken = DECISION_PATHS
            .into_iter()
            .find(|taken| path == *taken || path.strip_prefix(taken).is_some_and(|rest| rest.starts_with('/')));
        match taken {
            Some(taken) => {
                Err(Fault::new(POINTER, format!("{} lies on the decision endpoints at `{taken}`", quoted(text)))
                    .hint(format!("such as `{DEFAULT_BASE_PATH}`")))
            }
            None => Ok(path),
        }
    });
    check.or(path, DEFAULT_BASE_PATH.to_owned())
}

/// A canonical path other than `/`, without a `/` at its end.
pub(crate) fn read_path(pointer: &str, text: &str) -> Result<String, Fault> {
    let refuse = |why: String| Fault::new(pointer, format!("{} {why}", quoted(text)));
    if text.contains('?') {
        return Err(refuse("has a query".to_owned()).hint("remove `?` and what follows"));
    }
    if !text.starts_with('/') {
        return Err(refuse("does not start with `/`".to_owned()).hint(format!("write `/{text}`")));
    }
    let path = CanonicalPath::parse(text.as_bytes()).map_err(|why| {
        refuse(format!("is not a canonical path: {why}")).hint(format!("such as `{DEFAULT_BASE_PATH}`"))
    })?;
    let plain = path.as_str().trim_end_matches('/');
    if plain.is_empty() {
        return Err(refuse("is the whole site".to_owned()).hint(format!("such as `{DEFAULT_BASE_PATH}`")));
    }
    if plain != text || path.encoded() != EncodedSet::NONE {
        return Err(refuse("is not in canonical spelling".to_owned()).hint(format!("write `{plain}`")));
    }
    Ok(plain.to_owned())
}

pub(crate) fn read_trusted_proxies(file: &ConfigFile, check: &mut Check<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (position, text) in file.trusted_proxies.iter().enumerate() {
        let pointer = push("/trusted_proxies", &position.to_string());
        if let Some(network) = check.ok(read_network(&pointer, text)) {
            networks.push(network);
        }
    }
    if networks.iter().any(|network| network.prefix_len() == 0) {
        check.notice("`trusted_proxies` holds every address there is: whoever reaches the HTTP listener chooses what is asked about");
    }
    if networks.is_empty() && check.is_sound("trusted_proxies") {
        check.notice(
            "`trusted_proxies` names nobody: the HTTP endpoints refuse every TCP peer (gRPC and unix sockets do not need it)",
        );
    }
    networks
}

fn read_network(pointer: &str, text: &str) -> Result<IpNet, Fault> {
    let fault = || {
        Fault::new(pointer, format!("{} is neither an address nor a CIDR", quoted(text)))
            .hint("such as `10.0.0.0/8`, `127.0.0.1` or `\"::1/128\"`")
    };
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| fault())?,
    };
    if let IpAddr::V6(address) = network.addr()
        && let Some(mapped) = address.to_ipv4_mapped()
    {
        let plain = mapped.to_string();
        return Err(Fault::new(pointer, format!("{} is an IPv4 address in IPv6 clothes", quoted(text)))
            .hint(format!("write `{plain}`")));
    }
    if network.trunc() != network {
        return Err(Fault::new(pointer, format!("{} has bits set behind its prefix", quoted(text)))
            .hint(format!("write `{}`", network.trunc())));
    }
    Ok(network)
}
