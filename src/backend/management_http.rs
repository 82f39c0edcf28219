//! The port of management APIs over the service's own HTTP client.

use bytes::Bytes;
use http::Request;

use super::http_client::{FetchError, HttpClient};
use crate::management::{Transport, TransportError, TransportFuture};

impl Transport for HttpClient {
    fn send(&self, request: Request<Bytes>, most: usize) -> TransportFuture<'_> {
        Box::pin(async move { self.send_for(request, most).await.map_err(TransportError::from) })
    }
}

impl From<FetchError> for TransportError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Connect(_) | FetchError::Timeout(_) | FetchError::Exchange(_) => {
                Self::Unreachable(Box::new(error))
            }
            FetchError::Url(_) | FetchError::Redirect(_) | FetchError::TooLarge | FetchError::Encoded => {
                Self::Unacceptable(Box::new(error))
            }
        }
    }
}
