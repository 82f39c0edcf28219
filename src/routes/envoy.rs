//! Envoy: a bootstrap, and the two resources that follow the apps (route
//! configuration and clusters), for files that Envoy watches.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::envoy_clusters::{ClusterNames, HTTP_CLUSTER, service_cluster};
use super::settings::{RouteError, RouteSettings, ServiceAddress};
use super::table::{self, HostRoutes};
use super::template::{self, escaped};
use super::yaml::{self, COMMENT};
use crate::apps::{App, Catalogue, Prefix, RouteTag};
use crate::types::Host;

const TEMPLATE: &str = include_str!("envoy.yaml.j2");
/// The name by which the listener asks for its routes.
const ROUTES: &str = "ingress";
const EXT_AUTHZ: &str = "envoy.filters.http.ext_authz";
const PER_ROUTE: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
/// The file of the route configuration in the directory of live routes.
pub(super) const ROUTES_FILE: &str = "routes.json";
/// The file of the clusters there.
pub(super) const CLUSTERS_FILE: &str = "clusters.json";

/// What follows the apps.
#[derive(Debug, Clone)]
pub struct EnvoyResources {
    routes: Value,
    clusters: ClusterNames,
    trusted_ca: String,
}

impl EnvoyResources {
    /// The file of the route configuration, in the directory of live routes.
    pub const ROUTES_FILE: &'static str = ROUTES_FILE;
    /// The file of the clusters, there.
    pub const CLUSTERS_FILE: &'static str = CLUSTERS_FILE;

    /// Those of a catalogue.
    #[must_use]
    pub fn of(settings: &RouteSettings, catalogue: &Catalogue) -> Self {
        let clusters = ClusterNames::of(settings, catalogue);
        let routes = yaml::without_comments(route_configuration(settings, catalogue));
        Self { routes, clusters, trusted_ca: settings.trusted_ca.clone() }
    }

    /// The clusters that the routes lead to.
    #[must_use]
    pub fn clusters(&self) -> &ClusterNames {
        &self.clusters
    }

    /// The content of [`Self::ROUTES_FILE`].
    #[must_use]
    pub fn routes_file(&self) -> String {
        let kind = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
        discovery_response(&[typed(kind, self.routes.clone())])
    }

    /// The content of [`Self::CLUSTERS_FILE`] with these clusters.
    #[must_use]
    pub fn clusters_file(&self, clusters: &ClusterNames) -> String {
        let kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
        let resources = clusters.clusters(&self.trusted_ca).map(|cluster| typed(kind, cluster));
        discovery_response(&resources.map(yaml::without_comments).collect::<Vec<_>>())
    }
}

/// The whole config.
pub(super) fn config(
    settings: &RouteSettings,
    listen: SocketAddr,
    catalogue: &Catalogue,
) -> Result<String, RouteError> {
    let own_clusters =
        json!([service_cluster("tiergate_grpc", &settings.grpc), service_cluster(HTTP_CLUSTER, &settings.http)]);
    let upstreams = ClusterNames::of(settings, catalogue);
    let app_clusters: Vec<Value> = upstreams.clusters(&settings.trusted_ca).collect();
    let live = settings.envoy_dir.as_ref().map(|dir| {
        let dir = dir.trim_end_matches('/');
        json!({
            "dir": Value::from(dir).to_string(),
            "routes": Value::from(format!("{dir}/{ROUTES_FILE}")).to_string(),
            "clusters": Value::from(format!("{dir}/{CLUSTERS_FILE}")).to_string(),
        })
    });
    let values = json!({
        "listen": { "address": listen.ip().to_string(), "port": listen.port() },
        "grpc": shown(&settings.grpc),
        "http": shown(&settings.http),
        "live": live,
        "route_config": yaml::block(&route_configuration(settings, catalogue), 12),
        "own_clusters": yaml::block(&own_clusters, 2),
        "app_clusters": if live.is_some() { String::new() } else { yaml::block(&Value::from(app_clusters), 2) },
    });
    template::render(TEMPLATE, values)
}

fn shown(address: &ServiceAddress) -> String {
    match address {
        ServiceAddress::Tcp { .. } => address.authority().unwrap_or_default(),
        ServiceAddress::Unix(path) => format!("unix:{path}"),
    }
}

fn discovery_response(resources: &[Value]) -> String {
    // Envoy compares the resources themselves; the version is for people.
    json!({ "version_info": "1", "resources": resources }).to_string()
}

fn typed(kind: &str, value: Value) -> Value {
    let mut object = Map::new();
    object.insert("@type".to_owned(), Value::from(kind));
    if let Value::Object(members) = value {
        object.extend(members);
    }
    Value::Object(object)
}

fn route_configuration(settings: &RouteSettings, catalogue: &Catalogue) -> Value {
    let hosts = table::by_host(catalogue);
    let virtual_hosts: Vec<Value> = hosts.iter().map(|host| virtual_host(settings, host)).collect();
    json!({
        "name": ROUTES,
        "request_headers_to_add": [overwrite("x-forwarded-host", "%REQ(:AUTHORITY)%")],
        "virtual_hosts": virtual_hosts,
    })
}

pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(object) = object {
        object.insert(key.to_owned(), value);
    }
}

fn overwrite(name: &str, value: &str) -> Value {
    json!({
        "header": { "key": name, "value": value },
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    })
}

fn virtual_host(settings: &RouteSettings, host: &HostRoutes<'_>) -> Value {
    let mut routes = own_routes(settings, host.host.is_none_or(|host| settings.is_public(host)));
    for (position, app) in host.apps.iter().enumerate() {
        routes.extend(app_routes(settings, app, position == 0));
    }
    // An app at `/` takes everything.
    if !host.apps.iter().any(|app| app.path.prefix().is_empty()) {
        routes.push(last_route(settings));
    }
    let mut object = Map::new();
    let (name, domains) = match host.host {
        Some(host) => (host.as_str(), domains(host)),
        None => {
            let comment = "Tiergate decides on the host; a host that no rule allows is refused there. To refuse earlier, name your domains here.";
            object.insert(COMMENT.to_owned(), Value::from(comment));
            ("all", vec!["*".to_owned()])
        }
    };
    object.insert("name".to_owned(), Value::from(name));
    object.insert("domains".to_owned(), Value::from(domains));
    object.insert("routes".to_owned(), Value::from(routes));
    Value::Object(object)
}

/// A host without a port stands for itself with every port, as it does in a rule.
fn domains(host: &Host) -> Vec<String> {
    let name = host.as_str();
    if host.port().is_empty() { vec![name.to_owned(), format!("{name}:*")] } else { vec![name.to_owned()] }
}

const OWN_PAGES: &str = "\
Tiergate's own pages. GET pages are answered inside the check and never get as far as this route; what posts a form or
comes from an identity provider (logout, back-channel logout) goes to its HTTP listener. Only exactly this is let past
the check: what has a body, these paths, to Tiergate itself, which does its own checking there.";

const OWN_PREFIXES: &str = "\
What provisioning clients call (SCIM), whatever the method: Tiergate asks for one of their tokens there. An answer may
take longer than a check, so none of it goes through the check.";

/// The single paths count on the public host only, as they do in the check: on
/// the host of an app they are the app's.
fn own_routes(settings: &RouteSettings, single_too: bool) -> Vec<Value> {
    let base = json!({ "prefix": format!("{}/", settings.base_path.prefix()) });
    let single = settings.own_paths.iter().filter(|_| single_too).map(|path| json!({ "path": path.prefix() }));
    let mut routes = Vec::new();
    let below_base =
        settings.own_prefixes.iter().map(|path| format!("{}{}", settings.base_path.prefix(), path.prefix()));
    let prefixes = settings.own_prefixes.iter().filter(|_| single_too).map(|path| path.prefix().to_owned());
    for (position, prefix) in below_base.chain(prefixes).enumerate() {
        let mut route = unchecked(&json!({ "path_separated_prefix": prefix }));
        if position == 0 {
            set(&mut route, COMMENT, Value::from(OWN_PREFIXES));
        }
        routes.push(route);
    }
    for (position, path) in [base].into_iter().chain(single).enumerate() {
        let mut posted = path.clone();
        let sends = if position == 0 {
            json!({ "safe_regex": { "regex": "POST|PUT|PATCH|DELETE" } })
        } else {
            json!({ "exact": "POST" })
        };
        set(&mut posted, "headers", json!([{ "name": ":method", "string_match": sends }]));
        let mut unchecked = unchecked(&posted);
        if position == 0 {
            set(&mut unchecked, COMMENT, Value::from(OWN_PAGES));
        }
        routes.push(unchecked);
        routes.push(json!({ "match": path, "route": { "cluster": HTTP_CLUSTER, "timeout": "10s" } }));
    }
    routes
}

/// To the service itself, which does its own checking there.
fn unchecked(path: &Value) -> Value {
    json!({
        "match": path,
        "route": { "cluster": HTTP_CLUSTER, "timeout": "10s" },
        "typed_per_filter_config": { EXT_AUTHZ: { "@type": PER_ROUTE, "disabled": true } },
    })
}

const APPS: &str = "\
The apps. Paths are compared as they were sent: one that is written in any other way than literally (`//`, `%61`) is
nobody's prefix here. The prefix is taken off with regex_rewrite, which works on the raw path and leaves the query alone
(path_separated_prefix with prefix_rewrite would send `//x`). The `+` takes further slashes off as well: no app ever
gets a target like `//host`. `timeout: 0s` is what WebSockets and long answers need; max_stream_duration and
stream_idle_timeout above bound them. `tiergate.app` tells the check where the route leads, so that no request gets to
an app for which it was not checked, also in the moment when the apps change.";

fn app_routes(settings: &RouteSettings, app: &App, first: bool) -> Vec<Value> {
    let prefix = app.path.prefix();
    let told = told(&app.route_tag());
    let mut routes = Vec::new();
    if !prefix.is_empty() {
        // Without the slash, relative links of the front page would lead beside the app.
        let mut redirect = json!({ "path_redirect": app.path.front().as_str(), "response_code": "PERMANENT_REDIRECT" });
        if settings.public_https {
            // The proxy in front of this one speaks https for it.
            set(&mut redirect, "scheme_redirect", json!("https"));
        }
        routes.push(json!({ "match": { "path": prefix }, "redirect": redirect, "typed_per_filter_config": told }));
    }
    let mut action = json!({ "cluster": app.upstream.without_base().to_string(), "timeout": "0s" });
    if let Some(rewrite) = rewrite(app) {
        set(&mut action, "regex_rewrite", rewrite);
    }
    let mut route = json!({ "match": { "prefix": app.path.front().as_str() }, "route": action });
    if app.prefix == Prefix::Strip && !prefix.is_empty() {
        set(&mut route, "request_headers_to_add", json!([overwrite("x-forwarded-prefix", prefix)]));
    }
    set(&mut route, "typed_per_filter_config", told);
    routes.push(route);
    if let (true, Some(Value::Object(route))) = (first, routes.first_mut()) {
        route.insert(COMMENT.to_owned(), Value::from(APPS));
    }
    routes
}

/// Tells the check where a route leads.
fn told(tag: &str) -> Value {
    json!({
        EXT_AUTHZ: { "@type": PER_ROUTE, "check_settings": { "context_extensions": { "tiergate.app": tag } } },
    })
}

/// How the path of a request becomes that of the upstream; `None` where it stays.
fn rewrite(app: &App) -> Option<Value> {
    let (prefix, base) = (app.path.prefix(), app.upstream.base());
    let (pattern, substitution) = match app.prefix {
        Prefix::Strip if prefix.is_empty() && base.is_empty() => return None,
        Prefix::Strip => (format!("^{}/+(.*)$", escaped(prefix)), format!(r"{base}/\1")),
        Prefix::Keep if base.is_empty() => return None,
        Prefix::Keep => (format!("^({}/.*)$", escaped(prefix)), format!(r"{base}\1")),
    };
    Some(json!({ "pattern": { "regex": pattern }, "substitution": substitution }))
}

/// What is no app's. It must stay, and stay last: a request without a route is
/// answered 404 without a check.
fn last_route(settings: &RouteSettings) -> Value {
    const COMMENT_TEXT: &str = "\
The catch-all. It must stay, and stay last: a request without a route would be answered 404 without a check, and a
client could tell protected names from free ones.";
    match &settings.site {
        Some(site) => {
            let mut action = json!({ "cluster": site.without_base().to_string(), "timeout": "0s" });
            if !site.base().is_empty() {
                let substitution = format!(r"{}\1", site.base());
                set(
                    &mut action,
                    "regex_rewrite",
                    json!({ "pattern": { "regex": "^(/.*)$" }, "substitution": substitution }),
                );
            }
            json!({
                COMMENT: COMMENT_TEXT,
                "match": { "prefix": "/" },
                "route": action,
                "typed_per_filter_config": told(RouteTag::NO_APP),
            })
        }
        None => json!({
            COMMENT: COMMENT_TEXT,
            "match": { "prefix": "/" },
            "direct_response": { "status": 404, "body": { "inline_string": "There is nothing here.\n" } },
            "response_headers_to_add": [overwrite("cache-control", "no-store"), overwrite("content-type", "text/plain")],
        }),
    }
}
