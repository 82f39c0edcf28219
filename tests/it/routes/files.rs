//! The files of live routes: where they cannot be written, what an earlier run
//! left, and how big they become.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use tiergate_testbed::{Gateway, Tiergate, Upstream, request};

use super::{BINARY, POLICY, start};

#[test]
fn a_directory_that_cannot_be_written_takes_nothing_from_the_checks() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("occupied"), "").unwrap();
    let at = dir.path().display();
    let config = format!("{POLICY}routes: {{ envoy: {{ dir: {at}/occupied/live }} }}\n");
    let tiergate = Tiergate::start(BINARY, &config).unwrap();
    assert!(tiergate.metric("tiergate_routes_written_total", &["envoy", "error"]).unwrap() >= 1.0);
    assert!(tiergate.log().contains("routes.envoy.dir"), "{}", tiergate.log());
    // Somebody makes room, and the next try finds it.
    std::fs::remove_file(dir.path().join("occupied")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !dir.path().join("occupied/live/routes.json").exists() {
        assert!(Instant::now() < deadline, "{}", tiergate.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_an_earlier_run_left_is_replaced_and_its_clusters_stay_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let config = |port: u16| {
        format!(
            "{POLICY}routes: {{ envoy: {{ dir: {at} }} }}\napps: [{{ name: a, tier: open, upstream: \"http://127.0.0.1:{port}\" }}]\n"
        )
    };
    let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
    drop(Tiergate::start(BINARY, &config(1001)).unwrap());
    assert!(read("clusters.json").contains("http://127.0.0.1:1001"));
    let tiergate = Tiergate::start(BINARY, &config(1002)).unwrap();
    let (routes, clusters) = (read("routes.json"), read("clusters.json"));
    assert!(routes.contains("http://127.0.0.1:1002") && !routes.contains("1001"), "{routes}");
    assert!(clusters.contains("http://127.0.0.1:1001") && clusters.contains("http://127.0.0.1:1002"), "{clusters}");
    let deadline = Instant::now() + Duration::from_secs(40);
    while read("clusters.json").contains("1001") {
        assert!(Instant::now() < deadline, "{}", tiergate.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn five_thousand_apps_are_routed() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let upstream = Upstream::start().unwrap();
    let mut config =
        format!("{POLICY}routes: {{ envoy: {{ dir: {at} }}, nginx: {{ file: {at}/routes.conf }} }}\napps:\n");
    for number in 0..5000 {
        // Each at a server of its own, but for the one that is asked.
        let port = if number == 4321 { upstream.port() } else { 10_000 + number % 50_000 };
        let host = if number == 4321 { "127.0.0.1".to_owned() } else { format!("127.0.{}.1", number % 200 + 1) };
        let _ = writeln!(config, "  - {{ name: app-{number}, tier: open, upstream: \"http://{host}:{port}\" }}");
    }
    let begun = Instant::now();
    let tiergate = Tiergate::builder(BINARY, &config).within(Duration::from_secs(120)).start().unwrap();
    println!("ready after {:?}", begun.elapsed());
    for file in ["routes.json", "clusters.json", "routes.conf"] {
        println!("{file}: {} KiB", std::fs::metadata(dir.path().join(file)).unwrap().len() / 1024);
    }
    let routes: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.path().join("routes.json")).unwrap()).unwrap();
    assert!(routes["resources"][0]["virtual_hosts"][0]["routes"].as_array().unwrap().len() > 10_000);
    for gateway in [Gateway::EnvoyGrpc, Gateway::Nginx] {
        let begun = Instant::now();
        let running = start(gateway, &tiergate).unwrap();
        println!("{}: started after {:?}", gateway.name(), begun.elapsed());
        let ask = |target: &str| request(running.address(), "GET", target, &[("Host", "localhost")]).unwrap().status;
        assert_eq!(ask("/apps/open/app-4321/x"), 200, "{}", running.process.log());
        assert_eq!(ask("/apps/open/app-5001/x"), 403);
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(ask("/apps/open/app-4321/x"), 200);
        }
        println!("{}: {:?} a request", gateway.name(), begun.elapsed() / 100);
    }
}
