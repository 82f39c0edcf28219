//! Who is behind a session or a name, and what the service is.

use std::collections::HashMap;

use super::sessions::SessionView;
use super::{AdminDesk, DeskError};
use crate::directory::{UserId, UserKey, UserRef};
use crate::types::ProviderId;

/// Whose something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The directory's own name for them.
    pub id: UserId,
    /// What people call them.
    pub name: String,
}

impl AdminDesk {
    /// The tier of administrators.
    #[must_use]
    pub fn admin_tier(&self) -> &str {
        &self.ports.tier
    }

    /// The name of this process among all replicas.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.ports.instance
    }

    /// What keeps the people: `sqlite`, `mysql` and so on.
    #[must_use]
    pub fn directory_kind(&self) -> Option<&'static str> {
        self.ports.directory.as_ref().map(|directory| directory.store().kind())
    }

    /// The user called `<provider>/<subject>`.
    ///
    /// # Errors
    /// Without a directory, or when it does not answer.
    pub async fn id_of(&self, called: &str) -> Result<Option<UserId>, DeskError> {
        let directory = self.directory()?;
        for known in &self.ports.providers {
            let subject = called.strip_prefix(known.id.as_str()).and_then(|rest| rest.strip_prefix('/'));
            let Some(subject) = subject else { continue };
            let found = directory.store().user(UserRef::Key(UserKey::new(&known.id, subject))).await?;
            if let Some(user) = found.filter(|user| user.deleted_at.is_none()) {
                return Ok(Some(user.id));
            }
        }
        Ok(None)
    }

    /// Whose these sessions are, in their order; `None` where that is not known.
    pub async fn owners(&self, sessions: &[SessionView]) -> Vec<Option<Owner>> {
        let Some(directory) = &self.ports.directory else { return vec![None; sessions.len()] };
        let mut known: HashMap<UserKey, Option<Owner>> = HashMap::new();
        let mut owners = Vec::with_capacity(sessions.len());
        for session in sessions {
            let key = session.provider.as_deref().zip(session.subject.as_deref());
            let Some(key) = key.map(|(provider, subject)| UserKey::new(&ProviderId::new(provider), subject)) else {
                owners.push(None);
                continue;
            };
            if let Some(owner) = known.get(&key) {
                owners.push(owner.clone());
                continue;
            }
            // The list is worth showing without names.
            let found = directory.store().user(UserRef::Key(key.clone())).await.ok().flatten();
            let owner = found
                .filter(|user| user.deleted_at.is_none())
                .map(|user| Owner { id: user.id, name: user.shown_name().to_owned() });
            known.insert(key, owner.clone());
            owners.push(owner);
        }
        owners
    }
}
