//! What the tokens of one answer say, once each of them passed the gate.

use std::time::Duration;

use super::authorize::MAX_ATTEMPT_AGE;
use super::exchange::Tokens;
use super::provider::Provider;
use super::relying_party::RelyingParty;
use crate::session::Authority;
use crate::token::{
    ExpectedIdToken, IdTokenRejection, Rejection, VerifiedIdToken, claims_audience, verify, verify_id_token,
};
use crate::types::{ProviderId, Secret, UnixTime};

/// Why the tokens of an answer are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotVouched {
    /// The ID token is not accepted.
    IdToken(IdTokenRejection),
    /// The access token is for us and is not accepted.
    AccessToken(Rejection),
    /// They speak of two people.
    OtherSubject,
}

impl NotVouched {
    /// Whether the keys to judge by are not there at all.
    pub(super) const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::IdToken(IdTokenRejection::Token(Rejection::KeysUnavailable { .. }))
                | Self::AccessToken(Rejection::KeysUnavailable { .. })
        )
    }

    /// Whether only the key to judge by is missing, which may be there at the
    /// next look: a new one of the provider's, or all of them.
    pub(super) const fn lacks_key(&self) -> bool {
        self.is_outage()
            || matches!(
                self,
                Self::IdToken(IdTokenRejection::Token(Rejection::KidUnknown { .. }))
                    | Self::AccessToken(Rejection::KidUnknown { .. })
            )
    }
}

impl RelyingParty {
    /// Verifies the ID token of an answer. `nonce` is the one of the sign-in;
    /// a refresh has none.
    pub(super) async fn vouched_id_token(
        &self,
        provider: &Provider,
        id_token: &Secret,
        access_token: &Secret,
        nonce: Option<&Secret>,
    ) -> Result<VerifiedIdToken, NotVouched> {
        let expected = ExpectedIdToken {
            client_id: &provider.client.client_id,
            nonce,
            access_token: Some(access_token.expose()),
            max_age: nonce.and_then(|_| max_age(provider)),
        };
        let keys = self.ports.keys.as_ref();
        let check = |now| {
            verify_id_token(id_token.expose(), &provider.tokens, keys, &expected, now).map_err(NotVouched::IdToken)
        };
        self.with_fresh_keys(check).await
    }

    /// The authority that the access token carries: `None` when it is opaque,
    /// or for somebody else than us. One that says it is for us and does not
    /// verify is refused; it is never passed over for a weaker one.
    pub(super) async fn vouched_access_token(
        &self,
        provider: &Provider,
        tokens: &Tokens,
        subject: &str,
    ) -> Result<Option<Authority>, NotVouched> {
        let token = tokens.access_token.expose();
        if !claims_audience(token, &provider.tokens).map_err(NotVouched::AccessToken)? {
            return Ok(None);
        }
        let keys = self.ports.keys.as_ref();
        let check = |now| verify(token, &self.issuers, keys, now).map_err(NotVouched::AccessToken);
        let verified = self.with_fresh_keys(check).await?;
        if verified.provider() != &provider.client.provider {
            return Err(NotVouched::AccessToken(Rejection::Iss));
        }
        if verified.principal().subject.as_ref() != subject {
            return Err(NotVouched::OtherSubject);
        }
        Ok(Some(Authority {
            from_access_token: true,
            claims: verified.principal().claims.as_ref().clone(),
            expires_at: verified.expires_at(),
        }))
    }

    /// The authority of an ID token, where the access token says nothing to us.
    pub(super) fn authority_of(id_token: &VerifiedIdToken, tokens: &Tokens, now: UnixTime) -> Authority {
        let expires_at = tokens.expires_in.map_or(id_token.expires_at(), |time| now.plus(time));
        Authority { from_access_token: false, claims: id_token.claims().clone(), expires_at }
    }

    /// Judges once, and once more with new keys when one was not known.
    async fn with_fresh_keys<T>(&self, check: impl Fn(UnixTime) -> Result<T, NotVouched>) -> Result<T, NotVouched> {
        let now = || self.ports.clock.now();
        let rejected = match check(now()) {
            Ok(verified) => return Ok(verified),
            Err(rejected) => rejected,
        };
        let Some(provider) = needs_keys(&rejected) else { return Err(rejected) };
        self.ports.key_refresh.refresh_for_answer(provider).await;
        check(now())
    }
}

fn needs_keys(rejected: &NotVouched) -> Option<&ProviderId> {
    match rejected {
        NotVouched::IdToken(IdTokenRejection::Token(rejection)) | NotVouched::AccessToken(rejection) => {
            rejection.provider_needing_keys()
        }
        NotVouched::IdToken(_) | NotVouched::OtherSubject => None,
    }
}

/// The `max_age` of the request. The person may have spent the whole time of an
/// attempt at the provider after proving who they are.
fn max_age(provider: &Provider) -> Option<Duration> {
    let (_, value) = provider.client.extra_params.iter().find(|(name, _)| name == "max_age")?;
    value.parse().ok().map(|seconds| Duration::from_secs(seconds).saturating_add(MAX_ATTEMPT_AGE))
}
