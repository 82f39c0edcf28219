//! Envoy with the shipped `envoy/envoy.yaml`: its upstream is Envoy itself, and
//! the filter that decides is the shipped one, none, or Envoy's own.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tiergate_testbed::{Component, Process, Provider, Ready, free_port, repo_root, tool};

/// Who decides.
pub(crate) enum Filter {
    /// Nobody.
    None,
    /// The shipped `ext_authz`, over gRPC.
    ExtAuthz(SocketAddr),
    /// The same without `encode_raw_headers`, which is Envoy's own default: headers come as a map.
    ExtAuthzMap(SocketAddr),
    /// Envoy's own `jwt_authn` and `rbac`, from [`native`].
    Native(String),
}

/// A running Envoy with one worker thread.
pub(crate) struct Envoy {
    process: Process,
    pub(crate) at: SocketAddr,
}

/// Where the filter of the check begins and ends in the shipped file.
const CHECK: [&str; 2] = ["          # 2. The check.\n", "          # 3. On to the upstream.\n"];

impl Envoy {
    pub(crate) fn start(filter: &Filter) -> Result<Self> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("envoy.yaml");
        std::fs::write(&file, config(at.port(), filter)?)?;
        let process = Component::new("envoy", tool("envoy")?)
            .arg("-c")
            .arg(&file)
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"])
            // Its access log is on, as shipped.
            .discard_stdout()
            .ready(Ready::Tcp(at))
            .start()?;
        Ok(Self { process, at })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.pid().context("Envoy has ended")
    }
}

fn config(port: u16, filter: &Filter) -> Result<String> {
    let mut text = std::fs::read_to_string(repo_root().join("envoy/envoy.yaml"))?;
    let mut edits = vec![
        ("port_value: 8080".to_owned(), format!("port_value: {port}")),
        (
            "route: { cluster: site, timeout: 0s }".to_owned(),
            "direct_response: { status: 200, body: { inline_string: \"ok\" } }".to_owned(),
        ),
    ];
    match filter {
        Filter::ExtAuthz(service) | Filter::ExtAuthzMap(service) => {
            if matches!(filter, Filter::ExtAuthzMap(_)) {
                edits.push(("encode_raw_headers: true".to_owned(), "encode_raw_headers: false".to_owned()));
            }
            edits.push(("port_value: 9191".to_owned(), format!("port_value: {}", service.port())));
        }
        Filter::None | Filter::Native(_) => {
            let [begin, end] = CHECK;
            let check = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map(|(check, _)| check);
            let check = check.context("envoy/envoy.yaml has changed")?;
            let other = if let Filter::Native(filters) = filter { filters.as_str() } else { "" };
            edits.push((check.to_owned(), other.to_owned()));
        }
    }
    for (old, new) in edits {
        ensure!(text.contains(&old), "envoy/envoy.yaml holds no `{old}`: it has changed");
        text = text.replace(&old, &new);
    }
    Ok(text)
}

/// Envoy's own check of the same thing: the provider's signature, issuer and
/// audience, and the scope that opens `/apps/devel/`.
pub(crate) fn native(provider: &Provider, cache: bool) -> Result<String> {
    let mut jwt_provider = json!({
        "issuer": provider.issuer(),
        "audiences": [provider.audience()],
        "local_jwks": { "inline_string": provider.jwks()?.to_string() },
        "forward": true,
        "payload_in_metadata": "payload",
    });
    if let Some(settings) = jwt_provider.as_object_mut().filter(|_| cache) {
        settings.insert("jwt_cache_config".to_owned(), json!({ "jwt_cache_size": 10_000 }));
    }
    let authn = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "main": jwt_provider },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "main" } }],
        },
    });
    let scope = json!({ "metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{ "key": "payload" }, { "key": "scope" }],
        "value": { "string_match": { "contains": "access:devel" } },
    } });
    let rbac = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "ALLOW", "policies": { "devel": {
                "permissions": [{ "url_path": { "path": { "prefix": "/apps/devel/" } } }],
                "principals": [scope],
            } } },
        },
    });
    // JSON is YAML.
    Ok(format!("          - {authn}\n          - {rbac}\n"))
}
