//! The echo upstream: it answers any request with what it received, remembers
//! it, and echoes WebSocket messages. A target with `set-cookies` in it gets two.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Json, Router};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::lock;
use crate::server::Server;

const MAX_BODY: usize = 4 * 1024 * 1024;

/// A request as the upstream received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The request target, not decoded.
    pub target: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Received {
    /// Every value of a header, by its lower-case name.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().copied()
    }
}

type Seen = Arc<Mutex<Vec<Received>>>;

/// A running echo upstream.
pub struct Upstream {
    seen: Seen,
    server: Mutex<Server>,
    address: SocketAddr,
}

impl Upstream {
    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        Self::start_on(0)
    }

    /// Starts one on this port.
    pub fn start_on(port: u16) -> Result<Self> {
        let seen = Seen::default();
        let router = Router::new().fallback(echo).with_state(Arc::clone(&seen));
        let server = Server::start(port, |_| router)?;
        let address = server.address();
        Ok(Self { seen, server: Mutex::new(server), address })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything it has received so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.seen).clone()
    }

    /// Everything it has received, and forgets it.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *lock(&self.seen))
    }

    /// Requests whose target holds this text: for tests that share an upstream and mark their targets.
    pub fn received_with(&self, marker: &str) -> Vec<Received> {
        lock(&self.seen).iter().filter(|request| request.target.contains(marker)).cloned().collect()
    }

    /// Stops listening.
    pub fn go_down(&self) {
        lock(&self.server).down();
    }

    /// Listens again.
    pub fn come_back(&self) -> Result<()> {
        lock(&self.server).up()
    }
}

async fn echo(State(seen): State<Seen>, mut request: Request) -> Response {
    let upgrade = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        .then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let mut received = Received {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: headers.map(|(name, value)| (name.to_string(), lossy(value.as_bytes()))).collect(),
        body: String::new(),
    };
    if let (Some(upgrade), Some(key)) = (upgrade, parts.headers.get(header::SEC_WEBSOCKET_KEY)) {
        let accept = derive_accept_key(key.as_bytes());
        lock(&seen).push(received);
        tokio::spawn(echo_messages(upgrade));
        return switch(&accept, parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL));
    }
    if let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await {
        received.body = lossy(&bytes);
    }
    let answer = Json(json!({
        "method": received.method, "target": received.target, "headers": received.headers, "body": received.body,
    }));
    let sets_cookies = received.target.contains("set-cookies");
    lock(&seen).push(received);
    if sets_cookies {
        return (AppendHeaders([(header::SET_COOKIE, "app=1"), (header::SET_COOKIE, "theme=dark")]), answer)
            .into_response();
    }
    answer.into_response()
}

/// 101, and of the protocols offered the first one.
fn switch(accept: &str, protocols: Option<&HeaderValue>) -> Response {
    let fixed =
        [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, accept)];
    let mut answer = (StatusCode::SWITCHING_PROTOCOLS, fixed).into_response();
    let first = protocols.and_then(|value| value.to_str().ok()?.split(',').next()?.trim().parse().ok());
    if let Some(first) = first {
        answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, first);
    }
    answer
}

async fn echo_messages(upgrade: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let is_payload = message.is_text() || message.is_binary();
        if is_payload && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
