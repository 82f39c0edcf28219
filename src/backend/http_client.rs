//! The one HTTP client for what the service itself asks of others: key sets,
//! discovery documents and the endpoints of identity providers.
//!
//! It asks only what was configured: no redirect is followed, no proxy of the
//! environment is used, no body is decompressed, and each answer is bounded in
//! time and size.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use http::{Request, Response};
use reqwest::{Url, redirect, retry};

/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request may take, from its start to the last byte of its answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body of an answer.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// An absolute URL that may be asked: `https`, or `http` on a loopback host
/// for development and tests.
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
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// When it is none that may be asked.
    pub fn parse(text: &str) -> Result<Self, FetchUrlError> {
        let url = Url::parse(text).map_err(|_| FetchUrlError::NotAUrl(text.to_owned()))?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(FetchUrlError::Extra);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            _ => Err(FetchUrlError::Insecure(text.to_owned())),
        }
    }

    /// The URL as it is asked.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
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

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(host == "localhost", |address| address.is_loopback())
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL may not be asked.
    #[error(transparent)]
    Url(#[from] FetchUrlError),
    /// No connection, or no trust in the certificate.
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    /// Not done in time.
    #[error("not answered in time")]
    Timeout(#[source] reqwest::Error),
    /// A redirect, which is not followed.
    #[error("answered with a redirect, status {0}")]
    Redirect(u16),
    /// A body longer than [`MAX_BODY_BYTES`].
    #[error("the answer is too large")]
    TooLarge,
    /// A body that is compressed although nothing of the kind was asked for.
    #[error("the answer has a content encoding")]
    Encoded,
    /// The request could not be made or the answer broke off.
    #[error("the exchange failed")]
    Exchange(#[source] reqwest::Error),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The caller knows the URL; a query in it may be nobody else's to read.
        let error = error.without_url();
        if error.is_timeout() {
            Self::Timeout(error)
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Exchange(error)
        }
    }
}

/// The client; clones share its connections.
#[derive(Debug, Clone)]
pub struct HttpClient(reqwest::Client);

impl HttpClient {
    /// Makes the client, with the certificate roots of the platform.
    ///
    /// # Errors
    ///
    /// When the platform's TLS or its roots cannot be set up.
    pub fn new() -> Result<Self, FetchError> {
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("tiergate/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(client))
    }

    /// Gets a document.
    ///
    /// # Errors
    ///
    /// When there is no whole answer; an answer of any status but a redirect
    /// is one.
    pub async fn get(&self, url: &FetchUrl) -> Result<Response<Bytes>, FetchError> {
        self.exchange(self.0.get(url.0.clone()).build()?).await
    }

    /// Sends a request of any kind.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], and when the URL may not be asked.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        FetchUrl::parse(&request.uri().to_string())?;
        self.exchange(request.try_into()?).await
    }

    async fn exchange(&self, mut request: reqwest::Request) -> Result<Response<Bytes>, FetchError> {
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut answer = self.0.execute(request).await?;
        if answer.status().is_redirection() {
            return Err(FetchError::Redirect(answer.status().as_u16()));
        }
        if answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(FetchError::Encoded);
        }
        let limit = MAX_BODY_BYTES as u64;
        if answer.content_length().is_some_and(|length| length > limit) {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = Response::new(Bytes::from(body));
        *whole.status_mut() = answer.status();
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(whole)
    }
}

#[cfg(test)]
#[path = "http_client_tests.rs"]
mod tests;
