//! A WebSocket client that says what the gateway answered.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const TIMEOUT: Duration = Duration::from_secs(15);

/// What became of a handshake.
#[derive(Debug)]
pub enum WebSocketAnswer {
    /// It was admitted; here is the connection.
    Admitted(Box<WebSocketSession>),
    /// It was refused with this status.
    Refused(u16),
}

impl WebSocketAnswer {
    /// 101 or the status that refused it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Admitted(_) => 101,
            Self::Refused(status) => *status,
        }
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocketSession {
    socket: WebSocket<TcpStream>,
    protocol: Option<String>,
}

impl WebSocketSession {
    /// The subprotocol the upstream chose.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Message::text(text))?)
    }

    /// The next text message; an error when the connection ends first.
    pub fn receive(&mut self) -> Result<String> {
        loop {
            match self.socket.read()? {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Close(_) => bail!("the WebSocket was closed"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Sends a text and returns the answer.
    pub fn echo(&mut self, text: &str) -> Result<String> {
        self.send(text)?;
        self.receive()
    }
}

/// Opens a WebSocket at a target (path and query) with further headers, such as `Authorization`, `Origin`, `Cookie` or
/// `Sec-WebSocket-Protocol`.
pub fn websocket(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Result<WebSocketAnswer> {
    let mut request = format!("ws://{address}{target}").into_client_request()?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        request.headers_mut().append(name, HeaderValue::from_str(value)?);
    }
    let stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    match tungstenite::client(request, stream) {
        Ok((socket, answer)) => {
            let protocol = answer.headers().get("sec-websocket-protocol");
            let protocol = protocol.and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok(WebSocketAnswer::Admitted(Box::new(WebSocketSession { socket, protocol })))
        }
        Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            Ok(WebSocketAnswer::Refused(answer.status().as_u16()))
        }
        Err(HandshakeError::Failure(error)) => {
            Err(anyhow!(error).context(format!("no WebSocket answer from {address}")))
        }
        Err(HandshakeError::Interrupted(_)) => bail!("no WebSocket answer from {address} within {TIMEOUT:?}"),
    }
}
