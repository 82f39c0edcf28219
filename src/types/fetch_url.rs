//! The URLs that the service itself may ask.

use std::fmt;

use url::{Host, Url};

/// An absolute URL that may be asked: `https`, or `http` on this machine for
/// development and tests. Nothing in it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchUrl(Url);

/// Why a URL may not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchUrlError {
    /// Not an absolute URL.
    #[error("`{0}` is not an absolute url")]
    NotAUrl(String),
    /// Not `https`, and not `http` on a loopback host.
    #[error("`{0}` is not https (http is for loopback hosts only)")]
    Insecure(String),
    /// A user name, a password or a fragment.
    #[error("a url to fetch must have no user name, password or fragment")]
    Extra,
}

impl FetchUrl {
    /// Reads a URL. This is the only place that says whether one may be asked.
    ///
    /// # Errors
    ///
    /// When it is none that may be asked.
    pub fn parse(text: &str) -> Result<Self, FetchUrlError> {
        // The parser would drop blanks and turn `\` into `/` (WHATWG URL section 4.4).
        if text.contains(|c: char| !c.is_ascii_graphic() || c == '\\') {
            return Err(FetchUrlError::NotAUrl(text.to_owned()));
        }
        let url = Url::parse(text).map_err(|_| FetchUrlError::NotAUrl(text.to_owned()))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(FetchUrlError::Extra);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(Self(url)),
            _ => Err(FetchUrlError::Insecure(text.to_owned())),
        }
    }

    /// The URL as it is asked.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL as it is asked, in its parts.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether both name the same host; the ports may differ.
    #[must_use]
    pub fn has_host_of(&self, other: &Self) -> bool {
        self.0.host_str() == other.0.host_str()
    }
}

impl fmt::Debug for FetchUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_loopback_name(name),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

/// Whether a host name means this machine, whatever a name server says of it
/// (RFC 6761 section 6.3).
#[must_use]
pub fn is_loopback_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a URL's host, and with it the port, is this machine.
#[must_use]
pub fn is_loopback_authority(authority: &str) -> bool {
    Url::parse(&format!("http://{authority}/")).is_ok_and(|url| url.host().is_some_and(|host| is_loopback(&host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_loopback_may_be_asked() {
        for good in [
            "https://idp.example.com/jwks",
            "https://idp.example.com:8443/jwks?a=b",
            "http://127.0.0.1:8080/jwks",
            "http://127.9.9.9/",
            "http://[::1]:1/",
            "http://localhost/x",
            "http://op.localhost:5556/",
        ] {
            assert_eq!(FetchUrl::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(FetchUrl::parse("http://[::ffff:127.0.0.1]/").unwrap().as_str(), "http://[::ffff:7f00:1]/");
        for insecure in [
            "http://idp.example.com/jwks",
            "http://169.254.169.254/latest",
            "http://localhost.example.com/",
            "http://notlocalhost/",
            "http://127.0.0.1.nip.io/",
            "http://0.0.0.0/",
            "http://[::ffff:10.0.0.1]/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
        ] {
            assert_eq!(FetchUrl::parse(insecure), Err(FetchUrlError::Insecure(insecure.to_owned())));
        }
        assert_eq!(FetchUrl::parse("https://u:p@idp.example.com/"), Err(FetchUrlError::Extra));
        assert_eq!(FetchUrl::parse("https://idp.example.com/#x"), Err(FetchUrlError::Extra));
        for none in ["/jwks", "https://a\\b/", " https://a/", "https://a\tb/", "https://a b/"] {
            assert_eq!(FetchUrl::parse(none), Err(FetchUrlError::NotAUrl(none.to_owned())));
        }
        let host = |text| FetchUrl::parse(text).unwrap();
        assert!(host("https://idp.example.com/a").has_host_of(&host("https://IDP.example.com:8443/b")));
        assert!(!host("https://idp.example.com/a").has_host_of(&host("https://idp.example.com.evil.example/b")));
    }

    #[test]
    fn an_authority_is_judged_alike() {
        for here in ["localhost", "App.localhost:8080", "127.0.0.1", "[::1]:80", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback_authority(here), "{here}");
        }
        for elsewhere in ["example.com", "10.0.0.1:80", "localhost.example.com", "[::2]"] {
            assert!(!is_loopback_authority(elsewhere), "{elsewhere}");
        }
    }
}
