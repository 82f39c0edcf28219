//! The service's own token for a management API: client credentials (RFC 6749
//! section 4.4), kept until shortly before its end.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::api::ManagementSettings;
use super::port::TransportError;
use crate::token::parse_object;
use crate::types::{FetchUrl, Monotonic, Secret};

/// How long a token counts whose answer does not say it.
const UNSAID: Duration = Duration::from_secs(60);
/// How long before its end a token is renewed, where it lasts longer than twice that.
const AHEAD: Duration = Duration::from_secs(60);

/// Why there is no token. Says nothing of the credentials.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token endpoint did not answer.
    #[error("the service could not ask for its own token")]
    Transport(#[from] TransportError),
    /// It refused.
    #[error("the service got no token of its own: status {0}: check `client_id`, `client_secret` and `audience`")]
    Refused(u16),
    /// An answer that holds no bearer token.
    #[error("the answer of the token endpoint holds no bearer token")]
    Malformed,
    /// The discovery document does not say where tokens are.
    #[error("discovery does not say where the service gets its token: set `management.token_url`")]
    NoEndpoint,
}

/// A token, and until when it is used.
#[derive(Debug, Clone)]
pub(super) struct ServiceToken {
    pub(super) token: Secret,
    pub(super) renew_at: Monotonic,
}

/// The request for a token.
pub(super) fn request(settings: &ManagementSettings, endpoint: &FetchUrl) -> Option<Request<Bytes>> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &settings.client_id)
        .append_pair("client_secret", settings.client_secret.expose());
    if let Some(audience) = &settings.audience {
        form.append_pair("audience", audience);
    }
    if !settings.scopes.is_empty() {
        form.append_pair("scope", &settings.scopes.join(" "));
    }
    Request::post(endpoint.as_str())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(Bytes::from(form.finish()))
        .ok()
}

/// The token of an answer that came at `now`.
pub(super) fn read(answer: &Response<Bytes>, now: Monotonic) -> Result<ServiceToken, TokenError> {
    if answer.status() != StatusCode::OK {
        return Err(TokenError::Refused(answer.status().as_u16()));
    }
    let members = parse_object(answer.body()).map_err(|_| TokenError::Malformed)?;
    let is_bearer =
        members.get("token_type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = members.get("access_token").and_then(Value::as_str);
    // What stands in a header has to be one word.
    let token =
        token.filter(|token| is_bearer && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    let lifetime = members.get("expires_in").and_then(Value::as_u64).map_or(UNSAID, Duration::from_secs);
    let used = lifetime.checked_sub(AHEAD).filter(|used| *used >= AHEAD).unwrap_or(lifetime / 2);
    let token = Secret::new(token.ok_or(TokenError::Malformed)?.to_owned());
    Ok(ServiceToken { token, renew_at: now.plus(used) })
}

/// The token endpoint that the discovery document of `issuer` names (OIDC Discovery section 3).
pub(super) fn endpoint(document: &Response<Bytes>, issuer: &str) -> Result<FetchUrl, TokenError> {
    if document.status() != StatusCode::OK {
        return Err(TokenError::NoEndpoint);
    }
    let members = parse_object(document.body()).map_err(|_| TokenError::NoEndpoint)?;
    if members.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(TokenError::NoEndpoint);
    }
    let endpoint = members.get("token_endpoint").and_then(Value::as_str).ok_or(TokenError::NoEndpoint)?;
    FetchUrl::parse(endpoint).map_err(|_| TokenError::NoEndpoint)
}
