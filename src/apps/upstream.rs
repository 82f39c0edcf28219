//! Where a proxy finds an app.

use std::fmt;

use super::path::{AppPath, AppPathError};
use crate::types::Host;

/// The server of an app, in one spelling: a name or address, a port, and the
/// path that takes the place of the app's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    tls: bool,
    host: Box<str>,
    port: u16,
    /// Empty, or without a trailing `/`.
    base: Box<str>,
}

/// Why a text is no upstream. None repeats the text, which could hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Neither `http://` nor `https://`.
    #[error("the upstream is neither an http nor an https URL")]
    Scheme,
    /// A name or a password before `@`.
    #[error("the upstream holds a user name or password")]
    UserInfo,
    /// No host, or none that could be asked.
    #[error("the upstream names no host that can be reached")]
    Host,
    /// `?` or `#`.
    #[error("the upstream has a query or a fragment")]
    Query,
    /// A base path that proxies could read in two ways.
    #[error("the base path of the upstream is not usable: {0}")]
    Base(AppPathError),
}

impl Upstream {
    /// Reads `http://host:port/base` or the same with `https`.
    ///
    /// # Errors
    /// The first reason why it is none.
    pub fn parse(text: &str) -> Result<Self, UpstreamError> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) | None => return Err(UpstreamError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(UpstreamError::Query);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or(UpstreamError::Host)?,
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(UpstreamError::UserInfo);
        }
        let host = Host::parse(authority.as_bytes()).map_err(|_| UpstreamError::Host)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let base = if path.is_empty() { "" } else { path };
        if !base.is_empty() {
            AppPath::parse(base).map_err(UpstreamError::Base)?;
        }
        // `Host` drops the default ports of both schemes: what was written counts.
        let port = match written_port(authority) {
            Some(digits) => digits.parse().map_err(|_| UpstreamError::Host)?,
            None if tls => 443,
            None => 80,
        };
        Ok(Self { tls, host: Box::from(host.name()), port, base: Box::from(base) })
    }

    /// Whether it is spoken to by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// A name, an IPv4 address, or an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host without the brackets of an IPv6 address.
    #[must_use]
    pub fn address(&self) -> &str {
        self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// Whether the host is an address, so that no name has to be resolved.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.address().parse::<std::net::IpAddr>().is_ok()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path that takes the place of the app's own: empty, or without a
    /// trailing `/`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The server alone.
    #[must_use]
    pub fn without_base(&self) -> Self {
        Self { base: Box::default(), ..self.clone() }
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The digits behind the last `:` that is not within brackets.
fn written_port(authority: &str) -> Option<&str> {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    after_host.rsplit_once(':').map(|(_, port)| port)
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling() {
        for (text, spelled) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
            ("http://Hazard.Internal", "http://hazard.internal:80"),
            ("https://hazard.internal", "https://hazard.internal:443"),
            ("https://hazard.internal:80/v2/x/", "https://hazard.internal:80/v2/x"),
            ("http://[0:0::1]:8000", "http://[::1]:8000"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            let upstream = Upstream::parse(text).unwrap();
            assert_eq!(upstream.to_string(), spelled);
            assert_eq!(Upstream::parse(spelled), Ok(upstream));
        }
        let v6 = Upstream::parse("http://[::1]:1/").unwrap();
        assert_eq!((v6.address(), v6.is_address(), v6.authority().as_str()), ("::1", true, "[::1]:1"));
        assert!(!Upstream::parse("http://a.b").unwrap().is_address());
    }

    #[test]
    fn refuses_what_no_proxy_should_be_told() {
        for (text, error) in [
            ("127.0.0.1:3000", UpstreamError::Scheme),
            ("unix:/run/x", UpstreamError::Scheme),
            ("ftp://x", UpstreamError::Scheme),
            ("http://", UpstreamError::Host),
            ("http:///x", UpstreamError::Host),
            ("http://a b", UpstreamError::Host),
            ("http://a;b", UpstreamError::Host),
            ("http://a:0", UpstreamError::Host),
            ("http://a:99999", UpstreamError::Host),
            ("http://a:", UpstreamError::Host),
            ("http://joe:secret@a", UpstreamError::UserInfo),
            ("http://a?x", UpstreamError::Query),
            ("http://a/#x", UpstreamError::Query),
            ("http://a/x//y", UpstreamError::Base(AppPathError::NotCanonical)),
            ("http://a/$x", UpstreamError::Base(AppPathError::Character)),
            ("http://a/x\"", UpstreamError::Base(AppPathError::Character)),
        ] {
            assert_eq!(Upstream::parse(text), Err(error), "{text}");
        }
    }
}
