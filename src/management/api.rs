//! One provider's management API, asked with the service's own token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use super::Kind;
use super::port::{Transport, TransportError};
use super::service_token::{self, ServiceToken, TokenError};
use crate::types::{Clock, FetchUrl, ProviderId, Secret};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The longest answer of a token endpoint and the longest discovery document, in bytes.
const MAX_TOKEN_ANSWER: usize = 256 * 1024;

/// What is known of a provider's management API.
#[derive(Debug, Clone)]
pub struct ManagementSettings {
    /// The provider.
    pub provider: ProviderId,
    /// Whose API it is.
    pub kind: Kind,
    /// Where it is; ends with `/`.
    pub url: FetchUrl,
    /// Where the service gets its token.
    pub token_endpoint: TokenEndpoint,
    /// The client id of the service there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The audience that the token is asked for.
    pub audience: Option<String>,
    /// The scopes that the token is asked for.
    pub scopes: Vec<String>,
}

/// Where the service gets its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// Here.
    At(FetchUrl),
    /// Where this document of this issuer says.
    Discovered {
        /// The `issuer` that the document has to name.
        issuer: Arc<str>,
        /// Where the document is.
        document: FetchUrl,
    },
}

/// What a management API needs of the world.
#[derive(Clone)]
pub struct ManagementPorts {
    /// Sends requests.
    pub transport: Arc<dyn Transport>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
}

/// One request to the API.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below the API, without a leading `/`, and the query.
    pub path: String,
    /// JSON to send.
    pub body: Option<Bytes>,
}

impl Call {
    /// A `GET`.
    #[must_use]
    pub fn read(path: String) -> Self {
        Self { method: Method::GET, path, body: None }
    }
}

/// Why there is no answer. Says nothing of tokens.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// There is no token to ask with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The API does not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The path makes no URL below the API.
    #[error("the path makes no URL of the management API")]
    Path,
}

/// One provider's management API. The token is asked for once, used by all
/// calls, and renewed before its end.
pub struct ManagementApi {
    settings: ManagementSettings,
    ports: ManagementPorts,
    token: Mutex<Option<ServiceToken>>,
    endpoint: Mutex<Option<FetchUrl>>,
    /// Held while a token is asked for: the others wait for that one.
    asking: futures_util::lock::Mutex<()>,
}

impl ManagementApi {
    /// The API that `settings` describe.
    #[must_use]
    pub fn new(settings: ManagementSettings, ports: ManagementPorts) -> Self {
        Self {
            settings,
            ports,
            token: Mutex::default(),
            endpoint: Mutex::default(),
            asking: futures_util::lock::Mutex::new(()),
        }
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &ProviderId {
        &self.settings.provider
    }

    /// Whose API it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// The answer to `call`, whatever its status. A token that is refused is
    /// replaced once.
    ///
    /// # Errors
    /// When there is no token, or no whole answer.
    pub async fn send(&self, call: &Call) -> Result<Response<Bytes>, ManagementError> {
        let token = self.token(None).await?;
        let answer = self.send_with(call, &token).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.token(Some(&token)).await?;
        self.send_with(call, &token).await
    }

    async fn send_with(&self, call: &Call, token: &Secret) -> Result<Response<Bytes>, ManagementError> {
        let url = FetchUrl::parse(&format!("{}{}", self.settings.url.as_str(), call.path))
            .map_err(|_| ManagementError::Path)?;
        // Whatever the path holds, the token goes nowhere but below the API.
        if !url.as_str().starts_with(self.settings.url.as_str()) {
            return Err(ManagementError::Path);
        }
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| TokenError::Malformed)?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json");
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(call.body.clone().unwrap_or_default()).map_err(|_| ManagementError::Path)?;
        Ok(self.ports.transport.send(request, MAX_ANSWER).await?)
    }

    /// The token to ask with: the one that is held, unless it nears its end or
    /// is the `refused` one.
    async fn token(&self, refused: Option<&Secret>) -> Result<Secret, TokenError> {
        if let Some(token) = self.held(refused) {
            return Ok(token);
        }
        let _asking = self.asking.lock().await;
        if let Some(token) = self.held(refused) {
            return Ok(token);
        }
        let endpoint = self.endpoint().await?;
        let request = service_token::request(&self.settings, &endpoint).ok_or(TokenError::NoEndpoint)?;
        let answer = self.ports.transport.send(request, MAX_TOKEN_ANSWER).await?;
        let token = service_token::read(&answer, self.ports.clock.monotonic())?;
        let secret = token.token.clone();
        *lock(&self.token) = Some(token);
        Ok(secret)
    }

    fn held(&self, refused: Option<&Secret>) -> Option<Secret> {
        let held = lock(&self.token);
        let token = held.as_ref().filter(|held| self.ports.clock.monotonic() < held.renew_at)?;
        (refused != Some(&token.token)).then(|| token.token.clone())
    }

    async fn endpoint(&self) -> Result<FetchUrl, TokenError> {
        let (issuer, document) = match &self.settings.token_endpoint {
            TokenEndpoint::At(url) => return Ok(url.clone()),
            TokenEndpoint::Discovered { issuer, document } => (issuer, document),
        };
        let known = lock(&self.endpoint).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let request = Request::get(document.as_str()).header(ACCEPT, "application/json").body(Bytes::new());
        let request = request.map_err(|_| TokenError::NoEndpoint)?;
        let answer = self.ports.transport.send(request, MAX_TOKEN_ANSWER).await?;
        let endpoint = service_token::endpoint(&answer, issuer)?;
        *lock(&self.endpoint) = Some(endpoint.clone());
        Ok(endpoint)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
