//! A few connections for one kind of call. A call takes one out and brings it
//! back when all went well; one that failed, or was given up, never comes back,
//! so nobody meets what another one left on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::link::{Link, Target, Use};

/// A connection that takes longer to make is begun anew.
const CONNECT: Duration = Duration::from_secs(5);

type Connecting = Pin<Box<dyn Future<Output = Result<Link, sqlx::Error>> + Send>>;

/// The connections.
pub(super) struct Lane {
    target: Target,
    purpose: Use,
    room: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    idle: Vec<Link>,
    /// Begun by calls that ended before the connection was made: it goes on with
    /// the next one, so that a slow server is reached by short calls too.
    begun: Vec<(Instant, Connecting)>,
}

/// A connection that a call works on.
pub(super) struct Lent<'a> {
    pub(super) link: Link,
    /// Whether it had been used before: the server may have ended it since.
    pub(super) is_used: bool,
    lane: &'a Lane,
    _place: SemaphorePermit<'a>,
}

impl Lent<'_> {
    /// Brings it back for others.
    pub(super) fn bring_back(self) {
        let Self { link, lane, .. } = self;
        lane.with(|kept| kept.idle.push(link));
    }
}

impl Lane {
    pub(super) fn new(target: Target, purpose: Use, size: usize) -> Self {
        Self { target, purpose, room: Semaphore::new(size), kept: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection, once one is free.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, sqlx::Error> {
        let place = self.room.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        if let Some(link) = self.with(|kept| kept.idle.pop()) {
            return Ok(Lent { link, is_used: true, lane: self, _place: place });
        }
        let link = self.connect().await?;
        Ok(Lent { link, is_used: false, lane: self, _place: place })
    }

    /// Drops the connections that wait: where one is broken the others are. Those
    /// that are being made go on, or calls that are shorter than that would never
    /// reach the server again.
    pub(super) fn drop_idle(&self) {
        drop(self.with(|kept| std::mem::take(&mut kept.idle)));
    }

    async fn connect(&self) -> Result<Link, sqlx::Error> {
        let now = now();
        let begun = self.with(|kept| {
            kept.begun.retain(|(since, _)| now.duration_since(*since) < CONNECT);
            kept.begun.pop()
        });
        let (since, connecting) = begun.unwrap_or_else(|| {
            let (target, purpose) = (self.target.clone(), self.purpose);
            (now, Box::pin(async move { target.connect(purpose).await }))
        });
        let mut attempt = Attempt { lane: self, since, connecting: Some(connecting) };
        let made = match attempt.connecting.as_mut() {
            Some(connecting) => connecting.await,
            None => return Err(sqlx::Error::WorkerCrashed),
        };
        attempt.connecting = None;
        made
    }
}

/// Keeps a connection that is being made when its call is given up.
struct Attempt<'a> {
    lane: &'a Lane,
    since: Instant,
    connecting: Option<Connecting>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(connecting) = self.connecting.take() {
            self.lane.with(|kept| kept.begun.push((self.since, connecting)));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "times a connection, decides nothing")]
fn now() -> Instant {
    Instant::now()
}
