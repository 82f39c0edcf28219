//! The test bed's parts against each other, each component real.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::raw_http::request_with_body;
use crate::*;

#[test]
fn a_missing_program_is_an_error_by_name() {
    let error = Component::new("nothing", "/nowhere/nothing").start().unwrap_err().to_string();
    assert_eq!(error, "`/nowhere/nothing` is missing: run `make setup`");
    let error = tool("no-such-tool").unwrap_err().to_string();
    assert_eq!(error, "`no-such-tool` is missing: run `make setup`");
}

#[test]
fn a_child_that_fails_shows_its_command_and_the_end_of_its_log() {
    let component = Component::new("shell", "/bin/sh").args(["-c", "echo out; echo broken >&2; exit 3"]);
    let error = component.ready(Ready::LogText("never".to_owned())).start().unwrap_err().to_string();
    assert!(
        error.starts_with("shell ended with exit status: 3 before it was ready\ncommand: /bin/sh -c echo"),
        "{error}"
    );
    assert!(error.ends_with("the end of its log:\n  out\n  broken"), "{error}");
}

#[test]
fn a_child_that_is_never_ready_meets_the_deadline() {
    let component = Component::new("shell", "/bin/sh").args(["-c", "exec sleep 60"]).within(Duration::from_millis(200));
    let error = component.ready(Ready::LogText("never".to_owned())).start().unwrap_err().to_string();
    assert!(error.contains("was not ready within 200ms (waited for LogText(\"never\"))"), "{error}");
}

#[test]
fn a_child_ends_with_its_value_even_when_it_ignores_sigterm() {
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let component = Component::new("shell", "/bin/sh").args(["-c", script]).ready(Ready::LogText("up".to_owned()));
    let child = component.start().unwrap();
    let proc_entry = std::path::PathBuf::from(format!("/proc/{}", child.pid().unwrap()));
    assert!(proc_entry.exists());
    drop(child);
    assert!(!proc_entry.exists());
}

/// The second run of this very test is the process that is killed.
#[test]
fn the_children_of_a_killed_process_end_too() {
    const ROLE: &str = "TIERGATE_TESTBED_TEST_ROLE";
    let shell = Component::new("shell", "/bin/sh").args(["-c", "echo up; exec sleep 600"]);
    let shell = shell.ready(Ready::LogText("up".to_owned()));
    if std::env::var_os(ROLE).is_some() {
        let child = shell.start().unwrap();
        println!("child {} here", child.pid().unwrap());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let test = ["--exact", "tests::the_children_of_a_killed_process_end_too", "--nocapture"];
    let holder = Component::new("holder", std::env::current_exe().unwrap()).args(test).env(ROLE, "holder");
    let mut holder = holder.ready(Ready::LogText(" here".to_owned())).start().unwrap();
    let log = holder.log();
    let pid = log.lines().find_map(|line| line.split("child ").nth(1)?.strip_suffix(" here")).unwrap();
    // An orphan that has ended may stay a zombie where nobody waits for it.
    let is_running = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    };
    assert!(is_running());
    holder.kill();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running() {
        assert!(Instant::now() < deadline, "process {pid} outlived its parent");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_child_restarts() {
    let mut child = Component::new("shell", "/bin/sh")
        .args(["-c", "echo up; exec sleep 60"])
        .ready(Ready::LogText("up".to_owned()))
        .start()
        .unwrap();
    let first = child.pid();
    child.kill();
    assert!(!child.is_running());
    child.restart().unwrap();
    assert!(child.is_running());
    assert_ne!(child.pid(), first);
}

#[test]
fn the_upstream_tells_exactly_what_it_received() {
    let upstream = Upstream::start().unwrap();
    let headers = [("X-One", "a"), ("x_two", "b"), ("X-One", "c")];
    let answer = request_with_body(upstream.address(), "PURGE", "//a/%2e%2E/b;c?x=%zz", &headers, b"body").unwrap();
    let json = answer.json().unwrap();
    assert_eq!(json["target"], "//a/%2e%2E/b;c?x=%zz");
    let received = upstream.take_received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].method.as_str(), received[0].body.as_str()), ("PURGE", "body"));
    assert_eq!(received[0].header_values("x-one"), ["a", "c"]);
    assert_eq!(received[0].header("x_two"), Some("b"));
    assert!(upstream.received().is_empty());
}

#[test]
fn the_upstream_echoes_websocket_messages() {
    let upstream = Upstream::start().unwrap();
    let headers = [("Sec-WebSocket-Protocol", "chat, token.abc")];
    let WebSocketAnswer::Admitted(mut session) = websocket(upstream.address(), "/ws?x=1", &headers).unwrap() else {
        panic!("refused")
    };
    assert_eq!(session.protocol(), Some("chat"));
    assert_eq!(session.echo("hello").unwrap(), "hello");
    assert_eq!(upstream.received_with("x=1").len(), 1);
}

#[test]
fn a_refused_websocket_says_its_status() {
    let provider = Provider::start().unwrap();
    assert_eq!(websocket(provider.address(), "/nowhere", &[]).unwrap().status(), 404);
}

#[test]
fn the_apps_run_unmodified_and_the_socketio_client_speaks_to_one() {
    let apps = Apps::start().unwrap();
    let at = |app| SocketAddr::from((Ipv4Addr::LOCALHOST, apps.port(app)));
    for app in App::ALL {
        assert_eq!(request(at(app), "GET", "/", &[]).unwrap().status, 200, "{app:?}");
    }
    for call in [SocketIoCall::new(at(App::Chat), "socket.io"), SocketIoCall::new(at(App::Chat), "socket.io").polling()]
    {
        let answer = call.message("-kia ora").run().unwrap();
        assert!(answer.connected, "{answer:?}");
        assert_eq!(answer.echo.as_deref(), Some("-kia ora"));
    }
    let refused = SocketIoCall::new(at(App::Maps), "socket.io").run().unwrap();
    assert_eq!((refused.connected, refused.status), (false, Some(404)), "{refused:?}");
}

/// Also the test that every shipped config starts and that the renderer fits it.
#[test]
fn a_proxy_without_its_service_lets_nothing_pass() {
    let upstream = Upstream::start().unwrap();
    let backends =
        Backends { tiergate: TiergatePorts::free().unwrap(), site: upstream.port(), apps: [upstream.port(); 4] };
    std::thread::scope(|scope| {
        for gateway in Gateway::ALL {
            scope.spawn(move || {
                let running = gateway.start(&backends).unwrap();
                for target in ["/", "/public/x", "/apps/devel/hazard/"] {
                    let answer = request(running.address(), "GET", target, &[]).unwrap();
                    assert!(matches!(answer.status, 401 | 403 | 500..=504), "{gateway:?} {target}: {}", answer.status);
                }
            });
        }
    });
    assert_eq!(upstream.received(), []);
}

#[test]
fn redis_runs_in_every_shape_and_a_replica_takes_over() {
    std::thread::scope(|scope| {
        for start in [Redis::standalone, Redis::tls, Redis::sentinel, Redis::cluster] {
            scope.spawn(move || {
                let redis = start().unwrap();
                let primaries = redis.primaries();
                assert_eq!(
                    primaries.len(),
                    if redis.url().starts_with("redis+cluster") { 3 } else { 1 },
                    "{}",
                    redis.url()
                );
                if redis.ports().len() > 1 {
                    let (old, new) = redis.failover().unwrap();
                    assert_ne!(old, new);
                    assert_eq!(redis.cli(new, &["PING"]).unwrap(), "PONG");
                }
            });
        }
    });
}

#[test]
fn a_redis_with_a_password_refuses_the_wrong_one() {
    let redis = Redis::with_password("right").unwrap();
    let port = redis.ports()[0];
    assert_eq!(redis.cli(port, &["PING"]).unwrap(), "PONG");
    assert!(redis.cli(port, &["AUTH", "wrong"]).is_err());
    assert!(redis.url().starts_with("redis://:right@127.0.0.1:"));
}
