//! What the pages and the sessions ask of the relying party.

use std::sync::Arc;

use crate::session::{BrowserCookies, Session, SessionId, SetCookie};
use crate::types::{Principal, ProviderId};

/// A provider that browsers can sign in at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginProvider {
    /// Its id in the config.
    pub id: ProviderId,
    /// What people read on the page where they choose.
    pub label: String,
    /// The path that it sends browsers back to.
    pub callback_path: String,
}

/// Where a browser goes next, and what it takes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// An absolute URL. May hold a `state`; never logged.
    pub location: String,
    /// The cookies to set.
    pub set_cookies: Vec<SetCookie>,
}

/// Why a sign-in does not begin.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such provider.
    #[error("no such provider")]
    UnknownProvider,
    /// The provider's own description cannot be had, or is not acceptable.
    #[error("the provider cannot be asked")]
    Provider,
    /// The attempt cannot be kept.
    #[error("the session store does not answer")]
    Store,
}

/// Why a browser that came back is not signed in. Each cause has a word for
/// metrics and a page for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The session store does not answer: nothing is known of the attempt.
    #[error("the session store does not answer")]
    Store,
}

/// Why a session has no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The provider ended the grant (`invalid_grant`), or what it gave does not
    /// verify: the session is over.
    #[error("the provider ended the grant")]
    Ended,
    /// The provider did not answer, or answered with a failure of its own: the
    /// session stays as it is.
    #[error("the provider could not be asked")]
    Passing,
}

/// Why a logout token ends nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// It is not valid, or was used before (OIDC Back-Channel Logout 1.0 section 2.6).
    #[error("the logout token is not valid: {0}")]
    Invalid(&'static str),
    /// The session store does not answer; the provider should try again.
    #[error("the session store does not answer")]
    Store,
}

/// Signs people in and out at every provider that has a `login`.
pub struct RelyingParty {
    providers: Vec<LoginProvider>,
}

impl RelyingParty {
    /// The providers to sign in at, in the order of the config.
    #[must_use]
    pub fn providers(&self) -> &[LoginProvider] {
        &self.providers
    }

    /// Begins a sign-in: the provider's authorization endpoint with `state`,
    /// `nonce` and PKCE. `return_to` is path and query on our own origin and was
    /// validated by the caller.
    ///
    /// # Errors
    /// When it cannot begin.
    pub async fn begin(
        &self,
        _provider: &ProviderId,
        _return_to: &str,
        _cookies: &BrowserCookies,
    ) -> Result<Redirect, SignInError> {
        Err(SignInError::Provider)
    }

    /// Finishes a sign-in at the callback of `provider`: every check, the
    /// exchange, a new session under a new id, the old one ended. `query` is raw.
    ///
    /// A browser whose attempt was dropped for newer ones and that has a live
    /// session meanwhile goes on to where that attempt wanted to go.
    ///
    /// # Errors
    /// When nobody is signed in. The attempt, if there was one, is used up.
    pub async fn complete(
        &self,
        _provider: &ProviderId,
        _query: &[u8],
        _cookies: &BrowserCookies,
        _user_agent: &str,
    ) -> Result<Redirect, CallbackError> {
        Err(CallbackError::Store)
    }

    /// Whom a session speaks of, by the claims and the settings that hold now;
    /// `None` when its provider is not configured any more, or the claims do
    /// not fit.
    #[must_use]
    pub fn principal(&self, _session: &Session) -> Option<Arc<Principal>> {
        None
    }

    /// The session with new tokens, from its refresh token.
    ///
    /// # Errors
    /// When there are none.
    pub async fn renew(&self, _session: &Session) -> Result<Session, RenewError> {
        Err(RenewError::Passing)
    }

    /// Ends the session of a browser, or every session of its person: here, and
    /// at the provider (refresh token revoked). Gives the provider's own
    /// sign-out URL when it has one, else `None`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sign_out(&self, _id: &SessionId, _everywhere: bool) -> Result<Option<String>, SignInError> {
        Err(SignInError::Store)
    }

    /// Ends what a logout token names; how many sessions (OIDC Back-Channel
    /// Logout 1.0 section 2.6).
    ///
    /// # Errors
    /// When it is not valid, or the store does not answer.
    pub async fn end_by_logout_token(&self, _token: &str) -> Result<u64, LogoutTokenError> {
        Err(LogoutTokenError::Store)
    }

    /// Ends the browser's session if it came from this session of the provider
    /// (OIDC Front-Channel Logout 1.0 section 3); whether it did.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_by_front_channel(&self, _issuer: &str, _sid: &str, _id: &SessionId) -> Result<bool, SignInError> {
        Err(SignInError::Store)
    }
}
