//! The client that browsers sign in with at a provider.

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::LoginFile;
use super::listen::read_path;
use super::node::push;
use crate::policy::is_scope;
use crate::types::Secret;

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
    /// The client secret; none for a public client.
    pub client_secret: Option<Secret>,
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
        let secret =
            check.secret(pointer, "client_secret", file.client_secret.as_deref(), file.client_secret_file.as_deref());
        Self {
            client_id: check.text(&push(pointer, "client_id"), &file.client_id),
            client_secret: secret.map(|(secret, _)| secret),
            scopes,
            extra_params: file.extra_params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            callback_path,
        }
    }
}
