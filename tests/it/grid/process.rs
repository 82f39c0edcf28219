//! The service as a process: exit codes, sockets, and a polite end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use hyper_util::rt::TokioIo;
use tiergate_testbed::{Component, Endpoint, Fault, Provider, Tiergate, TokenSpec, free_port, request};
use tonic::transport::Endpoint as Channel;

use super::stage::{BINARY, TIERS, config, eventually};
use super::wire::{Question, check_request};

const RULES: &str = "rules:\n  - { path: /public/**, tier: public }\n  - { path: /stable, tier: stable }\n";

/// Runs a command of the service to its end: its exit code and what it said.
fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let component = Component::new("tiergate", BINARY).args(arguments.iter().copied()).current_dir(dir);
    let (status, log) = component.within(Duration::from_secs(15)).run().unwrap();
    (status.code(), log)
}

fn written(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tiergate.yaml"), text).unwrap();
    dir
}

#[test]
fn a_bad_config_is_told_before_any_socket_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let socket = |name: &str| dir.path().join(name);
    let text = format!(
        "listen: {{ grpc: \"unix:{}\", http: \"unix:{}\", admin: \"unix:{}\" }}\n{TIERS}\
         rules:\n  - {{ path: /a/../b, tier: stable }}\n  - {{ path: /c, tier: gold }}\n",
        socket("grpc.sock").display(),
        socket("http.sock").display(),
        socket("admin.sock").display()
    );
    std::fs::write(dir.path().join("tiergate.yaml"), text).unwrap();
    let (code, said) = run(dir.path(), &["serve", "-c", "tiergate.yaml"]);
    assert_eq!(code, Some(78), "{said}");
    for fault in ["/a/../b", "gold"] {
        assert!(said.contains(fault), "both faults at once, not only one: {said}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["tiergate.yaml"], "a socket was bound");
}

#[test]
fn a_port_that_is_taken_is_told_by_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (grpc, admin) = (free_port().unwrap(), free_port().unwrap());
    let listen = format!(
        "listen: {{ grpc: \"127.0.0.1:{grpc}\", http: \"{}\", admin: \"127.0.0.1:{admin}\" }}\n",
        taken.local_addr().unwrap()
    );
    let dir = written(&format!("{listen}{TIERS}{RULES}"));
    let (code, said) = run(dir.path(), &["serve", "-c", "tiergate.yaml"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("listen.http"), "{said}");
}

#[test]
fn healthcheck_says_by_its_exit_code_whether_the_service_is_ready() {
    let provider = Provider::start().unwrap();
    provider.go_down();
    let mut tiergate = Tiergate::builder(BINARY, &config(&provider, RULES)).only_live().start().unwrap();
    let file = tiergate.config_path().to_path_buf();
    let dir = file.parent().unwrap();
    let healthcheck = || run(dir, &["healthcheck", "-c", "tiergate.yaml"]);
    let (code, said) = healthcheck();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no keys yet"), "{said}");

    provider.come_back().unwrap();
    eventually("ready", Duration::from_secs(20), || tiergate.readyz().unwrap() == 200);
    assert_eq!(healthcheck().0, Some(0));

    tiergate.process.kill();
    assert_eq!(healthcheck().0, Some(1));
    assert_eq!(run(dir, &["healthcheck", "--no-such-option"]).0, Some(2));
    std::fs::write(&file, "rulez: []\n").unwrap();
    assert_eq!(healthcheck().0, Some(78));
}

#[test]
fn both_ways_of_asking_work_over_unix_sockets() {
    let provider = Provider::start().unwrap();
    let sockets = tempfile::tempdir().unwrap();
    let (grpc, http) = (sockets.path().join("grpc"), sockets.path().join("http"));
    let listen = format!(
        "listen: {{ grpc: \"unix:{}\", http: \"unix:{}\", admin: \"127.0.0.1:@ADMIN@\" }}\n",
        grpc.display(),
        http.display()
    );
    // Nobody is trusted by address: whoever may open the socket is.
    let text = config(&provider, RULES).replace("trusted_proxies: [127.0.0.1/32]\n", "");
    let tiergate = Tiergate::start(BINARY, &format!("{listen}{text}")).unwrap();
    let token = provider.token("stable").unwrap();

    for (bearer, status) in [(Some(&token), 200), (None, 401)] {
        let mut head =
            "GET /authz/forward-auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-Method: GET\r\n\
                        X-Forwarded-Host: localhost\r\nX-Forwarded-Uri: /stable\r\n"
                .to_owned();
        let mut headers = Vec::new();
        if let Some(token) = bearer {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let answer = exchange(&http, &format!("{head}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");

        let question =
            Question { method: "GET".to_owned(), target: "/stable".to_owned(), host: "localhost".to_owned(), headers };
        let answer = check_over(&grpc, &question);
        assert_eq!(answer.status.unwrap().code == 0, status == 200);
    }
    drop(tiergate);
    // The files of sockets that nobody listens on any more are no obstacle.
    Tiergate::start(BINARY, &format!("{listen}{text}")).unwrap();
}

fn exchange(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn check_over(socket: &Path, question: &Question) -> envoy_types::pb::envoy::service::auth::v3::CheckResponse {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let socket = socket.to_path_buf();
    runtime.block_on(async {
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = Channel::from_static("http://socket").connect_with_connector(connect).await.unwrap();
        AuthorizationClient::new(channel).check(check_request(question)).await.unwrap().into_inner()
    })
}

#[test]
fn sigterm_lets_a_request_under_way_end() {
    let provider = Provider::start().unwrap();
    let mut tiergate = Tiergate::start(BINARY, &config(&provider, RULES)).unwrap();
    // A token with a key that is not known yet makes its request wait for the provider, which takes its time.
    provider.fail(Endpoint::Jwks, Fault::Delay(Duration::from_secs(2)));
    let fetches = provider.count(Endpoint::Jwks);
    let token = provider.mint(&TokenSpec::for_account("stable").header("kid", "not-known-yet")).unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Uri", "/stable"),
        ("Authorization", bearer.as_str()),
    ];
    let address = tiergate.http();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| request(address, "GET", "/authz/forward-auth", &headers));
        eventually("the request waits", Duration::from_secs(10), || provider.count(Endpoint::Jwks) > fetches);
        tiergate.process.terminate();
        asked.join().unwrap()
    });
    assert_eq!(answer.unwrap().status, 401);
    let status = tiergate.process.wait_exit(Duration::from_secs(15)).unwrap().expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", tiergate.log());
    assert!(request(address, "GET", "/", &[]).is_err(), "it still listens");
}
