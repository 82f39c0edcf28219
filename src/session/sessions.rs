//! The sessions as everybody else uses them: opened with an id, never with a
//! key, and judged by the clock on every look.

use std::sync::Arc;
use std::time::Duration;

use super::id::{SessionId, SessionKey};
use super::index::IndexKey;
use super::record::{Record, Session, SessionCard};
use super::sealing::{Seals, Unsealable};
use super::store::{SessionStore, StoreError, StoredSession};
use super::touches::Touches;
use crate::types::{Clock, Random, Tasks, UnixTime};

/// A session is written anew when this part of its idle time has passed: often
/// enough to keep it, and not on every request.
const TOUCHES_IN_IDLE_TIME: u32 = 10;
/// Sessions of one person that are looked at together.
pub(super) const MAX_OF_ONE: usize = 1000;
/// How often a session may have moved while a browser kept its first id.
pub(super) const MAX_MOVES: usize = 16;

pub(super) const SUBJECT: &str = "subject";
pub(super) const SID: &str = "sid";

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
    pub(super) ports: SessionPorts,
    pub(super) seals: Seals,
    lifetimes: Lifetimes,
    /// Where uses are written down that nobody waits for.
    touches: Option<Touches>,
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
    /// Whether the browser should be told the id: it came with an older one, and
    /// nobody has shown this one yet.
    pub is_new_to_browser: bool,
    /// Whether it was found under the id that it has now, and under no other before.
    is_settled: bool,
}

impl Opened {
    /// Whether to open it is all that is to be done about it: it has not moved.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }
}

/// What the store says of an id, before it is opened.
#[derive(Debug)]
pub struct Found<'a> {
    id: &'a SessionId,
    key: SessionKey,
    now: UnixTime,
    stored: Result<Option<Arc<StoredSession>>, StoreError>,
}

impl Found<'_> {
    /// What the store knows it by.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// When it was asked.
    #[must_use]
    pub const fn now(&self) -> UnixTime {
        self.now
    }

    /// The record, where there is one that is live.
    #[must_use]
    pub fn live(&self) -> Option<&Arc<StoredSession>> {
        self.stored.as_ref().ok()?.as_ref().filter(|stored| stored.is_live(self.now))
    }
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
    /// There is one, and nothing opens it here. It was removed, unless another
    /// instance may know the secret that it was sealed with.
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
        Self { ports, seals, lifetimes, touches: None }
    }

    /// The same, where nobody who opens a session waits until the use of it is
    /// written down: a store that writes slowly keeps nobody out.
    #[must_use]
    pub fn touching_in(self, tasks: Arc<dyn Tasks>) -> Self {
        Self { touches: Some(Touches::new(tasks)), ..self }
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
        self.open_found(self.find(id).await).await
    }

    /// What the store says of `id` now; to be opened with [`Self::open_found`].
    pub async fn find<'a>(&self, id: &'a SessionId) -> Found<'a> {
        let (key, now) = (SessionKey::of(id), self.ports.clock.now());
        Found { id, key, now, stored: self.ports.store.find(key, now).await }
    }

    /// Opens what was found, as [`Self::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_found(&self, found: Found<'_>) -> Result<Opened, SessionError> {
        let Found { id, mut key, now, mut stored } = found;
        let mut id = id.clone();
        let mut pointer_ends = None;
        for moves in 0..=MAX_MOVES {
            let (there, record) = self.read(&id, key, stored, now).await?;
            // A use that could not be written down is written at the next one.
            let _ = self.touch(key, &there, now).await;
            match record {
                Record::Moved(next) => {
                    id = next;
                    key = SessionKey::of(&id);
                    pointer_ends = pointer_ends.min(Some(there.ends_at)).or(Some(there.ends_at));
                    stored = self.ports.store.find(key, now).await;
                }
                Record::Session(session, predecessor) => {
                    // Sealed, unlike what the store says; and a shorter lifetime counts at once.
                    if now >= session.signed_in_at.plus(self.lifetimes.absolute) {
                        return Err(SessionError::Unknown);
                    }
                    // A pointer that ends before its session is one whose successor was shown.
                    let is_new_to_browser = pointer_ends.is_some_and(|ends_at| ends_at >= there.ends_at);
                    let is_settled = moves == 0 && predecessor.is_none();
                    let opened = Opened { id, key, session: *session, stored: there, is_new_to_browser, is_settled };
                    if let (Some(predecessor), 0) = (predecessor, moves) {
                        self.arrived(&opened, predecessor, now).await?;
                    }
                    return Ok(opened);
                }
            }
        }
        Err(SessionError::Unknown)
    }

    /// A use of a session that need not be opened; what could not be written down
    /// is written at the next one.
    pub async fn used(&self, found: &Found<'_>) {
        if let Some(stored) = found.live() {
            let _ = self.touch(found.key, stored, found.now).await;
        }
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

    /// The keys of the sessions of a person, at most 1000.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of_subject(&self, issuer: &str, subject: &str) -> Result<Vec<SessionKey>, StoreError> {
        self.indexed(&self.seals.index(SUBJECT, &[issuer, subject]), MAX_OF_ONE).await
    }

    /// What may be shown of the session with this key, when it is live.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn look_at(&self, key: SessionKey) -> Result<Option<SessionListing>, StoreError> {
        let stored = self.ports.store.find(key, self.ports.clock.now()).await?;
        Ok(stored.filter(|stored| !is_pointer(stored)).map(|stored| self.listing(key, &stored)))
    }

    /// What may be shown of the live sessions, of at most `limit` records, and
    /// whether these are all.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, limit: usize) -> Result<(Vec<SessionListing>, bool), StoreError> {
        let all = self.ports.store.list(limit, self.ports.clock.now()).await?;
        let sessions = all.iter().filter(|(_, stored)| !is_pointer(stored));
        Ok((sessions.map(|(key, stored)| self.listing(*key, stored)).collect(), all.len() < limit))
    }

    /// The live record under `key`, opened.
    pub(super) async fn record(
        &self,
        id: &SessionId,
        key: SessionKey,
        now: UnixTime,
    ) -> Result<(Arc<StoredSession>, Record), SessionError> {
        self.read(id, key, self.ports.store.find(key, now).await, now).await
    }

    /// What the store holds under `key`, opened.
    async fn read(
        &self,
        id: &SessionId,
        key: SessionKey,
        found: Result<Option<Arc<StoredSession>>, StoreError>,
        now: UnixTime,
    ) -> Result<(Arc<StoredSession>, Record), SessionError> {
        let stored = match found {
            Ok(found) => found.filter(|stored| stored.is_live(now)).ok_or(SessionError::Unknown)?,
            Err(StoreError::Corrupt) => return Err(self.drop_broken(key, now).await?),
            Err(error) => return Err(error.into()),
        };
        match Record::open(&stored.sealed, id, &self.seals) {
            Ok(record) => Ok((stored, record)),
            Err(Unsealable::Unfit) => Err(self.drop_broken(key, now).await?),
            // It is whole, and an instance that knows the secret opens it.
            Err(Unsealable::UnknownSecret) => Err(SessionError::Broken),
        }
    }

    /// A use prolongs the idle time, written down now and then.
    async fn touch(&self, key: SessionKey, stored: &StoredSession, now: UnixTime) -> Result<(), StoreError> {
        let used = self.idle_until(stored.ends_at, now);
        let step = self.lifetimes.idle.checked_div(TOUCHES_IN_IDLE_TIME).unwrap_or_default();
        if used.since(stored.idle_until) > step {
            match &self.touches {
                None => self.ports.store.touch(key, used, now).await?,
                Some(touches) => touches.write(&self.ports.store, key, used, now),
            }
        }
        Ok(())
    }

    /// Removes what nobody who holds its cookie will ever open.
    async fn drop_broken(&self, key: SessionKey, now: UnixTime) -> Result<SessionError, StoreError> {
        self.ports.store.remove(key, now).await?;
        Ok(SessionError::Broken)
    }

    pub(super) fn now(&self) -> UnixTime {
        self.ports.clock.now()
    }

    pub(super) async fn indexed(&self, indexes: &[IndexKey], limit: usize) -> Result<Vec<SessionKey>, StoreError> {
        let mut keys = Vec::new();
        for index in indexes {
            keys.extend(self.ports.store.indexed(*index, limit, self.now()).await?);
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn listing(&self, key: SessionKey, stored: &StoredSession) -> SessionListing {
        let card = SessionCard::open(&stored.card, key, &self.seals).ok();
        SessionListing { key, card, idle_until: stored.idle_until, ends_at: stored.ends_at }
    }

    pub(super) fn stored(
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
pub(super) fn is_pointer(stored: &StoredSession) -> bool {
    stored.card.is_empty()
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
