//! The sessions as everybody else uses them: opened with an id, never with a
//! key, and judged by the clock on every look.

use std::sync::Arc;
use std::time::Duration;

use super::id::{SessionId, SessionKey};
use super::index::IndexKey;
use super::record::{Record, Session, SessionCard};
use super::sealing::Seals;
use super::store::{SessionStore, StoreError, StoredSession};
use crate::types::{Clock, Random, UnixTime};

/// A session is written anew when this part of its idle time has passed: often
/// enough to keep it, and not on every request.
const TOUCHES_IN_IDLE_TIME: u32 = 10;
/// Sessions of one person that are looked at together.
const MAX_OF_ONE: usize = 1000;
/// How often a session may have moved while a browser kept its first id.
const MAX_MOVES: usize = 16;
/// How long an id still counts after its browser has shown the next one: for
/// requests that were under way.
const OLD_ID_GRACE: Duration = Duration::from_secs(30);

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
    /// The id it has now; another than it was opened with where it has moved.
    pub id: SessionId,
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
        let stored = self.stored(&id, session, None, ends_at, now);
        self.ports.store.insert(SessionKey::of(&id), stored, now).await?;
        Ok(id)
    }

    /// Opens the live session `id`, which counts as a use of it. A session that
    /// has moved is found under its old id too, as long as that counts.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn open(&self, id: &SessionId) -> Result<Opened, SessionError> {
        let now = self.ports.clock.now();
        let mut id = id.clone();
        for moves in 0..=MAX_MOVES {
            let key = SessionKey::of(&id);
            let (stored, record) = self.record(&id, key, now).await?;
            self.touch(key, &stored, now).await?;
            match record {
                Record::Moved(next) => id = next,
                Record::Session(session, predecessor) => {
                    let opened = Opened { id, key, session: *session, stored };
                    if let (Some(predecessor), 0) = (predecessor, moves) {
                        self.arrived(&opened, predecessor, now).await?;
                    }
                    return Ok(opened);
                }
            }
        }
        Err(SessionError::Unknown)
    }

    /// Writes `session` in the place of the `opened` one; `false` when that was
    /// replaced or ended meanwhile, and nothing was written.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn replace(&self, opened: &Opened, session: &Session) -> Result<bool, StoreError> {
        let now = self.ports.clock.now();
        let predecessor = match Record::open(&opened.stored.sealed, &opened.id, &self.seals) {
            Ok(Record::Session(_, predecessor)) => predecessor,
            Ok(Record::Moved(_)) | Err(_) => None,
        };
        let stored = self.stored(&opened.id, session, predecessor, opened.stored.ends_at, now);
        self.ports.store.replace(opened.key, opened.stored.version, stored, now).await
    }

    /// Lets `session` go on in the place of the `opened` one under a new id, as
    /// whoever holds more rights than before should (ASVS 7.2.4). The old id
    /// leads to it until the browser has shown the new one. `false` as for
    /// [`Self::replace`].
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn move_on(&self, opened: &Opened, session: &Session) -> Result<bool, StoreError> {
        let now = self.ports.clock.now();
        let random = self.ports.random.as_ref();
        let (next, ends_at) = (SessionId::draw(random), opened.stored.ends_at);
        let key = SessionKey::of(&next);
        let stored = self.stored(&next, session, Some(opened.key), ends_at, now);
        self.ports.store.insert(key, stored, now).await?;
        let pointer = StoredSession {
            sealed: Record::seal_moved(&opened.id, &next, &self.seals, random),
            card: Vec::new(),
            ..StoredSession::clone(&opened.stored)
        };
        let replaced = self.ports.store.replace(opened.key, opened.stored.version, pointer, now).await;
        if !matches!(replaced, Ok(true)) {
            // Nobody will ever hold the new id.
            self.ports.store.remove(key, now).await?;
        }
        replaced
    }

    /// Ends the session that a browser holds `id` of, under whatever id it goes
    /// on; whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_of(&self, id: &SessionId) -> Result<bool, StoreError> {
        let now = self.ports.clock.now();
        let mut id = id.clone();
        for _ in 0..=MAX_MOVES {
            let key = SessionKey::of(&id);
            let record = match self.record(&id, key, now).await {
                Ok((_, record)) => record,
                Err(SessionError::Unknown | SessionError::Broken) => return Ok(false),
                Err(SessionError::Store(error)) => return Err(error),
            };
            let ended = self.ports.store.remove(key, now).await?;
            match record {
                Record::Moved(next) => id = next,
                Record::Session(..) => return Ok(ended),
            }
        }
        Ok(false)
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
        Ok(stored.filter(|stored| !is_pointer(stored)).map(|stored| self.listing(key, &stored)))
    }

    /// What may be shown of the live sessions, at most `limit` of them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<SessionListing>, StoreError> {
        let all = self.ports.store.list(limit, self.ports.clock.now()).await?;
        let sessions = all.iter().filter(|(_, stored)| !is_pointer(stored));
        Ok(sessions.map(|(key, stored)| self.listing(*key, stored)).collect())
    }

    /// The live record under `key`, opened.
    async fn record(
        &self,
        id: &SessionId,
        key: SessionKey,
        now: UnixTime,
    ) -> Result<(Arc<StoredSession>, Record), SessionError> {
        let stored = match self.ports.store.find(key, now).await {
            Ok(found) => found.filter(|stored| stored.is_live(now)).ok_or(SessionError::Unknown)?,
            Err(StoreError::Corrupt) => return Err(self.drop_broken(key, now).await?),
            Err(error) => return Err(error.into()),
        };
        match Record::open(&stored.sealed, id, &self.seals) {
            Ok(record) => Ok((stored, record)),
            Err(_) => Err(self.drop_broken(key, now).await?),
        }
    }

    /// A use prolongs the idle time, written down now and then.
    async fn touch(&self, key: SessionKey, stored: &StoredSession, now: UnixTime) -> Result<(), StoreError> {
        let used = self.idle_until(stored.ends_at, now);
        let step = self.lifetimes.idle.checked_div(TOUCHES_IN_IDLE_TIME).unwrap_or_default();
        if used.since(stored.idle_until) > step {
            self.ports.store.touch(key, used, now).await?;
        }
        Ok(())
    }

    /// The browser has shown the id that `opened` moved to: the old one ends soon.
    async fn arrived(&self, opened: &Opened, predecessor: SessionKey, now: UnixTime) -> Result<(), StoreError> {
        let store = &self.ports.store;
        if let Some(old) = store.find(predecessor, now).await? {
            let ends_at = old.ends_at.min(now.plus(OLD_ID_GRACE));
            let ending =
                StoredSession { ends_at, idle_until: old.idle_until.min(ends_at), ..StoredSession::clone(&old) };
            // Somebody else may have been quicker to say the same.
            store.replace(predecessor, old.version, ending, now).await?;
        }
        let stored = self.stored(&opened.id, &opened.session, None, opened.stored.ends_at, now);
        store.replace(opened.key, opened.stored.version, stored, now).await.map(drop)
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

    fn stored(
        &self,
        id: &SessionId,
        session: &Session,
        predecessor: Option<SessionKey>,
        ends_at: UnixTime,
        now: UnixTime,
    ) -> StoredSession {
        let key = SessionKey::of(id);
        let random = self.ports.random.as_ref();
        let index = |purpose, value: &str| self.seals.index(purpose, &[&session.issuer, value]).first().copied();
        StoredSession {
            sealed: session.seal(id, predecessor, &self.seals, random),
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

/// Whether the record only leads to the session's next id.
fn is_pointer(stored: &StoredSession) -> bool {
    stored.card.is_empty()
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
