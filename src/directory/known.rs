//! What is known of users, as a check asks for it.

use std::sync::Arc;

use super::access_token::{StoredAccessToken, TokenHash};
use super::audit::Actor;
use super::change::UserChange;
use super::group::{Group, GroupChange, GroupId, NewGroup};
use super::standing::Standing;
use super::store::{ChangeRequest, Changed, DirectoryError, EventId, UserDirectory, UserRef};
use super::user::{UserId, UserKey};
use crate::types::{Clock, Random};

/// What the directory needs of the world.
#[derive(Clone)]
pub struct DirectoryPorts {
    /// Where it is kept.
    pub store: Arc<dyn UserDirectory>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For new ids.
    pub random: Arc<dyn Random>,
}

/// The user directory of one process.
pub struct Directory {
    ports: DirectoryPorts,
}

impl Directory {
    /// The directory in a store.
    #[must_use]
    pub fn new(ports: DirectoryPorts) -> Self {
        Self { ports }
    }

    /// Where it is kept; for everything that is not on the way of a check.
    #[must_use]
    pub fn store(&self) -> &dyn UserDirectory {
        self.ports.store.as_ref()
    }

    /// What counts of somebody now; `None` where the directory does not know them.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn standing(&self, key: &UserKey) -> Result<Option<Arc<Standing>>, DirectoryError> {
        Ok(self.ports.store.standing(key.clone()).await?.map(Arc::new))
    }

    /// The personal access token with this hash.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn access_token(&self, hash: TokenHash) -> Result<Option<Arc<StoredAccessToken>>, DirectoryError> {
        Ok(self.ports.store.access_token(hash).await?.map(Arc::new))
    }

    /// Changes one user; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn change(
        &self,
        target: UserRef,
        change: UserChange,
        actor: Actor,
        because: Because,
    ) -> Result<Changed, DirectoryError> {
        let Because { expected_version, event, request_id } = because;
        let (new_id, now) = (UserId::draw(self.ports.random.as_ref()), self.ports.clock.now());
        let request = ChangeRequest { target, change, actor, new_id, expected_version, event, request_id, now };
        self.ports.store.change(request).await
    }

    /// Makes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn create_group(&self, group: NewGroup, actor: Actor) -> Result<Group, DirectoryError> {
        let made = self.ports.store.create_group(group, actor, self.ports.clock.now()).await?;
        self.follow().await?;
        Ok(made)
    }

    /// Changes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn change_group(
        &self,
        id: GroupId,
        change: GroupChange,
        expected_version: Option<u64>,
        actor: Actor,
    ) -> Result<Group, DirectoryError> {
        let now = self.ports.clock.now();
        let changed = self.ports.store.change_group(id, change, expected_version, actor, now).await?;
        self.follow().await?;
        Ok(changed)
    }

    /// Deletes a group; every check that begins after the answer knows it.
    ///
    /// # Errors
    /// When it was not done, or that cannot be told.
    pub async fn delete_group(
        &self,
        id: GroupId,
        expected_version: Option<u64>,
        actor: Actor,
    ) -> Result<(), DirectoryError> {
        self.ports.store.delete_group(id, expected_version, actor, self.ports.clock.now()).await?;
        self.follow().await
    }

    /// Takes over what other replicas changed, or this one without
    /// [`Self::change`]. To be called again and again.
    ///
    /// # Errors
    /// When it cannot be told what changed.
    pub async fn follow(&self) -> Result<(), DirectoryError> {
        self.ports.store.sequence().await.map(drop)
    }
}

/// What a change comes of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Because {
    /// The version that it is meant for, 0 for no record at all; any where there is none.
    pub expected_version: Option<u64>,
    /// The event, which counts once.
    pub event: Option<EventId>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
}
