//! What each proxy's config says, and that it says what the samples say.

use std::collections::BTreeMap;

use super::*;
use crate::app::route_settings;
use crate::config::{Config, NoFiles, Sources};

const CONFIG: &str = r#"
public_url: https://apps.example.com
identity_providers:
  - id: main
    issuer: https://login.example.com/
    audience: [https://api.example.com]
    login: { client_id: tiergate, client_secret: secret, callback_path: /callback }
identity_headers: { profiles: [x-auth, remote-user], claims: { X-Auth-Plan: /plan }, strip: [X-Envoy-Peer-Metadata] }
tiers:
  stable: { grant: authenticated }
  devel: { grant: { scopes: ["access:devel"] }, includes: [stable] }
apps:
  - { name: maps, tier: stable, upstream: "http://maps.apps:8000" }
  - { name: maps, tier: devel, upstream: "http://maps-next.apps:8000/v2" }
  - { name: tiles, tier: stable, path: /apps/stable/maps/tiles, upstream: "https://tiles.apps", prefix: keep }
  - { name: hosted, tier: stable, host: hosted.example.com, path: /, upstream: "http://hosted:80" }
"#;

fn config(text: &str) -> Config {
    let read_secret = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::Unsupported));
    let sources = Sources {
        file: Some(("tiergate.yaml", text)),
        environment: BTreeMap::new(),
        read_secret: &read_secret,
        files: &NoFiles,
    };
    Config::load(&sources).unwrap()
}

fn files(proxy: Proxy, text: &str) -> Vec<ConfigFile> {
    let config = config(text);
    let settings = route_settings(&config, None).unwrap();
    let catalogue = config.assemble(&[]).catalogue;
    render(proxy, &settings, proxy.default_listen(), &catalogue).unwrap()
}

#[test]
fn the_configs() {
    for proxy in Proxy::ALL {
        for file in files(proxy, CONFIG) {
            insta::with_settings!({ omit_expression => true }, {
                insta::assert_snapshot!(format!("{proxy}_{}", file.name), file.text);
            });
        }
    }
}

#[test]
fn the_live_configs() {
    let text = format!(
        "{CONFIG}routes: {{ site: \"http://site:80/x\", envoy: {{ dir: /run/live }}, nginx: {{ file: /run/live/routes.conf }} }}\n"
    );
    let config = config(&text);
    let settings = route_settings(&config, Some("tiergate")).unwrap();
    let catalogue = config.assemble(&[]).catalogue;
    for proxy in [Proxy::Envoy, Proxy::Nginx] {
        let files = render(proxy, &settings, proxy.default_listen(), &catalogue).unwrap();
        let text = files.into_iter().next().unwrap().text;
        assert!(text.contains("/run/live/") && !text.contains("maps"), "{text}");
    }
    let resources = EnvoyResources::of(&settings, &catalogue);
    let clusters = resources.clusters_file(resources.clusters());
    assert_eq!(ClusterNames::of_file(&clusters), *resources.clusters());
    let resources =
        format!("{}\n{clusters}\n{}", resources.routes_file(), nginx_routes(&settings, &catalogue).unwrap());
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("live_resources", resources) });
}

#[test]
fn the_single_paths_of_the_service_are_the_apps_on_the_host_of_an_app() {
    let public =
        "\n  - { name: front, tier: stable, host: apps.example.com, path: /front, upstream: \"http://front:80\" }\n";
    let config = config(&format!("{}{public}", CONFIG.trim_end()));
    let settings = route_settings(&config, None).unwrap();
    let resources = EnvoyResources::of(&settings, &config.assemble(&[]).catalogue);
    let file: serde_json::Value = serde_json::from_str(&resources.routes_file()).unwrap();
    let hosts = file["resources"][0]["virtual_hosts"].as_array().unwrap();
    let with = |path: &str| -> Vec<&str> {
        let leads = |host: &&serde_json::Value| host["routes"].to_string().contains(path);
        hosts.iter().filter(leads).map(|host| host["name"].as_str().unwrap()).collect()
    };
    assert_eq!(with("\"path\":\"/callback\""), ["apps.example.com", "all"]);
    assert_eq!(with("\"prefix\":\"/_auth/\""), ["apps.example.com", "hosted.example.com", "all"]);
}

/// SCIM goes to the service in every proxy, whatever the method, and in none where it is not configured.
#[test]
fn provisioning_clients_reach_the_service() {
    const SCIM: &str = "directory: { scim: { provider: main, tokens: [0123456789abcdef0123456789abcdef] } }\n";
    for proxy in Proxy::ALL {
        let lines = |text: &str| -> Vec<String> {
            files(proxy, text)
                .iter()
                .flat_map(|file| file.text.lines().map(str::to_owned).collect::<Vec<_>>())
                .collect()
        };
        let (without, with) = (lines(CONFIG), lines(&format!("{CONFIG}{SCIM}")));
        assert!(!without.iter().any(|line| line.contains("scim")), "{proxy}");
        let added: Vec<&str> = with.iter().filter(|line| line.contains("scim")).map(String::as_str).collect();
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("scim_{proxy}"), added.join("\n"));
        });
    }
}

/// The samples hold what was decided about each proxy. Every line of theirs that says nothing of single apps, addresses
/// and how to run it stands in what is written here too.
#[test]
fn what_the_samples_hold_to_is_written() {
    let demo = "
public_url: http://localhost:8080
tiers: { stable: { grant: authenticated }, ea: { grant: authenticated }, devel: { grant: authenticated } }
routes: { site: \"http://127.0.0.1:5000\" }
apps:
  - { name: maps, tier: stable, upstream: \"http://127.0.0.1:5001\" }
  - { name: reports, tier: ea, upstream: \"http://127.0.0.1:5002\" }
  - { name: hazard, tier: devel, upstream: \"http://127.0.0.1:5003\" }
  - { name: chat, tier: devel, upstream: \"http://127.0.0.1:5004\" }
";
    let of_single_apps = ["maps", "reports", "hazard", "chat", "site", "500", "418", "8080", "examples/"];
    for (proxy, sample) in [
        (Proxy::Envoy, "envoy/envoy.yaml"),
        (Proxy::Nginx, "nginx/nginx.conf"),
        (Proxy::Caddy, "examples/caddy/Caddyfile"),
        (Proxy::HaProxy, "examples/haproxy/haproxy.cfg"),
        (Proxy::HaProxy, "examples/haproxy/forward-auth.lua"),
        (Proxy::Traefik, "examples/traefik/traefik.yaml"),
        (Proxy::Traefik, "examples/traefik/dynamic.yaml"),
    ] {
        let squeezed = |line: &str| line.replace(['"', '\''], "").split_whitespace().collect::<Vec<_>>().join(" ");
        let written: String = files(proxy, demo).iter().map(|file| file.text.clone()).collect();
        let written: Vec<String> = written.lines().map(squeezed).collect();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(sample);
        let sample_text = std::fs::read_to_string(path).unwrap();
        let missing: Vec<String> = sample_text
            .lines()
            .map(squeezed)
            .filter(|line| !line.starts_with(['#', '-']) || line.starts_with("- "))
            .filter(|line| !line.is_empty() && !of_single_apps.iter().any(|word| line.contains(word)))
            .filter(|line| !written.contains(line))
            .collect();
        insta::with_settings!({ omit_expression => true, description => "lines of the sample that are written otherwise" }, {
            insta::assert_snapshot!(format!("otherwise_{}", sample.replace('/', "_")), missing.join("\n"));
        });
    }
}

#[test]
fn what_a_proxy_cannot_do_is_an_error() {
    for (proxy, text, expected) in [
        (Proxy::Traefik, CONFIG.replace("hosted.example.com", "\"hosted.example.com:8443\""), "one port of a host"),
        (Proxy::GatewayApi, CONFIG.replace("http://hosted:80", "http://10.0.0.1"), "no Service"),
        (Proxy::HaProxy, format!("{CONFIG}listen: {{ http: \"unix:/run/t.sock\" }}\n"), "unix socket"),
    ] {
        let config = config(&text);
        let settings = route_settings(&config, None).unwrap();
        let error = render(proxy, &settings, proxy.default_listen(), &config.assemble(&[]).catalogue).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    for base_path in ["/a$b", "/a'b", "/a%20b", "/a{b", "/a@b"] {
        let config = config(&format!("{}base_path: \"{base_path}\"\n", CONFIG));
        let error = route_settings(&config, None).unwrap_err();
        assert!(error.to_string().contains(base_path), "{error}");
    }
}
