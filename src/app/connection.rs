//! One connection, served to its end, within bounds on time and size.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic_health::pb::health_server::Health;
use tower::util::MapRequest;

use super::one_buffer::OneBuffer;
use crate::grpc::GrpcServer;
use crate::http::{AdminServer, HttpServer, Peer};

/// Requests that one gRPC connection may have open at once, and those that may
/// be reset before they were looked at; both count against the peer until then.
/// The peer is a proxy that carries everybody's requests on one connection: with
/// low bounds one client who resets its requests quickly would end the checks of
/// all others. What their messages hold together is bounded in `grpc::framing`.
const MAX_STREAMS: u32 = 4096;
/// All headers of one request together.
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// How long a peer may take to send the head of its next request. It also
/// bounds how long an idle connection stays open, and is therefore above the
/// 60 s for which nginx keeps one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a new connection may stay without any request. Whoever only holds
/// connections open would otherwise take the places of the proxies.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How often a silent gRPC peer is asked for a sign of life, and how long it has.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How long the requests of a connection may take to end when the service stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A connection on its way from the acceptor to a worker, which makes it part
/// of its own runtime.
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What a listener speaks.
pub(super) enum Speaks<H> {
    Grpc(GrpcServer<H>),
    Http(HttpServer),
    Admin(AdminServer),
}

impl<H> Clone for Speaks<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Grpc(server) => Self::Grpc(server.clone()),
            Self::Http(server) => Self::Http(server.clone()),
            Self::Admin(server) => Self::Admin(server.clone()),
        }
    }
}

/// A connection and all that is needed to serve it.
pub(super) struct Job<H> {
    pub(super) accepted: Accepted,
    pub(super) peer: Peer,
    pub(super) speaks: Speaks<H>,
    /// Gives the connection's place back when it is dropped.
    pub(super) place: OwnedSemaphorePermit,
    pub(super) stopping: watch::Receiver<bool>,
}

impl<H: Health> Job<H> {
    /// Serves the connection until the peer closes it or the service stops.
    pub(super) async fn run(self) {
        let Self { accepted, peer, speaks, place, stopping } = self;
        tracing::trace!(%peer, "connection");
        let ended = match accepted {
            Accepted::Tcp(stream) => match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream, peer, speaks, stopping).await,
                Err(error) => Err(error.into()),
            },
            Accepted::Unix(stream) => match UnixStream::from_std(stream) {
                Ok(stream) => serve(stream, peer, speaks, stopping).await,
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "connection ended with an error");
        }
        drop(place);
    }
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn serve<H: Health>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    speaks: Speaks<H>,
    stopping: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    let spoken = Arc::new(AtomicBool::new(false));
    let marks = Arc::clone(&spoken);
    let mark = move |mut request: http::Request<Incoming>| {
        marks.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        request
    };
    match speaks {
        Speaks::Grpc(server) => {
            let marks = Arc::clone(&spoken);
            let service = service_fn(move |request| {
                marks.store(true, Ordering::Relaxed);
                server.clone().answer(request).map(Ok::<_, Infallible>)
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEADER_BYTES)
                .max_pending_accept_reset_streams(MAX_STREAMS as usize)
                .max_local_error_reset_streams(MAX_STREAMS as usize)
                .keep_alive_interval(KEEP_ALIVE.0)
                .keep_alive_timeout(KEEP_ALIVE.1)
                .serve_connection(TokioIo::new(OneBuffer(stream)), service);
            until_stopped(connection, spoken, stopping).await
        }
        Speaks::Http(server) => {
            let marks = Arc::clone(&spoken);
            let service = service_fn(move |request| {
                marks.store(true, Ordering::Relaxed);
                server.clone().answer(request, Some(peer)).map(Ok::<_, Infallible>)
            });
            until_stopped(http1(TokioIo::new(stream), service), spoken, stopping).await
        }
        Speaks::Admin(server) => {
            let service = TowerToHyperService::new(MapRequest::new(server, mark));
            until_stopped(http1(TokioIo::new(stream), service), spoken, stopping).await
        }
    }
}

fn http1<I, S>(io: I, service: S) -> hyper::server::conn::http1::Connection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: Service<http::Request<Incoming>, Response = http::Response<Full<Bytes>>>,
    S::Error: Into<ConnectionError>,
{
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(usize::try_from(MAX_HEADER_BYTES).unwrap_or(usize::MAX))
        .serve_connection(io, service)
}

async fn until_stopped<C>(
    connection: C,
    spoken: Arc<AtomicBool>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    C: GracefulConnection + Future<Output = Result<(), <C as GracefulConnection>::Error>>,
    <C as GracefulConnection>::Error: Into<ConnectionError>,
{
    let mut connection: Pin<Box<C>> = Box::pin(connection);
    tokio::select! {
        ended = &mut connection => return ended.map_err(Into::into),
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = stayed_silent(&spoken) => {}
    }
    connection.as_mut().graceful_shutdown();
    if !spoken.load(Ordering::Relaxed) {
        return Ok(());
    }
    match tokio::time::timeout(DRAIN, connection).await {
        Ok(ended) => ended.map_err(Into::into),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the connection did not drain").into()),
    }
}

/// Ends when the first request is overdue.
async fn stayed_silent(spoken: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
