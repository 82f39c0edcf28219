//! Starts everything, waits, and ends it in order. Nothing is bound before the
//! whole config is known to be good, and no task ends without being noticed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics::counter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic_health::pb::health_server::Health;

use super::admin::{AdminParts, Refreshes};
use super::app_health::HealthKeeper;
use super::app_report::AppReport;
use super::areas::AreaParts;
use super::background::Background;
use super::build;
use super::catalogue::CatalogueFiles;
use super::connection::{Job, Speaks};
use super::counted_store::watch_store;
use super::directory::OpenedDirectory;
use super::listener::Listener;
use super::read_file::ReadFile;
use super::readiness::{Operator, keep_metrics, tell_health};
use super::reload::{Live, LoadConfig, LoadedConfig, Reloader, Waker};
use super::routes::RouteWriter;
use super::sign_in::{SignIn, World};
use super::telemetry::{self, Decisions};
use super::workers::Workers;
use crate::backend::app_health::KnownHealth;
use crate::backend::http_client::HttpClient;
use crate::backend::jwks_fetch::{JwksWorld, ProviderKeys};
use crate::backend::system::{PooledRandom, SystemClock, SystemRandom};
use crate::check::{CheckService, Checker, KeyRefresh, Ports, TokenCache};
use crate::config::{Config, ListenAddress};
use crate::grpc::GrpcServer;
use crate::http::admin::RecentDecisions;
use crate::http::pages::Pages;
use crate::http::{AdminServer, Aliases, HttpServer};
use crate::oidc::LiveSessions;
use crate::session::SessionSource;
use crate::types::{Clock, ProviderId, Random, Tasks};

/// Runs the service until SIGTERM or SIGINT. `load` brings the config anew when
/// one of its files changes, or on SIGHUP.
///
/// # Errors
/// When a listener cannot be bound, or a part of the service ends by itself.
pub fn serve(start: LoadedConfig, config_files: Vec<ReadFile>, load: LoadConfig) -> anyhow::Result<()> {
    for notice in &start.config.notices {
        tracing::warn!(notice, "config");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(run(start, config_files, load))
}

async fn run(start: LoadedConfig, config_files: Vec<ReadFile>, load: LoadConfig) -> anyhow::Result<()> {
    let mut signals = Signals::register()?;
    let config = &start.config.clone();
    raise_descriptor_limit();
    let metrics = telemetry::install_metrics().context("the metrics cannot be installed")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let http = HttpClient::new()?;
    let refreshes = Arc::new(Refreshes::new(Arc::clone(&clock)));
    let world = JwksWorld {
        client: http.clone(),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        observer: Arc::<Refreshes>::clone(&refreshes),
    };
    let (keys, fetchers) = ProviderKeys::open(build::key_settings(config), &world);
    let mut app_files = CatalogueFiles::new(config);
    let (apps, looked_at) = app_files.read(config, &start.variables);
    let mut report = AppReport::default();
    report.tell(&apps);
    let snapshot = build::snapshot(config, &apps)?;
    let recent = Arc::new(RecentDecisions::new(config.admin.decisions));
    let decisions =
        Decisions::start(Arc::clone(&clock), Arc::clone(&recent)).context("the decision log cannot be started")?;
    decisions.follow(&snapshot.policy);
    let decisions = Arc::new(decisions);
    let refresh = Arc::new(AskProvider(Arc::clone(&keys)));
    let (background, running) = Background::start();
    let tasks_beside: Arc<dyn Tasks> = Arc::new(background.clone());
    let directory = match &config.directory {
        Some(settings) => Some(Arc::new(OpenedDirectory::open(settings, &clock, &random).await?)),
        None => None,
    };
    let world = World {
        http: http.clone(),
        keys: Arc::<ProviderKeys>::clone(&keys),
        key_refresh: Arc::<AskProvider>::clone(&refresh),
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        background,
        directory: directory.as_ref().map(|opened| Arc::clone(&opened.directory)),
    };
    let sign_in = SignIn::open(config, world).await?;
    let ports = Ports {
        keys: Arc::<ProviderKeys>::clone(&keys),
        refresh,
        clock: Arc::clone(&clock),
        random: Arc::new(PooledRandom),
        tasks: Arc::clone(&tasks_beside),
        sessions: sign_in.as_ref().map(|parts| Arc::<LiveSessions>::clone(&parts.live) as Arc<dyn SessionSource>),
        directory: directory.as_ref().map(|opened| Arc::clone(&opened.directory)),
        access_tokens: config.directory.as_ref().is_some_and(|settings| settings.access_tokens.max_per_user > 0),
        opaque_tokens: build::opaque_tokens(config, &http, &clock, &tasks_beside),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cache = TokenCache::of_cores(u64::from(config.limits.token_cache), cores);
    let checker = Arc::new(Checker::new(snapshot, cache, ports));
    let signing_in = sign_in.as_ref().map(SignIn::of_pages);
    let app_health = Arc::new(KnownHealth::default());
    let pages = Pages::new(build::page_settings(config), Arc::clone(&checker), Arc::clone(&clock), signing_in);
    let pages = pages.with_health(Arc::<KnownHealth>::clone(&app_health));
    let admin = AdminParts { decisions: recent, health: Arc::clone(&app_health), keys: Arc::clone(&keys), refreshes };
    let areas = AreaParts {
        config,
        checker: &checker,
        directory: directory.as_ref().map(|opened| &opened.directory),
        sessions: sign_in.as_ref().map(|parts| &parts.sessions),
        http: &http,
        clock: &clock,
        random: &random,
        admin: &admin,
    };
    let pages = areas.register(pages);
    let log = Arc::<Decisions>::clone(&decisions);
    let check = CheckService::new(Arc::clone(&checker), log, Arc::clone(&clock)).with_pages(Arc::new(pages));

    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    // Without them the service goes on.
    let mut health_threads: JoinSet<()> = JoinSet::new();
    let (stop, stopping) = watch::channel(false);
    for fetcher in fetchers {
        let shutdown = stopped(stopping.clone());
        tasks.spawn(async move {
            fetcher.run(shutdown).await;
            "key fetcher"
        });
    }
    let store = sign_in.as_ref().map(|parts| Arc::clone(&parts.store_works));
    if let Some(parts) = &sign_in {
        let works = Arc::clone(&parts.store_works);
        tasks.spawn(watch_store(Arc::clone(&parts.store), Arc::clone(&clock), works, stopping.clone()));
    }
    if let Some(opened) = &directory {
        tasks.spawn(Arc::clone(opened).keep_up(stopping.clone()));
        tasks.spawn(Arc::clone(opened).watch(stopping.clone()));
        tasks.spawn(Arc::clone(opened).note_uses(stopping.clone()));
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    tasks.spawn(keep_metrics(metrics.clone(), stopping.clone()));
    tasks.spawn(tell_health(health, Arc::clone(&keys), stopping.clone()));

    let workers = Arc::new(Workers::start(cores).context("the workers cannot be started")?);
    let listeners = [
        (&config.listen.grpc, "grpc", Speaks::Grpc(GrpcServer::new(check.clone(), health_service))),
        (&config.listen.http, "http", Speaks::Http(http_server(config, check))),
        (
            &config.listen.admin,
            "admin",
            Speaks::Admin(AdminServer::new(Arc::new(Operator {
                keys,
                metrics,
                checker: Arc::clone(&checker),
                store,
                directory: directory.as_ref().map(|opened| Arc::clone(&opened.directory)),
            }))),
        ),
    ];
    // Before the routes: a second instance that cannot have the addresses leaves those of the first alone.
    let mut bound = Vec::new();
    for (address, name, speaks) in listeners {
        bound.push((Listener::bind(address).with_context(|| cannot_listen(name, address))?, name, speaks));
    }
    // Before anything is accepted: who is told that the service is ready finds the routes.
    let routes = tokio::select! {
        routes = RouteWriter::start(config, &apps.catalogue, &mut tasks, &stopping) => routes?,
        () = signals.stop() => return Ok(()),
    };
    for (listener, name, speaks) in bound {
        tracing::info!(listener = name, address = listener.address(), "listening");
        let places = Arc::new(Semaphore::new(usize::try_from(config.limits.max_connections).unwrap_or(usize::MAX)));
        tasks.spawn(accept(listener, name, speaks, Arc::clone(&workers), places, stopping.clone()));
    }
    // A thread of its own, so that no check waits; it ends when the service is told to stop.
    let keeper = HealthKeeper {
        known: Arc::clone(&app_health),
        checker: Arc::clone(&checker),
        clock: Arc::clone(&clock),
        random: Arc::new(SystemRandom),
    };
    health_threads.spawn_blocking(move || keeper.run(stopping));
    // Last of all: from here on nothing returns before it is told to stop.
    let (waker, wakes) = Waker::new();
    let live = Live { checker: Arc::clone(&checker), decisions, routes };
    let reloader = Reloader { load, config_files, current: start, app_files, report, live, clock: Arc::clone(&clock) };
    tasks.spawn_blocking(move || {
        reloader.run(&wakes, looked_at);
        "reloader"
    });

    let ended = wait(&mut tasks, &workers, &waker, &mut signals).await;
    tracing::info!("stopping");
    stop.send_replace(true);
    waker.stop();
    while tasks.join_next().await.is_some() {}
    while health_threads.join_next().await.is_some() {}
    // The tasks are gone, and with them every other hold on the workers.
    if let Some(workers) = Arc::into_inner(workers) {
        tokio::task::spawn_blocking(|| workers.join()).await.context("the workers could not be joined")?;
    }
    // They hold ways into the background, which ends when the last one is gone.
    drop((sign_in, checker, tasks_beside));
    running.end().await;
    ended
}

/// As many connections as the system allows: its usual soft limit is kept low
/// for programs that still call `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The signals, from the start on: one that nobody awaits would end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn register() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be awaited")?,
            hang_up: signal(SignalKind::hangup()).context("SIGHUP cannot be awaited")?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the signal to stop, or for a part to end though nobody stopped it.
async fn wait<H: Health>(
    tasks: &mut JoinSet<&'static str>,
    workers: &Workers<H>,
    waker: &Waker,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => waker.reload(),
            Some(ended) = tasks.join_next() => match ended {
                Ok(part) => bail!("the {part} ended by itself"),
                Err(error) => bail!("a part of the service panicked: {error}"),
            },
            _ = look.tick() => if workers.is_broken() {
                bail!("a worker ended by itself");
            },
        }
    }
}

async fn accept<H: Health>(
    listener: Listener,
    name: &'static str,
    speaks: Speaks<H>,
    workers: Arc<Workers<H>>,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
) -> &'static str {
    let mut stopped = Box::pin(stopped(stopping.clone()));
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => return "acceptor",
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((accepted, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let job = Job { accepted, peer, speaks: speaks.clone(), place, stopping: stopping.clone() };
                    workers.deal(job);
                }
                Err(_) => counter!("tiergate_connections_refused_total", "listener" => name).increment(1),
            },
            Err(error) => {
                tracing::warn!(listener = name, error = %error, "connection not accepted");
                // Out of descriptors, most likely: others have to close first.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

pub(super) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

fn http_server(config: &Config, check: CheckService) -> HttpServer {
    let aliases = Aliases { oauth2_proxy: config.compat.oauth2_proxy, authelia: config.compat.authelia };
    if config.trusted_proxies.is_empty() && !matches!(config.listen.http, ListenAddress::Unix(_)) {
        tracing::warn!("`trusted_proxies` is empty: every question over HTTP is refused");
    }
    HttpServer::new(check, &config.trusted_proxies, aliases)
}

fn cannot_listen(name: &str, address: &ListenAddress) -> String {
    format!("cannot listen on `{address}` (`listen.{name}`)")
}

/// Asks a provider for its keys because a token names one that is not known.
struct AskProvider(Arc<ProviderKeys>);

impl KeyRefresh for AskProvider {
    fn refresh<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            self.0.refresh_for_unknown_kid(provider).await;
        })
    }

    fn refresh_for_answer<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            self.0.refresh_for_answer(provider).await;
        })
    }
}
