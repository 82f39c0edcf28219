//! Load with a schedule of its own: each request has a moment at which it is due, whatever became of those before
//! it. A client that waits for answers before it asks again would be as slow as what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_HEAD: usize = 64 * 1024;

/// One and the same request, again and again, over connections that are kept.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Where it is sent to.
    pub address: SocketAddr,
    /// The target of the GET.
    pub target: String,
    /// Its headers, besides `Host`.
    pub headers: Vec<(String, String)>,
    /// How many are due in a second.
    pub per_second: u32,
    /// How many may be under way at once.
    pub connections: usize,
}

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// When it was due.
    pub due: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub answered: Instant,
    /// The status of the answer.
    pub status: u16,
}

/// Load that goes on until it is ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Vec<Observed>>>>,
}

impl Load {
    /// Sends the requests of all streams, from one thread.
    pub fn start(streams: Vec<Stream>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(streams, &stopped))
        });
        Self { stop, thread }
    }

    /// Ends it; what was observed of each stream, in no order.
    pub fn end(self) -> Result<Vec<Vec<Observed>>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the load panicked"))?
    }
}

async fn run(streams: Vec<Stream>, stop: &Arc<AtomicBool>) -> Result<Vec<Vec<Observed>>> {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    let mut all: Vec<Vec<Observed>> = streams.iter().map(|_| Vec::new()).collect();
    for (number, stream) in streams.into_iter().enumerate() {
        let next = Arc::new(AtomicU32::new(0));
        let connections = stream.connections;
        let stream = Arc::new(stream);
        for _ in 0..connections {
            let (stream, next, stop) = (Arc::clone(&stream), Arc::clone(&next), Arc::clone(stop));
            clients.spawn(async move { Ok::<_, anyhow::Error>((number, client(&stream, &next, &stop, start).await?)) });
        }
    }
    while let Some(ended) = clients.join_next().await {
        let (number, observed) = ended??;
        all.get_mut(number).context("no such stream")?.extend(observed);
    }
    Ok(all)
}

/// Takes the next request of the stream that nobody has taken, until it is ended.
async fn client(stream: &Stream, next: &AtomicU32, stop: &AtomicBool, start: Instant) -> Result<Vec<Observed>> {
    let mut request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", stream.target, stream.address);
    for (name, value) in &stream.headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let (mut connection, mut observed) = (None, Vec::new());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = start + Duration::from_secs(1) * number / stream.per_second;
        tokio::time::sleep_until(due.into()).await;
        if stop.load(Ordering::Relaxed) {
            return Ok(observed);
        }
        let mut sent = Instant::now();
        let was_kept = connection.is_some();
        let mut answer = timed(exchange(&mut connection, stream.address, &request)).await;
        if answer.is_err() && was_kept {
            // A connection that the server has closed meanwhile, as any HTTP client finds it.
            sent = Instant::now();
            answer = timed(exchange(&mut connection, stream.address, &request)).await;
        }
        let status = answer.with_context(|| format!("no answer from {}", stream.address))?;
        observed.push(Observed { due, sent, answered: Instant::now(), status });
    }
}

async fn timed(exchange: impl Future<Output = Result<u16>>) -> Result<u16> {
    tokio::time::timeout(PATIENCE, exchange).await?
}

/// One request and its answer; the status. The connection stays where it can be used again.
async fn exchange(kept: &mut Option<TcpStream>, address: SocketAddr, request: &str) -> Result<u16> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::with_capacity(2048);
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(read.len() < LONGEST_HEAD, "the head of the answer has no end");
        ensure!(stream.read_buf(&mut read).await? > 0, "closed before the answer was whole");
    };
    let text = std::str::from_utf8(read.get(..head).unwrap_or_default())?.to_ascii_lowercase();
    let header = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once(':').filter(|(key, _)| *key == name))
            .map(|(_, value)| value.trim())
    };
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    let length: Option<usize> = header("content-length").map(str::parse).transpose()?;
    let is_chunked = header("transfer-encoding").is_some_and(|coding| coding == "chunked");
    loop {
        let is_whole = match length {
            Some(length) => read.len() >= head + length,
            // No body of ours ends with what looks like the last chunk and is none.
            None if is_chunked => read.ends_with(b"0\r\n\r\n"),
            None => bail!("an answer of no told length"),
        };
        if is_whole {
            break;
        }
        ensure!(stream.read_buf(&mut read).await? > 0, "closed before the answer was whole");
    }
    if header("connection").is_none_or(|value| value != "close") {
        *kept = Some(stream);
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Upstream;

    #[test]
    fn the_load_keeps_its_schedule() -> Result<()> {
        let upstream = Upstream::start()?;
        let stream = |target: &str, per_second| Stream {
            address: upstream.address(),
            target: target.to_owned(),
            headers: vec![("X-Marker".to_owned(), "one".to_owned())],
            per_second,
            connections: 4,
        };
        let load = Load::start(vec![stream("/a", 100), stream("/b", 50)]);
        std::thread::sleep(Duration::from_secs(1));
        let observed = load.end()?;
        for ((per_second, target), observed) in [(100, "/a"), (50, "/b")].into_iter().zip(observed) {
            assert!(observed.iter().all(|one| one.status == 200 && one.due <= one.sent && one.sent <= one.answered));
            // The second ends between two ticks, and as late as the machine is busy.
            assert!(observed.len() >= per_second * 8 / 10, "{target}: {}", observed.len());
            let received = upstream.received_with(target);
            assert_eq!(received.len(), observed.len());
            assert!(received.iter().all(|one| one.header("x-marker") == Some("one")));
        }
        Ok(())
    }
}
