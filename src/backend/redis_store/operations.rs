//! What the calls of the port are made of.

use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::RedisStore;
use super::calls::{Answer, CallError, Request, Work};
use super::keys::{Key, SHARDS};
use super::link::{Link, LinkError, Replicated};
use super::record::{self, FIELDS, SLACK, time, ttl};
use super::removed::Removal;
use super::scripts::Step;
use crate::session::{IndexKey, SessionKey, StoreError, StoredSession};
use crate::types::UnixTime;

/// How many members of an index are looked at in one go.
const PAGE: usize = 256;

impl RedisStore {
    /// Reads a session past the process's own copies.
    pub(super) async fn read(&self, key: SessionKey) -> Result<Option<StoredSession>, StoreError> {
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

    /// Waits for the replicas of all servers that were written to.
    pub(super) async fn settle_all(&self, written: &[(Key, Arc<Link>)]) -> Result<(), StoreError> {
        let mut seen: Vec<&Arc<Link>> = Vec::new();
        let mut first_of_each = Vec::new();
        for (key, link) in written {
            if !seen.iter().any(|known| Arc::ptr_eq(known, link)) {
                seen.push(link);
                first_of_each.push(self.settle(key, link));
            }
        }
        try_join_all(first_of_each).await?;
        Ok(())
    }

    /// Puts entries for a session into sets.
    pub(super) async fn list_up(&self, entries: &[Work]) -> Result<Vec<(Key, Arc<Link>)>, StoreError> {
        let answers = self.steps(entries).await?;
        Ok(answers.into_iter().map(|(key, answer)| (key, answer.link)).collect())
    }

    pub(super) async fn write(
        &self,
        key: SessionKey,
        step: Step,
        arguments: &[Vec<u8>],
    ) -> Result<(bool, Arc<Link>), StoreError> {
        let name = Key::session(key);
        self.hot.forget(key);
        let answer = self.step(step, &name, &[], arguments).await;
        // Redis tells its own writers too, but after their answer.
        self.hot.forget(key);
        let Answer { value, link, .. } = answer?;
        Ok((record::yes(&value)?, link))
    }

    /// Removes by a script, remembers it until a replica has it, and says what was there.
    pub(super) async fn take_away(
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
            let replicated = link.replicated(&key).await;
            if replicated == Replicated::Unknown {
                return Err(CallError::NotSafe);
            }
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

    pub(super) async fn remove_session(&self, key: SessionKey, now: UnixTime) -> Result<bool, StoreError> {
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

    /// What Redis has of these sessions, live or not, in order; `None` for the others.
    pub(super) async fn read_all(&self, keys: &[SessionKey]) -> Result<Vec<Option<StoredSession>>, StoreError> {
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
                *slot = record::decode(value)?.filter(|_| !is_removed);
            }
        }
        Ok(found)
    }

    pub(super) async fn read_index(
        &self,
        index: IndexKey,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let place = Key::index(index);
        let (mut live, mut gone, mut start) = (Vec::new(), Vec::new(), 0usize);
        while live.len() < limit {
            let end = start.saturating_add(PAGE);
            let mut range = redis::cmd("ZRANGE");
            // The newest first.
            range.arg(&place.name).arg(start).arg(end.saturating_sub(1)).arg("REV");
            let page = record::members(self.call(&place, &Request::Command(&range)).await?.value)?;
            let found = self.read_all(&page).await?;
            for (key, stored) in page.iter().zip(found) {
                let is_under = |stored: &StoredSession| stored.subject == index || stored.sid == Some(index);
                match stored.filter(is_under) {
                    Some(stored) if stored.is_live(now) => live.push(*key),
                    // Redis drops it in its own time.
                    Some(_) => {}
                    None => gone.push(*key),
                }
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

    pub(super) async fn read_list(
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
                let found = self.read_all(&page).await?;
                let live = page
                    .iter()
                    .zip(found)
                    .filter_map(|(key, stored)| Some((*key, Arc::new(stored.filter(|one| one.is_live(now))?))));
                all.extend(live);
                if page.len() < missing.min(PAGE) {
                    break;
                }
                start = start.saturating_add(page.len());
            }
        }
        Ok(all)
    }

    pub(super) async fn try_out(&self) -> Result<(), StoreError> {
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
pub(super) fn indexes_of(key: SessionKey, session: &StoredSession, now: UnixTime) -> Vec<Work> {
    let indexes = std::iter::once(session.subject).chain(session.sid);
    indexes.map(|index| entry(Key::index(index), key, now, session, now)).collect()
}

/// The list of all sessions, with how long this one is live.
pub(super) fn live_until(key: SessionKey, session: &StoredSession, now: UnixTime) -> Work {
    entry(Key::shard_of(key), key, session.idle_until.min(session.ends_at), session, now)
}

pub(super) fn entry(set: Key, key: SessionKey, score: UnixTime, session: &StoredSession, now: UnixTime) -> Work {
    let arguments = vec![key.as_bytes().to_vec(), time(score), ttl(session.ends_at, now)];
    Work { step: Step::AddToIndex, key: set, arguments }
}

pub(super) fn read_command(name: &Key) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(&name.name).arg(&FIELDS);
    command
}

/// Scores above this moment.
pub(super) fn after(now: UnixTime) -> String {
    format!("({}", now.as_millis())
}
