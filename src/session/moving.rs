//! A session that goes on under another id.

use std::time::Duration;

use super::id::{SessionId, SessionKey};
use super::record::{Record, Session};
use super::sessions::{Opened, Sessions};
use super::store::{StoreError, StoredSession};
use crate::types::UnixTime;

/// How long an id still counts after its browser has shown the next one: for
/// requests that were under way.
pub(super) const OLD_ID_GRACE: Duration = Duration::from_secs(30);

impl Sessions {
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
        // After an error the pointer may be there all the same: only where it
        // surely is not will nobody ever hold the new id.
        if matches!(replaced, Ok(false)) {
            self.ports.store.remove(key, now).await?;
        }
        replaced
    }

    /// The browser has shown the id that `opened` moved to: the old one ends soon.
    pub(super) async fn arrived(
        &self,
        opened: &Opened,
        predecessor: SessionKey,
        now: UnixTime,
    ) -> Result<(), StoreError> {
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
}
