//! From a config to the parts of the service.

use std::sync::Arc;

use super::catalogue::LoadedApps;
use super::introspection::CountIntrospections;
use crate::backend::http_client::HttpClient;
use crate::backend::jwks_fetch::JwksSettings;
use crate::backend::jwks_source::JwksSource;
use crate::check::{LoginPlace, Snapshot};
use crate::config::{self, Config};
use crate::http::pages::PageSettings;
use crate::oidc::{ClientSettings, Introspection, IntrospectionPorts, IntrospectionSettings};
use crate::token::{Issuers, OpaqueTokens};
use crate::types::{Clock, Tasks};

/// Everything checks are decided by.
///
/// # Errors
/// When two providers share an issuer, which a valid config excludes.
pub fn snapshot(config: &Config, apps: &LoadedApps) -> anyhow::Result<Snapshot> {
    Ok(Snapshot {
        policy: Arc::clone(&apps.policy),
        catalogue: Arc::clone(&apps.catalogue),
        earlier: Vec::new(),
        issuers: issuers(config)?,
        identity: config.identity_headers.clone(),
        errors: config.error_template.clone(),
        assertion: config.assertion.clone(),
        base_path: config.base_path.clone(),
        login: login(config),
        ui: Arc::clone(&config.portal.ui),
        show_locked: config.portal.show_locked,
    })
}

/// Where browsers sign in, when some provider lets them.
fn login(config: &Config) -> Option<LoginPlace> {
    config.identity_providers.iter().find(|provider| provider.login.is_some())?;
    LoginPlace::new(config.public_url.as_ref()?.origin(), &config.base_path)
}

/// Whose tokens count.
///
/// # Errors
/// When two providers share an issuer, which a valid config excludes.
pub fn issuers(config: &Config) -> anyhow::Result<Issuers> {
    Ok(Issuers::new(config.identity_providers.iter().map(|provider| provider.tokens.clone()))?)
}

/// The clients that browsers sign in with, in the order of the config.
pub(super) fn clients(config: &Config) -> Vec<ClientSettings> {
    let providers = config.identity_providers.iter();
    providers.filter_map(|provider| Some(provider.login.as_ref()?.client(provider.id()))).collect()
}

/// How the keys of each provider are found and kept.
pub(super) fn key_settings(config: &Config) -> Vec<JwksSettings> {
    config
        .identity_providers
        .iter()
        .map(|provider| {
            let source = match &provider.jwks.source {
                config::JwksSource::Discovery(url) => {
                    JwksSource::Discovery { issuer: provider.tokens.issuer.clone(), url: url.clone() }
                }
                config::JwksSource::Uri(url) => JwksSource::Url(url.clone()),
                config::JwksSource::File(path) => JwksSource::File(path.clone()),
            };
            JwksSettings {
                provider: provider.id().clone(),
                issuer: provider.tokens.issuer.clone(),
                source,
                refresh: provider.jwks.refresh,
                max_stale: provider.jwks.max_stale,
                cache_dir: provider.jwks.cache_dir.clone(),
            }
        })
        .collect()
}

/// Who is asked about opaque tokens, where the config names one.
pub(super) fn opaque_tokens(
    config: &Config,
    http: &HttpClient,
    clock: &Arc<dyn Clock>,
    tasks: &Arc<dyn Tasks>,
) -> Option<Arc<dyn OpaqueTokens>> {
    let (provider, asked) = config
        .identity_providers
        .iter()
        .find_map(|provider| provider.introspection.as_ref().map(|introspection| (provider, introspection)))?;
    let config::Introspection { url, client, max_age, cache } = asked;
    let settings = IntrospectionSettings {
        provider: provider.id().clone(),
        issuer: Arc::clone(&provider.tokens.issuer),
        url: url.clone(),
        client: client.clone(),
        max_age: *max_age,
        capacity: u64::from(*cache),
    };
    let ports = IntrospectionPorts {
        http: Arc::new(http.clone()),
        clock: Arc::clone(clock),
        tasks: Arc::clone(tasks),
        watch: Arc::new(CountIntrospections::default()),
    };
    Some(Arc::new(Introspection::new(settings, ports)))
}

/// Where the pages for browsers live.
pub(super) fn page_settings(config: &Config) -> PageSettings {
    PageSettings {
        base_path: config.base_path.clone(),
        seed_paths: config.seed_paths,
        oauth2_proxy: config.compat.oauth2_proxy,
        portal_path: config.portal.path.clone(),
        public_origin: config.public_url.as_ref().map(|url| url.origin().to_owned()),
        trusted_proxies: config.trusted_proxies.clone(),
    }
}
