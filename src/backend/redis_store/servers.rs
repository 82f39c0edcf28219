//! Which server a key is on, and the link to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::address::Host;
use super::keys::SLOTS;
use super::link::{Link, LinkError};
use crate::types::{Clock, Monotonic};

/// For how long after a loss calls wait for a new link; later they fail at once.
const HOPE: Duration = Duration::from_secs(1);

/// A server of its own: the only one, the primary, or a primary of the Cluster.
pub(super) struct Node {
    link: watch::Sender<Option<Arc<Link>>>,
    state: Mutex<NodeState>,
}

struct NodeState {
    down_since: Monotonic,
    trouble: Arc<LinkError>,
}

impl Node {
    pub(super) fn new(now: Monotonic) -> Arc<Self> {
        let state = NodeState { down_since: now, trouble: Arc::new(LinkError::Starting) };
        Arc::new(Self { link: watch::Sender::new(None), state: Mutex::new(state) })
    }

    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    pub(super) fn up(&self, link: Arc<Link>) {
        self.link.send_replace(Some(link));
    }

    /// The link is gone, or could not be made; whether that is news.
    pub(super) fn down(&self, trouble: LinkError, now: Monotonic) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = self.link.send_replace(None).is_some();
        if was_up {
            state.down_since = now;
        }
        let is_news = was_up || state.trouble.to_string() != trouble.to_string();
        state.trouble = Arc::new(trouble);
        is_news
    }

    /// The link, now or soon.
    async fn wait(&self, clock: &dyn Clock) -> Result<Arc<Link>, Arc<LinkError>> {
        let mut links = self.link.subscribe();
        if let Some(link) = links.borrow_and_update().clone() {
            return Ok(link);
        }
        let (since, trouble) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.down_since, Arc::clone(&state.trouble))
        };
        let left = HOPE.saturating_sub(clock.monotonic().since(since));
        match tokio::time::timeout(left, links.wait_for(Option::is_some)).await {
            Ok(Ok(link)) => link.clone().ok_or(trouble),
            Ok(Err(_)) | Err(_) => Err(trouble),
        }
    }
}

/// Which node has which slots; without a Cluster one has them all.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) nodes: BTreeMap<Host, Arc<Node>>,
    /// Start, end and node, in order.
    pub(super) ranges: Vec<(u16, u16, Host)>,
    pub(super) only: Option<Arc<Node>>,
}

impl Shape {
    pub(super) fn only(node: Arc<Node>) -> Self {
        Self { only: Some(node), ..Self::default() }
    }

    fn owner(&self, slot: u16) -> Option<&Arc<Node>> {
        if let Some(only) = &self.only {
            return Some(only);
        }
        let (_, _, host) = self.ranges.iter().find(|(start, end, _)| (*start..=*end).contains(&slot))?;
        self.nodes.get(host)
    }

    /// Whether all slots are always on one server.
    pub(super) const fn is_single(&self) -> bool {
        self.only.is_some()
    }

    /// One range of slots of each node, its largest.
    pub(super) fn ranges_of_each(&self) -> Vec<(u16, u16)> {
        if self.only.is_some() {
            return vec![(0, SLOTS - 1)];
        }
        let mut largest: BTreeMap<&Host, (u16, u16)> = BTreeMap::new();
        for (start, end, host) in &self.ranges {
            let known = largest.entry(host).or_insert((*start, *end));
            if end.saturating_sub(*start) > known.1.saturating_sub(known.0) {
                *known = (*start, *end);
            }
        }
        largest.into_values().collect()
    }

    /// Whether every slot is on a node.
    pub(super) fn is_whole(&self) -> bool {
        let covered: u32 = self.ranges.iter().map(|(start, end, _)| u32::from(end.saturating_sub(*start)) + 1).sum();
        self.only.is_some() || covered == u32::from(SLOTS)
    }
}

/// The servers as they are known now.
pub(super) struct Servers {
    shape: watch::Sender<Arc<Shape>>,
    /// Somebody has met a slot elsewhere than the shape says.
    pub(super) moved: Notify,
    pub(super) clock: Arc<dyn Clock>,
}

impl Servers {
    pub(super) fn new(shape: Shape, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { shape: watch::Sender::new(Arc::new(shape)), moved: Notify::new(), clock })
    }

    pub(super) fn shape(&self) -> Arc<Shape> {
        Arc::clone(&self.shape.borrow())
    }

    pub(super) fn reshape(&self, shape: Shape) {
        self.shape.send_replace(Arc::new(shape));
    }

    /// The link to the server that has `slot`, now or soon.
    pub(super) async fn link(&self, slot: u16) -> Result<Arc<Link>, Arc<LinkError>> {
        let mut shapes = self.shape.subscribe();
        let known = |shape: &Arc<Shape>| shape.owner(slot).cloned();
        let at_once = known(&shapes.borrow_and_update());
        let node = match at_once {
            Some(node) => node,
            None => match tokio::time::timeout(HOPE, shapes.wait_for(|shape| known(shape).is_some())).await {
                Ok(Ok(shape)) => known(&shape).ok_or(LinkError::NoSlots)?,
                Ok(Err(_)) | Err(_) => return Err(Arc::new(LinkError::NoSlots)),
            },
        };
        node.wait(self.clock.as_ref()).await
    }

    /// The link to a server that an answer has named.
    pub(super) fn link_to(&self, host: &Host) -> Option<Arc<Link>> {
        self.shape.borrow().nodes.get(host)?.link()
    }
}
