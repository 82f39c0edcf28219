//! Sessions of browsers.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::user_views::UserView;
use super::views::Timestamp;
use super::{AdminDesk, By, DeskError};
use crate::directory::{Actor, NewAuditEntry, UserChange, UserId, UserKey, UserRef};
use crate::session::{SessionKey, SessionListing, Sessions};

/// Which sessions.
#[derive(Debug, Clone, Default)]
pub struct SessionSearch {
    /// Those of the person with this provider and subject.
    pub of: Option<(String, String)>,
    /// How many at most.
    pub limit: usize,
}

/// Sessions, the newest first.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// Whether there are more than were looked at. Then search for a person.
    pub more: bool,
}

/// A session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionView {
    /// What the store knows it by; opens nothing.
    pub key: String,
    /// The id of the provider; null where no secret of the service opens the record.
    pub provider: Option<String>,
    /// The `sub`.
    pub subject: Option<String>,
    /// The browser as it named itself.
    pub user_agent: Option<String>,
    /// When the person signed in.
    pub signed_in_at: Option<Timestamp>,
    /// When it ends unless it is used.
    pub idle_until: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// What a sign-out came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SignedOut {
    /// The user as they are now.
    pub user: UserView,
    /// How many sessions ended; null where no sessions are kept here.
    pub sessions_ended: Option<u64>,
}

impl AdminDesk {
    /// The most sessions in one list.
    pub const MAX_SESSIONS: usize = 200;
    /// The most sessions that are paged through.
    pub const MAX_PAGED: usize = 2000;

    /// Live sessions.
    ///
    /// # Errors
    /// When nobody signs in here, or the store does not answer.
    pub async fn sessions(&self, search: SessionSearch) -> Result<SessionList, DeskError> {
        let sessions = self.kept_sessions()?;
        let limit = search.limit.clamp(1, Self::MAX_SESSIONS);
        match &search.of {
            Some((provider, subject)) => {
                let issuer = self.provider(provider)?.issuer.as_ref();
                self.sessions_of(sessions, issuer, subject, limit).await
            }
            None => {
                let (found, whole) = sessions.list(limit).await?;
                Ok(in_order(found, !whole))
            }
        }
    }

    /// Live sessions, the newest first, `limit` of them after the first `skip`; and
    /// how many to skip for the next page, where there is one. The list says whether there are more than
    /// [`Self::MAX_PAGED`].
    ///
    /// # Errors
    /// When nobody signs in here, or the store does not answer.
    pub async fn session_page(&self, skip: usize, limit: usize) -> Result<(SessionList, Option<usize>), DeskError> {
        let (found, whole) = self.kept_sessions()?.list(Self::MAX_PAGED).await?;
        let SessionList { sessions, more } = in_order(found, !whole);
        let next = skip.saturating_add(limit);
        let next = (sessions.len() > next).then_some(next);
        Ok((SessionList { sessions: sessions.into_iter().skip(skip).take(limit).collect(), more }, next))
    }

    /// The live sessions of a user.
    ///
    /// # Errors
    /// When there is no such user, nobody signs in here, or a store does not answer.
    pub async fn user_sessions(&self, id: UserId, limit: usize) -> Result<SessionList, DeskError> {
        let user = self.live_user(id).await?;
        let sessions = self.kept_sessions()?;
        // Of a provider that is gone from the config nobody's session counts.
        let Some(issuer) = self.issuer(&user.key.provider) else {
            return Ok(SessionList { sessions: Vec::new(), more: false });
        };
        self.sessions_of(sessions, issuer, &user.key.subject, limit.clamp(1, Self::MAX_SESSIONS)).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When there is no such session, nobody signs in here, or it was not done.
    pub async fn revoke_session(&self, by: By<'_>, key: SessionKey) -> Result<(), DeskError> {
        let sessions = self.kept_sessions()?;
        let listing = sessions.look_at(key).await?.ok_or(DeskError::NotThere("session"))?;
        if !sessions.end(key).await? {
            return Err(DeskError::NotThere("session"));
        }
        tracing::info!(request_id = by.request_id, session = ?key, "an administrator ended a session");
        let Some(directory) = &self.ports.directory else { return Ok(()) };
        let view = session_view(listing);
        let owner = view.provider.as_deref().zip(view.subject.as_deref());
        let owner = owner.map(|(provider, subject)| UserKey::new(&crate::types::ProviderId::new(provider), subject));
        let user = match owner {
            Some(key) => directory.store().user(UserRef::Key(key)).await?.map(|user| user.id),
            None => None,
        };
        let entry = NewAuditEntry {
            actor: Actor::Person(by.actor.clone()),
            action: "session.revoke",
            target: key.to_string(),
            user,
            before: Some(json!(view)),
            after: None,
            request_id: Some(by.request_id.to_owned()),
        };
        Ok(directory.store().note(entry, self.ports.clock.now()).await?)
    }

    /// Signs somebody out everywhere: tokens and sessions from before now count no more.
    ///
    /// # Errors
    /// When there is no such user, or it was not done. What counted before counts
    /// no more even where the sessions could not all be removed.
    pub async fn sign_out(&self, by: By<'_>, id: UserId) -> Result<SignedOut, DeskError> {
        let user = self.change(by, id, UserChange::SignOut).await?;
        let provider = crate::types::ProviderId::new(&user.provider);
        let sessions_ended = match (&self.ports.sessions, self.issuer(&provider)) {
            (Some(sessions), Some(issuer)) => Some(sessions.end_of_subject(issuer, &user.subject, None).await?),
            (Some(_), None) => Some(0),
            (None, _) => None,
        };
        Ok(SignedOut { user, sessions_ended })
    }

    fn kept_sessions(&self) -> Result<&Sessions, DeskError> {
        self.ports.sessions.as_ref().ok_or(DeskError::NoSessions)
    }

    async fn sessions_of(
        &self,
        sessions: &Sessions,
        issuer: &str,
        subject: &str,
        limit: usize,
    ) -> Result<SessionList, DeskError> {
        let keys = sessions.of_subject(issuer, subject).await?;
        let more = keys.len() > limit;
        let mut found = Vec::new();
        for key in keys.into_iter().take(limit) {
            found.extend(sessions.look_at(key).await?);
        }
        Ok(in_order(found, more))
    }
}

fn in_order(found: Vec<SessionListing>, more: bool) -> SessionList {
    let mut sessions: Vec<SessionView> = found.into_iter().map(session_view).collect();
    sessions.sort_by(|one, other| other.signed_in_at.cmp(&one.signed_in_at).then_with(|| one.key.cmp(&other.key)));
    SessionList { sessions, more }
}

fn session_view(listing: SessionListing) -> SessionView {
    let SessionListing { key, card, idle_until, ends_at } = listing;
    let (idle_until, ends_at) = (Timestamp(idle_until), Timestamp(ends_at));
    let key = key.to_string();
    match card {
        Some(card) => SessionView {
            key,
            provider: Some(card.provider.as_str().to_owned()),
            subject: Some(card.subject),
            user_agent: Some(card.user_agent),
            signed_in_at: Some(Timestamp(card.signed_in_at)),
            idle_until,
            ends_at,
        },
        None => SessionView {
            key,
            provider: None,
            subject: None,
            user_agent: None,
            signed_in_at: None,
            idle_until,
            ends_at,
        },
    }
}
