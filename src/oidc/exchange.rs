//! The token endpoint (RFC 6749 sections 4.1.3, 5 and 6), asked through
//! `openidconnect` over our own port.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use openidconnect::core::{CoreErrorResponseType, CoreRequestTokenError, CoreTokenResponse, CoreTokenType};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, HttpRequest, HttpResponse, OAuth2TokenResponse as _, PkceCodeVerifier,
    RefreshToken, RequestTokenError,
};
use serde_json::Value;

use super::client::{AssertionAudience, ClientAuth};
use super::http_client::{HttpClient, HttpError};
use super::provider::{Metadata, Provider};
use super::relying_party::{RelyingParty, RelyingPartyPorts};
use crate::token::parse_object;
use crate::types::Secret;

/// How a client's statement is announced (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the token endpoint gave. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access_token: Secret,
    pub(super) id_token: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
    pub(super) expires_in: Option<Duration>,
}

/// Why the token endpoint gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeError {
    /// No answer, or a failure of the provider's own (5xx, 429).
    Unavailable,
    /// `invalid_grant`: code or refresh token do not count (any more).
    Grant,
    /// `invalid_client`, or another error that is about the client.
    Client,
    /// No token response: another type than Bearer, no access token, a member
    /// twice, a redirect, too large.
    Malformed,
}

/// What is handed in for tokens.
pub(super) enum Grant<'a> {
    Code { code: &'a Secret, pkce_verifier: &'a Secret },
    Refresh(&'a Secret),
}

impl RelyingParty {
    /// Hands in `grant` for tokens.
    pub(super) async fn exchange(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        grant: Grant<'_>,
    ) -> Result<Tokens, ExchangeError> {
        let client = self.oidc_client(provider, metadata).ok_or(ExchangeError::Malformed)?;
        let endpoint = TokenEndpoint { http: self.ports.http.as_ref(), id_token: Mutex::default() };
        let proofs = client_proofs(&self.ports, provider, metadata).ok_or(ExchangeError::Client)?;
        let answer = match grant {
            Grant::Code { code, pkce_verifier } => {
                let mut request = client
                    .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
                    .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier.expose().to_owned()));
                for (name, value) in &proofs {
                    request = request.add_extra_param(*name, value.expose());
                }
                request.request_async(&endpoint).await
            }
            Grant::Refresh(token) => {
                let token = RefreshToken::new(token.expose().to_owned());
                let mut request = client.exchange_refresh_token(&token);
                for (name, value) in &proofs {
                    request = request.add_extra_param(*name, value.expose());
                }
                request.request_async(&endpoint).await
            }
        };
        let answer = answer.map_err(|error| failure(&error))?;
        let id_token = endpoint.id_token.into_inner().unwrap_or_else(PoisonError::into_inner);
        read(&answer, id_token)
    }
}

/// What proves the client in the form of a request, beyond what the library
/// itself puts there; `None` when its key does not sign.
pub(super) fn client_proofs(
    ports: &RelyingPartyPorts,
    provider: &Provider,
    metadata: &Metadata,
) -> Option<Vec<(&'static str, Secret)>> {
    let settings = &provider.client;
    match &settings.auth {
        ClientAuth::None | ClientAuth::SecretBasic(_) | ClientAuth::SecretPost(_) => Some(Vec::new()),
        ClientAuth::PrivateKeyJwt { key, key_id, audience } => {
            let audience = match audience {
                AssertionAudience::Issuer => provider.tokens.issuer.as_ref(),
                AssertionAudience::TokenEndpoint => metadata.token_endpoint.as_str(),
            };
            let (random, now) = (ports.random.as_ref(), ports.clock.now());
            let signed = key.assertion(&settings.client_id, key_id.as_deref(), audience, random, now).ok()?;
            let named = Secret::new(ASSERTION_TYPE.to_owned());
            Some(vec![("client_assertion_type", named), ("client_assertion", signed)])
        }
    }
}

/// The port in the words of `openidconnect`. The ID token is taken out of the
/// answer before the library reads it: it is for our own gate alone.
struct TokenEndpoint<'a> {
    http: &'a dyn HttpClient,
    id_token: Mutex<Option<Secret>>,
}

/// Why an answer is not passed on.
#[derive(Debug, thiserror::Error)]
enum NotRead {
    #[error("answered with status {0}")]
    Status(StatusCode),
    #[error("not one json object with each member once")]
    Json,
    #[error("the id token is no text")]
    IdToken,
}

impl TokenEndpoint<'_> {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.http.send(Request::from_parts(parts, Bytes::from(body))).await?;
        let (parts, body) = answer.into_parts();
        let status = parts.status;
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HttpError::Unreachable(Box::new(NotRead::Status(status))));
        }
        if !(status == StatusCode::OK || status.is_client_error()) {
            return Err(HttpError::Unacceptable(Box::new(NotRead::Status(status))));
        }
        let mut members = parse_object(&body).map_err(|_| HttpError::Unacceptable(Box::new(NotRead::Json)))?;
        match members.remove("id_token") {
            None | Some(Value::Null) => {}
            Some(Value::String(token)) => {
                *self.id_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(Secret::new(token));
            }
            Some(_) => return Err(HttpError::Unacceptable(Box::new(NotRead::IdToken))),
        }
        Ok(HttpResponse::from_parts(parts, Value::Object(members).to_string().into_bytes()))
    }
}

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// Refusals that are about the person and not about the client: the provider
/// will give this grant no more tokens by itself (RFC 6749 section 4.1.2.1, OIDC
/// Core section 3.1.2.6).
const OF_THE_PERSON: [&str; 5] =
    ["access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required"];

fn failure(error: &CoreRequestTokenError<HttpError>) -> ExchangeError {
    match error {
        RequestTokenError::Request(HttpError::Unreachable(_)) => ExchangeError::Unavailable,
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => ExchangeError::Grant,
            CoreErrorResponseType::Extension(error) if OF_THE_PERSON.contains(&error.as_str()) => ExchangeError::Grant,
            CoreErrorResponseType::InvalidClient
            | CoreErrorResponseType::InvalidRequest
            | CoreErrorResponseType::InvalidScope
            | CoreErrorResponseType::UnauthorizedClient
            | CoreErrorResponseType::UnsupportedGrantType
            | CoreErrorResponseType::Extension(_) => ExchangeError::Client,
        },
        RequestTokenError::Request(HttpError::Unacceptable(_))
        | RequestTokenError::Parse(..)
        | RequestTokenError::Other(_) => ExchangeError::Malformed,
    }
}

fn read(answer: &CoreTokenResponse, id_token: Option<Secret>) -> Result<Tokens, ExchangeError> {
    if *answer.token_type() != CoreTokenType::Bearer {
        return Err(ExchangeError::Malformed);
    }
    let access_token = answer.access_token().secret();
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ExchangeError::Malformed);
    }
    let refresh_token = answer.refresh_token().map(|token| Secret::new(token.secret().clone()));
    Ok(Tokens {
        access_token: Secret::new(access_token.clone()),
        id_token,
        refresh_token: refresh_token.filter(|token| !token.expose().is_empty()),
        expires_in: answer.expires_in(),
    })
}
