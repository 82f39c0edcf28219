//! HTTP/1.1 written byte by byte: ordinary clients normalise the very paths
//! and headers that the tests are about.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// An answer, as it came.
#[derive(Debug, Clone)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// Every header line in order, the name as it was written.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every header of this name.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("the body is not JSON: {}", self.text()))
    }
}

/// Sends bytes as they are and reads one answer.
pub fn raw_request(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<RawResponse> {
    raw_request_within(address, bytes, TIMEOUT)
}

/// [`raw_request`] with a limit for connecting and for each read and write.
pub fn raw_request_within(address: SocketAddr, bytes: impl AsRef<[u8]>, timeout: Duration) -> Result<RawResponse> {
    let bytes = bytes.as_ref();
    let mut stream =
        TcpStream::connect_timeout(&address, timeout).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    // A server may answer and close before it has read everything: then the
    // answer counts, not the write that failed.
    let written = stream.write_all(bytes);
    read_response(&mut BufReader::new(stream), bytes.starts_with(b"HEAD "))
        .or_else(|error| written.map_err(Into::into).and(Err(error)))
        .with_context(|| format!("no answer from {address}"))
}

/// Sends a request with `Host`, `Connection: close` and these headers; the
/// target and the headers are written as they are given.
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<RawResponse> {
    request_with_body(address, method, target, headers, b"")
}

/// [`request`] with a body and its `Content-Length`.
pub fn request_with_body(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<RawResponse> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    if !given("host") {
        let _ = write!(head, "Host: {address}\r\n");
    }
    if !given("connection") {
        head.push_str("Connection: close\r\n");
    }
    if !body.is_empty() && !given("content-length") {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    raw_request(address, [head.as_bytes(), body].concat())
}

/// A POST of form fields, each percent-encoded.
pub fn post_form(address: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Result<RawResponse> {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    request_with_body(address, "POST", target, &headers, body.join("&").as_bytes())
}

/// Percent-encodes everything but unreserved characters.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The status of a GET, for readiness.
pub(crate) fn get_status(address: SocketAddr, path: &str, timeout: Duration) -> Option<u16> {
    let bytes = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    raw_request_within(address, bytes, timeout).ok().map(|answer| answer.status)
}

pub(crate) fn read_response(reader: &mut impl BufRead, bodiless: bool) -> Result<RawResponse> {
    loop {
        let (status, headers) = read_head(reader)?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let mut response = RawResponse { status, headers, body: Vec::new() };
        if !bodiless && status != 101 && status != 204 && status != 304 {
            response.body = read_body(reader, &response)?;
        }
        return Ok(response);
    }
}

fn read_head(reader: &mut impl BufRead) -> Result<(u16, Vec<(String, String)>)> {
    let line = read_line(reader)?;
    let status =
        line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("not an HTTP/1.1 status line: `{line}`") };
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let Some((name, value)) = line.split_once(':') else { bail!("not a header line: `{line}`") };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    if reader.take(1024 * 1024).read_until(b'\n', &mut line)? == 0 {
        bail!("the connection was closed");
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn read_body(reader: &mut impl BufRead, response: &RawResponse) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).with_context(|| format!("not a chunk size: `{line}`"))?;
            if size == 0 {
                while !read_line(reader)?.is_empty() {}
                return Ok(body);
            }
            reader.take(size.min(MAX_BODY)).read_to_end(&mut body)?;
            read_line(reader)?;
        }
    }
    let length = response.header("content-length").map(str::parse).transpose().context("not a content length")?;
    reader.take(length.unwrap_or(MAX_BODY)).read_to_end(&mut body)?;
    Ok(body)
}
