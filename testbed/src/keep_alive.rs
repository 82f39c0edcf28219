//! Many requests over one connection, as a client under load keeps it.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::raw_http::{RawResponse, read_response};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is opened with the first request, and anew when the server
/// has closed it.
#[derive(Debug)]
pub struct KeepAlive {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl KeepAlive {
    /// To this address.
    pub fn to(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a GET and reads the answer. A connection that the server has closed
    /// in between is opened once more, as HTTP clients do.
    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> Result<RawResponse> {
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let reused = self.stream.is_some();
        match self.exchange(&head) {
            Err(_) if reused => self.exchange(&head),
            answer => answer,
        }
    }

    fn exchange(&mut self, head: &str) -> Result<RawResponse> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)
                    .with_context(|| format!("cannot connect to {}", self.address))?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(head.as_bytes())?;
        let answer = read_response(&mut stream, false)?;
        let has_end = answer.header("content-length").is_some() || answer.header("transfer-encoding").is_some();
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if has_end && !closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}
