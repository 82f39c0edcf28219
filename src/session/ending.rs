//! The ends of sessions: each is ended as it was seen, so that none goes on
//! because it moved or was renewed at the same moment.

use super::id::{SessionId, SessionKey};
use super::record::Record;
use super::sessions::{MAX_MOVES, MAX_OF_ONE, SID, SUBJECT, SessionError, Sessions, is_pointer};
use super::store::{StoreError, StoredSession};

/// How often it is looked again what is left to end. Each look but the last
/// ended something, so only somebody who begins sessions all the time gets here.
const MAX_LOOKS: usize = 1000;

impl Sessions {
    /// Ends the session that a browser holds `id` of, under whatever id it goes
    /// on; whether there was one.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_of(&self, id: &SessionId) -> Result<bool, StoreError> {
        let mut id = id.clone();
        let mut moves = 0;
        for _ in 0..MAX_LOOKS {
            let key = SessionKey::of(&id);
            let (stored, record) = match self.record(&id, key, self.now()).await {
                Ok(found) => found,
                Err(SessionError::Unknown | SessionError::Broken) => return Ok(false),
                Err(SessionError::Store(error)) => return Err(error),
            };
            if !self.end_as_seen(key, &stored).await? {
                // Written meanwhile: it is looked at again.
                continue;
            }
            match record {
                Record::Moved(next) if moves < MAX_MOVES => (id, moves) = (next, moves.saturating_add(1)),
                Record::Moved(_) => return Ok(false),
                Record::Session(..) => return Ok(true),
            }
        }
        self.store().remove(SessionKey::of(&id), self.now()).await
    }

    /// Ends one session; whether there was one. A session that has moved is not
    /// found under the key it had.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end(&self, key: SessionKey) -> Result<bool, StoreError> {
        for _ in 0..MAX_LOOKS {
            let Some(stored) = self.store().find(key, self.now()).await? else { return Ok(false) };
            if self.end_as_seen(key, &stored).await? {
                return Ok(!is_pointer(&stored));
            }
        }
        self.store().remove(key, self.now()).await
    }

    /// Ends every session of a person but `except`; how many there were.
    ///
    /// # Errors
    /// When the store does not answer; some may have ended then.
    pub async fn end_of_subject(
        &self,
        issuer: &str,
        subject: &str,
        except: Option<SessionKey>,
    ) -> Result<u64, StoreError> {
        let indexes = self.seals().index(SUBJECT, &[issuer, subject]);
        let mut ended = 0u64;
        for _ in 0..MAX_LOOKS {
            let mut keys = self.indexed(&indexes, MAX_OF_ONE).await?;
            keys.retain(|key| Some(*key) != except);
            if keys.is_empty() {
                break;
            }
            ended = ended.saturating_add(self.end_each(&keys).await?);
        }
        Ok(ended)
    }

    /// Ends every session that came from one session of the provider, of
    /// `subject` only where it is given; how many there were.
    ///
    /// # Errors
    /// When the store does not answer; some may have ended then.
    pub async fn end_of_sid(&self, issuer: &str, sid: &str, subject: Option<&str>) -> Result<u64, StoreError> {
        let indexes = self.seals().index(SID, &[issuer, sid]);
        let theirs = subject.map(|subject| self.seals().index(SUBJECT, &[issuer, subject]));
        let mut ended = 0u64;
        for _ in 0..MAX_LOOKS {
            let mut keys = Vec::new();
            for key in self.indexed(&indexes, MAX_OF_ONE).await? {
                let stored = self.store().find(key, self.now()).await?;
                let fits = |stored: &StoredSession| theirs.as_ref().is_none_or(|all| all.contains(&stored.subject));
                if stored.is_some_and(|stored| fits(&stored)) {
                    keys.push(key);
                }
            }
            if keys.is_empty() {
                break;
            }
            ended = ended.saturating_add(self.end_each(&keys).await?);
        }
        Ok(ended)
    }

    /// Ends some of all sessions, at most `limit` records; how many sessions
    /// there were, and `None` when nothing is left.
    ///
    /// # Errors
    /// When the store does not answer; some may have ended then.
    pub async fn end_some(&self, limit: usize) -> Result<Option<u64>, StoreError> {
        let found = self.store().list(limit, self.now()).await?;
        if found.is_empty() {
            return Ok(None);
        }
        let keys: Vec<SessionKey> = found.iter().map(|(key, _)| *key).collect();
        self.end_each(&keys).await.map(Some)
    }

    async fn end_each(&self, keys: &[SessionKey]) -> Result<u64, StoreError> {
        let mut ended = 0u64;
        for key in keys {
            ended = ended.saturating_add(u64::from(self.end(*key).await?));
        }
        Ok(ended)
    }

    /// Ends a session if it still is what was seen of it; `false` when it was
    /// written meanwhile, perhaps to go on elsewhere.
    pub(super) async fn end_as_seen(&self, key: SessionKey, seen: &StoredSession) -> Result<bool, StoreError> {
        let now = self.now();
        let over = StoredSession { sealed: Vec::new(), card: Vec::new(), idle_until: now, ..seen.clone() };
        match self.store().replace(key, seen.version, over, now).await {
            Ok(false) => Ok(false),
            // Where the answer was lost, the removal itself is what counts.
            Ok(true) | Err(_) => self.store().remove(key, now).await.map(|_| true),
        }
    }
}
