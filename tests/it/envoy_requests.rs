//! What the real Envoy sends, in the ways in which it can be told to: the quick
//! way must read all of it, as the complete way does.
//!
//! With `TIERGATE_RECORD` set the messages become the vectors of the unit tests.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use http::HeaderMap;
use prost::Message as _;
use tiergate::grpc::oracle::{Reading, compare};
use tiergate_testbed::{Component, Ready, free_port, raw_request, repo_root, tool};

const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of the filter `ext_authz`, and what is asked about under them.
struct Setting {
    name: &'static str,
    filter: &'static str,
    tls: bool,
    request: &'static str,
}

const SETTINGS: [Setting; 4] = [
    Setting {
        name: "plain",
        filter: "",
        tls: false,
        request: "GET /apps/devel/x?a=1 HTTP/1.1\r\nHost: Gate.Example.com\r\nUser-Agent: t\r\nX-Two: 1\r\nX-Two: 2\r\n\
                  Cookie: a=1\r\nAuthorization: Bearer a.b.c\r\nX-Latin: \u{e9}\r\nConnection: close\r\n\r\n",
    },
    Setting {
        name: "raw",
        filter: "encode_raw_headers: true",
        tls: false,
        request: "GET /apps/devel/x HTTP/1.1\r\nHost: gate.example.com\r\nX-Two: 1\r\nX-Two: 2\r\nX-Empty:\r\n\
                  X-Plan: pro\r\nConnection: close\r\n\r\n",
    },
    Setting {
        name: "body",
        filter: "with_request_body: { max_request_bytes: 64, allow_partial_message: true, pack_as_bytes: true }\n\
                 metadata_context_namespaces: [t.seen]\nroute_metadata_context_namespaces: [t.route]",
        tls: false,
        request: "POST /apps/devel/x HTTP/1.1\r\nHost: gate.example.com\r\nX-Plan: pro\r\nContent-Length: 5\r\n\
                  Connection: close\r\n\r\n\u{0}\u{1}abc",
    },
    Setting {
        name: "tls",
        filter: "include_peer_certificate: true\ninclude_tls_session: true",
        tls: true,
        request: "GET /status HTTP/1.1\r\nHost: gate.example.com\r\nConnection: close\r\n\r\n",
    },
];

#[test]
fn whatever_envoy_sends_is_read_in_place() {
    let (heard, messages) = channel();
    let authority = listen(heard);
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    for setting in &SETTINGS {
        let message = sent_by_envoy(setting, authority, folder.path(), &messages);
        assert_eq!(compare(&message), Ok(Reading::Same), "{}", setting.name);
        holds_what_it_should(setting.name, &message);
        if std::env::var_os("TIERGATE_RECORD").is_some() {
            let vectors = repo_root().join("tests/vectors/check_requests");
            std::fs::write(vectors.join(format!("{}.bin", setting.name)), message).expect("written");
        }
    }
}

/// The setting has the effect for which it is here.
fn holds_what_it_should(name: &str, message: &[u8]) {
    let attributes = CheckRequest::decode(message).expect("decodes").attributes.expect("attributes");
    let http = attributes.request.and_then(|request| request.http).expect("an HTTP request");
    let raw = http.header_map.map_or(0, |map| map.headers.len());
    match name {
        "plain" => {
            assert_eq!(attributes.context_extensions.get("tiergate.tier").map(String::as_str), Some("devel"));
            assert_eq!(http.headers.get("x-two").map(String::as_str), Some("1,2"));
        }
        "raw" => assert!(http.headers.is_empty() && raw > 6),
        "body" => {
            let metadata = (attributes.metadata_context, attributes.route_metadata_context);
            let (Some(seen), Some(route)) = metadata else { panic!("no metadata") };
            assert!(seen.filter_metadata.contains_key("t.seen") && route.filter_metadata.contains_key("t.route"));
            assert_eq!(http.raw_body, b"\x00\x01abc");
        }
        "tls" => {
            assert_eq!(attributes.tls_session.map(|session| session.sni).as_deref(), Some("gate.example.com"));
            assert!(attributes.source.is_some_and(|peer| peer.certificate.contains("BEGIN")));
        }
        _ => panic!("{name} is not looked at"),
    }
}

/// Starts Envoy, sends it the request, and returns what it asked.
fn sent_by_envoy(setting: &Setting, authority: SocketAddr, folder: &Path, messages: &Receiver<Bytes>) -> Vec<u8> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a port")));
    let config = folder.join(format!("{}.yaml", setting.name));
    std::fs::write(&config, envoy_config(setting, address, authority, folder)).expect("written");
    let envoy = Component::new("envoy", tool("envoy").expect("make setup"))
        .arg("-c")
        .arg(&config)
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"])
        .ready(Ready::Tcp(address))
        .within(PATIENCE)
        .start()
        .expect("Envoy starts");
    // Latin-1, as a client would send it.
    let request: Vec<u8> =
        setting.request.chars().map(|char| u8::try_from(u32::from(char)).expect("one byte")).collect();
    if setting.tls {
        over_tls(address, folder, &request);
    } else {
        let answer = raw_request(address, &request).expect("an answer");
        assert_eq!(answer.status, 200, "{}", envoy.log());
    }
    messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nobody asked: {}", envoy.log())).to_vec()
}

fn envoy_config(setting: &Setting, address: SocketAddr, authority: SocketAddr, folder: &Path) -> String {
    let filter = setting.filter.replace('\n', "\n              ");
    let folder = folder.display();
    let tls = if setting.tls {
        format!(
            "      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{{ certificate_chain: {{ filename: {folder}/cert.pem }}, private_key: {{ filename: {folder}/key.pem }} }}]
            validation_context: {{ trusted_ca: {{ filename: {folder}/cert.pem }} }}
"
        )
    } else {
        String::new()
    };
    format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: t
          http_filters:
          - name: envoy.filters.http.header_to_metadata
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
              request_rules:
              - {{ header: x-plan, on_header_present: {{ metadata_namespace: t.seen, key: plan, type: STRING }} }}
          - name: envoy.filters.http.ext_authz
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {{ envoy_grpc: {{ cluster_name: authority }}, timeout: 30s }}
              {filter}
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{ prefix: / }}
                direct_response: {{ status: 200 }}
                metadata: {{ filter_metadata: {{ t.route: {{ a: [1, x, {{ b: true }}, null] }} }} }}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz:
                    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {{ context_extensions: {{ tiergate.tier: devel, tiergate.app: maps, other: x }} }}
{tls}  clusters:
  - name: authority
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    load_assignment:
      cluster_name: authority
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {authority} }} }} }} }}] }}]
",
        port = address.port(),
        authority = authority.port(),
    )
}

/// A key and a certificate for both ends.
fn certificate(folder: &Path) {
    let made = Command::new(tool("openssl").expect("make setup"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=gate.example.com", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Sends the request and reads the answer to its end.
fn over_tls(address: SocketAddr, folder: &Path, request: &[u8]) {
    let mut client = Command::new(tool("openssl").expect("make setup"))
        .args(["s_client", "-quiet", "-cert", "cert.pem", "-key", "key.pem", "-servername", "gate.example.com"])
        .args(["-connect", &address.to_string()])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut input = client.stdin.take().expect("its input");
    input.write_all(request).expect("sent");
    let answer = client.wait_with_output().expect("an answer").stdout;
    drop(input);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// An authorization service that allows everything and tells what it was asked.
fn listen(heard: Sender<Bytes>) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a socket");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, heard.clone()));
            }
        });
    });
    address
}

async fn serve(socket: tokio::net::TcpStream, heard: Sender<Bytes>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut frame = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                frame.extend_from_slice(&piece);
            }
            let response = http::Response::builder().header("content-type", "application/grpc").body(());
            let mut stream = answer.send_response(response.expect("a head"), false).expect("a stream");
            // `CheckResponse { status {}, ok_response {} }`
            stream.send_data(Bytes::from_static(b"\0\0\0\0\x04\x0a\x00\x1a\x00"), false).expect("sent");
            let trailers =
                HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), "0".parse().expect("0"))]);
            stream.send_trailers(trailers).expect("sent");
            let _ = heard.send(Bytes::from(frame).slice(5..));
        });
    }
}
