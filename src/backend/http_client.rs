//! The one HTTP client for what the service itself asks of others: key sets,
//! discovery documents and the endpoints of identity providers.
//!
//! It asks only what was configured: no redirect is followed, no proxy of the
//! environment is used, no body is decompressed, and each answer is bounded in
//! time and size.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};
use http::{Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{redirect, retry};

use crate::types::{FetchUrl, FetchUrlError, is_loopback_name};

/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request may take, from its start to the last byte of its answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest body of an answer.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

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
    /// A body longer than is read.
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
            .dns_resolver(Names)
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
        self.exchange(self.0.get(url.as_url().clone()).build()?, MAX_BODY_BYTES).await
    }

    /// Sends a request of any kind.
    ///
    /// # Errors
    ///
    /// As [`Self::get`], and when the URL may not be asked.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        self.send_for(request, MAX_BODY_BYTES).await
    }

    /// Sends a request whose answer may have `most` bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub async fn send_for(&self, request: Request<Bytes>, most: usize) -> Result<Response<Bytes>, FetchError> {
        FetchUrl::parse(&request.uri().to_string())?;
        self.exchange(request.try_into()?, most).await
    }

    async fn exchange(&self, mut request: reqwest::Request, most: usize) -> Result<Response<Bytes>, FetchError> {
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut answer = self.0.execute(request).await?;
        if answer.status().is_redirection() {
            return Err(FetchError::Redirect(answer.status().as_u16()));
        }
        if answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(FetchError::Encoded);
        }
        if answer.content_length().is_some_and(|length| length > most as u64) {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len().saturating_add(chunk.len()) > most {
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

/// Looks names up, save those of this machine: for them plain http is allowed,
/// so no name server may lead them elsewhere.
#[derive(Debug)]
pub(super) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Addrs = if is_loopback_name(name.as_str()) {
                let here = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                Box::new(here.into_iter().map(|address| SocketAddr::new(address, 0)))
            } else {
                Box::new(tokio::net::lookup_host((name.as_str(), 0)).await?.collect::<Vec<_>>().into_iter())
            };
            Ok(addresses)
        })
    }
}

#[cfg(test)]
#[path = "http_client_tests.rs"]
mod tests;
