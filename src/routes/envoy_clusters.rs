//! Envoy's clusters: where apps and the service itself are found.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::envoy::set;
use super::settings::{RouteSettings, ServiceAddress};
use super::yaml::COMMENT;
use crate::apps::{Catalogue, Upstream};

/// The cluster of the service's HTTP listener.
pub(super) const HTTP_CLUSTER: &str = "tiergate_http";

/// The clusters of the apps. A cluster is named by the upstream that it leads
/// to, so it never has to change: it is there or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterNames(BTreeSet<Upstream>);

impl ClusterNames {
    pub(super) fn of(settings: &RouteSettings, catalogue: &Catalogue) -> Self {
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

    /// The clusters themselves.
    pub(super) fn clusters<'a>(&'a self, trusted_ca: &'a str) -> impl Iterator<Item = Value> + 'a {
        self.0.iter().map(move |upstream| cluster(upstream, trusted_ca))
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

pub(super) fn service_cluster(name: &str, address: &ServiceAddress) -> Value {
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
