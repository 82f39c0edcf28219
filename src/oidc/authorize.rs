//! The way to the provider: the authorization request (OIDC Core section
//! 3.1.2.1) with `state`, `nonce` and PKCE (RFC 7636), each drawn for it.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet};
use openidconnect::{
    AuthType, AuthUrl, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenUrl,
};

use super::client::ClientAuth;
use super::error::SignInError;
use super::provider::{Metadata, MetadataError, Provider};
use super::relying_party::{Redirect, RelyingParty};
use crate::session::{BrowserCookies, LoginAttempt, LoginCookie, OpaqueId, SetCookie};
use crate::types::ProviderId;

/// How long a browser may stay at the provider.
pub(super) const MAX_ATTEMPT_AGE: Duration = Duration::from_secs(10 * 60);

/// The client in the words of `openidconnect`.
pub(super) type OidcClient =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet>;

impl RelyingParty {
    /// Begins a sign-in: the provider's authorization endpoint with `state`,
    /// `nonce` and PKCE. `return_to` is path and query on our own origin and was
    /// validated by the caller. `client` is the address that the attempt is
    /// counted by, where it is known, and nothing else.
    ///
    /// # Errors
    /// When it cannot begin.
    pub async fn begin(
        &self,
        provider: &ProviderId,
        return_to: &str,
        cookies: &BrowserCookies,
        client: Option<IpAddr>,
    ) -> Result<Redirect, SignInError> {
        let provider = self.provider(provider).ok_or(SignInError::UnknownProvider)?;
        let metadata = self.metadata(provider).await?;
        let oidc = self.oidc_client(provider, &metadata).ok_or(MetadataError::Malformed)?;
        self.count_attempt(client)?;

        let random = self.ports.random.as_ref();
        let draw = || OpaqueId::draw(random);
        let (state, browser, nonce, verifier) = (draw(), draw(), draw().written(), draw().written());
        let now = self.ports.clock.now();
        let attempt = LoginAttempt {
            provider: provider.client.provider.clone(),
            nonce: nonce.clone(),
            pkce_verifier: verifier.clone(),
            return_to: return_to.to_owned(),
            browser: LoginAttempt::browser_of(&browser),
            started_at: now,
        };
        let sealed = attempt.seal(&state, self.sessions.seals(), random);
        let store = self.sessions.store();
        match store.put_once(LoginAttempt::key(&state), sealed, now.plus(MAX_ATTEMPT_AGE), now).await {
            Ok(true) => {}
            // Two states of 256 random bits are never the same.
            Ok(false) | Err(_) => return Err(SignInError::Store),
        }

        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.expose().to_owned()));
        let state = CsrfToken::new(state.written().expose().to_owned());
        let nonce = Nonce::new(nonce.expose().to_owned());
        let mut request = oidc
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .set_pkce_challenge(challenge);
        // `openid` is asked for by the library itself.
        for scope in provider.client.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for (name, value) in &provider.client.extra_params {
            request = request.add_extra_param(name.as_str(), value.as_str());
        }
        let (location, _, _) = request.url();

        let mut drawn = [0u8; 1];
        random.fill(&mut drawn);
        let [drawn] = drawn;
        let started = u64::try_from(now.as_secs()).unwrap_or_default();
        let cookie = LoginCookie { slot: cookies.next_slot(drawn), started, secret: browser };
        let set_cookies = vec![SetCookie::login(&cookie, MAX_ATTEMPT_AGE)];
        Ok(Redirect { location: location.into(), set_cookies })
    }

    fn count_attempt(&self, client: Option<IpAddr>) -> Result<(), SignInError> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.admit(client, self.ports.clock.monotonic()).map_err(SignInError::Busy)
    }

    /// `None` when a URL is none that the library takes.
    pub(super) fn oidc_client(&self, provider: &Provider, metadata: &Metadata) -> Option<OidcClient> {
        let settings = &provider.client;
        let issuer = IssuerUrl::new(provider.tokens.issuer.as_ref().to_owned()).ok()?;
        let client = CoreClient::new(ClientId::new(settings.client_id.clone()), issuer, CoreJsonWebKeySet::default())
            .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.as_url().clone()))
            .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.as_url().clone()))
            .set_redirect_uri(RedirectUrl::new(self.redirect_uri(provider)).ok()?);
        let secret = |secret: &crate::types::Secret| ClientSecret::new(secret.expose().to_owned());
        Some(match &settings.auth {
            ClientAuth::SecretBasic(held) => client.set_auth_type(AuthType::BasicAuth).set_client_secret(secret(held)),
            ClientAuth::SecretPost(held) => client.set_auth_type(AuthType::RequestBody).set_client_secret(secret(held)),
            ClientAuth::None | ClientAuth::PrivateKeyJwt { .. } => client.set_auth_type(AuthType::RequestBody),
        })
    }
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
