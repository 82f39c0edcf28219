//! A load generator that sends another message with each request, and may keep
//! to a rate. `h2load` sends one message, as fast as it is answered.
//!
//! `MESSAGES` holds framed gRPC messages, one after the other; they are sent in
//! turn, and again from the first when there are more requests than messages.
//! `STREAMS` requests are under way at once on each of `CONNECTIONS`
//! connections. With `RATE`, requests begin at that many a second; one that had
//! to wait for those before it is timed from when it should have begun.
//!
//! It prints one JSON object: `requests`, `answered` (with status 200),
//! `seconds`, and `p50`, `p99`, `max` in microseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Of one message: a flag and its length.
const FRAME_HEADER: usize = 5;

/// What all streams share.
struct Plan {
    uri: String,
    messages: Vec<Bytes>,
    requests: usize,
    next: AtomicUsize,
    /// When each request begins, in a row.
    every: Option<Duration>,
    start: Instant,
}

pub(crate) fn run(address: &str, messages: &str, numbers: &[&str]) -> Result<(), Failure> {
    let numbers = numbers.iter().map(|number| number.parse::<usize>()).collect::<Result<Vec<_>, _>>()?;
    let (requests, connections, streams, rate) = match *numbers.as_slice() {
        [requests, connections, streams] => (requests, connections, streams, None),
        [requests, connections, streams, rate] if rate > 0 => (requests, connections, streams, Some(rate)),
        _ => return Err(crate::USAGE.into()),
    };
    let messages = split(&std::fs::read(messages)?.into())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = Plan {
        uri: format!("http://{address}{CHECK}"),
        messages,
        requests,
        next: AtomicUsize::new(0),
        every: rate.map(|rate| Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX)),
        start: Instant::now(),
    };
    runtime.block_on(send(address, plan, connections, streams))
}

/// The messages, each with its header.
fn split(bytes: &Bytes) -> Result<Vec<Bytes>, Failure> {
    let mut messages = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let length = rest.get(1..FRAME_HEADER).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
        let end = FRAME_HEADER + usize::try_from(length.ok_or("a message has no length")?)?;
        if end > rest.len() {
            return Err("a message is cut off".into());
        }
        messages.push(rest.split_to(end));
    }
    if messages.is_empty() { Err("there is no message".into()) } else { Ok(messages) }
}

async fn send(address: &str, mut plan: Plan, connections: usize, streams: usize) -> Result<(), Failure> {
    let mut ways = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (way, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        ways.push(way);
    }
    plan.start = Instant::now();
    let plan = Arc::new(plan);
    let mut running = JoinSet::new();
    for way in ways {
        for _ in 0..streams {
            running.spawn(stream(way.clone(), Arc::clone(&plan)));
        }
    }
    let (mut micros, mut answered) = (Vec::with_capacity(plan.requests), 0);
    while let Some(ended) = running.join_next().await {
        let (took, good) = ended??;
        micros.extend(took);
        answered += good;
    }
    let seconds = plan.start.elapsed().as_secs_f64();
    micros.sort_unstable();
    let at = |thousandth: usize| micros.get((micros.len() * thousandth / 1000).min(micros.len().saturating_sub(1)));
    let told = serde_json::json!({
        "requests": micros.len(), "answered": answered, "seconds": seconds,
        "p50": at(500), "p99": at(990), "max": micros.last(),
    });
    println!("{told}");
    Ok(())
}

/// One request after the other, until all are sent.
async fn stream(mut way: SendRequest<Full<Bytes>>, plan: Arc<Plan>) -> Result<(Vec<u64>, usize), Failure> {
    let (mut micros, mut answered) = (Vec::new(), 0);
    loop {
        let number = plan.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.requests {
            return Ok((micros, answered));
        }
        let mut since = Instant::now();
        if let Some(every) = plan.every {
            let due = plan.start + every * u32::try_from(number)?;
            if since > due {
                since = due;
            } else {
                tokio::time::sleep_until(due.into()).await;
                // The timer's own millisecond is not the server's.
                since = Instant::now();
            }
        }
        let message = plan.messages.get(number % plan.messages.len()).cloned().unwrap_or_default();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&plan.uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message))?;
        way.ready().await?;
        let response = way.send_request(request).await?;
        let is_good = response.status().is_success();
        response.into_body().collect().await?;
        answered += usize::from(is_good);
        micros.push(u64::try_from(since.elapsed().as_micros())?);
    }
}
