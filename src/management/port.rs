//! The port by which a management API is asked.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

/// Why there is no answer. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, no answer in time, or one that broke off.
    #[error("the management API did not answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An answer that is not read: a redirect, one too large, a compressed one,
    /// or a URL that may not be asked.
    #[error("the answer of the management API is not acceptable")]
    Unacceptable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a transport answers with.
pub type TransportFuture<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportError>> + Send + 'a>>;

/// Sends one request to a provider.
///
/// Security contract: only `https`, or `http` on loopback; no redirect is
/// followed, no proxy of the environment used, nothing decompressed; the answer
/// is whole, at most `most` bytes, and comes within 5 s.
pub trait Transport: Send + Sync {
    /// The answer, whatever its status.
    fn send(&self, request: Request<Bytes>, most: usize) -> TransportFuture<'_>;
}
