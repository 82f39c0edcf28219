//! The few forms of `http` URLs that a config holds.

use super::fault::{Fault, quoted};
use crate::types::{FetchUrl, FetchUrlError, is_loopback_authority};

/// An absolute `http` or `https` URL without user information or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpUrl {
    pub(crate) https: bool,
    /// Host and port as written.
    pub(crate) authority: String,
    /// `/` where none is written.
    pub(crate) path: String,
    pub(crate) has_query: bool,
}

impl HttpUrl {
    /// Reads `text`, which stands at `pointer`.
    pub(crate) fn read(pointer: &str, text: &str) -> Result<Self, Fault> {
        let refuse = |why: &str| Fault::new(pointer, format!("{} {why}", quoted(text)));
        let (https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => {
                return Err(refuse("is neither an https nor an http URL").hint("such as `https://idp.example.com/`"));
            }
            None => return Err(refuse("is not a URL").hint(format!("write the scheme too: `https://{text}`"))),
        };
        if text.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(refuse("holds a blank or a character outside ASCII").hint("write such characters as `%XX`"));
        }
        if text.contains('#') {
            return Err(refuse("has a fragment").hint("remove `#` and what follows"));
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            // The text may hold a password: it is not repeated.
            return Err(
                Fault::new(pointer, "the URL holds a user name or password").hint("remove what stands before `@`")
            );
        }
        let uri: http::Uri = text.parse().map_err(|_| refuse("is not a URL"))?;
        let host = uri.authority().filter(|authority| !authority.host().is_empty());
        let Some(authority) = host else { return Err(refuse("names no host")) };
        if authority.as_str().len() != authority.host().len() && authority.port_u16().is_none() {
            return Err(refuse("has a port that is none"));
        }
        Ok(Self {
            https,
            authority: authority.as_str().to_owned(),
            path: uri.path().to_owned(),
            has_query: text.contains('?'),
        })
    }

    /// Scheme, host and port, the host in lower case.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let authority = self.authority.to_ascii_lowercase();
        let default_port = if self.https { ":443" } else { ":80" };
        format!("{scheme}://{}", authority.strip_suffix(default_port).unwrap_or(&authority))
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback_authority(&self.authority)
    }
}

/// Reads a URL that the service itself will ask: https, or on this machine.
pub(crate) fn read_fetch_url(pointer: &str, text: &str) -> Result<FetchUrl, Fault> {
    // What is wrong with most URLs is said here in more words.
    HttpUrl::read(pointer, text)?;
    FetchUrl::parse(text).map_err(|error| match error {
        FetchUrlError::Insecure(_) => {
            let message = format!("{} is plain http: keys that come this way can be forged", quoted(text));
            Fault::new(pointer, message).hint("use https; plain http is for loopback addresses")
        }
        FetchUrlError::NotAUrl(_) | FetchUrlError::Extra => {
            Fault::new(pointer, format!("{} is not a URL that can be asked", quoted(text)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_issuer_looks_like() {
        let url = HttpUrl::read("", "https://Tenant.EU.auth0.com:443/").unwrap();
        assert_eq!(url.origin(), "https://tenant.eu.auth0.com");
        assert_eq!(url.path, "/");
        assert_eq!(HttpUrl::read("", "http://a.example:8080/x?y").unwrap().origin(), "http://a.example:8080");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for text in [
            "http://localhost:8080",
            "http://127.0.0.1/",
            "http://127.9.9.9:1/",
            "http://[::1]:80/",
            "http://op.localhost/",
            "http://op.localhost:5556/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(read_fetch_url("", text).is_ok(), "{text}");
        }
        for text in [
            "http://example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
        ] {
            assert!(read_fetch_url("", text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for text in [
            "example.com",
            "ftp://example.com/",
            "https://",
            "https:///path",
            "https://user@example.com/",
            "https://example.com/#top",
            "https://exa mple.com/",
            "https://exämple.com/",
            "https://example.com:port/",
        ] {
            assert!(HttpUrl::read("", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let fault = HttpUrl::read("", "https://joe:hunter2@example.com/").unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
    }
}
