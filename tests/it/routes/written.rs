//! Each proxy with several apps, asked for what goes wrong when routes are
//! written by hand.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tiergate_testbed::{
    Component, Gateway, Process, Ready, Tiergate, Upstream, WebSocketAnswer, free_port, repo_root, request, tool,
    websocket,
};

use super::{POLICY, start};

/// What becomes of a request.
enum Expect {
    /// It lands at the first or second upstream as this target, told of this prefix.
    Lands(usize, &'static str, Option<&'static str>),
    /// It is sent to this path, with its query.
    Slash(&'static str),
    /// It is answered with this status and lands nowhere.
    Status(u16),
}
use Expect::{Lands, Slash, Status};

const CASES: &[(&str, &str, Expect)] = &[
    ("localhost", "/apps/open/maps/a?b=1&c=%2F", Lands(0, "/a?b=1&c=%2F", Some("/apps/open/maps"))),
    ("localhost", "/apps/open/maps/a%20b", Lands(0, "/a%20b", Some("/apps/open/maps"))),
    ("localhost", "/apps/open/maps/", Lands(0, "/", Some("/apps/open/maps"))),
    ("localhost", "/apps/open/maps", Slash("/apps/open/maps/")),
    ("localhost", "/apps/open/maps?q=1", Slash("/apps/open/maps/?q=1")),
    // On the boundary of a segment, and as it was sent.
    ("localhost", "/apps/open/mapsx/", Status(403)),
    ("localhost", "/apps/open/MAPS/", Status(403)),
    ("localhost", "/apps//open/maps/", Status(404)),
    ("localhost", "/apps/open/maps/%2e%2e/x", Status(400)),
    ("localhost", "//evil.example/apps/open/maps", Status(400)),
    // The longest path first.
    ("localhost", "/apps/open/maps/deep/z", Lands(1, "/z", Some("/apps/open/maps/deep"))),
    ("localhost", "/apps/open/maps/deeper/z", Lands(0, "/deeper/z", Some("/apps/open/maps"))),
    // What becomes of the path.
    ("localhost", "/apps/open/keep/a?b", Lands(0, "/apps/open/keep/a?b", None)),
    ("localhost", "/apps/open/keep", Slash("/apps/open/keep/")),
    ("localhost", "/apps/open/keep-base/a", Lands(0, "/base/apps/open/keep-base/a", None)),
    ("localhost", "/apps/open/strip-base/a?b", Lands(0, "/base/a?b", Some("/apps/open/strip-base"))),
    // Paths have case, and a dot is a dot.
    ("localhost", "/Case/x.y/a", Lands(0, "/upper/a", Some("/Case/x.y"))),
    ("localhost", "/case/x.y/a", Lands(0, "/lower/a", Some("/case/x.y"))),
    ("localhost", "/case/xzy/a", Status(403)),
    // A host before every host.
    ("a.example.com", "/anything?x", Lands(1, "/anything?x", None)),
    ("A.example.COM:8443", "/apps/open/maps/a", Lands(1, "/apps/open/maps/a", None)),
    ("b.example.com", "/apps/open/maps/a", Lands(1, "/b/a", Some("/apps/open/maps"))),
    ("b.example.com", "/apps/open/keep/a", Lands(0, "/apps/open/keep/a", None)),
    ("xa.example.com", "/anything", Status(403)),
    // A name in place of an address.
    ("localhost", "/apps/open/named/a", Lands(0, "/a", Some("/apps/open/named"))),
    // Nobody's: a refusal without a rule, 404 with one.
    ("localhost", "/nothing", Status(403)),
    ("localhost", "/free/nothing", Status(404)),
    ("localhost", "/apps/locked/safe/", Status(401)),
    ("localhost", "/apps/locked/safe", Status(401)),
];

fn apps(first: u16, second: u16) -> String {
    format!(
        "{POLICY}apps:
  - {{ name: maps, tier: open, upstream: \"http://127.0.0.1:{first}\" }}
  - {{ name: deep, tier: open, path: /apps/open/maps/deep, upstream: \"http://127.0.0.1:{second}\" }}
  - {{ name: keep, tier: open, prefix: keep, upstream: \"http://127.0.0.1:{first}\" }}
  - {{ name: keep-base, tier: open, prefix: keep, upstream: \"http://127.0.0.1:{first}/base\" }}
  - {{ name: strip-base, tier: open, upstream: \"http://127.0.0.1:{first}/base\" }}
  - {{ name: upper, tier: open, path: /Case/x.y, upstream: \"http://127.0.0.1:{first}/upper\" }}
  - {{ name: lower, tier: open, path: /case/x.y, upstream: \"http://127.0.0.1:{first}/lower\" }}
  - {{ name: hosted, tier: open, host: a.example.com, path: /, upstream: \"http://127.0.0.1:{second}\" }}
  - {{ name: hosted-maps, tier: open, host: b.example.com, path: /apps/open/maps, upstream: \"http://127.0.0.1:{second}/b\" }}
  - {{ name: named, tier: open, upstream: \"http://localhost:{first}\" }}
  - {{ name: safe, tier: locked, upstream: \"http://127.0.0.1:{first}\" }}
"
    )
}

fn routes_as_the_catalogue_says(gateway: Gateway) -> Result<()> {
    let upstreams = [Upstream::start()?, Upstream::start()?];
    let tiergate = Tiergate::start(super::BINARY, &apps(upstreams[0].port(), upstreams[1].port()))?;
    let running = start(gateway, &tiergate)?;
    let mut faults = Vec::new();
    for (host, target, expect) in CASES {
        for upstream in &upstreams {
            upstream.take_received();
        }
        let headers = [("Host", *host), ("X-Auth-User", "mallory"), ("X-Tiergate-App", "locked/safe")];
        let headers = [
            &headers[..],
            &[("X-Forwarded-Prefix", "/evil"), ("Remote-User", "mallory"), ("X-Forwarded-User", "mallory")],
        ]
        .concat();
        let answer = request(running.address(), "GET", target, &headers)?;
        let landed: Vec<_> = upstreams
            .iter()
            .enumerate()
            .flat_map(|(position, upstream)| {
                upstream.take_received().into_iter().map(move |received| (position, received))
            })
            .collect();
        let seen = || format!("{} {:?}, landed: {landed:?}", answer.status, answer.header("location"));
        let is_as_expected = match (expect, landed.as_slice()) {
            (Status(status), []) => answer.status == *status,
            (Slash(path), []) => {
                // Traefik has no 308 for GET.
                let status = if gateway == Gateway::Traefik { 301 } else { 308 };
                let origin = format!("http://{host}");
                let location = answer.header("location").unwrap_or_default();
                answer.status == status && location.strip_prefix(&origin).unwrap_or(location) == *path
            }
            (Lands(place, target, prefix), [(position, received)]) => {
                let told = received.header("x-forwarded-prefix").filter(|prefix| !prefix.is_empty());
                let spoofed = received.headers.iter().any(|(_, value)| value.contains("mallory"));
                let is_free_of_ours = received.header("x-tiergate-app").is_none_or(str::is_empty);
                answer.status == 200
                    && (position, received.target.as_str(), told) == (place, *target, *prefix)
                    && !spoofed
                    && is_free_of_ours
            }
            _ => false,
        };
        if !is_as_expected {
            faults.push(format!("{host}{target}: {}", seen()));
        }
    }
    for (target, is_admitted) in [("/apps/open/maps/live?x", true), ("/apps/locked/safe/live", false)] {
        let answer = websocket(running.address(), target, &[("Origin", "http://localhost:8080")])?;
        let admitted = match answer {
            WebSocketAnswer::Admitted(mut session) => session.echo("hello")? == "hello",
            WebSocketAnswer::Refused(_) => false,
        };
        if admitted != is_admitted {
            faults.push(format!("WebSocket {target}: admitted {admitted}"));
        }
    }
    // The service's own pages, on their way past the check.
    let page =
        request(running.address(), "GET", "/_auth/login", &[("Host", "localhost:8080"), ("Accept", "text/html")])?;
    if !page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        faults.push(format!("/_auth/login: {page:?}"));
    }
    ensure!(faults.is_empty(), "{}:\n{}\n{}", gateway.name(), faults.join("\n"), running.process.log());
    Ok(())
}

#[test]
fn envoy_routes_as_the_catalogue_says() {
    routes_as_the_catalogue_says(Gateway::EnvoyGrpc).unwrap();
}

#[test]
fn nginx_routes_as_the_catalogue_says() {
    routes_as_the_catalogue_says(Gateway::Nginx).unwrap();
}

#[test]
fn caddy_routes_as_the_catalogue_says() {
    routes_as_the_catalogue_says(Gateway::Caddy).unwrap();
}

#[test]
fn haproxy_routes_as_the_catalogue_says() {
    routes_as_the_catalogue_says(Gateway::HaProxy).unwrap();
}

#[test]
fn traefik_routes_as_the_catalogue_says() {
    routes_as_the_catalogue_says(Gateway::Traefik).unwrap();
}

/// Upstreams with https: one whose certificate is of the known authority, one whose is for another name.
struct SecureUpstreams {
    folder: PathBuf,
    good: u16,
    other: u16,
    _processes: Vec<Process>,
    _dir: tempfile::TempDir,
}

const SERVER: &str = "\
import http.server, ssl, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Answer)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + '.pem', sys.argv[2] + '.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

fn secure_upstreams() -> Result<SecureUpstreams> {
    let dir = tempfile::tempdir()?;
    let openssl = |arguments: &str| -> Result<()> {
        let output = Command::new(tool("openssl")?).args(arguments.split(' ')).current_dir(dir.path()).output()?;
        ensure!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 2")?;
    for (name, host) in [("good", "localhost"), ("other", "elsewhere.example")] {
        openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={host}"))?;
        std::fs::write(dir.path().join("names"), format!("subjectAltName=DNS:{host}\n"))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
        ))?;
    }
    std::fs::write(dir.path().join("server.py"), SERVER)?;
    let mut processes = Vec::new();
    let mut start = |name: &str| -> Result<u16> {
        let port = free_port()?;
        let component = Component::new(format!("https-{name}"), tool("python")?)
            .args(["server.py".to_owned(), port.to_string(), name.to_owned()])
            .current_dir(dir.path())
            .ready(Ready::Tcp(([127, 0, 0, 1], port).into()));
        processes.push(component.start()?);
        Ok(port)
    };
    let (good, other) = (start("good")?, start("other")?);
    Ok(SecureUpstreams { folder: dir.path().to_owned(), good, other, _processes: processes, _dir: dir })
}

#[test]
fn an_upstream_with_https_is_known_by_its_certificate() {
    let secure = secure_upstreams().unwrap();
    let config = format!(
        "{POLICY}routes: {{ trusted_ca: {} }}
apps:
  - {{ name: good, tier: open, upstream: \"https://localhost:{}/base\" }}
  - {{ name: other, tier: open, upstream: \"https://localhost:{}\" }}
",
        secure.folder.join("ca.pem").display(),
        secure.good,
        secure.other
    );
    let tiergate = Tiergate::start(super::BINARY, &config).unwrap();
    let mut faults = Vec::new();
    for gateway in [Gateway::EnvoyGrpc, Gateway::Nginx, Gateway::Caddy, Gateway::HaProxy, Gateway::Traefik] {
        let running = start(gateway, &tiergate).with_context(|| gateway.name()).unwrap();
        let ask = |target: &str| request(running.address(), "GET", target, &[("Host", "localhost")]).unwrap();
        let (good, other) = (ask("/apps/open/good/x?y"), ask("/apps/open/other/x"));
        if (good.status, good.text().as_str()) != (200, "/base/x?y") || !(500..600).contains(&other.status) {
            faults.push(format!("{}: {good:?} {other:?}\n{}", gateway.name(), running.process.log()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_gateway_api_knows_every_field() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "{POLICY}apps:
  - {{ name: maps, tier: open, upstream: \"http://maps.apps:8000/v2\" }}
  - {{ name: keep, tier: open, prefix: keep, upstream: \"http://keep\" }}
  - {{ name: hosted, tier: open, host: a.example.com, path: /, upstream: \"http://hosted.apps.svc.cluster.local:80\" }}
"
    );
    std::fs::write(dir.path().join("tiergate.yaml"), config).unwrap();
    super::write_config("gateway-api", &dir.path().join("tiergate.yaml"), 8080, dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("routes.yaml")).unwrap();
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
    let schema = repo_root().join("tests/vectors/crds/gateway.networking.k8s.io_v1_HTTPRoute.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert_eq!(documents.len(), 5);
    for document in &documents {
        let faults: Vec<_> =
            validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?}\n{document}");
        // Every way but the one to the service's own pages asks first.
        let is_own = document["metadata"]["name"] == "tiergate";
        for rule in document["spec"]["rules"].as_array().unwrap() {
            assert_eq!(rule["filters"][0]["type"] == "ExternalAuth", !is_own, "{document}");
        }
    }
}
