//! Sessions in Redis: one server, one by TLS, Sentinels, a Cluster.
//!
//! ```text
//! address   the URL                          keys, record, scripts   what Redis keeps, and how it changes
//! link      two connections to one server    servers                 which server has a key
//! keeper    the task that connects           hot                     sessions in process, dropped by Redis
//! calls     one call, redirected             removed                 removals that no replica has confirmed
//! store     the port                         operations              what its calls are made of
//! ```
//!
//! The crate's own clients for Sentinel and Cluster are not used: a session may
//! be answered from the process only while the very connection that it was read
//! on is known to live, and a write counts only when a replica of the very
//! server that took it has it too. Both need to know which connection it was.

mod address;
mod calls;
mod hot;
mod keeper;
mod keys;
mod link;
mod operations;
mod record;
mod removed;
mod scripts;
mod servers;
mod store;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use address::{RedisOpenError, RedisTopology};

use self::address::Address;
use self::hot::HotSessions;
use self::keeper::{Keeper, task};
use self::link::Connector;
use self::removed::Removed;
use self::servers::{Node, Servers, Shape};
use crate::types::{Clock, Random, Secret};

/// The session store in Redis.
pub struct RedisStore {
    servers: Arc<Servers>,
    hot: Arc<HotSessions>,
    removed: Arc<Removed>,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    /// Ends with the store.
    _keeping: JoinSet<()>,
}

impl RedisStore {
    /// Whether the URL can be used, asking nobody.
    ///
    /// # Errors
    /// Which part of it cannot.
    pub fn check_url(topology: RedisTopology, url: &Secret) -> Result<(), RedisOpenError> {
        Address::parse(topology, url).map(drop)
    }

    /// Reads the URL and begins to connect. A Redis that is down is no error
    /// here: until it comes, the calls are.
    ///
    /// # Errors
    /// When the URL or the file with the certificate authority cannot be used,
    /// or there is no tokio runtime around.
    pub fn open(
        topology: RedisTopology,
        url: &Secret,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, RedisOpenError> {
        let address = Address::parse(topology, url)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| RedisOpenError::Runtime)?;
        let authority = read_authority(&address)?;
        let hot = Arc::new(HotSessions::new());
        let shape = match topology {
            RedisTopology::Cluster => Shape::default(),
            RedisTopology::Single | RedisTopology::SingleTls | RedisTopology::Sentinel => {
                Shape::only(Node::new(clock.monotonic()))
            }
        };
        let servers = Servers::new(shape, Arc::clone(&clock));
        let removed = Arc::new(Removed::default());
        let keeper = Keeper {
            address: Arc::new(address),
            connector: Connector { authority, hot: Arc::clone(&hot), clock: Arc::clone(&clock) },
            servers: Arc::clone(&servers),
            removed: Arc::clone(&removed),
            random: Arc::clone(&random),
        };
        let keeping = task(keeper.run(), &runtime);
        Ok(Self { servers, hot, removed, random, clock, _keeping: keeping })
    }
}

#[expect(clippy::disallowed_methods, reason = "the certificate authority that the operator keeps in a file")]
fn read_authority(address: &Address) -> Result<Option<Arc<Vec<u8>>>, RedisOpenError> {
    let Some(path) = &address.ca else { return Ok(None) };
    let refuse = |source| RedisOpenError::Authority { path: path.clone(), source };
    let pem = std::fs::read(path).map_err(|error| refuse(error.into()))?;
    if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
        return Err(refuse("it holds no certificate in PEM form".into()));
    }
    Ok(Some(Arc::new(pem)))
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
