//! Whether somebody whose credentials count is let in, and as whom: what the
//! user directory says, beside what a token or a session does.
//!
//! | the directory | outcome |
//! | --- | --- |
//! | does not know them, or has nothing against them | let in, with its groups, grants and attributes |
//! | refuses them | `disabled_user`; where nobody is asked for, as nobody |
//! | says that tokens and sessions from before some moment do not count | `invalid_token` or `session_expired` |
//! | cannot tell | `unavailable` or `overloaded` |
//!
//! There is one function for every way in: checks, pages, areas.

use std::sync::Arc;

use super::checker::{Checker, Snapshot, TOO_LATE};
use super::deadline::Deadline;
use super::judgement::Caller;
use super::token_cache::CacheResult;
use crate::directory::{DirectoryError, Standing, UserKey};
use crate::session::LiveSession;
use crate::types::{Principal, Reason, UnixTime};

/// Who calls, once the directory was asked: what a request is judged by.
pub(super) enum Admitted {
    /// Somebody, with all that the directory says.
    Somebody(Arc<Principal>, Shown),
    /// Somebody whose credentials count and who is not let in.
    Barred(Arc<Principal>, Shown, Barred),
    Anonymous,
    /// A credential is there and does not count; with what became of it, where
    /// somebody has judged it.
    BadToken(Reason, &'static str, Option<CacheResult>),
    /// A session cookie is there and opens nothing.
    BadCookie(Reason, &'static str),
}

/// What somebody showed.
pub(super) enum Shown {
    Token(CacheResult),
    /// A personal access token.
    AccessToken {
        as_password: bool,
    },
    Session(Arc<LiveSession>),
}

/// Why somebody is not let in; the word is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barred {
    pub(crate) reason: Reason,
    pub(crate) cause: &'static str,
}

/// Since when somebody vouches for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vouched {
    /// The provider, by a token that may have been issued then already; or we, by
    /// a personal access token made then.
    Token(UnixTime),
    /// We, by a session that began then.
    Session(UnixTime),
}

/// Whose browser holds a session, once the directory was asked.
#[derive(Debug, Clone)]
pub enum SessionGuest {
    /// Somebody, with all that the directory says.
    Admitted(Arc<LiveSession>),
    /// Somebody who is not let in, and why.
    Barred(Arc<LiveSession>, Reason),
    /// It cannot be told.
    Unknown,
}

impl Checker {
    /// What `caller` counts for under a policy.
    pub(super) async fn admit(&self, snapshot: &Snapshot, caller: Caller, deadline: &mut Deadline<'_>) -> Admitted {
        let (principal, vouched, shown) = match caller {
            Caller::Token(verified, cache) => {
                (Arc::clone(verified.principal()), Vouched::Token(verified.issued_after()), Shown::Token(cache))
            }
            Caller::Opaque(token, cache) => {
                (Arc::clone(token.principal()), Vouched::Token(token.issued_after()), Shown::Token(cache))
            }
            Caller::AccessToken { stored, as_password } => {
                return Box::pin(self.admit_access_token(snapshot, &stored, as_password, deadline)).await;
            }
            Caller::Session(live) => {
                (Arc::clone(&live.principal), Vouched::Session(live.signed_in_at), Shown::Session(live))
            }
            Caller::Anonymous => return Admitted::Anonymous,
            Caller::BadToken(reason, cause, cache) => return Admitted::BadToken(reason, cause, cache),
            Caller::BadCookie(reason, cause) => return Admitted::BadCookie(reason, cause),
        };
        match self.admit_principal(&principal, vouched, deadline).await {
            Ok(principal) => Admitted::Somebody(principal, shown),
            Err(barred) => Admitted::Barred(principal, shown, barred),
        }
    }

    /// Whose browser it is, with what the directory says.
    pub async fn admit_session(&self, live: Arc<LiveSession>) -> SessionGuest {
        let mut deadline = Deadline::new(&self.ports.tasks);
        match self.admit_principal(&live.principal, Vouched::Session(live.signed_in_at), &mut deadline).await {
            Ok(principal) if Arc::ptr_eq(&principal, &live.principal) => SessionGuest::Admitted(live),
            Ok(principal) => SessionGuest::Admitted(Arc::new(LiveSession { principal, ..live.as_ref().clone() })),
            Err(Barred { reason: Reason::Unavailable | Reason::Overloaded, .. }) => SessionGuest::Unknown,
            Err(Barred { reason, .. }) => SessionGuest::Barred(live, reason),
        }
    }

    /// The principal of a request, with what the directory says.
    async fn admit_principal(
        &self,
        principal: &Arc<Principal>,
        vouched: Vouched,
        deadline: &mut Deadline<'_>,
    ) -> Result<Arc<Principal>, Barred> {
        let Some(directory) = &self.ports.directory else { return Ok(Arc::clone(principal)) };
        let standing = match directory.remembered(&principal.provider, &principal.subject) {
            Some(remembered) => remembered,
            None => {
                let key = UserKey::new(&principal.provider, &principal.subject);
                Box::pin(self.standing(&key, deadline)).await?
            }
        };
        let Some(standing) = standing else { return Ok(Arc::clone(principal)) };
        if let Some(barred) = bars(&standing, vouched) {
            return Err(barred);
        }
        Ok(self.merged.of(principal, &standing, self.ports.clock.now()))
    }

    /// What the directory says of somebody; nothing where there is none.
    pub(super) async fn standing(
        &self,
        key: &UserKey,
        deadline: &mut Deadline<'_>,
    ) -> Result<Option<Arc<Standing>>, Barred> {
        let Some(directory) = &self.ports.directory else { return Ok(None) };
        match deadline.wait(directory.standing(key)).await {
            Some(told) => told.map_err(|error| cannot_tell(&error)),
            None => Err(Barred { reason: Reason::Unavailable, cause: TOO_LATE }),
        }
    }
}

/// Why nothing can be decided where the directory does not answer.
pub(super) const fn cannot_tell(error: &DirectoryError) -> Barred {
    match error {
        DirectoryError::TooMany(_) => Barred { reason: Reason::Overloaded, cause: "too_many_wait_for_directory" },
        DirectoryError::Unavailable(_)
        | DirectoryError::Corrupt
        | DirectoryError::Taken(_)
        | DirectoryError::Missing(_)
        | DirectoryError::Changed
        | DirectoryError::NotManaged => Barred { reason: Reason::Unavailable, cause: "directory" },
    }
}

/// Why somebody of this standing is not let in by what was vouched for then.
pub(super) fn bars(standing: &Standing, vouched: Vouched) -> Option<Barred> {
    if standing.is_disabled {
        return Some(Barred { reason: Reason::DisabledUser, cause: "disabled" });
    }
    let valid_from = standing.valid_from?;
    match vouched {
        Vouched::Token(at) if at < valid_from => {
            Some(Barred { reason: Reason::InvalidToken, cause: "issued_before_sign_out" })
        }
        Vouched::Session(at) if at < valid_from => {
            Some(Barred { reason: Reason::SessionExpired, cause: "began_before_sign_out" })
        }
        Vouched::Token(_) | Vouched::Session(_) => None,
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
