//! The client that browsers sign in with at a provider.

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::{AssertionAudienceFile, ClientAuthFile, LoginFile};
use super::identity_provider::IdentityProvider;
use super::listen::{PublicUrl, read_path};
use super::node::push;
use crate::oidc::{AssertionAudience, ClientAuth, ClientSettings, SigningKey};
use crate::policy::{Policy, is_scope};
use crate::types::{CanonicalPath, Host, ProviderId, Secret};

/// Parameters that the protocol sets itself (RFC 6749 section 4.1.1, RFC 7636
/// section 4.3, OIDC Core section 3.1.2.1, RFC 9101, RFC 9126).
const OF_THE_PROTOCOL: [&str; 12] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The client that browsers sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The client id at the provider.
    pub client_id: String,
    /// What people read where they choose a provider.
    pub label: String,
    /// How the service shows the provider that it is this client.
    pub auth: ClientAuth,
    /// The scopes asked for; `openid` is one of them.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request, none of which the protocol itself sets.
    pub extra_params: Vec<(String, String)>,
    /// The path the provider sends browsers back to.
    pub callback_path: String,
}

impl Login {
    pub(crate) fn read(
        pointer: &str,
        file: &LoginFile,
        provider: &str,
        base_path: &str,
        check: &mut Check<'_>,
    ) -> Self {
        let scopes_at = push(pointer, "scopes");
        let scopes = check.list(&scopes_at, file.scopes.as_deref(), &["openid", "profile", "email"]);
        for (position, scope) in scopes.iter().enumerate().filter(|(_, scope)| !scope.is_empty() && !is_scope(scope)) {
            let here = push(&scopes_at, &position.to_string());
            let fault = if scope.contains(' ') {
                Fault::new(here, format!("{} holds more than one scope", quoted(scope)))
            } else {
                Fault::new(here, format!("{} holds a character that no scope can hold", quoted(scope)))
            };
            check.fault(fault.hint("write each as its own entry, in ASCII and without `\"` and `\\`"));
        }
        if !scopes.iter().any(|scope| scope == "openid") {
            check.fault(
                Fault::new(scopes_at, "the scope `openid` is not asked for")
                    .hint("add `openid`: without it the provider says nobody's name"),
            );
        }
        let extra_at = push(pointer, "extra_params");
        for name in file.extra_params.keys().filter(|name| OF_THE_PROTOCOL.contains(&name.as_str())) {
            let fault =
                Fault::new(push(&extra_at, name), format!("the parameter {} is set by the login itself", quoted(name)));
            check.fault(fault.at_key().hint("remove it"));
        }
        let default_path = format!("{base_path}/callback/{provider}");
        let callback_path = match &file.callback_path {
            Some(path) => check.or(read_path(&push(pointer, "callback_path"), path), default_path),
            None => default_path,
        };
        let label = match &file.label {
            Some(label) => check.text(&push(pointer, "label"), label),
            None => provider.to_owned(),
        };
        Self {
            client_id: check.text(&push(pointer, "client_id"), &file.client_id),
            label,
            auth: read_auth(pointer, file, check),
            scopes,
            extra_params: file.extra_params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            callback_path,
        }
    }

    /// Client id and secret, where it shows who it is by a secret.
    pub(super) fn secret(&self) -> Option<(&str, &Secret)> {
        match &self.auth {
            ClientAuth::SecretBasic(secret) | ClientAuth::SecretPost(secret) => Some((&self.client_id, secret)),
            ClientAuth::PrivateKeyJwt { .. } | ClientAuth::None => None,
        }
    }

    /// The client for the relying party.
    #[must_use]
    pub fn client(&self, provider: &ProviderId) -> ClientSettings {
        let Self { client_id, label, auth, scopes, extra_params, callback_path } = self.clone();
        ClientSettings { provider: provider.clone(), label, client_id, auth, scopes, extra_params, callback_path }
    }
}

/// Says where a callback takes a path away from the app of a rule. Under a rule
/// for the whole site that is how it has to be.
pub(crate) fn say_what_is_covered(
    providers: &[IdentityProvider],
    policy: &Policy,
    public_url: &PublicUrl,
    check: &mut Check<'_>,
) {
    let host = public_url.origin().split_once("://").and_then(|(_, authority)| Host::parse(authority.as_bytes()).ok());
    for (id, login) in providers.iter().filter_map(|provider| Some((provider.id(), provider.login.as_ref()?))) {
        let Ok(path) = CanonicalPath::parse(login.callback_path.as_bytes()) else { continue };
        let matched = policy.find(host.as_ref(), &path, "GET");
        if let Some(rule) = matched.map(|matched| matched.rule()).filter(|rule| !rule.is_for_the_rest()) {
            check.notice(format!(
                "`callback_path` {} of `{}` lies under the rule `{}`: no app gets what is sent there; choose \
                 a path under no rule",
                quoted(path.as_str()),
                id.as_str(),
                rule.name(),
            ));
        }
    }
}

/// How the client shows who it is. Where it cannot, that is a fault, and what
/// stands in its place is not used.
fn read_auth(pointer: &str, file: &LoginFile, check: &mut Check<'_>) -> ClientAuth {
    let has_secret = file.client_secret.is_some() || file.client_secret_file.is_some();
    let has_key = file.private_key.is_some() || file.private_key_file.is_some();
    let secret =
        check.secret(pointer, "client_secret", file.client_secret.as_deref(), file.client_secret_file.as_deref());
    let key = check.secret(pointer, "private_key", file.private_key.as_deref(), file.private_key_file.as_deref());
    let written = if file.private_key.is_some() { "private_key" } else { "private_key_file" };
    let auth = file.client_auth.unwrap_or(match (has_secret, has_key) {
        (true, _) => ClientAuthFile::ClientSecretBasic,
        (false, true) => ClientAuthFile::PrivateKeyJwt,
        (false, false) => ClientAuthFile::None,
    });
    let needs_secret = matches!(auth, ClientAuthFile::ClientSecretBasic | ClientAuthFile::ClientSecretPost);
    let needs_key = auth == ClientAuthFile::PrivateKeyJwt;
    let name = match auth {
        ClientAuthFile::ClientSecretBasic => "client_secret_basic",
        ClientAuthFile::ClientSecretPost => "client_secret_post",
        ClientAuthFile::PrivateKeyJwt => "private_key_jwt",
        ClientAuthFile::None => "none",
    };
    let auth_at = push(pointer, "client_auth");
    if needs_secret && !has_secret {
        let fault = Fault::new(&*auth_at, format!("`{name}` needs a client secret, and there is none"));
        check.fault(fault.hint("add `client_secret: ${…}` or `client_secret_file`"));
    }
    if needs_key && !has_key {
        let fault = Fault::new(&*auth_at, "`private_key_jwt` needs a private key, and there is none");
        check.fault(fault.hint("add `private_key_file`"));
    }
    if has_secret && !needs_secret {
        let here = push(pointer, if file.client_secret.is_some() { "client_secret" } else { "client_secret_file" });
        let fault = Fault::new(here, format!("`{name}` uses no client secret")).at_key();
        check.fault(fault.hint("remove it, or change `client_auth`"));
    }
    if has_key && !needs_key {
        let fault = Fault::new(push(pointer, written), format!("`{name}` uses no private key")).at_key();
        check.fault(fault.hint("remove it, or write `client_auth: private_key_jwt`"));
    }
    let of_the_key =
        [("private_key_id", file.private_key_id.is_some()), ("assertion_audience", file.assertion_audience.is_some())];
    for (name, _) in of_the_key.into_iter().filter(|(_, written)| *written && !needs_key) {
        let fault = Fault::new(push(pointer, name), format!("`{name}` has a meaning with a private key only"));
        check.fault(fault.at_key().hint("remove it, or write `client_auth: private_key_jwt`"));
    }
    let key_id = file.private_key_id.as_ref().map(|id| check.text(&push(pointer, "private_key_id"), id));
    let secret = secret.map(|(secret, _)| secret);
    let key = key.filter(|_| needs_key).and_then(|(pem, here)| check.ok(read_key(&here, &pem)));
    let audience = match file.assertion_audience {
        None | Some(AssertionAudienceFile::Issuer) => AssertionAudience::Issuer,
        Some(AssertionAudienceFile::TokenEndpoint) => AssertionAudience::TokenEndpoint,
    };
    match (auth, secret, key) {
        (ClientAuthFile::ClientSecretBasic, Some(secret), _) => ClientAuth::SecretBasic(secret),
        (ClientAuthFile::ClientSecretPost, Some(secret), _) => ClientAuth::SecretPost(secret),
        (ClientAuthFile::PrivateKeyJwt, _, Some(key)) => ClientAuth::PrivateKeyJwt { key, key_id, audience },
        (
            ClientAuthFile::ClientSecretBasic
            | ClientAuthFile::ClientSecretPost
            | ClientAuthFile::PrivateKeyJwt
            | ClientAuthFile::None,
            _,
            _,
        ) => ClientAuth::None,
    }
}

fn read_key(pointer: &str, pem: &Secret) -> Result<SigningKey, Fault> {
    SigningKey::from_pem(pem).map_err(|_| {
        Fault::new(pointer, "this is no private key that can sign with RS256 or ES256")
            .hint("PEM in PKCS #8: RSA of 2048 bits or more, or ECDSA on P-256")
    })
}
