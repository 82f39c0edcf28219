//! The port, call by call.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::RedisStore;
use super::calls::{Request, Work};
use super::keys::{Key, SHARDS};
use super::operations::{after, indexes_of, live_until};
use super::record::{self, SLACK, time, ttl};
use super::removed::Removal;
use super::scripts::Step;
use crate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreError, StoreFuture, StoredSession};
use crate::types::UnixTime;

impl RedisStore {
    fn boxed<'a, T: 'a>(&'a self, work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> StoreFuture<'a, T> {
        Box::pin(self.within(work))
    }
}

impl SessionStore for RedisStore {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn insert(&self, key: SessionKey, session: StoredSession, now: UnixTime) -> StoreFuture<'_, ()> {
        self.boxed(async move {
            let mut works = indexes_of(key, &session, now);
            works.push(live_until(key, &session, now));
            let (name, own) = (Key::session(key), record::encode(&session, 1, now));
            self.hot.forget(key);
            // First where it is looked for, then itself: one that nobody could
            // find would outlive "sign out everywhere".
            let (mut written, is_new, link) = if self.servers.shape().is_single() {
                works.push(Work { step: Step::Insert, key: name.clone(), arguments: own });
                let (_, answer) = self.steps(&works).await?.pop().ok_or(StoreError::Corrupt)?;
                (Vec::new(), record::yes(&answer.value)?, answer.link)
            } else {
                let written = self.list_up(&works).await?;
                let (is_new, link) = self.write(key, Step::Insert, &own).await?;
                (written, is_new, link)
            };
            if !is_new {
                return Err(StoreError::Corrupt);
            }
            self.removed.forget(&[Removal::Session(key)]);
            written.push((name, link));
            self.settle_all(&written).await
        })
    }

    fn find(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, Option<Arc<StoredSession>>> {
        if self.removed.holds(Removal::Session(key)) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        if let Some(hot) = self.hot.find(key, self.clock.monotonic())
            && hot.is_live(now)
        {
            return Box::pin(std::future::ready(Ok(Some(hot))));
        }
        self.boxed(async move {
            let stored = self.read(key).await?;
            // Once more: the removal may have come while the read was under way.
            let is_removed = self.removed.holds(Removal::Session(key));
            Ok(stored.filter(|stored| stored.is_live(now) && !is_removed).map(Arc::new))
        })
    }

    fn replace(&self, key: SessionKey, seen: u64, session: StoredSession, now: UnixTime) -> StoreFuture<'_, bool> {
        self.boxed(async move {
            let mut written = self.list_up(&indexes_of(key, &session, now)).await?;
            let mut arguments = record::encode(&session, seen.saturating_add(1), now);
            arguments.push(seen.to_string().into_bytes());
            let (is_replaced, link) = self.write(key, Step::Replace, &arguments).await?;
            if is_replaced {
                written.push((Key::session(key), link));
                written.extend(self.list_up(&[live_until(key, &session, now)]).await?);
                self.settle_all(&written).await?;
            }
            Ok(is_replaced)
        })
    }

    fn touch(&self, key: SessionKey, idle_until: UnixTime, now: UnixTime) -> StoreFuture<'_, ()> {
        self.boxed(async move {
            let slack = SLACK.as_millis().to_string().into_bytes();
            let arguments = [time(now), time(idle_until), slack];
            self.hot.forget(key);
            let answer = self.step(Step::Touch, &Key::session(key), &[], &arguments).await;
            self.hot.forget(key);
            if let Value::BulkString(over) = answer?.value {
                let place = Key::shard_of(key);
                let mut add = redis::cmd("ZADD");
                add.arg(&place.name).arg("GT").arg(over).arg(key.as_bytes());
                // Only the count and the list of all sessions lag when this fails.
                let _ = self.call(&place, &Request::Command(&add)).await;
            }
            Ok(())
        })
    }

    fn remove(&self, key: SessionKey, now: UnixTime) -> StoreFuture<'_, bool> {
        self.boxed(self.remove_session(key, now))
    }

    fn indexed(&self, index: IndexKey, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<SessionKey>> {
        self.boxed(self.read_index(index, limit, now))
    }

    fn list(&self, limit: usize, now: UnixTime) -> StoreFuture<'_, Vec<(SessionKey, Arc<StoredSession>)>> {
        self.boxed(self.read_list(limit, now))
    }

    fn count(&self, now: UnixTime) -> StoreFuture<'_, u64> {
        self.boxed(async move {
            let counts = (0..SHARDS).map(|number| async move {
                let place = Key::shard(number);
                let command = Cmd::zcount(&place.name, after(now), "+inf");
                let answer = self.call(&place, &Request::Command(&command)).await?.value;
                let Value::Int(count) = answer else { return Err(StoreError::Corrupt) };
                u64::try_from(count).map_err(|_| StoreError::Corrupt)
            });
            Ok(try_join_all(counts).await?.into_iter().sum())
        })
    }

    fn claim_refresh(&self, key: SessionKey, lease: Lease, until: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.boxed(async move {
            let arguments = [time(now), ttl(until, now), lease.0.to_vec(), time(until)];
            let answer = self.step(Step::Claim, &Key::lease(key), &[], &arguments).await?;
            record::yes(&answer.value)
        })
    }

    fn release_refresh(&self, key: SessionKey, lease: Lease) -> StoreFuture<'_, ()> {
        self.boxed(async move {
            self.step(Step::Release, &Key::lease(key), &[], &[lease.0.to_vec()]).await?;
            Ok(())
        })
    }

    fn put_once(&self, key: OnceKey, value: Vec<u8>, expires: UnixTime, now: UnixTime) -> StoreFuture<'_, bool> {
        self.boxed(async move {
            let name = Key::once(key);
            let arguments = [time(now), ttl(expires, now), time(expires), value];
            let answer = self.step(Step::PutOnce, &name, &[], &arguments).await?;
            let is_new = record::yes(&answer.value)?;
            if is_new {
                self.removed.forget(&[Removal::Once(key)]);
                self.settle(&name, &answer.link).await?;
            }
            Ok(is_new)
        })
    }

    fn take(&self, key: OnceKey, now: UnixTime) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.boxed(async move {
            let taken = self.take_away(Removal::Once(key), Step::Take, &[], now).await?;
            let Some(parts) = taken else { return Ok(None) };
            let [expires, value]: [Value; 2] = parts.try_into().map_err(|_| StoreError::Corrupt)?;
            let is_current = record::moment(expires)? > now;
            Ok(if is_current { Some(record::bytes(value)?) } else { None })
        })
    }

    fn probe(&self, _now: UnixTime) -> StoreFuture<'_, ()> {
        self.boxed(self.try_out())
    }

    fn sweep(&self, now: UnixTime) -> StoreFuture<'_, ()> {
        self.boxed(async move {
            let sweeps = (0..SHARDS).map(|number| async move {
                let place = Key::shard(number);
                let command = Cmd::zrembyscore(&place.name, "-inf", now.minus(SLACK).as_millis());
                self.call(&place, &Request::Command(&command)).await
            });
            try_join_all(sweeps).await?;
            Ok(())
        })
    }
}
