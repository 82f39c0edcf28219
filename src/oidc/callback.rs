//! The way back from the provider (OIDC Core section 3.1.2.5): everything that
//! can be judged is judged before the code is redeemed, and the attempt is used
//! up whatever comes out.

use std::time::Duration;

use super::authorize::MAX_ATTEMPT_AGE;
use super::error::{CallbackError, CallbackFailure};
use super::exchange::{ExchangeError, Grant, Tokens};
use super::provider::{Metadata, MetadataError, Provider};
use super::query::{CallbackQuery, ProviderAnswer};
use super::relying_party::{Redirect, RelyingParty};
use super::vouch::NotVouched;
use crate::session::{BrowserCookies, LoginAttempt, OpaqueId, Session, SessionCookie, SessionError, SetCookie};
use crate::token::{join_profiles, principal_of};
use crate::types::{ProviderId, Secret};

/// How long all of it may take. A page has 6 s, of which the look at who is
/// signed in, with its calls of the store, comes first: what has an end here can
/// still say so, and take the cookie of the attempt away.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a browser waits for what the provider says of itself and for the
/// tokens, together.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits for keys that the tokens need.
const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// What holds of an attempt even when it fails.
#[derive(Default)]
struct Leftovers {
    set_cookies: Vec<SetCookie>,
    return_to: Option<String>,
}

impl RelyingParty {
    /// Finishes a sign-in at the callback of `provider`: every check, the
    /// exchange, a new session under a new id, the old one ended. `query` is raw.
    ///
    /// A browser whose attempt was dropped for newer ones and that has a live
    /// session meanwhile goes on to where that attempt wanted to go. So does one
    /// whose person signed in in another tab since the attempt began. Whoever
    /// only goes on gets no session cookie.
    ///
    /// # Errors
    /// When nobody is signed in. The attempt, if there was one, is used up.
    pub async fn complete(
        &self,
        provider: &ProviderId,
        query: &[u8],
        cookies: &BrowserCookies,
        user_agent: &str,
    ) -> Result<Redirect, CallbackFailure> {
        let mut leftovers = Leftovers::default();
        let finished = self.within(LIMIT, self.finish(provider, query, cookies, user_agent, &mut leftovers)).await;
        let finished = finished.unwrap_or(Err(CallbackError::ProviderUnavailable));
        let Leftovers { set_cookies, return_to } = leftovers;
        finished.map_err(|error| CallbackFailure { error, set_cookies, return_to })
    }

    async fn finish(
        &self,
        provider: &ProviderId,
        query: &[u8],
        cookies: &BrowserCookies,
        user_agent: &str,
        leftovers: &mut Leftovers,
    ) -> Result<Redirect, CallbackError> {
        let CallbackQuery { state, answer } = CallbackQuery::parse(query);
        let attempt = match &state {
            Some(state) => self.take(state).await?,
            None => None,
        };
        // What the browser holds proves that the attempt is its own.
        let slot = attempt.as_ref().and_then(|attempt| {
            let mut held = cookies.logins.iter();
            held.find(|cookie| LoginAttempt::browser_of(&cookie.secret) == attempt.browser).map(|cookie| cookie.slot)
        });
        if let (Some(attempt), Some(slot)) = (&attempt, slot) {
            leftovers.set_cookies.push(SetCookie::clear_login(slot));
            leftovers.return_to = Some(attempt.return_to.clone());
        }
        let answer = answer?;
        state.ok_or(CallbackError::State)?;
        let attempt = attempt.ok_or(CallbackError::UnknownAttempt)?;
        if slot.is_none() {
            let went_on = self.go_on(&attempt, cookies).await;
            if matches!(went_on, Err(CallbackError::OtherBrowser)) {
                // It is on our own origin, and says nothing about anybody.
                leftovers.return_to = Some(attempt.return_to);
            }
            return went_on;
        }
        if self.ports.clock.now().since(attempt.started_at) > MAX_ATTEMPT_AGE {
            return Err(CallbackError::AttemptExpired);
        }
        let provider = self.provider(provider).ok_or(CallbackError::UnknownProvider)?;
        if attempt.provider != provider.client.provider {
            return Err(CallbackError::OtherProvider);
        }
        let redeemed = self.within(PATIENCE, async {
            let metadata = self.metadata(provider).await.map_err(CallbackError::from)?;
            let code = judge(&answer, &provider.tokens.issuer, &metadata)?;
            let grant = Grant::Code { code, pkce_verifier: &attempt.pkce_verifier };
            let tokens = self.exchange(provider, &metadata, grant).await.map_err(CallbackError::from)?;
            Ok::<_, CallbackError>((metadata, tokens))
        });
        let (metadata, tokens) = redeemed.await.ok_or(CallbackError::ProviderUnavailable)??;
        let session = self.session_of(provider, &metadata, tokens, &attempt, user_agent).await?;
        if self.admit(&session).await.is_err() {
            self.revoke(&session);
            return Err(CallbackError::Disabled);
        }
        self.keep(&session, cookies, &attempt, leftovers.set_cookies.clone()).await
    }

    /// Takes the attempt of `state`: nobody gets it a second time.
    async fn take(&self, state: &OpaqueId) -> Result<Option<LoginAttempt>, CallbackError> {
        let now = self.ports.clock.now();
        let taken = self.sessions.store().take(LoginAttempt::key(state), now).await;
        let sealed = taken.map_err(|_| CallbackError::Store)?;
        Ok(sealed.and_then(|sealed| LoginAttempt::open(&sealed, state, self.sessions.seals()).ok()))
    }

    /// An attempt that this browser cannot prove to be its own signs nobody in.
    /// Who is signed in already may go where it leads, which is on our own
    /// origin and was validated when it began.
    async fn go_on(&self, attempt: &LoginAttempt, cookies: &BrowserCookies) -> Result<Redirect, CallbackError> {
        let SessionCookie::One(id) = &cookies.session else { return Err(CallbackError::OtherBrowser) };
        match self.sessions.open(id).await {
            Ok(_) => Ok(Redirect { location: self.own_url(&attempt.return_to), set_cookies: Vec::new() }),
            Err(SessionError::Unknown | SessionError::Broken) => Err(CallbackError::OtherBrowser),
            Err(SessionError::Store(_)) => Err(CallbackError::Store),
        }
    }

    /// The session that the tokens make.
    async fn session_of(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        tokens: Tokens,
        attempt: &LoginAttempt,
        user_agent: &str,
    ) -> Result<Session, CallbackError> {
        let now = self.ports.clock.now();
        let raw = tokens.id_token.as_ref().ok_or(CallbackError::IdTokenMissing)?;
        let vouched = self.within(KEY_PATIENCE, async {
            let nonce = Some(&attempt.nonce);
            let id_token = self.vouched_id_token(provider, raw, &tokens.access_token, nonce).await?;
            let authority = self.vouched_access_token(provider, &tokens, id_token.subject()).await?;
            Ok::<_, CallbackError>((id_token, authority))
        });
        let (id_token, authority) = vouched.await.ok_or(CallbackError::KeysUnavailable)??;
        let subject = id_token.subject();
        let authority = authority.unwrap_or_else(|| Self::authority_of(&id_token, &tokens, now));
        let known = [id_token.claims(), &authority.claims];
        let endpoint = metadata.userinfo_endpoint.as_ref();
        let userinfo = self.userinfo(provider, endpoint, &tokens.access_token, subject, known).await?;
        let profile = join_profiles(userinfo, id_token.claims().clone(), &provider.tokens.claims);
        principal_of(authority.claims.clone(), &provider.tokens).map_err(CallbackError::Claims)?;
        Ok(Session {
            provider: provider.client.provider.clone(),
            issuer: id_token.issuer().to_owned(),
            subject: subject.to_owned(),
            sid: id_token.sid().map(str::to_owned),
            authority,
            profile,
            refresh_token: tokens.refresh_token,
            id_token: tokens.id_token,
            signed_in_at: now,
            user_agent: user_agent.to_owned(),
        })
    }

    /// The new session in the place of the browser's old one, which ends first:
    /// at no time do both count. A session of the same person that began in
    /// another tab since the attempt did is as good, and other tabs use it.
    async fn keep(
        &self,
        session: &Session,
        cookies: &BrowserCookies,
        attempt: &LoginAttempt,
        mut set_cookies: Vec<SetCookie>,
    ) -> Result<Redirect, CallbackError> {
        let location = self.own_url(&attempt.return_to);
        let mut replaced = None;
        if let SessionCookie::One(old_id) = &cookies.session {
            replaced = match self.sessions.open(old_id).await {
                Ok(opened) => Some(opened.session),
                Err(SessionError::Unknown | SessionError::Broken) => None,
                Err(SessionError::Store(_)) => return Err(CallbackError::Store),
            };
            if let Some(old) = &replaced
                && is_as_good(old, session, attempt)
            {
                if !may_share_grant(old, session) {
                    self.revoke(session);
                }
                return Ok(Redirect { location, set_cookies });
            }
            self.sessions.end_of(old_id).await.map_err(|_| CallbackError::Store)?;
        }
        let id = self.sessions.begin(session).await.map_err(|_| CallbackError::Store)?;
        if let Some(old) = replaced.filter(|old| !may_share_grant(old, session)) {
            self.revoke(&old);
        }
        set_cookies.push(SetCookie::session(&id, self.sessions.lifetimes().absolute));
        Ok(Redirect { location, set_cookies })
    }
}

/// Whether `old` is the session that the attempt would lead to anyway.
fn is_as_good(old: &Session, new: &Session, attempt: &LoginAttempt) -> bool {
    let same_person = old.provider == new.provider && old.issuer == new.issuer && old.subject == new.subject;
    let vouched = old.refresh_token.is_some() || old.authority.expires_at > new.signed_in_at;
    same_person && vouched && old.signed_in_at >= attempt.started_at
}

/// Whether the provider may hold the tokens of both for one grant, so that to
/// revoke those of one ends the other as well (RFC 7009 section 2.1): it may as
/// long as one person has them, unless it told of two sessions of its own.
fn may_share_grant(one: &Session, other: &Session) -> bool {
    let two_sessions = one.sid.is_some() && other.sid.is_some() && one.sid != other.sid;
    one.issuer == other.issuer && one.subject == other.subject && !two_sessions
}

/// The code, when the answer is this provider's and is no refusal.
fn judge<'a>(answer: &'a ProviderAnswer, issuer: &str, metadata: &Metadata) -> Result<&'a Secret, CallbackError> {
    match &answer.issuer {
        None if metadata.names_itself => return Err(CallbackError::IssuerMissing),
        // RFC 9207 section 2.4: simple string comparison.
        Some(named) if named != issuer => return Err(CallbackError::IssuerMismatch),
        None | Some(_) => {}
    }
    if let Some(refusal) = answer.refusal {
        return Err(CallbackError::Refused(refusal));
    }
    answer.code.as_ref().ok_or(CallbackError::CodeMissing)
}

impl From<MetadataError> for CallbackError {
    fn from(error: MetadataError) -> Self {
        if error.is_outage() { Self::ProviderUnavailable } else { Self::ProviderMetadata }
    }
}

impl From<ExchangeError> for CallbackError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable => Self::ProviderUnavailable,
            ExchangeError::Grant => Self::CodeRefused,
            ExchangeError::Client => Self::ClientRefused,
            ExchangeError::Malformed => Self::TokenResponse,
        }
    }
}

impl From<NotVouched> for CallbackError {
    fn from(error: NotVouched) -> Self {
        if error.is_outage() {
            return Self::KeysUnavailable;
        }
        match error {
            NotVouched::IdToken(rejection) => Self::IdToken(rejection),
            NotVouched::AccessToken(rejection) => Self::AccessToken(rejection),
            NotVouched::OtherSubject => Self::OtherSubject,
        }
    }
}

#[cfg(test)]
#[path = "callback_tests.rs"]
mod tests;
