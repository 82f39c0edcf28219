//! Two connections to one server that may write: one for all calls, whose reads
//! are tracked, and one that only waits for replicas.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, PushInfo, PushKind, RedisError,
    TlsCertificates, Value,
};
use tokio::sync::{Mutex, Notify};

use super::address::Host;
use super::hot::{HotSessions, Tracking};
use super::keys::Key;
use super::scripts::Step;
use crate::types::{Clock, Monotonic};

/// How long it may take to connect and to agree on a protocol.
const CONNECT: Duration = Duration::from_millis(700);
/// How long a server may take to answer a beat.
const BEAT: Duration = Duration::from_millis(1000);
/// How long a write waits for replicas.
const WAIT: Duration = Duration::from_millis(100);
/// A replica tells every second how far it is; one that is behind by this does not count.
const STEP: Duration = Duration::from_millis(2500);

/// Why there is no link to a server.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The first attempt is still under way.
    #[error("no connection was made so far")]
    Starting,
    /// Redis refused, or could not be reached.
    #[error("cannot connect to the session store at {host}")]
    Refused {
        /// The server.
        host: Host,
        /// Why.
        source: RedisError,
    },
    /// Nothing came back in time.
    #[error("the session store at {host} does not answer")]
    Silent {
        /// The server.
        host: Host,
    },
    /// The server only follows another one.
    #[error("the Redis at {host} is a replica, which keeps no sessions")]
    Replica {
        /// The server.
        host: Host,
    },
    /// Something cannot be made of the URL.
    #[error("the URL of the session store leads nowhere")]
    Address,
    /// No Sentinel names a primary.
    #[error("no Sentinel names a primary of this name")]
    NoPrimary,
    /// No node tells the slots.
    #[error("no node tells the slots of the Cluster")]
    NoSlots,
}

/// How to make connections.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) authority: Option<Arc<Vec<u8>>>,
    pub(super) hot: Arc<HotSessions>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Connector {
    /// One connection, without tracking.
    pub(super) async fn connect(&self, host: &Host, place: ConnectionInfo) -> Result<MultiplexedConnection, LinkError> {
        self.open(host, place, &AsyncConnectionConfig::new()).await
    }

    async fn open(
        &self,
        host: &Host,
        place: ConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, LinkError> {
        // Each caller has its own time limit, which is shorter.
        let config = config.clone().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(BEAT));
        let refused = |source| LinkError::Refused { host: host.clone(), source };
        let is_tls = matches!(place.addr(), ConnectionAddr::TcpTls { .. });
        let client = match &self.authority {
            None => Client::open(place),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
                Client::build_with_tls(place, certificates)
            }
        };
        let client = client.map_err(refused)?;
        let connect = async move { client.get_multiplexed_async_connection_with_config(&config).await };
        if !is_tls {
            return connect.await.map_err(refused);
        }
        // For each connection the crate reads the authorities of the platform,
        // which would keep everything else on this thread waiting.
        let runtime = tokio::runtime::Handle::current();
        let connected = tokio::task::spawn_blocking(move || runtime.block_on(connect)).await;
        connected.map_err(|_| LinkError::Silent { host: host.clone() })?.map_err(refused)
    }

    /// Both connections to a server that may write.
    pub(super) async fn link(&self, host: &Host, place: ConnectionInfo) -> Result<Link, LinkError> {
        let tracking = Arc::new(Tracking::default());
        let (hot, watched) = (Arc::clone(&self.hot), Arc::clone(&tracking));
        let listen = move |push: PushInfo| -> Result<(), RedisError> {
            if push.kind == PushKind::Invalidate {
                hot.invalidated(&push.data);
            } else if push.kind == PushKind::Disconnection {
                watched.end();
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(listen);
        let calls = self.open(host, place.clone(), &config).await?;
        // Made before the first call, so that both lead to one run of one
        // server: a write of the one is covered by a WAIT of the other.
        let waits = self.open(host, place, &AsyncConnectionConfig::new()).await?;
        let link = Link {
            host: host.clone(),
            calls,
            tracking,
            replicas: AtomicUsize::new(0),
            written: std::sync::Mutex::default(),
            suspected: Notify::new(),
            fence: Fence { connection: waits, turn: Mutex::new(()), asked: AtomicU64::new(0), met: AtomicU64::new(0) },
        };
        link.beat(self.clock.as_ref()).await?;
        link.prepare(self.clock.as_ref()).await?;
        Ok(link)
    }
}

/// A server that may write, with its connections.
pub(super) struct Link {
    pub(super) host: Host,
    calls: MultiplexedConnection,
    pub(super) tracking: Arc<Tracking>,
    /// How many replicas keep step.
    replicas: AtomicUsize,
    /// How much the server had written, and when.
    written: std::sync::Mutex<VecDeque<(Monotonic, i64)>>,
    suspected: Notify,
    fence: Fence,
}

/// What is known of the replicas of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replicated {
    /// All that keep step have what was written.
    Yes,
    /// There is none that keeps step.
    Alone,
    /// Some of those that keep step have it.
    Some,
    /// None has said so in time.
    Late,
    /// The server went away meanwhile; what it had written may be lost with it.
    Unknown,
}

/// Waits for replicas on behalf of many calls at once.
struct Fence {
    connection: MultiplexedConnection,
    turn: Mutex<()>,
    asked: AtomicU64,
    /// All that asked before this number are covered.
    met: AtomicU64,
}

impl Link {
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async(&mut self.calls.clone()).await
    }

    /// Runs a script by its hash, by its text where Redis has forgotten it.
    pub(super) async fn step(&self, step: Step, keys: &[&str], arguments: &[Vec<u8>]) -> Result<Value, RedisError> {
        let mut command = step.by_hash(keys);
        let answer = self.ask(command.arg(arguments)).await;
        match answer {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let mut command = step.by_code(keys);
                self.ask(command.arg(arguments)).await
            }
            answer => answer,
        }
    }

    /// Runs a command on a key that is on its way to this node of a Cluster.
    pub(super) async fn ask_on_the_way(&self, command: &Cmd) -> Result<Value, RedisError> {
        let mut pipe = redis::pipe();
        pipe.cmd("ASKING").ignore().add_command(command.clone());
        let answers: Vec<Value> = pipe.query_async(&mut self.calls.clone()).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Runs many commands of which each may fail alone.
    pub(super) async fn ask_all(
        &self,
        commands: impl Iterator<Item = Cmd>,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for command in commands {
            pipe.add_command(command);
        }
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        pipe.query_async(&mut self.calls.clone()).await
    }

    /// Waits until the replicas have all that was written on this link before.
    pub(super) async fn replicated(&self, key: &Key) -> Replicated {
        let wanted = i64::try_from(self.replicas.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        if wanted == 0 {
            return if self.tracking.is_lost() { Replicated::Unknown } else { Replicated::Alone };
        }
        let fence = &self.fence;
        let ticket = fence.asked.fetch_add(1, Ordering::SeqCst);
        let waited = tokio::time::timeout(WAIT, async {
            let _turn = fence.turn.lock().await;
            if fence.met.load(Ordering::SeqCst) > ticket {
                return Replicated::Yes;
            }
            let covered = fence.asked.load(Ordering::SeqCst);
            let mut pipe = redis::pipe();
            // WAIT counts from the last write of its own connection, so there is one.
            pipe.cmd("SET").arg(key.fence().name).arg("").arg("PX").arg(1000).ignore();
            pipe.cmd("WAIT").arg(wanted).arg(WAIT.as_millis());
            let answer: Result<(i64,), RedisError> = pipe.query_async(&mut fence.connection.clone()).await;
            match answer {
                Ok((count,)) if count >= wanted => {
                    fence.met.fetch_max(covered, Ordering::SeqCst);
                    Replicated::Yes
                }
                Ok((0,)) => Replicated::Late,
                Ok(_) => Replicated::Some,
                Err(_) => Replicated::Unknown,
            }
        });
        let replicated = waited.await.unwrap_or(Replicated::Late);
        if self.tracking.is_lost() { Replicated::Unknown } else { replicated }
    }

    /// Whether the server has replicas that could take over.
    pub(super) fn has_replicas(&self) -> bool {
        self.replicas.load(Ordering::SeqCst) > 0
    }

    /// Makes whoever watches the link have a look.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    pub(super) async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Asks for the server's role: the proof that it lives, may write, and has
    /// sent all invalidations so far.
    pub(super) async fn beat(&self, clock: &dyn Clock) -> Result<(), LinkError> {
        let host = || self.host.clone();
        let sent = clock.monotonic();
        let asked = redis::cmd("ROLE");
        let answer = tokio::time::timeout(BEAT, self.ask(&asked)).await;
        let answer = answer.map_err(|_| LinkError::Silent { host: host() })?;
        let role = answer.map_err(|source| LinkError::Refused { host: host(), source })?;
        let Value::Array(role) = role else { return Err(LinkError::Replica { host: host() }) };
        match role.as_slice() {
            [Value::BulkString(name), Value::Int(offset), Value::Array(replicas)] if name == b"master" => {
                self.replicas.store(self.in_step(offset, replicas, sent), Ordering::SeqCst);
                self.tracking.prove(sent);
                Ok(())
            }
            _ => Err(LinkError::Replica { host: host() }),
        }
    }

    /// How many replicas have by now what the server had written a while ago.
    /// One that hangs stays in the list for a minute; nobody waits for it that long.
    fn in_step(&self, offset: &i64, replicas: &[Value], now: Monotonic) -> usize {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.push_back((now, *offset));
        while written.get(1).is_some_and(|(then, _)| now.since(*then) >= STEP) {
            written.pop_front();
        }
        let due = written.front().filter(|(then, _)| now.since(*then) >= STEP).map_or(0, |(_, offset)| *offset);
        let has_it = |replica: &&Value| {
            let Value::Array(parts) = replica else { return false };
            let confirmed = parts.get(2).and_then(|offset| redis::from_redis_value_ref::<i64>(offset).ok());
            confirmed.is_some_and(|confirmed| confirmed >= due)
        };
        replicas.iter().filter(has_it).count()
    }

    async fn prepare(&self, clock: &dyn Clock) -> Result<(), LinkError> {
        let refused = |source| LinkError::Refused { host: self.host.clone(), source };
        self.ask_all(Step::ALL.iter().map(|step| step.load())).await.map_err(refused)?;
        let asked = clock.monotonic();
        let mut track = redis::cmd("CLIENT");
        match self.ask(track.arg("TRACKING").arg("ON")).await {
            Ok(_) => self.tracking.begin(asked),
            Err(error) if error.is_io_error() => return Err(refused(error)),
            Err(error) => {
                let host = self.host.to_string();
                tracing::warn!(host, %error, "session store tells no changes, every check asks it");
            }
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tracking.end();
    }
}
