//! Where the key set of a provider comes from: its discovery document (OIDC
//! Discovery section 4), a configured URL, or a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::http_client::{FetchError, HttpClient};
use crate::token::{KeySet, KeySetError};
use crate::types::{FetchUrl, FetchUrlError};

/// Where a key set is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// The `jwks_uri` of the issuer's discovery document.
    Discovery {
        /// The `issuer` that the document must name, byte for byte.
        issuer: Arc<str>,
        /// Where the document is.
        url: FetchUrl,
    },
    /// This URL.
    Url(FetchUrl),
    /// This file.
    File(PathBuf),
}

/// How a refresh ended; a closed set, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshResult {
    /// A good key set came.
    Ok,
    /// A key set without keys.
    Empty,
    /// No key set, or none with a usable key.
    Invalid,
    /// Another status than 200.
    HttpStatus,
    /// Not answered in time.
    Timeout,
    /// No connection.
    Connect,
    /// A redirect, which is not followed.
    Redirect,
    /// Too large.
    TooLarge,
    /// The exchange broke off or was compressed.
    Exchange,
    /// The discovery document is of another issuer.
    IssuerMismatch,
    /// The discovery document is not readable, or its `jwks_uri` may not be asked.
    Discovery,
    /// The file is not readable.
    File,
    /// The fetch panicked.
    Panic,
}

impl RefreshResult {
    /// Every result.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::Empty,
        Self::Invalid,
        Self::HttpStatus,
        Self::Timeout,
        Self::Connect,
        Self::Redirect,
        Self::TooLarge,
        Self::Exchange,
        Self::IssuerMismatch,
        Self::Discovery,
        Self::File,
        Self::Panic,
    ];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Invalid => "invalid",
            Self::HttpStatus => "http_status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Exchange => "exchange",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::Discovery => "discovery",
            Self::File => "file",
            Self::Panic => "panic",
        }
    }
}

/// Why no good key set came.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No answer.
    #[error("the document was not fetched")]
    Fetch(#[from] FetchError),
    /// Another status than 200.
    #[error("the document was answered with status {0}")]
    Status(u16),
    /// The discovery document is not one.
    #[error("the discovery document is not readable")]
    Discovery(#[source] serde_json::Error),
    /// The discovery document is of another issuer.
    #[error("the discovery document is of issuer `{0}`")]
    IssuerMismatch(String),
    /// The `jwks_uri` may not be asked.
    #[error("the `jwks_uri` of the discovery document may not be asked")]
    JwksUri(#[source] FetchUrlError),
    /// The `jwks_uri` is on a host that nobody configured.
    #[error("the `jwks_uri` of the discovery document is on another host: set `jwks.uri`")]
    JwksHost,
    /// The file is not readable.
    #[error("the key set file `{}` is not readable", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The document is no usable key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// The fetch panicked.
    #[error("the fetch panicked")]
    Panic,
}

impl RefreshError {
    /// The result that this counts as.
    #[must_use]
    pub const fn result(&self) -> RefreshResult {
        match self {
            Self::Fetch(FetchError::Url(_)) | Self::Discovery(_) | Self::JwksUri(_) | Self::JwksHost => {
                RefreshResult::Discovery
            }
            Self::Fetch(FetchError::Connect(_)) => RefreshResult::Connect,
            Self::Fetch(FetchError::Timeout(_)) => RefreshResult::Timeout,
            Self::Fetch(FetchError::Redirect(_)) => RefreshResult::Redirect,
            Self::Fetch(FetchError::TooLarge) | Self::KeySet(KeySetError::TooLarge) => RefreshResult::TooLarge,
            Self::Fetch(FetchError::Encoded | FetchError::Exchange(_)) => RefreshResult::Exchange,
            Self::Status(_) => RefreshResult::HttpStatus,
            Self::IssuerMismatch(_) => RefreshResult::IssuerMismatch,
            Self::File { .. } => RefreshResult::File,
            Self::KeySet(KeySetError::Empty) => RefreshResult::Empty,
            Self::KeySet(
                KeySetError::Malformed
                | KeySetError::DuplicateMember
                | KeySetError::NoKeys
                | KeySetError::NoUsableKey(_),
            ) => RefreshResult::Invalid,
            Self::Panic => RefreshResult::Panic,
        }
    }
}

#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    jwks_uri: String,
}

impl JwksSource {
    /// The document, which need not be a key set.
    pub(super) async fn fetch(&self, client: &HttpClient) -> Result<Bytes, RefreshError> {
        match self {
            Self::Discovery { issuer, url } => {
                let jwks_uri = jwks_uri(issuer, url, &get(client, url).await?)?;
                get(client, &jwks_uri).await
            }
            Self::Url(url) => get(client, url).await,
            Self::File(path) => {
                let file = path.clone();
                match tokio::task::spawn_blocking(move || read(&file)).await {
                    Ok(read) => read.map_err(|source| RefreshError::File { path: path.clone(), source }),
                    Err(_) => Err(RefreshError::Panic),
                }
            }
        }
    }

    /// What the source is, to tell copies of two sources apart.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Discovery { url, .. } | Self::Url(url) => url.as_str().to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

async fn get(client: &HttpClient, url: &FetchUrl) -> Result<Bytes, RefreshError> {
    let answer = client.get(url).await?;
    if answer.status() == StatusCode::OK {
        Ok(answer.into_body())
    } else {
        Err(RefreshError::Status(answer.status().as_u16()))
    }
}

/// The `jwks_uri`, when the document is the issuer's (OIDC Discovery section
/// 4.3) and the URL is on the host that was configured.
fn jwks_uri(issuer: &str, asked: &FetchUrl, document: &[u8]) -> Result<FetchUrl, RefreshError> {
    let document: DiscoveryDocument = serde_json::from_slice(document).map_err(RefreshError::Discovery)?;
    if document.issuer != issuer {
        return Err(RefreshError::IssuerMismatch(document.issuer));
    }
    let jwks_uri = FetchUrl::parse(&document.jwks_uri).map_err(RefreshError::JwksUri)?;
    if jwks_uri.has_host_of(asked) { Ok(jwks_uri) } else { Err(RefreshError::JwksHost) }
}

/// One byte more than is accepted, so that the parser sees what is too large.
#[expect(clippy::disallowed_methods, reason = "the key set that the operator keeps in a file")]
fn read(path: &Path) -> io::Result<Bytes> {
    let mut document = Vec::new();
    File::open(path)?.take(KeySet::MAX_BYTES as u64 + 1).read_to_end(&mut document)?;
    Ok(document.into())
}
