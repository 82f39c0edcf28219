//! The port of the relying party over the service's own HTTP client.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

use super::http_client::{FetchError, HttpClient};
use crate::oidc::{self, HttpError};

impl oidc::HttpClient for HttpClient {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + '_>> {
        Box::pin(async move { self.send(request).await.map_err(HttpError::from) })
    }
}

impl From<FetchError> for HttpError {
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

#[cfg(test)]
#[path = "oidc_http_tests.rs"]
mod tests;
