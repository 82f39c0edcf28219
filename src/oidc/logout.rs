//! The ways out: begun here (OIDC RP-Initiated Logout 1.0), told by the
//! provider (Back-Channel and Front-Channel Logout 1.0), and the end of the
//! refresh token (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::client::ClientAuth;
use super::error::{LogoutTokenError, SignInError};
use super::exchange::client_proofs;
use super::provider::{Metadata, Provider};
use super::relying_party::{RelyingParty, RelyingPartyPorts};
use crate::session::{OnceKey, OpaqueId, Session, SessionError, SessionId, StoreError};
use crate::token::{
    KeySet, LogoutTarget, LogoutTokenRejection, Rejection, VerifiedLogoutToken, unverified_issuer, verify_logout_token,
};
use crate::types::{ProviderId, Secret, UnixTime};

/// How long a sign-out waits for what the provider says of itself; the session
/// has ended before.
const PATIENCE: Duration = Duration::from_secs(3);
/// When something is over that was never to be kept.
const LONG_AGO: UnixTime = UnixTime::from_secs(0);
/// The hosts whose way out is no `end_session_endpoint` unless their tenant
/// says so.
const AUTH0: &str = ".auth0.com";
/// The hosts that call the way back by a name of their own.
const COGNITO: &str = ".amazoncognito.com";

impl RelyingParty {
    /// Ends the session of a browser, or every session of its person: here, and
    /// at the provider (refresh token revoked). Gives the provider's own
    /// sign-out URL when it has one, else `None`.
    ///
    /// Of the other sessions of a person only the service's part ends: nobody
    /// opens their refresh tokens without their cookies.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sign_out(&self, id: &SessionId, everywhere: bool) -> Result<Option<String>, SignInError> {
        let opened = match self.sessions.open(id).await {
            Ok(opened) => opened,
            Err(SessionError::Unknown | SessionError::Broken) => return Ok(None),
            Err(SessionError::Store(_)) => return Err(SignInError::Store),
        };
        let ended = async {
            if everywhere {
                // The others first: as long as its own session is there, the
                // browser can try again.
                let Session { issuer, subject, .. } = &opened.session;
                self.sessions.end_of_subject(issuer, subject, Some(opened.key)).await?;
            }
            self.sessions.end_of(id).await
        };
        ended.await.map_err(|_| SignInError::Store)?;
        let session = opened.session;
        self.revoke(&session);
        let Some(provider) = self.provider(&session.provider) else { return Ok(None) };
        let metadata = self.within(PATIENCE, self.metadata(provider)).await.and_then(Result::ok);
        let Some(metadata) = metadata else { return Ok(None) };
        Ok(self.sign_out_url(provider, &metadata, &session))
    }

    /// Ends what a logout token names; how many sessions (OIDC Back-Channel
    /// Logout 1.0 section 2.6).
    ///
    /// The token is marked as used when all of it is done: one that met a
    /// failure, or a process that died, counts when it comes again. One that
    /// comes twice at once may be acted on twice, which ends nothing more.
    ///
    /// # Errors
    /// When it is not valid, or cannot be judged or acted on now.
    pub async fn end_by_logout_token(&self, token: &str) -> Result<u64, LogoutTokenError> {
        let verified = self.verified_logout_token(token).await?;
        let now = self.ports.clock.now();
        let mark = mark_of(&verified);
        let marked = |until| async move {
            let marked = self.sessions.store().put_once(mark, Vec::new(), until, now).await;
            marked.map_err(|_| LogoutTokenError::Store)
        };
        // What is over from the start is not kept: this only looks.
        if !marked(LONG_AGO).await? {
            return Err(LogoutTokenError::Invalid("replayed"));
        }
        let ended = self.end_target(verified.issuer(), verified.target()).await;
        let ended = ended.map_err(|_| LogoutTokenError::Store)?;
        // Whoever acted on the same token beside us may have been quicker.
        marked(verified.forget_at()).await?;
        Ok(ended)
    }

    /// Ends the browser's session if it came from this session of the provider
    /// (OIDC Front-Channel Logout 1.0 section 3); whether it did.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_by_front_channel(&self, issuer: &str, sid: &str, id: &SessionId) -> Result<bool, SignInError> {
        let opened = match self.sessions.open(id).await {
            Ok(opened) => opened,
            Err(SessionError::Unknown | SessionError::Broken) => return Ok(false),
            Err(SessionError::Store(_)) => return Err(SignInError::Store),
        };
        if opened.session.issuer != issuer || opened.session.sid.as_deref() != Some(sid) {
            return Ok(false);
        }
        self.sessions.end_of(id).await.map_err(|_| SignInError::Store)
    }

    /// The origins that signing out at `provider` leads to, for the policy of the
    /// page with the form: that of the issuer, and that of its way out.
    pub async fn sign_out_origins(&self, provider: &ProviderId) -> Vec<String> {
        let Some(provider) = self.provider(provider) else { return Vec::new() };
        let mut origins: Vec<String> = issuer_origin(provider).into_iter().collect();
        let metadata = self.within(PATIENCE, self.metadata(provider)).await.and_then(Result::ok);
        if let Some(endpoint) = metadata.as_ref().and_then(|metadata| metadata.end_session_endpoint.as_ref()) {
            origins.push(endpoint.as_url().origin().ascii_serialization());
        }
        origins.dedup();
        origins
    }

    /// The origins of the issuers, whose pages may frame the front-channel logout.
    #[must_use]
    pub fn issuer_origins(&self) -> Vec<String> {
        let mut origins: Vec<String> = self.providers.iter().filter_map(|provider| issuer_origin(provider)).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    async fn verified_logout_token(&self, token: &str) -> Result<VerifiedLogoutToken, LogoutTokenError> {
        let issuer = unverified_issuer(token).map_err(|rejection| LogoutTokenError::Invalid(rejection.as_str()))?;
        let provider = self.providers.iter().find(|provider| provider.tokens.issuer.as_ref() == issuer);
        let provider = provider.ok_or(LogoutTokenError::Invalid("iss"))?;
        let check = || {
            let (keys, now) = (self.ports.keys.as_ref(), self.ports.clock.now());
            verify_logout_token(token, &provider.tokens, keys, &provider.client.client_id, now)
        };
        let keys = || self.ports.keys.key_set(&provider.client.provider);
        let before = keys();
        let mut verified = check();
        if let Err(LogoutTokenRejection::Token(rejection)) = &verified
            && let Some(id) = rejection.provider_needing_keys()
        {
            // Anybody can send a token with a `kid` that is not there.
            self.ports.key_refresh.refresh(id).await;
            verified = check();
        }
        verified.map_err(|rejection| {
            let may_come = match &rejection {
                LogoutTokenRejection::Token(Rejection::KeysUnavailable { .. }) => true,
                // The set of a fetch is a new one, whatever it holds.
                LogoutTokenRejection::Token(Rejection::KidUnknown { .. }) => is_same(before.as_ref(), keys().as_ref()),
                LogoutTokenRejection::Token(_)
                | LogoutTokenRejection::WrongKind
                | LogoutTokenRejection::Events
                | LogoutTokenRejection::Nonce
                | LogoutTokenRejection::Target
                | LogoutTokenRejection::Stale
                | LogoutTokenRejection::Jti => false,
            };
            if may_come { LogoutTokenError::Keys } else { LogoutTokenError::Invalid(rejection.as_str()) }
        })
    }

    async fn end_target(&self, issuer: &str, target: &LogoutTarget) -> Result<u64, StoreError> {
        let sessions = &self.sessions;
        match target {
            LogoutTarget::Subject(subject) => sessions.end_of_subject(issuer, subject, None).await,
            LogoutTarget::Session(sid) => sessions.end_of_sid(issuer, sid, None).await,
            LogoutTarget::Both { subject, sid } => sessions.end_of_sid(issuer, sid, Some(subject)).await,
        }
    }

    /// Tells the provider that the refresh token is not needed any more. Nobody
    /// waits for it.
    pub(super) fn revoke(&self, session: &Session) {
        let Some(token) = session.refresh_token.clone() else { return };
        let Some(provider) = self.provider(&session.provider).map(Arc::clone) else { return };
        let ports = self.ports.clone();
        self.ports.tasks.spawn(Box::pin(async move {
            let metadata = provider.metadata(&ports.http, &ports.clock, ports.tasks.as_ref()).await;
            let Ok(metadata) = metadata else { return };
            if let Some(request) = revocation(&ports, &provider, &metadata, &token) {
                let _ = ports.http.send(request).await;
            }
        }));
    }

    /// Where the browser signs out at the provider. It comes back to a page that
    /// is fixed, whatever anybody asks for.
    fn sign_out_url(&self, provider: &Provider, metadata: &Metadata, session: &Session) -> Option<String> {
        let client_id = &provider.client.client_id;
        let Some(endpoint) = &metadata.end_session_endpoint else {
            let issuer = Url::parse(&provider.tokens.issuer).ok()?;
            let is_auth0 = issuer.host_str().is_some_and(|host| host.ends_with(AUTH0));
            let mut url = issuer.join("/v2/logout").ok().filter(|_| is_auth0)?;
            url.query_pairs_mut().append_pair("client_id", client_id).append_pair("returnTo", &self.portal_url());
            return Some(url.into());
        };
        let mut url = endpoint.as_url().clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(id_token) = &session.id_token {
                query.append_pair("id_token_hint", id_token.expose());
            }
            let state = OpaqueId::draw(self.ports.random.as_ref()).written();
            query
                .append_pair("client_id", client_id)
                .append_pair("post_logout_redirect_uri", &self.portal_url())
                .append_pair("state", state.expose());
            if endpoint.as_url().host_str().is_some_and(|host| host.ends_with(COGNITO)) {
                query.append_pair("logout_uri", &self.portal_url());
            }
        }
        Some(url.into())
    }
}

fn issuer_origin(provider: &Provider) -> Option<String> {
    let issuer = Url::parse(&provider.tokens.issuer).ok()?;
    Some(issuer.origin().ascii_serialization())
}

/// The library asks revocation endpoints on https only, also on this
/// machine, so the request is made here (RFC 7009 section 2.1).
fn revocation(
    ports: &RelyingPartyPorts,
    provider: &Provider,
    metadata: &Metadata,
    token: &Secret,
) -> Option<Request<Bytes>> {
    let endpoint = metadata.revocation_endpoint.as_ref()?;
    let client = &provider.client;
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token.expose()).append_pair("token_type_hint", "refresh_token");
    let mut request = Request::post(endpoint.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    match &client.auth {
        ClientAuth::SecretBasic(secret) => {
            // RFC 6749 section 2.3.1: both are form-encoded first.
            let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Secret::new(format!("{}:{}", part(&client.client_id), part(secret.expose())));
            let encoded = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
            let mut value = HeaderValue::from_str(encoded.expose()).ok()?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        ClientAuth::SecretPost(secret) => {
            form.append_pair("client_id", &client.client_id).append_pair("client_secret", secret.expose());
        }
        ClientAuth::None | ClientAuth::PrivateKeyJwt { .. } => {
            form.append_pair("client_id", &client.client_id);
        }
    }
    for (name, value) in client_proofs(ports, provider, metadata)? {
        form.append_pair(name, value.expose());
    }
    request.body(Bytes::from(form.finish())).ok()
}

/// Whether nobody has put another key set in the place of the first.
fn is_same(before: Option<&Arc<KeySet>>, after: Option<&Arc<KeySet>>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// What a logout token is known by: its issuer and its id.
fn mark_of(token: &VerifiedLogoutToken) -> OnceKey {
    let issuer = token.issuer();
    let named = format!("logout token\0{}\0{issuer}\0{}", issuer.len(), token.jti());
    let mut key = [0u8; 32];
    key.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
    OnceKey(key)
}

#[cfg(test)]
#[path = "logout_tests.rs"]
mod tests;
