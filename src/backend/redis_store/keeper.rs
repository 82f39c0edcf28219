//! Keeps the links: finds the servers, connects, listens whether they live,
//! and begins anew.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::address::{Address, Host, RedisTopology};
use super::keys::SLOTS;
use super::link::{Connector, Link, LinkError, Replicated};
use super::removed::{Removal, Removed};
use super::servers::{Node, Servers, Shape};
use crate::backend::causes::Causes;
use crate::backend::system::jitter;
use crate::types::Random;

/// How often a server is asked whether it lives.
const BEAT: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a Sentinel or a node may take to say who has what.
const TELL: Duration = Duration::from_millis(800);
/// How often the slots are asked for, and the Sentinels for the primary.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How many removals are repeated in one go.
const AT_ONCE: usize = 500;

/// What the tasks of a store share.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) address: Arc<Address>,
    pub(super) connector: Connector,
    pub(super) servers: Arc<Servers>,
    pub(super) removed: Arc<Removed>,
    pub(super) random: Arc<dyn Random>,
}

impl Keeper {
    /// Works until it is dropped.
    pub(super) async fn run(self) {
        match self.address.topology {
            RedisTopology::Single | RedisTopology::SingleTls | RedisTopology::Sentinel => {
                if let Some(only) = self.servers.shape().only.clone() {
                    self.keep(only, None).await;
                }
            }
            RedisTopology::Cluster => self.keep_cluster().await,
        }
    }

    /// Keeps the link of one node: to `host`, else to whoever is the primary.
    async fn keep(&self, node: Arc<Node>, host: Option<Host>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let trouble = match self.link(host.as_ref()).await {
                Ok(link) => {
                    let link = Arc::new(link);
                    tracing::info!(host = %link.host, "session store connected");
                    node.up(Arc::clone(&link));
                    pause = FIRST_PAUSE;
                    let trouble = self.watch(&link, host.is_none()).await;
                    link.tracking.end();
                    trouble
                }
                Err(error) => error,
            };
            self.connector.hot.forget_all();
            let text = Causes(&trouble).to_string();
            if node.down(trouble, self.connector.clock.monotonic()) {
                tracing::warn!(error = text, "session store not connected");
            }
            sleep(pause.saturating_add(jitter(self.random.as_ref(), pause / 2))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn link(&self, host: Option<&Host>) -> Result<Link, LinkError> {
        let host = match host {
            Some(host) => host.clone(),
            None => self.primary().await?,
        };
        let place = self.address.server(&host).ok_or(LinkError::Address)?;
        let link = self.connector.link(&host, place).await?;
        // What this process removed may have come back with a restart or on
        // another server; it goes before anything is read there.
        self.repeat_removals(&link).await?;
        Ok(link)
    }

    /// Ends when the link is not to be used any more, and says why.
    async fn watch(&self, link: &Link, may_move: bool) -> LinkError {
        let clock = self.connector.clock.as_ref();
        let mut looked = clock.monotonic();
        loop {
            tokio::select! {
                () = link.tracking.lost() => return LinkError::Silent { host: link.host.clone() },
                () = link.suspected() => {}
                () = sleep(BEAT) => {}
            }
            if let Err(error) = link.beat(clock).await {
                return error;
            }
            self.confirm_removals(link).await;
            if may_move && clock.monotonic().since(looked) >= LOOK_AROUND {
                looked = clock.monotonic();
                // No word of a Sentinel is no word against this primary.
                if self.primary().await.is_ok_and(|primary| primary != link.host) {
                    return LinkError::Replica { host: link.host.clone() };
                }
            }
        }
    }

    /// The only server, or who the Sentinels say is the primary.
    async fn primary(&self) -> Result<Host, LinkError> {
        if self.address.topology != RedisTopology::Sentinel {
            return self.address.hosts.first().cloned().ok_or(LinkError::Address);
        }
        let mut asking = JoinSet::new();
        for host in &self.address.hosts {
            let (keeper, host) = (self.clone(), host.clone());
            asking.spawn(async move { keeper.primary_by(&host).await });
        }
        let mut votes: BTreeMap<Host, usize> = BTreeMap::new();
        while let Some(told) = asking.join_next().await {
            if let Ok(Some(primary)) = told {
                let count = votes.entry(primary).or_default();
                *count = count.saturating_add(1);
            }
        }
        // One Sentinel that was cut off still names the old primary.
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(primary, _)| primary).ok_or(LinkError::NoPrimary)
    }

    async fn primary_by(&self, sentinel: &Host) -> Option<Host> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.address.primary_name);
        let place = self.address.sentinel(sentinel)?;
        let answer = self.told(sentinel, place, &command).await?;
        let (name, port): (String, u16) = redis::from_redis_value(answer).ok()?;
        Some(Host { name, port })
    }

    async fn told(&self, host: &Host, place: redis::ConnectionInfo, command: &Cmd) -> Option<Value> {
        let asked = async {
            let mut connection = self.connector.connect(host, place).await.ok()?;
            command.query_async(&mut connection).await.ok()
        };
        timeout(TELL, asked).await.ok().flatten()
    }

    /// Removes again what no replica has confirmed.
    async fn repeat_removals(&self, link: &Link) -> Result<(), LinkError> {
        for removals in self.removed.all().chunks(AT_ONCE) {
            let commands = removals.iter().map(|removal| Cmd::unlink(removal.key().name));
            let answer = timeout(TELL, link.ask_all(commands)).await;
            let answer = answer.map_err(|_| LinkError::Silent { host: link.host.clone() })?;
            answer.map_err(|source| LinkError::Refused { host: link.host.clone(), source })?;
        }
        Ok(())
    }

    /// Tries to have the removals on a replica too, and then forgets them.
    async fn confirm_removals(&self, link: &Link) {
        if !link.has_replicas() {
            return;
        }
        for removals in self.removed.all().chunks(AT_ONCE) {
            let commands = removals.iter().map(|removal| Cmd::unlink(removal.key().name));
            let Ok(Ok(answers)) = timeout(TELL, link.ask_all(commands)).await else { return };
            // Those that another node has are its own to confirm.
            let here = removals.iter().zip(answers).filter(|(_, answer)| answer.is_ok());
            let here: Vec<Removal> = here.map(|(removal, _)| *removal).collect();
            let Some(first) = here.first() else { continue };
            if link.replicated(&first.key()).await == Replicated::Yes {
                self.removed.forget(&here);
            }
        }
    }

    async fn keep_cluster(&self) {
        let mut keeping: BTreeMap<Host, JoinSet<()>> = BTreeMap::new();
        let mut turn = 0usize;
        loop {
            let before = self.servers.shape();
            if let Some(ranges) = self.slots(&before, turn).await {
                let mut nodes = BTreeMap::new();
                for (_, _, host) in &ranges {
                    if nodes.contains_key(host) {
                        continue;
                    }
                    let node = before.nodes.get(host).cloned();
                    let node = node.unwrap_or_else(|| Node::new(self.connector.clock.monotonic()));
                    nodes.insert(host.clone(), Arc::clone(&node));
                    if !keeping.contains_key(host) {
                        let (keeper, own) = (self.clone(), host.clone());
                        let mut task = JoinSet::new();
                        task.spawn(async move { keeper.keep(node, Some(own)).await });
                        keeping.insert(host.clone(), task);
                    }
                }
                if before.ranges != ranges {
                    // Who had a slot may not tell any more what changes in it.
                    self.connector.hot.forget_all();
                    keeping.retain(|host, _| nodes.contains_key(host));
                    self.servers.reshape(Shape { nodes, ranges, only: None });
                }
            }
            turn = turn.wrapping_add(1);
            let is_whole = self.servers.shape().is_whole();
            let pause = if is_whole { LOOK_AROUND } else { FIRST_PAUSE * 4 };
            tokio::select! {
                () = self.servers.moved.notified() => sleep(FIRST_PAUSE).await,
                () = sleep(pause) => {}
            }
        }
    }

    /// The slots as one node tells them, another one each time.
    async fn slots(&self, shape: &Shape, turn: usize) -> Option<Vec<(u16, u16, Host)>> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let links: Vec<Arc<Link>> = shape.nodes.values().filter_map(|node| node.link()).collect();
        let start = turn.checked_rem(links.len()).unwrap_or(0);
        for link in links.iter().cycle().skip(start).take(links.len()) {
            if let Ok(Ok(answer)) = timeout(TELL, link.ask(&command)).await
                && let Some(ranges) = read_slots(answer, &link.host)
            {
                return Some(ranges);
            }
        }
        let hosts = &self.address.hosts;
        let start = turn.checked_rem(hosts.len()).unwrap_or(0);
        for host in hosts.iter().cycle().skip(start).take(hosts.len()) {
            if let Some(place) = self.address.server(host)
                && let Some(answer) = self.told(host, place, &command).await
                && let Some(ranges) = read_slots(answer, host)
            {
                return Some(ranges);
            }
        }
        None
    }
}

/// Reads the answer to CLUSTER SLOTS: start, end and primary of each range.
fn read_slots(answer: Value, asked: &Host) -> Option<Vec<(u16, u16, Host)>> {
    let Value::Array(ranges) = answer else { return None };
    let read = |range: &Value| -> Option<(u16, u16, Host)> {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(start), Value::Int(end), Value::Array(primary), ..] = parts.as_slice() else { return None };
        let [name, Value::Int(port), ..] = primary.as_slice() else { return None };
        let named =
            if let Value::BulkString(name) = name { String::from_utf8(name.clone()).ok()? } else { String::new() };
        // A node that does not know its own name is where it was asked.
        let name = if matches!(named.as_str(), "" | "?") { asked.name.clone() } else { named };
        let (start, end) = (u16::try_from(*start).ok()?, u16::try_from(*end).ok()?);
        (start <= end && end < SLOTS).then_some((start, end, Host { name, port: u16::try_from(*port).ok()? }))
    };
    let mut ranges: Vec<_> = ranges.iter().map(read).collect::<Option<_>>()?;
    ranges.sort();
    (!ranges.is_empty()).then_some(ranges)
}

/// A task that works until the returned set is dropped.
pub(super) fn task(work: impl Future<Output = ()> + Send + 'static, runtime: &tokio::runtime::Handle) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn_on(work, runtime);
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_are_read_strictly() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |start, end, name: Value, port| {
            Value::Array(vec![Value::Int(start), Value::Int(end), Value::Array(vec![name, Value::Int(port)])])
        };
        let asked = Host { name: "asked".to_owned(), port: 1 };
        let read = |ranges: Vec<Value>| read_slots(Value::Array(ranges), &asked);
        let ranges = read(vec![range(5, 9, text("b"), 2), range(0, 4, Value::Nil, 3)]).unwrap();
        let shown: Vec<String> = ranges.iter().map(|(start, end, host)| format!("{start}-{end} {host}")).collect();
        assert_eq!(shown, ["0-4 asked:3", "5-9 b:2"]);
        for broken in [range(9, 5, text("b"), 2), range(0, 16_384, text("b"), 2), range(0, 1, text("b"), 70_000)] {
            assert!(read(vec![broken]).is_none());
        }
        assert!(read(Vec::new()).is_none());
    }
}
