//! The port, call by call.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::RedisStore;
use super::calls::{Answer, CallError, Request};
use super::keys::{Key, SHARDS};
use super::link::{Link, LinkError, Replicated};
use super::record::{self, FIELDS, SLACK, time, ttl};
use super::removed::Removal;
use super::scripts::Step;
use crate::session::{IndexKey, Lease, OnceKey, SessionKey, SessionStore, StoreError, StoreFuture, StoredSession};
use crate::types::UnixTime;

/// How many members of an index are looked at in one go.
const PAGE: usize = 256;

impl RedisStore {
    fn boxed<'a, T: 'a>(&'a self, work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> StoreFuture<'a, T> {
        Box::pin(self.within(work))
    }

    /// Reads a session past the process's own copies.
    async fn read(&self, key: SessionKey) -> Result<Option<StoredSession>, StoreError> {
        let generation = self.hot.generation(key);
        let name = Key::session(key);
        let command = read_command(&name);
        let Answer { value, link, is_settled } = self.call(&name, &Request::Command(&command)).await?;
        let Some(stored) = record::decode(value)? else { return Ok(None) };
        if is_settled {
            let now = self.clock.monotonic();
            self.hot.keep(key, Arc::new(stored.clone()), generation, now, &link.tracking);
        }
        Ok(Some(stored))
    }

    /// Puts a session where it is looked for by those who have no cookie. The
    /// links have it all written; whether replicas have it is still to be asked.
    async fn list_up(
        &self,
        key: SessionKey,
        places: Vec<(Key, UnixTime)>,
        ends_at: UnixTime,
        now: UnixTime,
    ) -> Result<Vec<(Key, Arc<Link>)>, StoreError> {
        let member = key.as_bytes().to_vec();
        let lifetime = ttl(ends_at, now);
        let writes = places.into_iter().map(|(place, score)| {
            let arguments = [member.clone(), time(score), lifetime.clone()];
            async move {
                let answer = self.step(Step::AddToIndex, &place, &[], &arguments).await?;
                Ok::<_, StoreError>((place, answer.link))
            }
        });
        try_join_all(writes).await
    }

    async fn settle_all(&self, written: &[(Key, Arc<Link>)]) -> Result<(), StoreError> {
        // Writes on one link share one wait.
        try_join_all(written.iter().map(|(key, link)| self.settle(key, link))).await?;
        Ok(())
    }

    async fn write(&self, key: SessionKey, step: Step, arguments: &[Vec<u8>]) -> Result<(bool, Arc<Link>), StoreError> {
        let name = Key::session(key);
        self.hot.forget(key);
        let answer = self.step(step, &name, &[], arguments).await;
        // Redis tells its own writers too, but after their answer.
        self.hot.forget(key);
        let Answer { value, link, .. } = answer?;
        Ok((record::yes(&value)?, link))
    }

    /// Removes by a script, remembers it until a replica has it, and says what was there.
    async fn take_away(
        &self,
        removal: Removal,
        step: Step,
        others: &[&Key],
        now: UnixTime,
    ) -> Result<Option<Vec<Value>>, StoreError> {
        // Remembered first: a server that comes back without it must find it here.
        let is_first = self.removed.begin(removal, self.clock.monotonic());
        let key = removal.key();
        let taken = async {
            let Answer { value, link, .. } = self.step(step, &key, others, &[time(now)]).await?;
            let Value::Array(parts) = value else { return Ok(None) };
            let replicated = self.settle(&key, &link).await?;
            Ok::<_, CallError>(Some((parts, replicated)))
        };
        let forget_own = || {
            // Only what was there is remembered: names that somebody made up
            // must not crowd it out. And what failed may have to be found.
            if is_first {
                self.removed.forget(&[removal]);
            }
        };
        let undo = Undo(Some(forget_own));
        let Some((parts, replicated)) = taken.await? else { return Ok(None) };
        undo.not();
        if replicated == Replicated::Yes {
            self.removed.forget(&[removal]);
        } else {
            self.removed.acknowledge(removal);
        }
        Ok(Some(parts))
    }

    async fn remove_session(&self, key: SessionKey, now: UnixTime) -> Result<bool, StoreError> {
        self.hot.forget(key);
        let removed = self.take_away(Removal::Session(key), Step::Remove, &[&Key::lease(key)], now).await;
        self.hot.forget(key);
        let Some(parts) = removed? else { return Ok(false) };
        let [live, subject, sid]: [Value; 3] = parts.try_into().map_err(|_| StoreError::Corrupt)?;
        let mut places = vec![Key::shard_of(key), Key::index(record::index(&record::bytes(subject)?)?)];
        let sid = record::bytes(sid)?;
        if !sid.is_empty() {
            places.push(Key::index(record::index(&sid)?));
        }
        let drops = places.into_iter().map(|place| async move {
            let command = Cmd::zrem(&place.name, key.as_bytes());
            self.call(&place, &Request::Command(&command)).await
        });
        // The session is gone; what still names it is dropped when it is met.
        let _ = try_join_all(drops).await;
        record::yes(&live)
    }

    /// The live ones among these sessions, in order; `None` for the others.
    async fn read_all(&self, keys: &[SessionKey], now: UnixTime) -> Result<Vec<Option<StoredSession>>, StoreError> {
        let names: Vec<Key> = keys.iter().map(|key| Key::session(*key)).collect();
        let mut found: Vec<Option<StoredSession>> = Vec::with_capacity(keys.len());
        found.resize_with(keys.len(), || None);
        // One pipeline for each server; what it does not have any more is asked alone.
        let mut by_link: Vec<(Arc<Link>, Vec<usize>)> = Vec::new();
        for (position, name) in names.iter().enumerate() {
            let link = self.servers.link(name.slot).await.map_err(CallError::NoLink)?;
            match by_link.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &link)) {
                Some((_, positions)) => positions.push(position),
                None => by_link.push((link, vec![position])),
            }
        }
        for (link, positions) in by_link {
            let commands = positions.iter().filter_map(|position| names.get(*position)).map(read_command);
            let answers = link.ask_all(commands).await.map_err(CallError::Refused)?;
            for (position, answer) in positions.into_iter().zip(answers) {
                let (Some(name), Some(slot)) = (names.get(position), found.get_mut(position)) else { continue };
                let value = match answer {
                    Ok(value) => value,
                    Err(_) => self.call(name, &Request::Command(&read_command(name))).await?.value,
                };
                let is_removed = keys.get(position).is_some_and(|key| self.removed.holds(Removal::Session(*key)));
                *slot = record::decode(value)?.filter(|stored| stored.is_live(now) && !is_removed);
            }
        }
        Ok(found)
    }

    async fn read_index(&self, index: IndexKey, limit: usize, now: UnixTime) -> Result<Vec<SessionKey>, StoreError> {
        let place = Key::index(index);
        let (mut live, mut gone, mut start) = (Vec::new(), Vec::new(), 0usize);
        while live.len() < limit {
            let end = start.saturating_add(PAGE);
            let mut range = redis::cmd("ZRANGE");
            // The newest first.
            range.arg(&place.name).arg(start).arg(end.saturating_sub(1)).arg("REV");
            let page = record::members(self.call(&place, &Request::Command(&range)).await?.value)?;
            let found = self.read_all(&page, now).await?;
            for (key, stored) in page.iter().zip(found) {
                let is_under = |stored: &StoredSession| stored.subject == index || stored.sid == Some(index);
                if stored.as_ref().is_some_and(is_under) { live.push(*key) } else { gone.push(*key) }
            }
            if page.len() < PAGE {
                break;
            }
            start = end;
        }
        live.truncate(limit);
        if !gone.is_empty() {
            // One that was added a moment ago may be on its way still: its
            // index entry is written before it.
            let mut arguments = vec![time(now.minus(SLACK))];
            arguments.extend(gone.iter().map(|key| key.as_bytes().to_vec()));
            // What is not dropped now is dropped when it is met again.
            let _ = self.step(Step::DropFromIndex, &place, &[], &arguments).await;
        }
        Ok(live)
    }

    async fn read_list(
        &self,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(SessionKey, Arc<StoredSession>)>, StoreError> {
        let mut all = Vec::new();
        for number in 0..SHARDS {
            let place = Key::shard(number);
            let mut start = 0usize;
            loop {
                let missing = limit.saturating_sub(all.len());
                if missing == 0 {
                    return Ok(all);
                }
                let mut range = redis::cmd("ZRANGE");
                range.arg(&place.name).arg(after(now)).arg("+inf").arg("BYSCORE");
                range.arg("LIMIT").arg(start).arg(missing.min(PAGE));
                let page = record::members(self.call(&place, &Request::Command(&range)).await?.value)?;
                let found = self.read_all(&page, now).await?;
                let live = page.iter().zip(found).filter_map(|(key, stored)| Some((*key, Arc::new(stored?))));
                all.extend(live);
                if page.len() < missing.min(PAGE) {
                    break;
                }
                start = start.saturating_add(page.len());
            }
        }
        Ok(all)
    }

    async fn try_out(&self) -> Result<(), StoreError> {
        let mut drawn = [0; 8];
        self.random.fill(&mut drawn);
        let shape = self.servers.shape();
        if !shape.is_whole() {
            // Says why, unless it is whole by then.
            self.servers.link(0).await.map_err(CallError::NoLink)?;
        }
        let shape = self.servers.shape();
        if !shape.is_whole() {
            return Err(CallError::NoLink(Arc::new(LinkError::NoSlots)).into());
        }
        let tried = shape.ranges_of_each().into_iter().map(|(start, end)| async move {
            let key = Key::probe(|slot| (start..=end).contains(&slot), u64::from_be_bytes(drawn));
            let key = key.ok_or(StoreError::Corrupt)?;
            let mut set = redis::cmd("SET");
            set.arg(&key.name).arg(&drawn).arg("PX").arg(1000);
            self.call(&key, &Request::Command(&set)).await?;
            let read = self.call(&key, &Request::Command(&Cmd::get(&key.name))).await?.value;
            let removed = self.call(&key, &Request::Command(&Cmd::del(&key.name))).await?.value;
            let is_kept = read == Value::BulkString(drawn.to_vec()) && removed == Value::Int(1);
            if is_kept { Ok(()) } else { Err(StoreError::Corrupt) }
        });
        try_join_all(tried).await?;
        Ok(())
    }
}

/// Does something when it is dropped, also with a call that took too long.
struct Undo<F: FnMut()>(Option<F>);

impl<F: FnMut()> Undo<F> {
    fn not(mut self) {
        self.0 = None;
    }
}

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        if let Some(undo) = &mut self.0 {
            undo();
        }
    }
}

/// The indexes that a session is under, each with when it came there.
fn indexes_of(session: &StoredSession, now: UnixTime) -> Vec<(Key, UnixTime)> {
    let subject = (Key::index(session.subject), now);
    std::iter::once(subject).chain(session.sid.map(|sid| (Key::index(sid), now))).collect()
}

/// The list of all sessions, with how long this one is live.
fn live_until(key: SessionKey, session: &StoredSession) -> (Key, UnixTime) {
    (Key::shard_of(key), session.idle_until.min(session.ends_at))
}

fn read_command(name: &Key) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(&name.name).arg(&FIELDS);
    command
}

/// Scores above this moment.
fn after(now: UnixTime) -> String {
    format!("({}", now.as_millis())
}

impl SessionStore for RedisStore {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn insert(&self, key: SessionKey, session: StoredSession, now: UnixTime) -> StoreFuture<'_, ()> {
        self.boxed(async move {
            // First where it is looked for, then itself: one that nobody could
            // find would outlive "sign out everywhere".
            let mut places = indexes_of(&session, now);
            places.push(live_until(key, &session));
            let mut written = self.list_up(key, places, session.ends_at, now).await?;
            let name = Key::session(key);
            let (is_new, link) = self.write(key, Step::Insert, &record::encode(&session, 1, now)).await?;
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
            let mut written = self.list_up(key, indexes_of(&session, now), session.ends_at, now).await?;
            let mut arguments = record::encode(&session, seen.saturating_add(1), now);
            arguments.push(seen.to_string().into_bytes());
            let (is_replaced, link) = self.write(key, Step::Replace, &arguments).await?;
            if is_replaced {
                written.push((Key::session(key), link));
                let place = vec![live_until(key, &session)];
                written.extend(self.list_up(key, place, session.ends_at, now).await?);
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
