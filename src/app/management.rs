//! What speaks of users with providers: their hooks, and their management APIs.

use std::sync::Arc;

use super::areas::AreaParts;
use crate::backend::http_client::HttpClient;
use crate::config::{self, IdentityProvider};
use crate::http::admin_idp::{ManagementPassage, Passage};
use crate::http::hooks::{HookKey, UserHook};
use crate::management::{Kind, ManagementApi, ManagementPorts, ManagementSettings, TokenEndpoint};
use crate::types::{Clock, FetchUrl};

/// The management API of a provider, where the config has one.
///
/// # Errors
/// When the service cannot find out where it gets its token.
pub(super) fn management_api(
    provider: &IdentityProvider,
    http: &HttpClient,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<ManagementApi>> {
    let Some(management) = &provider.management else { return Ok(None) };
    let token_endpoint = match &management.token_url {
        Some(url) => TokenEndpoint::At(url.clone()),
        None => {
            let issuer = Arc::clone(&provider.tokens.issuer);
            let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            TokenEndpoint::Discovered { document: FetchUrl::parse(&document)?, issuer }
        }
    };
    let settings = ManagementSettings {
        provider: provider.id().clone(),
        kind: match management.kind {
            config::ManagementKind::Auth0 => Kind::Auth0,
            config::ManagementKind::Keycloak => Kind::Keycloak,
        },
        url: management.url.clone(),
        token_endpoint,
        client_id: management.client_id.clone(),
        client_secret: management.client_secret.clone(),
        audience: management.audience.clone(),
        scopes: management.scopes.clone(),
    };
    let ports = ManagementPorts { transport: Arc::new(http.clone()), clock: Arc::clone(clock) };
    Ok(Some(ManagementApi::new(settings, ports)))
}

impl AreaParts<'_> {
    /// The hook for users; `None` where nobody may report any.
    pub(super) fn user_hook(&self) -> Option<UserHook> {
        let hooks = self.config.directory.as_ref().map(|settings| settings.hooks.as_slice()).unwrap_or_default();
        let directory = self.directory.filter(|_| !hooks.is_empty())?;
        let keys = hooks.iter().map(|hook| HookKey::new(hook.provider.clone(), &hook.secret, hook.window)).collect();
        Some(UserHook::new(keys, Arc::clone(directory), Arc::clone(self.clock)))
    }

    /// The way through to the management APIs of the providers, for the
    /// administrator's area; `None` where no provider has one.
    pub(super) fn management_passage(&self) -> Option<ManagementPassage> {
        let mut passages = Vec::new();
        for provider in &self.config.identity_providers {
            let Some(settings) = &provider.management else { continue };
            match management_api(provider, self.http, self.clock) {
                Ok(Some(api)) => passages.push(Passage {
                    api: Arc::new(api),
                    methods: settings.methods.clone(),
                    paths: settings.paths.clone(),
                }),
                Ok(None) => {}
                Err(error) => tracing::error!(error = format!("{error:#}"), "a management API cannot be asked"),
            }
        }
        let passage = |passages| {
            let directory = self.directory.map(Arc::clone);
            let (checker, clock) = (Arc::clone(self.checker), Arc::clone(self.clock));
            ManagementPassage::new(passages, directory, checker, clock, &self.config.base_path)
        };
        (!passages.is_empty()).then(|| passage(passages))
    }
}
