//! Caddy, HAProxy and Traefik, which ask by forward authentication.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::settings::{Proxy, RouteError, RouteSettings};
use super::table::{self, depth};
use super::template;
use super::{ConfigFile, config_file};
use crate::apps::{App, Catalogue, Prefix, Upstream};
use crate::types::Host;

const CADDY: &str = include_str!("Caddyfile.j2");
const HAPROXY: &str = include_str!("haproxy.cfg.j2");
const HAPROXY_LUA: &str = include_str!("forward-auth.lua.j2");
const TRAEFIK: &str = include_str!("traefik.yaml.j2");
const TRAEFIK_DYNAMIC: &str = include_str!("traefik_dynamic.yaml.j2");

/// Caddy's config.
pub(super) fn caddy(
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<Vec<ConfigFile>, RouteError> {
    let http = match &settings.http {
        super::ServiceAddress::Unix(path) => format!("unix/{path}"),
        super::ServiceAddress::Tcp { .. } => settings.http.authority().unwrap_or_default(),
    };
    let kind = |upstream: &Upstream| if upstream.is_tls() { "upstream_tls" } else { "upstream" };
    let apps: Vec<Value> = in_order(catalogue)
        .into_iter()
        .map(|app| {
            let path = app.path.prefix();
            let pattern = in_class(path);
            // What is taken off, and what takes its place.
            let (find, replace) = match app.prefix {
                Prefix::Strip if !path.is_empty() => (format!("^{pattern}/+"), format!("{}/", app.upstream.base())),
                Prefix::Strip | Prefix::Keep => (format!("^{pattern}/"), format!("{}{path}/", app.upstream.base())),
            };
            let host = app.host.as_ref().map_or_else(|| "[^ ]*".to_owned(), host_pattern);
            json!({
                "id": app.id.to_string(), "tag": app.route_tag(), "host": host, "pattern": pattern, "bare": pattern_or_nothing(&pattern),
                "path": path, "find": find, "replace": replace, "told": told(app),
                "url": bare_url(&app.upstream), "kind": kind(&app.upstream), "name": app.upstream.address(),
            })
        })
        .collect();
    let site = settings
        .site
        .as_ref()
        .map(|site| json!({ "url": bare_url(site), "base": site.base(), "kind": kind(site), "name": site.address() }));
    let base = in_class(settings.base_path.prefix());
    let own: Vec<String> = std::iter::once(base)
        .chain(settings.own_prefixes.iter().map(|path| in_class(path.prefix())))
        .map(|prefix| format!("{prefix}([/?]|$)"))
        .chain(settings.own_paths.iter().map(|path| format!("{}([?]|$)", in_class(path.prefix()))))
        .collect();
    let values = json!({
        "listen": listen.to_string(), "port": listen.port(), "address": listen.ip().to_string(), "http": http,
        "base_path": settings.base_path.prefix(), "own": format!("({})", own.join("|")),
        "managed": titles(&settings.managed_headers), "stripped": titles(&settings.stripped_headers),
        "apps": apps, "site": site, "trusted_ca": settings.trusted_ca,
        "tls": catalogue.apps().iter().map(|app| &app.upstream).chain(&settings.site).any(Upstream::is_tls),
    });
    Ok(vec![config_file("Caddyfile", template::render(CADDY, values)?)])
}

/// HAProxy's config and the script that asks.
pub(super) fn haproxy(
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<Vec<ConfigFile>, RouteError> {
    let http = tcp(Proxy::HaProxy, settings)?;
    let server = |upstream: &Upstream| {
        let mut server = upstream.authority();
        if upstream.is_tls() {
            let name = upstream.address();
            let sni = if upstream.is_address() { String::new() } else { format!(" sni str({name})") };
            server = format!("{server} ssl verify required ca-file {}{sni} verifyhost {name}", settings.trusted_ca);
        }
        if upstream.is_address() { server } else { format!("{server} resolvers system init-addr last,libc,none") }
    };
    let mut apps = in_order(catalogue);
    // The last line that fits decides.
    apps.reverse();
    let values: Vec<Value> = apps
        .iter()
        .map(|app| {
            let path = app.path.prefix();
            let host = match &app.host {
                None => String::new(),
                Some(host) if host.port().is_empty() => format!("{{ var(txn.host_name) -m str {} }} ", host.as_str()),
                Some(host) => format!("{{ var(txn.host) -m str {} }} ", host.as_str()),
            };
            let base = app.upstream.base();
            let (find, replace) = match app.prefix {
                Prefix::Strip if !path.is_empty() => (format!("^{}/+", in_class(path)), format!("{base}/")),
                Prefix::Strip | Prefix::Keep if base.is_empty() => (String::new(), String::new()),
                Prefix::Strip | Prefix::Keep => ("^/".to_owned(), format!("{base}/")),
            };
            json!({
                "tag": app.route_tag(), "id": app.id.to_string(), "tier": app.id.tier, "name": app.id.name.as_str(), "host": host, "path": path,
                "told": told(app), "find": find, "replace": replace, "server": server(&app.upstream),
            })
        })
        .collect();
    let upstreams = || apps.iter().map(|app| &app.upstream).chain(&settings.site);
    let own_paths: Vec<&str> = settings.own_paths.iter().map(|path| path.prefix()).collect();
    let own_prefixes: Vec<&str> = settings.own_prefixes.iter().map(|path| path.prefix()).collect();
    let values = json!({
        "listen": listen.to_string(), "http": http,
        "base_path": settings.base_path.prefix(), "own_paths": own_paths, "own_prefixes": own_prefixes,
        "stripped": titles(&settings.stripped_headers),
        "apps": values, "hosts": apps.iter().any(|app| app.host.is_some()),
        "names": upstreams().any(|upstream| !upstream.is_address()),
        "site": settings.site.as_ref().map(|site| json!({ "base": site.base(), "server": server(site) })),
    });
    let lua = json!({ "managed": titles(&settings.managed_headers) });
    Ok(vec![
        config_file("haproxy.cfg", template::render(HAPROXY, values)?),
        config_file("forward-auth.lua", template::render(HAPROXY_LUA, lua)?),
    ])
}

/// Traefik's routes and check, and its static half.
pub(super) fn traefik(
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<Vec<ConfigFile>, RouteError> {
    let http = tcp(Proxy::Traefik, settings)?;
    let apps = in_order(catalogue);
    let upstreams: Vec<Upstream> = {
        let mut all: Vec<Upstream> =
            apps.iter().map(|app| &app.upstream).chain(&settings.site).map(Upstream::without_base).collect();
        all.sort();
        all.dedup();
        all
    };
    let service = |upstream: &Upstream| {
        upstreams.binary_search(&upstream.without_base()).map_or_else(|_| String::new(), |at| format!("upstream-{at}"))
    };
    let mut tls: BTreeMap<&str, String> = BTreeMap::new();
    for upstream in upstreams.iter().filter(|upstream| upstream.is_tls()) {
        let number = tls.len();
        tls.entry(upstream.address()).or_insert_with(|| format!("tls-{number}"));
    }
    let mut values = Vec::new();
    for (position, app) in apps.iter().enumerate() {
        let host = match &app.host {
            None => String::new(),
            Some(host) if host.port().is_empty() => format!("Host(`{}`) && ", host.as_str()),
            Some(host) => return Err(RouteError::HostPort { proxy: Proxy::Traefik, host: host.as_str().to_owned() }),
        };
        let (path, base) = (app.path.prefix(), app.upstream.base());
        let name = format!("app.{}.{}", app.id.tier, app.id.name);
        let mut middlewares = vec!["strip".to_owned(), format!("{name}.told"), "ask".to_owned(), "clean".to_owned()];
        middlewares.extend((!path.is_empty()).then(|| format!("{name}.slash")));
        middlewares.extend((!told(app).is_empty()).then(|| format!("{name}.strip")));
        middlewares.extend((!base.is_empty()).then(|| format!("{name}.base")));
        values.push(json!({
            "tag": app.route_tag(), "tier": app.id.tier, "name": app.id.name.as_str(), "host": host, "path": path, "pattern": in_class(path),
            "told": told(app), "base": base, "middlewares": middlewares, "service": service(&app.upstream),
            "priority": 800_000_usize.saturating_sub(position),
        }));
    }
    let services: Vec<Value> = upstreams
        .iter()
        .map(|upstream| {
            let transport = tls.get(upstream.address()).filter(|_| upstream.is_tls());
            json!({
                "name": service(upstream), "url": bare_url(upstream),
                "transport": transport.map_or("upstream", String::as_str),
            })
        })
        .collect();
    let own_paths: Vec<&str> = settings.own_paths.iter().map(|path| path.prefix()).collect();
    let own_prefixes: Vec<&str> = settings.own_prefixes.iter().map(|path| path.prefix()).collect();
    let transports: Vec<Value> = tls.iter().map(|(server, name)| json!({ "name": name, "server": server })).collect();
    let values = json!({
        "http": http, "base_path": settings.base_path.prefix(), "own_paths": own_paths, "own_prefixes": own_prefixes,
        "managed": titles(&settings.managed_headers), "stripped": titles(&settings.stripped_headers),
        "apps": values, "services": services, "transports": transports, "trusted_ca": settings.trusted_ca,
        "site": settings.site.as_ref().map(|site| json!({ "base": site.base(), "service": service(site) })),
    });
    let fixed = json!({ "listen": listen.to_string(), "http": http });
    Ok(vec![
        config_file("dynamic.yaml", template::render(TRAEFIK_DYNAMIC, values)?),
        config_file("traefik.yaml", template::render(TRAEFIK, fixed)?),
    ])
}

/// The apps as [`Catalogue::serving`] asks them: a host with its port, a host,
/// every host; of each, the longest path first.
fn in_order(catalogue: &Catalogue) -> Vec<&App> {
    let mut apps = table::in_order(catalogue);
    apps.sort_by_key(|app| {
        let rank = match &app.host {
            Some(host) if !host.port().is_empty() => 0_u8,
            Some(_) => 1,
            None => 2,
        };
        (rank, std::cmp::Reverse(depth(app)))
    });
    apps
}

fn tcp(proxy: Proxy, settings: &RouteSettings) -> Result<String, RouteError> {
    settings.http.authority().ok_or(RouteError::UnixSocket { proxy, listener: "http" })
}

fn titles(names: &[String]) -> Vec<String> {
    names.iter().map(|name| template::title(name)).collect()
}

/// What the upstream is told of its place; empty where it sees it itself.
fn told(app: &App) -> &str {
    match app.prefix {
        Prefix::Strip => app.path.prefix(),
        Prefix::Keep => "",
    }
}

fn bare_url(upstream: &Upstream) -> String {
    upstream.without_base().to_string()
}

/// The text of an unreserved path in a regular expression, without the
/// backslashes that some configs read themselves.
fn in_class(path: &str) -> String {
    path.replace('.', "[.]")
}

/// An argument that is there also for the app that has everything.
fn pattern_or_nothing(pattern: &str) -> &str {
    if pattern.is_empty() { "()" } else { pattern }
}

/// A host as the client may write it, with every port where it has none.
fn host_pattern(host: &Host) -> String {
    let name = host.as_str().replace('[', "[[]").replace('.', "[.]");
    if host.port().is_empty() { format!("(?i:{name})(:[0-9]*)?") } else { format!("(?i:{name})") }
}
