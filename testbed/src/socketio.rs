//! The real Socket.IO client (Python), run for one conversation.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::component::Component;
use crate::{repo_root, tool};

/// One conversation: connect, send `echo`, leave.
#[derive(Debug, Clone)]
pub struct SocketIoCall {
    url: String,
    arguments: Vec<String>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketIoAnswer {
    /// Whether the handshake was admitted.
    pub connected: bool,
    /// What came back for the echo.
    pub echo: Option<String>,
    /// The HTTP status that refused the handshake; none where no HTTP answer came.
    pub status: Option<u16>,
    /// Whether the server ended the connection while it was held open ([`SocketIoCall::hold`]).
    pub disconnected: Option<bool>,
    /// Why there was no HTTP answer.
    pub error: Option<String>,
}

impl SocketIoCall {
    /// A conversation with the Socket.IO server at a path, such as `apps/devel/chat/socket.io`, over WebSocket.
    pub fn new(address: SocketAddr, path: &str) -> Self {
        Self::at(&format!("http://{address}"), path)
    }

    /// The same at an origin, such as `http://localhost:8080`: servers compare it with `Origin`.
    pub fn at(origin: &str, path: &str) -> Self {
        Self { url: origin.to_owned(), arguments: vec!["--path".to_owned(), path.to_owned()] }
    }

    fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("{name}={value}"));
        self
    }

    /// A bearer token in `Authorization`.
    pub fn token(self, token: &str) -> Self {
        self.option("--token", token)
    }

    /// A bearer token in the query parameter `access_token`.
    pub fn query_token(self, token: &str) -> Self {
        self.option("--query-token", token)
    }

    /// A `Cookie` header.
    pub fn cookie(self, cookie: &str) -> Self {
        self.option("--cookie", cookie)
    }

    /// An `Origin` header.
    pub fn origin(self, origin: &str) -> Self {
        self.option("--origin", origin)
    }

    /// Long polling in place of WebSocket.
    pub fn polling(self) -> Self {
        self.option("--transport", "polling")
    }

    /// The event to call; `echo` by default. What it acknowledges is the echo.
    pub fn event(self, name: &str) -> Self {
        self.option("--event", name)
    }

    /// What to send; `hello` by default.
    pub fn message(self, text: &str) -> Self {
        self.option("--message", text)
    }

    /// Stays connected so long after the echo, for the server to end it.
    pub fn hold(self, time: Duration) -> Self {
        self.option("--hold", &time.as_secs_f64().to_string())
    }

    /// Holds the conversation.
    pub fn run(&self) -> Result<SocketIoAnswer> {
        let script = repo_root().join("testbed/apps/socketio_client.py");
        let component =
            Component::new("socketio-client", tool("python")?).arg(script).arg(&self.url).args(&self.arguments);
        let (_, log) = component.run()?;
        let last = log.lines().rfind(|line| line.starts_with('{'));
        let answer: Value = last
            .and_then(|line| serde_json::from_str(line).ok())
            .with_context(|| format!("the Socket.IO client gave no answer: {log}"))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| answer.get(name).and_then(Value::as_bool);
        Ok(SocketIoAnswer {
            connected: flag("connected").unwrap_or(false),
            echo: text("echo"),
            status: answer.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok()),
            disconnected: flag("disconnected"),
            error: text("error"),
        })
    }
}
