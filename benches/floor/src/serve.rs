//! The servers. What all but one have in common with the service: one
//! single-threaded runtime for each core, connections dealt to them in turn,
//! small answers sent at once.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::Failure;
use crate::answers::{AlwaysOk, Bare, Recorder, empty};

/// Requests that one connection may have open at once, or reset.
const MAX_STREAMS: u32 = 4096;

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// hyper's HTTP/2 alone.
    BareHttp2,
    /// tonic and envoy-types, as well tuned as they can be.
    Tonic,
    /// The same on tokio's usual runtime, whose threads share all connections.
    TonicMultiThread,
    /// hyper's HTTP/1 alone.
    Http1,
    /// axum on the same.
    Axum,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let named = [
            ("bare-http2", Self::BareHttp2),
            ("tonic", Self::Tonic),
            ("tonic-multi-thread", Self::TonicMultiThread),
            ("http1", Self::Http1),
            ("axum", Self::Axum),
        ];
        named.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }
}

/// How one server answers on a connection.
#[derive(Clone)]
enum Speaks {
    Bare(Bare),
    Tonic(AuthorizationServer<AlwaysOk>),
    Http1,
    Axum(Router),
    Recorder(Arc<Recorder>),
}

impl Speaks {
    async fn serve(self, stream: TcpStream) {
        let io = TokioIo::new(stream);
        let http2 = || {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            // As the service has them: no load of the bench may end a connection.
            builder.max_concurrent_streams(MAX_STREAMS).max_pending_accept_reset_streams(MAX_STREAMS as usize);
            builder.max_local_error_reset_streams(MAX_STREAMS as usize);
            builder
        };
        // How a connection ends is the load generator's business.
        match self {
            Self::Bare(bare) => {
                let answer = move |request: http::Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(bare.answer(Some(request.into_body()))))
                };
                let _ = http2().serve_connection(io, service_fn(answer)).await;
            }
            Self::Tonic(server) => {
                let _ = http2().serve_connection(io, TowerToHyperService::new(server)).await;
            }
            Self::Http1 => {
                let answer = |_: http::Request<Incoming>| std::future::ready(Ok::<_, Infallible>(empty()));
                let _ = http1::Builder::new().serve_connection(io, service_fn(answer)).await;
            }
            Self::Axum(router) => {
                let _ = http1::Builder::new().serve_connection(io, TowerToHyperService::new(router)).await;
            }
            Self::Recorder(recorder) => {
                let answer = move |request| {
                    let recorder = Arc::clone(&recorder);
                    async move {
                        recorder.take(request).await?;
                        Ok::<_, std::io::Error>(Bare::new().answer(None))
                    }
                };
                let _ = http2().serve_connection(io, service_fn(answer)).await;
            }
        }
    }
}

/// Serves until it is ended.
pub(crate) fn run(kind: Kind) -> Result<(), Failure> {
    let tonic = || Speaks::Tonic(AuthorizationServer::new(AlwaysOk));
    match kind {
        Kind::BareHttp2 => per_core(&Speaks::Bare(Bare::new())),
        Kind::Tonic => per_core(&tonic()),
        Kind::TonicMultiThread => Builder::new_multi_thread().enable_all().build()?.block_on(shared(tonic())),
        Kind::Http1 => per_core(&Speaks::Http1),
        Kind::Axum => per_core(&Speaks::Axum(Router::new().fallback(async || ()))),
    }
}

/// Serves until it is ended, and keeps the first message.
pub(crate) fn record(file: &str) -> Result<(), Failure> {
    per_core(&Speaks::Recorder(Arc::new(Recorder::new(file))))
}

async fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

async fn shared(speaks: Speaks) -> Result<(), Failure> {
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(speaks.clone().serve(stream));
    }
}

fn per_core(speaks: &Speaks) -> Result<(), Failure> {
    let mut workers = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (worker, mut accepted) = mpsc::unbounded_channel::<std::net::TcpStream>();
        let speaks = speaks.clone();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(stream) = accepted.recv().await {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => drop(tokio::spawn(speaks.clone().serve(stream))),
                        Err(error) => eprintln!("tiergate-floor: {error}"),
                    }
                }
            });
        });
        workers.push(worker);
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async move {
        let listener = listen().await?;
        for worker in workers.iter().cycle() {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            worker.send(stream.into_std()?)?;
        }
        Ok(())
    })
}
