//! The client that the service is at a provider, as configured.

use crate::types::{ProviderId, Secret};

use super::client_auth::SigningKey;

/// The client that browsers sign in with at one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The provider's id in the config.
    pub provider: ProviderId,
    /// What people read on the page where they choose.
    pub label: String,
    /// The client id at the provider.
    pub client_id: String,
    /// How the service shows the provider that it is this client.
    pub auth: ClientAuth,
    /// The scopes asked for; `openid` is asked for in any case.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request.
    pub extra_params: Vec<(String, String)>,
    /// The path that the provider sends browsers back to.
    pub callback_path: String,
}

/// How a client shows who it is (OIDC Core section 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not at all: a public client, which PKCE alone protects.
    None,
    /// With the secret in the `Authorization` header.
    SecretBasic(Secret),
    /// With the secret in the form.
    SecretPost(Secret),
    /// With a short-lived statement signed by its own key (RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// The key.
        key: SigningKey,
        /// The `kid` that the provider knows it by.
        key_id: Option<String>,
        /// Whom the statement is for.
        audience: AssertionAudience,
    },
}

/// What stands in `aud` of a client's statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AssertionAudience {
    /// The issuer, which only this provider can be.
    #[default]
    Issuer,
    /// The URL of the token endpoint, for providers that ask for it.
    TokenEndpoint,
}
