use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use super::*;

/// Answers every request with `answer`, and keeps what was asked.
fn upstream(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or_default();
            kept.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

#[tokio::test]
async fn asks_once_without_credentials_and_follows_nothing() {
    let probe = AppProbe::new().unwrap();
    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Ok(204)),
        ("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Ok(302)),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Ok(503)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", Ok(200)),
        ("no http at all", Err(())),
    ] {
        let (address, asked) = upstream(answer);
        assert_eq!(probe.ask(&format!("http://{address}/healthz?x=1")).await.map_err(|_| ()), status, "{answer}");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        let request = asked.first().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /healthz?x=1 http/1.1\r\n"), "{request}");
        assert!(!request.contains("authorization") && !request.contains("cookie"), "{request}");
    }
    assert!([200, 204, 302, 399].into_iter().all(is_well));
    assert!([199, 400, 404, 500].into_iter().all(|status| !is_well(status)));
}

#[tokio::test]
async fn waits_for_no_app_longer_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let probe = AppProbe::new().unwrap();
    let asked = probe.ask(&format!("http://{}/", listener.local_addr().unwrap())).await;
    assert_eq!(asked, Err(too_late()));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(probe.connect(&Upstream::parse(&format!("http://{gone}")).unwrap()).await.is_err());
    let there = Upstream::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    assert_eq!(probe.connect(&there).await, Ok(()));
}
