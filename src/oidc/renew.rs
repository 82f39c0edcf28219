//! New tokens for a session, from its refresh token (OIDC Core section 12).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::error::RenewError;
use super::exchange::{ExchangeError, Grant, Tokens};
use super::live_sessions::Vouch;
use super::provider::Provider;
use super::relying_party::RelyingParty;
use super::vouch::NotVouched;
use crate::session::{Authority, Session};
use crate::token::{VerifiedIdToken, join_profiles, principal_of};
use crate::types::{Principal, UnixTime};

/// How long the provider's word counts when it does not say how long.
const UNSAID_LIFETIME: Duration = Duration::from_secs(60 * 60);

impl RelyingParty {
    /// The session with new tokens, from its refresh token.
    ///
    /// Where the provider gave a new refresh token and its other tokens cannot
    /// be judged for want of keys, the session comes back with the new refresh
    /// token and the authority it had: the old refresh token is used up.
    ///
    /// # Errors
    /// When there are none.
    pub async fn renew(&self, session: &Session) -> Result<Session, RenewError> {
        let provider = self.provider(&session.provider).ok_or(RenewError::Ended)?;
        let refresh_token = session.refresh_token.as_ref().ok_or(RenewError::Ended)?;
        if session.issuer != provider.tokens.issuer.as_ref() {
            return Err(RenewError::Ended);
        }
        let metadata = self.metadata(provider).await.map_err(|_| RenewError::Passing)?;
        let tokens = self.exchange(provider, &metadata, Grant::Refresh(refresh_token)).await;
        let tokens = tokens.map_err(|error| match error {
            ExchangeError::Grant => RenewError::Ended,
            ExchangeError::Unavailable | ExchangeError::Client | ExchangeError::Malformed => RenewError::Passing,
        })?;
        let mut renewed = session.clone();
        if let Some(rotated) = &tokens.refresh_token {
            renewed.refresh_token = Some(rotated.clone());
        }
        match self.renewed_authority(provider, session, &tokens).await {
            Ok((authority, id_token)) => {
                principal_of(authority.claims.clone(), &provider.tokens).map_err(|_| RenewError::Ended)?;
                renewed.authority = authority;
                if let Some(id_token) = id_token {
                    let (told, names) = (id_token.claims().clone(), &provider.tokens.claims);
                    renewed.profile = join_profiles(renewed.profile, told, names);
                    renewed.id_token = tokens.id_token;
                }
                self.note_renewal(&renewed);
                Ok(renewed)
            }
            Err(Some(unjudged)) if unjudged.lacks_key() && tokens.refresh_token.is_some() => Ok(renewed),
            Err(Some(unjudged)) if unjudged.lacks_key() => Err(RenewError::Passing),
            Err(_) => Err(RenewError::Ended),
        }
    }

    /// What the new tokens say of the same person; an error without a cause
    /// when they say nothing that scopes could come from.
    async fn renewed_authority(
        &self,
        provider: &Provider,
        session: &Session,
        tokens: &Tokens,
    ) -> Result<(Authority, Option<VerifiedIdToken>), Option<NotVouched>> {
        let now = self.ports.clock.now();
        let id_token = match &tokens.id_token {
            Some(raw) => Some(self.vouched_id_token(provider, raw, &tokens.access_token, None).await?),
            None => None,
        };
        if id_token.as_ref().is_some_and(|id_token| id_token.subject() != session.subject) {
            return Err(Some(NotVouched::OtherSubject));
        }
        let authority = match self.vouched_access_token(provider, tokens, &session.subject).await? {
            Some(authority) => authority,
            None => match &id_token {
                Some(id_token) => Self::authority_of(id_token, tokens, now),
                None => prolonged(&session.authority, tokens, now).ok_or(None)?,
            },
        };
        Ok((authority, id_token))
    }
}

/// The authority of an earlier ID token, which the provider has just confirmed
/// by giving a new access token. What stood in an access token is not carried
/// on: a new one would have said it.
fn prolonged(authority: &Authority, tokens: &Tokens, now: UnixTime) -> Option<Authority> {
    let expires_at = now.plus(tokens.expires_in.unwrap_or(UNSAID_LIFETIME));
    (!authority.from_access_token).then(|| Authority { expires_at, ..authority.clone() })
}

impl Vouch for RelyingParty {
    fn principal(&self, session: &Session) -> Option<Arc<Principal>> {
        Self::principal(self, session)
    }

    fn renew<'a>(
        &'a self,
        session: &'a Session,
    ) -> Pin<Box<dyn Future<Output = Result<Session, RenewError>> + Send + 'a>> {
        Box::pin(Self::renew(self, session))
    }

    fn give_back(&self, session: &Session) {
        self.revoke(session);
    }
}

#[cfg(test)]
#[path = "renew_tests.rs"]
mod tests;
