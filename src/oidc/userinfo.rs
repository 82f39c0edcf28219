//! The userinfo endpoint (OIDC Core section 5.3): name and e-mail address,
//! where the ID token lacks them. Not every provider has one, and not every
//! access token opens it: nobody is refused for want of an answer, only for one
//! that is wrong.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode};
use serde_json::{Map, Value};

use super::error::CallbackError;
use super::http_client::is_json;
use super::provider::Provider;
use super::relying_party::RelyingParty;
use crate::token::parse_object;
use crate::types::{FetchUrl, Secret};

/// How long a sign-in waits for it.
const PATIENCE: Duration = Duration::from_millis(800);

impl RelyingParty {
    /// The claims of the userinfo endpoint; none when `known` has what is asked
    /// for, or the provider gives none.
    pub(super) async fn userinfo(
        &self,
        provider: &Provider,
        endpoint: Option<&FetchUrl>,
        access_token: &Secret,
        subject: &str,
        known: [&Map<String, Value>; 2],
    ) -> Result<Map<String, Value>, CallbackError> {
        let names = &provider.tokens.claims;
        let mut wanted = [names.email.as_ref(), names.name.as_ref()].into_iter().flatten();
        let lacks = wanted.any(|path| known.iter().all(|claims| path.find(claims).is_none()));
        let Some(request) = endpoint.filter(|_| lacks).and_then(|url| request(url, access_token)) else {
            return Ok(Map::new());
        };
        let Some(Ok(answer)) = self.within(PATIENCE, self.ports.http.send(request)).await else {
            return Ok(Map::new());
        };
        if answer.status() != StatusCode::OK {
            return Ok(Map::new());
        }
        let is_json = answer.headers().get(CONTENT_TYPE).is_none_or(is_json);
        let claims = parse_object(answer.body()).ok().filter(|_| is_json).ok_or(CallbackError::UserInfo)?;
        match claims.get("sub") {
            // Section 5.3.2: otherwise nothing of it may be used.
            Some(Value::String(named)) if named == subject => Ok(claims),
            Some(Value::String(_)) => Err(CallbackError::OtherSubject),
            Some(_) | None => Err(CallbackError::UserInfo),
        }
    }
}

fn request(url: &FetchUrl, access_token: &Secret) -> Option<Request<Bytes>> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.expose())).ok()?;
    bearer.set_sensitive(true);
    let request = Request::get(url.as_str()).header(ACCEPT, "application/json").header(AUTHORIZATION, bearer);
    request.body(Bytes::new()).ok()
}
