//! The sessions as everybody else uses them: opened with an id, never with a
//! key, and judged by the clock on every look.

use std::sync::Arc;
use std::time::Duration;

use super::id::{SessionId, SessionKey};
use super::index::IndexKey;
use super::record::{Session, SessionCard};
use super::sealing::Seals;
use super::store::{SessionStore, StoreError, StoredSession};
use crate::types::{Clock, Random, UnixTime};

/// A session is written anew when this part of its idle time has passed: often
/// enough to keep it, and not on every request.
const TOUCHES_IN_IDLE_TIME: u32 = 10;
/// Sessions of one person that are looked at together.
const MAX_OF_ONE: usize = 1000;

const SUBJECT: &str = "subject";
const SID: &str = "sid";

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: Duration,
    /// At most.
    pub absolute: Duration,
}

/// What sessions need of the world.
#[derive(Clone)]
pub struct SessionPorts {
    /// Where they are kept.
    pub store: Arc<dyn SessionStore>,
    /// For their ids.
    pub random: Arc<dyn Random>,
    /// What they are judged by.
    pub clock: Arc<dyn Clock>,
}

/// The sessions of the service.
#[derive(Clone)]
pub struct Sessions {
    ports: SessionPorts,
    seals: Seals,
    lifetimes: Lifetimes,
}

/// A session with what is needed to write it anew.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What the store knows it by.
    pub key: SessionKey,
    /// The session.
    pub session: Session,
    /// What the store held.
    pub stored: Arc<StoredSession>,
}

/// What may be shown of a session to those who do not hold its cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionListing {
    /// What the store knows it by.
    pub key: SessionKey,
    /// Whose it is; `None` when no secret of the service opens the card.
    pub card: Option<SessionCard>,
    /// When it ends unless it is used.
    pub idle_until: UnixTime,
    /// When it ends.
    pub ends_at: UnixTime,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no live one with this id.
    #[error("there is no such session")]
    Unknown,
    /// There is one, and nothing opens it; it was removed.
    #[error("the session cannot be opened")]
    Broken,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    /// Keeps sessions sealed by `seals`.
    #[must_use]
    pub fn new(ports: SessionPorts, seals: Seals, lifetimes: Lifetimes) -> Self {
        Self { ports, seals, lifetimes }
    }

    /// Where they are kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn SessionStore> {
        &self.ports.store
    }

    /// What they are sealed by.
    #[must_use]
    pub fn seals(&self) -> &Seals {
        &self.seals
    }

    /// How long they last.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// Begins a session, always under a new id.
    ///
    /// # Errors
    /// When the store does not keep it.
    pub async fn begin(&self, session: &Session) -> Result<SessionId, StoreError> {
        let now = self.ports.clock.now();
        let id = SessionId::draw(self.ports.random.as_ref());
        let ends_at = session.signed_in_at.plus(self.lifetimes.absolute);
        let stored = self.stored(&id, session, ends_at, now);
        self.ports.store.insert(SessionKey::of(&id), stored, now).await?;
        Ok(id)
    }

    /// Opens the live session `id`, which counts as a use of it.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn open(&self, id: &SessionId) -> Result<Opened, SessionError> {
        let now = self.ports.clock.now();
        let key = SessionKey::of(id);
        let stored = match self.ports.store.find(key, now).await {
            Ok(found) => found.filter(|stored| stored.is_live(now)).ok_or(SessionError::Unknown)?,
            Err(StoreError::Corrupt) => return Err(self.drop_broken(key, now).await?),
            Err(error) => return Err(error.into()),
        };
        let Ok(session) = Session::open(&stored.sealed, id, &self.seals) else {
            return Err(self.drop_broken(key, now).await?);
        };
        let used = self.idle_until(stored.ends_at, now);
        let step = self.lifetimes.idle.checked_div(TOUCHES_IN_IDLE_TIME).unwrap_or_default();
        if used.since(stored.idle_until) > step {
            self.ports.store.touch(key, used, now).await?;
        }
        Ok(Opened { key, session, stored })
    }

    /// Writes `session` in the place of the `opened` one; `false` when that was
    /// replaced or ended meanwhile, and nothing was written.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn replace(&self, id: &SessionId, opened: &Opened, session: &Session) -> Result<bool, StoreError> {
        let now = self.ports.clock.now();
        let stored = self.stored(id, session, opened.stored.ends_at, now);
        self.ports.store.replace(opened.key, opened.stored.version, stored, now).await
    }

    /// Ends one session; whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end(&self, key: SessionKey) -> Result<bool, StoreError> {
        self.ports.store.remove(key, self.ports.clock.now()).await
    }

    /// The keys of all sessions of a person.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of_subject(&self, issuer: &str, subject: &str) -> Result<Vec<SessionKey>, StoreError> {
        self.indexed(&self.seals.index(SUBJECT, &[issuer, subject])).await
    }

    /// The keys of all sessions that came from one session of the provider.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of_sid(&self, issuer: &str, sid: &str) -> Result<Vec<SessionKey>, StoreError> {
        self.indexed(&self.seals.index(SID, &[issuer, sid])).await
    }

    /// Ends sessions; how many there were.
    ///
    /// # Errors
    /// When the store does not answer; some may have ended then.
    pub async fn end_all(&self, keys: &[SessionKey]) -> Result<u64, StoreError> {
        let mut ended = 0u64;
        for key in keys {
            ended = ended.saturating_add(u64::from(self.end(*key).await?));
        }
        Ok(ended)
    }

    /// What may be shown of the session with this key, when it is live.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn look_at(&self, key: SessionKey) -> Result<Option<SessionListing>, StoreError> {
        let stored = self.ports.store.find(key, self.ports.clock.now()).await?;
        Ok(stored.map(|stored| self.listing(key, &stored)))
    }

    /// What may be shown of the live sessions, at most `limit` of them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<SessionListing>, StoreError> {
        let all = self.ports.store.list(limit, self.ports.clock.now()).await?;
        Ok(all.iter().map(|(key, stored)| self.listing(*key, stored)).collect())
    }

    /// Removes what nobody who holds its cookie will ever open.
    async fn drop_broken(&self, key: SessionKey, now: UnixTime) -> Result<SessionError, StoreError> {
        self.ports.store.remove(key, now).await?;
        Ok(SessionError::Broken)
    }

    async fn indexed(&self, indexes: &[IndexKey]) -> Result<Vec<SessionKey>, StoreError> {
        let now = self.ports.clock.now();
        let mut keys = Vec::new();
        for index in indexes {
            keys.extend(self.ports.store.indexed(*index, MAX_OF_ONE, now).await?);
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn listing(&self, key: SessionKey, stored: &StoredSession) -> SessionListing {
        let card = SessionCard::open(&stored.card, key, &self.seals).ok();
        SessionListing { key, card, idle_until: stored.idle_until, ends_at: stored.ends_at }
    }

    fn stored(&self, id: &SessionId, session: &Session, ends_at: UnixTime, now: UnixTime) -> StoredSession {
        let key = SessionKey::of(id);
        let random = self.ports.random.as_ref();
        let index = |purpose, value: &str| self.seals.index(purpose, &[&session.issuer, value]).first().copied();
        StoredSession {
            sealed: session.seal(id, &self.seals, random),
            card: session.card().seal(key, &self.seals, random),
            version: 1,
            idle_until: self.idle_until(ends_at, now),
            ends_at,
            subject: index(SUBJECT, &session.subject).unwrap_or_else(|| IndexKey::from_bytes([0; 32])),
            sid: session.sid.as_deref().and_then(|sid| index(SID, sid)),
        }
    }

    fn idle_until(&self, ends_at: UnixTime, now: UnixTime) -> UnixTime {
        now.plus(self.lifetimes.idle).min(ends_at)
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
