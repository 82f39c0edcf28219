//! The port by which the relying party asks a provider.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response};

/// Why there is no answer. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, no answer in time, or one that broke off.
    #[error("the provider did not answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An answer that is not read: a redirect, one too large, a compressed one,
    /// or a URL that may not be asked.
    #[error("the provider's answer is not acceptable")]
    Unacceptable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends one request to a provider.
///
/// Security contract: only `https`, or `http` on loopback; no redirect is
/// followed, no proxy of the environment used, nothing decompressed; the answer
/// is whole, at most 256 KiB, and comes within 5 s.
pub trait HttpClient: Send + Sync {
    /// The answer, whatever its status.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + '_>>;
}

/// Whether a `Content-Type` says JSON.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
