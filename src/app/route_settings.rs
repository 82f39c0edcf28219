//! From a config to what routes are made from.

use std::path::Path;

use crate::apps::AppPath;
use crate::check::{ASSERTION_HEADER, COOKIE_HEADER, QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER};
use crate::config::{Config, ListenAddress};
use crate::http::scim::SCIM_PATH;
use crate::routes::{RouteError, RouteSettings, ServiceAddress};

/// Paths of the service outside `base_path`, as other programs name them.
const SEED_PATHS: [&str; 3] = ["/login", "/logout", "/dashboard"];
const OAUTH2_PROXY_PATHS: [&str; 5] =
    ["/oauth2/start", "/oauth2/sign_in", "/oauth2/callback", "/oauth2/sign_out", "/oauth2/userinfo"];

/// What routes are made from. `service` is the host under which the proxy
/// reaches the service, where that is not the address it listens on.
///
/// # Errors
/// When a path of the config means another thing in the config of a proxy.
pub fn route_settings(config: &Config, service: Option<&str>) -> Result<RouteSettings, RouteError> {
    let base_path = plain("base_path", &config.base_path)?;
    let callbacks = config.identity_providers.iter().filter_map(|provider| provider.login.as_ref());
    let callbacks = callbacks.map(|login| ("identity_providers.login.callback_path", login.callback_path.as_str()));
    let seed = SEED_PATHS.iter().filter(|_| config.seed_paths);
    let oauth2_proxy = OAUTH2_PROXY_PATHS.iter().filter(|_| config.compat.oauth2_proxy);
    let others = seed.chain(oauth2_proxy).map(|path| ("compat", *path));
    let mut own_paths: Vec<AppPath> = Vec::new();
    let portal = config.portal.path.as_deref().map(|path| ("portal.path", path));
    for (key, path) in callbacks.chain(others).chain(portal) {
        let path = plain(key, path)?;
        if !base_path.covers(path.prefix()) && !own_paths.contains(&path) {
            own_paths.push(path);
        }
    }
    let has_scim = config.directory.as_ref().is_some_and(|directory| directory.scim.is_some());
    let own_prefixes = [SCIM_PATH].into_iter().filter(|_| has_scim).map(|path| plain("directory.scim", path));
    let own_prefixes: Vec<AppPath> = own_prefixes.collect::<Result<_, _>>()?;
    let carriers = [COOKIE_HEADER, QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER];
    let managed: Vec<String> = config
        .identity_headers
        .managed()
        .chain([ASSERTION_HEADER])
        .filter(|name| !carriers.contains(name))
        .map(str::to_owned)
        .collect();
    let further = |name: &&str| !carriers.contains(name) && !managed.iter().any(|held| held == name);
    let stripped = config.identity_headers.reserved().filter(further).map(str::to_owned).collect();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(RouteSettings {
        grpc: address("listen.grpc", &config.listen.grpc, service)?,
        http: address("listen.http", &config.listen.http, service)?,
        public_https: config.public_url.as_ref().is_some_and(crate::config::PublicUrl::is_https),
        public_host: config
            .public_url
            .as_ref()
            .and_then(|url| url.origin().split_once("://"))
            .map(|(_, host)| host.to_owned()),
        base_path,
        own_paths,
        own_prefixes,
        managed_headers: managed,
        stripped_headers: stripped,
        site: config.routes.site.clone(),
        trusted_ca: text(&config.routes.trusted_ca),
        envoy_dir: config.routes.envoy.as_deref().map(text),
        nginx_file: config.routes.nginx.as_ref().map(|nginx| text(&nginx.file)),
    })
}

fn plain(key: &'static str, path: &str) -> Result<AppPath, RouteError> {
    AppPath::parse(path).map_err(|_| RouteError::Character { key, value: path.to_owned() })
}

fn address(key: &'static str, address: &ListenAddress, service: Option<&str>) -> Result<ServiceAddress, RouteError> {
    match address {
        ListenAddress::Tcp(address) => Ok(ServiceAddress::of(*address, service)),
        ListenAddress::Unix(path) => {
            let path = path.to_string_lossy().into_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            if path.chars().all(plain) {
                Ok(ServiceAddress::Unix(path))
            } else {
                Err(RouteError::Character { key, value: path })
            }
        }
    }
}
