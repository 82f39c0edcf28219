//! Envoy: a bootstrap, and the two resources that follow the apps (route
//! configuration and clusters), for files that Envoy watches.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::settings::{RouteError, RouteSettings, ServiceAddress};
use super::table::{self, HostRoutes};
use super::template::{self, escaped};
use super::yaml::{self, COMMENT};
use crate::apps::{App, Catalogue, Prefix, RouteTag, Upstream};
use crate::types::Host;

const TEMPLATE: &str = include_str!("envoy.yaml.j2");
/// The name by which the listener asks for its routes.
const ROUTES: &str = "ingress";
const EXT_AUTHZ: &str = "envoy.filters.http.ext_authz";
const PER_ROUTE: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
const HTTP_CLUSTER: &str = "tiergate_http";
/// The file of the route configuration in the directory of live routes.
pub(super) const ROUTES_FILE: &str = "routes.json";
/// The file of the clusters there.
pub(super) const CLUSTERS_FILE: &str = "clusters.json";

/// The clusters of the apps. A cluster is named by the upstream that it leads
/// to, so it never has to change: it is there or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterNames(BTreeSet<Upstream>);

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
        let resources = clusters.0.iter().map(|upstream| typed(kind, cluster(upstream, &self.trusted_ca)));
        discovery_response(&resources.map(yaml::without_comments).collect::<Vec<_>>())
    }
}

impl ClusterNames {
    fn of(settings: &RouteSettings, catalogue: &Catalogue) -> Self {
        let upstreams = catalogue.apps().iter().map(|app| &app.upstream).chain(&settings.site);
        Self(upstreams.map(Upstream::without_base).collect())
    }

    /// Those of a file of clusters, as far as it can be read.
    #[must_use]
    pub fn of_file(text: &str) -> Self {
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        let resources = file.get("resources").and_then(Value::as_array).into_iter().flatten();
        let names = resources.filter_map(|cluster| cluster.get("name")?.as_str());
        Self(names.filter_map(|name| Upstream::parse(name).ok()).collect())
    }

    /// These and the others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        Self(self.0.union(&others.0).cloned().collect())
    }

    /// Whether all of the others are among these.
    #[must_use]
    pub fn contains(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// Whether one that is not among the others leads to a name, which has to be looked up first.
    #[must_use]
    pub fn holds_name_beyond(&self, others: &Self) -> bool {
        self.0.difference(&others.0).any(|upstream| !upstream.is_address())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
    let app_clusters: Vec<Value> = upstreams.0.iter().map(|upstream| cluster(upstream, &settings.trusted_ca)).collect();
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

fn set(object: &mut Value, key: &str, value: Value) {
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
the check: POST, these paths, to Tiergate itself, which does its own checking there.";

/// The single paths count on the public host only, as they do in the check: on
/// the host of an app they are the app's.
fn own_routes(settings: &RouteSettings, single_too: bool) -> Vec<Value> {
    let base = json!({ "prefix": format!("{}/", settings.base_path.prefix()) });
    let single = settings.own_paths.iter().filter(|_| single_too).map(|path| json!({ "path": path.prefix() }));
    let mut routes = Vec::new();
    for (position, path) in [base].into_iter().chain(single).enumerate() {
        let mut posted = path.clone();
        set(&mut posted, "headers", json!([{ "name": ":method", "string_match": { "exact": "POST" } }]));
        let mut unchecked = Map::new();
        if position == 0 {
            unchecked.insert(COMMENT.to_owned(), Value::from(OWN_PAGES));
        }
        unchecked.insert("match".to_owned(), posted);
        unchecked.insert("route".to_owned(), json!({ "cluster": HTTP_CLUSTER, "timeout": "10s" }));
        let per_route = json!({ EXT_AUTHZ: { "@type": PER_ROUTE, "disabled": true } });
        unchecked.insert("typed_per_filter_config".to_owned(), per_route);
        routes.push(Value::Object(unchecked));
        routes.push(json!({ "match": path, "route": { "cluster": HTTP_CLUSTER, "timeout": "10s" } }));
    }
    routes
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

fn cluster(upstream: &Upstream, trusted_ca: &str) -> Value {
    let name = upstream.to_string();
    let kind = if upstream.is_address() { "STATIC" } else { "STRICT_DNS" };
    let mut cluster = json!({ "name": name, "type": kind });
    if !upstream.is_address() {
        // A name leads somewhere else within seconds, as in a cluster of containers.
        set(&mut cluster, "dns_lookup_family", json!("V4_PREFERRED"));
        set(&mut cluster, "dns_refresh_rate", json!("5s"));
        set(&mut cluster, "dns_failure_refresh_rate", json!({ "base_interval": "1s", "max_interval": "5s" }));
    }
    set(&mut cluster, "connect_timeout", json!("1s"));
    set(
        &mut cluster,
        "circuit_breakers",
        json!({
            "thresholds": [{
                COMMENT: "WebSockets hold a request each for as long as they are open.",
                "max_connections": 4096,
                "max_pending_requests": 1024,
                "max_requests": 4096,
            }],
        }),
    );
    if upstream.is_tls() {
        set(&mut cluster, "transport_socket", tls(upstream, trusted_ca));
    }
    set(&mut cluster, "load_assignment", load_assignment(&name, &socket_address(upstream.address(), upstream.port())));
    cluster
}

/// The certificate has to be of a known authority and for this very name.
fn tls(upstream: &Upstream, trusted_ca: &str) -> Value {
    let san_type = if upstream.is_address() { "IP_ADDRESS" } else { "DNS" };
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    });
    if !upstream.is_address() {
        set(&mut context, "sni", json!(upstream.address()));
    }
    set(
        &mut context,
        "common_tls_context",
        json!({
            "validation_context": {
                "trusted_ca": { "filename": trusted_ca },
                "match_typed_subject_alt_names": [{ "san_type": san_type, "matcher": { "exact": upstream.address() } }],
            },
        }),
    );
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn load_assignment(name: &str, address: &Value) -> Value {
    json!({
        "cluster_name": name,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    })
}

fn service_cluster(name: &str, address: &ServiceAddress) -> Value {
    let (is_name, address) = match address {
        ServiceAddress::Tcp { host, port } => (host.parse::<std::net::IpAddr>().is_err(), socket_address(host, *port)),
        ServiceAddress::Unix(path) => (false, json!({ "pipe": { "path": path } })),
    };
    let kind = if is_name { "STRICT_DNS" } else { "STATIC" };
    let mut cluster = json!({ "name": name, "type": kind });
    if is_name {
        set(&mut cluster, "dns_lookup_family", json!("V4_PREFERRED"));
    }
    set(&mut cluster, "connect_timeout", json!("1s"));
    if name != HTTP_CLUSTER {
        set(
            &mut cluster,
            "typed_extension_protocol_options",
            json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {
                        "http2_protocol_options": {
                            "connection_keepalive": {
                                COMMENT: "A connection that died without a word is noticed, instead of letting every check run into its timeout.",
                                "interval": "30s",
                                "timeout": "5s",
                            },
                        },
                    },
                },
            }),
        );
        set(
            &mut cluster,
            "circuit_breakers",
            json!({
                "thresholds": [{
                    COMMENT: "Every request through this proxy is one check; the default of 1024 at once would refuse requests under a long-poll load.",
                    "max_connections": 1024,
                    "max_pending_requests": 4096,
                    "max_requests": 4096,
                }],
            }),
        );
    }
    set(&mut cluster, "load_assignment", load_assignment(name, &address));
    cluster
}
