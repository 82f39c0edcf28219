//! `healthcheck`: asks the admin listener of the running service.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context as _;

use super::load::{self, Failure};
use super::{ConfigArg, Exit};
use crate::config::ListenAddress;

const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn run(arg: &ConfigArg) -> Result<Exit, Failure> {
    let address = load::config(arg)?.listen.admin;
    let answer = ask(&address).with_context(|| format!("the service does not answer on `{address}`"))?;
    let ready = answer.lines().next().is_some_and(|status| status.split(' ').nth(1) == Some("200"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    if ready {
        outln!("{body}");
        Ok(Exit::Done)
    } else {
        eprintln!("not ready: {body}");
        Ok(Exit::Failed)
    }
}

fn ask(address: &ListenAddress) -> io::Result<String> {
    match address {
        ListenAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream)
        }
        ListenAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream)
        }
    }
}

/// A service that listens on every address is asked on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn exchange(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
