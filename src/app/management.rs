//! What speaks of users with providers: their hooks, and their management APIs.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;

use super::areas::AreaParts;
use super::directory::open_for_command;
use super::user_sync::{SyncEvent, SyncMode, SyncSummary, UserSync};
use crate::backend::http_client::HttpClient;
use crate::backend::system::{SystemClock, SystemRandom};
use crate::config::{self, Config, IdentityProvider};
use crate::http::admin_idp::{ManagementPassage, Passage};
use crate::http::hooks::{HookKey, UserHook};
use crate::management::{Kind, ManagementApi, ManagementPorts, ManagementSettings, TokenEndpoint};
use crate::types::{Clock, FetchUrl, ProviderId};

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

/// Takes over what the management API of `provider` says of its users.
///
/// # Errors
/// When there is none, or it or the directory does not answer.
pub fn sync_users(
    config: &Config,
    provider: &ProviderId,
    mode: SyncMode,
    tell: &mut dyn FnMut(SyncEvent<'_>),
) -> anyhow::Result<SyncSummary> {
    let settings = config.directory.as_ref().context("there is no user directory: add `directory:` to the config")?;
    let provider = config.identity_providers.iter().find(|known| known.id() == provider);
    let provider = provider.context("there is no such provider")?;
    let groups = provider.management.as_ref().is_some_and(|management| management.groups);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let api = management_api(provider, &HttpClient::new()?, &clock)?;
    let api = api.context("the provider has no `management` in the config")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(async {
        let store = open_for_command(settings).await?;
        let sync = UserSync {
            api: &api,
            store: store.as_ref(),
            clock: clock.as_ref(),
            random: &SystemRandom,
            mode: SyncMode { groups, ..mode },
            tell,
            summary: SyncSummary::default(),
            seen: HashSet::new(),
        };
        sync.run().await
    })
}
