//! What a check asks: whose session a cookie opens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::cookie::SetCookie;
use super::id::{SessionId, SessionKey};
use crate::types::{Principal, UnixTime};

/// A session that counts now.
#[derive(Debug, Clone)]
pub struct LiveSession {
    /// What the store knows it by now.
    pub key: SessionKey,
    /// Whose it is, with the scopes that the provider granted last.
    pub principal: Arc<Principal>,
    /// When its person signed in.
    pub signed_in_at: UnixTime,
    /// When it ends, however much it is used.
    pub ends_at: UnixTime,
    /// A cookie that the browser should get in place of the one it sent.
    pub set_cookie: Option<SetCookie>,
}

/// Why a cookie opens no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSession {
    /// There is none: it ended, was revoked, or never was.
    Unknown,
    /// There is a record, and this id or none of the service's secrets opens it.
    Broken,
    /// It is over: the provider ended the grant, or nobody vouches for it any more.
    Expired,
    /// The store does not answer. Nothing is known of the session.
    Unavailable,
}

impl NoSession {
    /// The constant word for the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "session_unknown",
            Self::Broken => "session_broken",
            Self::Expired => "session_ended",
            Self::Unavailable => "session_store",
        }
    }
}

/// Opens sessions.
///
/// Security contract: `Ok` means that the session was live at `Clock::now`, was
/// opened with this very id, and that its principal is what the provider said
/// last. The call ends within the time a proxy waits, also while a store or a
/// provider hangs.
pub trait SessionSource: Send + Sync {
    /// The session that `id` opens.
    fn find<'a>(
        &'a self,
        id: &'a SessionId,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<LiveSession>, NoSession>> + Send + 'a>>;
}
