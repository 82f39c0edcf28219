//! The Kubernetes Gateway API: an `HTTPRoute` an app, each with the filter
//! `ExternalAuth`.

use serde_json::{Value, json};

use super::settings::{Proxy, RouteError, RouteSettings, ServiceAddress};
use super::{ConfigFile, config_file, table, yaml};
use crate::apps::{App, Catalogue, Prefix, Upstream};

const HEAD: &str = "\
# Gateway API: the ExternalAuth filter of HTTPRoute (GEP-1494, experimental channel of release 1.4 and newer), for any
# implementation that has it.
#
#   tiergate proxy-config gateway-api -c tiergate.yaml | kubectl apply -f -
#
# Nothing but the gateway may reach Tiergate and the apps (NetworkPolicy). Services in another namespace than the routes need a
# ReferenceGrant there.
#
# The filter stands on each rule, so a rule without it is open. Where the implementation has a policy for the whole Gateway
# (examples/envoy-gateway, examples/istio), prefer that one. The specification asks every implementation to refuse the request where
# the check cannot be reached. It has no way to tell the check where a route leads: after a change of the apps, apply the routes anew
# before the tier of a path becomes lower.
";

/// The manifests.
pub(super) fn manifests(settings: &RouteSettings, catalogue: &Catalogue) -> Result<Vec<ConfigFile>, RouteError> {
    let grpc = service(&settings.grpc)?;
    let http = service(&settings.http)?;
    let check = json!({
        "type": "ExternalAuth",
        "externalAuth": { "protocol": "GRPC", "backendRef": grpc, "grpc": {} },
    });
    let mut documents = Vec::new();
    for app in table::in_order(catalogue) {
        documents.push(app_route(settings, app, &check)?);
    }
    documents.push(own_route(settings, &http));
    documents.push(last_route(settings, &check, &http)?);
    let mut tls: Vec<Upstream> = catalogue
        .apps()
        .iter()
        .map(|app| &app.upstream)
        .chain(&settings.site)
        .filter(|upstream| upstream.is_tls())
        .map(Upstream::without_base)
        .collect();
    tls.sort();
    tls.dedup();
    for upstream in &tls {
        documents.push(tls_policy(upstream)?);
    }
    let documents: Vec<String> = documents.iter().map(|document| yaml::block(document, 0)).collect();
    Ok(vec![config_file("routes.yaml", format!("{HEAD}{}", documents.join("---\n")))])
}

fn route(settings: &RouteSettings, name: &str, host: Option<&str>, comment: &str, rules: &[Value]) -> Value {
    let public = settings.public_host.as_deref().filter(|host| !host.contains(':') && *host != "localhost");
    let mut spec = json!({ "parentRefs": [{ "name": "ingress" }] });
    if let (Value::Object(spec), Some(host)) = (&mut spec, host.or(public)) {
        spec.insert("hostnames".to_owned(), json!([host]));
    }
    if let Value::Object(spec) = &mut spec {
        spec.insert("rules".to_owned(), Value::from(rules.to_vec()));
    }
    json!({
        yaml::COMMENT: comment,
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": name },
        "spec": spec,
    })
}

fn app_route(settings: &RouteSettings, app: &App, check: &Value) -> Result<Value, RouteError> {
    let host = match &app.host {
        Some(host) if !host.port().is_empty() => {
            return Err(RouteError::HostPort { proxy: Proxy::GatewayApi, host: host.as_str().to_owned() });
        }
        host => host.as_ref().map(crate::types::Host::as_str),
    };
    let (path, base) = (app.path.prefix(), app.upstream.base());
    let mut rules = Vec::new();
    if !path.is_empty() {
        rules.push(json!({
            yaml::COMMENT: "Without the slash, relative links of the front page would lead beside the app.",
            "matches": [{ "path": { "type": "Exact", "value": path } }],
            "filters": [check, {
                "type": "RequestRedirect",
                "requestRedirect": {
                    "path": { "type": "ReplaceFullPath", "replaceFullPath": app.path.front().as_str() },
                    "statusCode": 301,
                },
            }],
        }));
    }
    let mut filters = vec![check.clone()];
    if app.prefix == Prefix::Strip && !path.is_empty() {
        filters.push(json!({
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": { "set": [{ "name": "X-Forwarded-Prefix", "value": path }] },
        }));
    }
    let replaced = match app.prefix {
        Prefix::Strip if path.is_empty() && base.is_empty() => None,
        Prefix::Strip => Some(if base.is_empty() { "/".to_owned() } else { base.to_owned() }),
        Prefix::Keep if base.is_empty() => None,
        Prefix::Keep => Some(format!("{base}{path}")),
    };
    if let Some(replaced) = replaced {
        let path = json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": replaced });
        filters.push(json!({ "type": "URLRewrite", "urlRewrite": { "path": path } }));
    }
    rules.push(json!({
        yaml::COMMENT: "First the check, which has to see the path before anything rewrites it. Every header goes to it, and no body.",
        "matches": [{ "path": { "type": "PathPrefix", "value": if path.is_empty() { "/" } else { path } } }],
        "filters": filters,
        "backendRefs": [backend(&app.upstream)?],
    }));
    let name = format!("{}.{}", app.id.tier.to_ascii_lowercase().replace('_', "-"), app.id.name);
    Ok(route(settings, &name, host, "", &rules))
}

fn own_route(settings: &RouteSettings, http: &Value) -> Value {
    let base = json!({ "path": { "type": "PathPrefix", "value": settings.base_path.prefix() } });
    let single = settings.own_paths.iter().map(|path| json!({ "path": { "type": "Exact", "value": path.prefix() } }));
    let prefixes =
        settings.own_prefixes.iter().map(|path| json!({ "path": { "type": "PathPrefix", "value": path.prefix() } }));
    let matches: Vec<Value> = [base].into_iter().chain(prefixes).chain(single).collect();
    let comment = "Tiergate's own pages: no filter, and no other path without one.";
    let rules = [json!({ "matches": matches, "backendRefs": [http] })];
    route(settings, "tiergate", None, comment, &rules)
}

fn last_route(settings: &RouteSettings, check: &Value, http: &Value) -> Result<Value, RouteError> {
    let matches = json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
    let Some(site) = &settings.site else {
        let nothing = json!({
            "type": "URLRewrite",
            "urlRewrite": { "path": { "type": "ReplaceFullPath", "replaceFullPath": "/nothing-is-here" } },
        });
        let comment = "Nobody's. The check has said yes, so there is nothing to hide: Tiergate says 404 at this path.";
        let rules = [json!({ "matches": matches, "filters": [check, nothing], "backendRefs": [http] })];
        return Ok(route(settings, "nowhere", None, comment, &rules));
    };
    let mut filters = vec![check.clone()];
    if !site.base().is_empty() {
        let path = json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": site.base() });
        filters.push(json!({ "type": "URLRewrite", "urlRewrite": { "path": path } }));
    }
    let rules = [json!({ "matches": matches, "filters": filters, "backendRefs": [backend(site)?] })];
    Ok(route(settings, "site", None, "Everything else.", &rules))
}

fn tls_policy(upstream: &Upstream) -> Result<Value, RouteError> {
    let backend = backend(upstream)?;
    let name = backend.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut metadata = json!({ "name": name });
    if let (Value::Object(metadata), Some(namespace)) = (&mut metadata, backend.get("namespace")) {
        metadata.insert("namespace".to_owned(), namespace.clone());
    }
    Ok(json!({
        yaml::COMMENT: "https: the certificate is of an authority that the system knows, for the upstream's own name.",
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": metadata,
        "spec": {
            "targetRefs": [{ "group": "", "kind": "Service", "name": name }],
            "validation": { "wellKnownCACertificates": "System", "hostname": upstream.address() },
        },
    }))
}

/// The listener of the service, a Service `tiergate` unless its host says otherwise.
fn service(address: &ServiceAddress) -> Result<Value, RouteError> {
    match address {
        ServiceAddress::Tcp { host, port } if host.parse::<std::net::IpAddr>().is_ok() => {
            Ok(json!({ "name": "tiergate", "port": port }))
        }
        ServiceAddress::Tcp { host, port } => named(host, *port),
        ServiceAddress::Unix(_) => Err(RouteError::UnixSocket { proxy: Proxy::GatewayApi, listener: "http" }),
    }
}

fn backend(upstream: &Upstream) -> Result<Value, RouteError> {
    if upstream.is_address() {
        return Err(RouteError::NotAService { host: upstream.host().to_owned() });
    }
    named(upstream.host(), upstream.port())
}

/// `name`, `name.namespace`, `name.namespace.svc` and its whole domain.
fn named(host: &str, port: u16) -> Result<Value, RouteError> {
    let labels: Vec<&str> = host.split('.').collect();
    match labels.as_slice() {
        [name] => Ok(json!({ "name": name, "port": port })),
        [name, namespace] | [name, namespace, "svc", ..] => {
            Ok(json!({ "name": name, "namespace": namespace, "port": port }))
        }
        _ => Err(RouteError::NotAService { host: host.to_owned() }),
    }
}
