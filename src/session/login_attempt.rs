//! One sign-in that is under way, kept by the service until the browser comes
//! back from the provider.

use prost::Message as _;
use zeroize::Zeroizing;

use super::id::OpaqueId;
use super::record::wire;
use super::sealing::{Seals, Unsealable};
use super::store::OnceKey;
use crate::types::{ProviderId, Random, Secret, UnixTime};

/// What one sign-in began with. Its key is the `state` that the provider hands
/// back; a browser may finish it only with the cookie it was begun with.
#[derive(Debug, Clone)]
pub struct LoginAttempt {
    /// Where the browser was sent.
    pub provider: ProviderId,
    /// What the ID token has to repeat (OIDC Core section 3.1.2.1).
    pub nonce: Secret,
    /// What the code has to be redeemed with (RFC 7636 section 4.1).
    pub pkce_verifier: Secret,
    /// Where the browser wanted to go: path and query on our own origin.
    pub return_to: String,
    /// The hash of the secret in the cookie.
    pub browser: [u8; 32],
    /// When it began.
    pub started_at: UnixTime,
}

const PURPOSE: &str = "login attempt";

impl LoginAttempt {
    /// The name it is kept under.
    #[must_use]
    pub fn key(state: &OpaqueId) -> OnceKey {
        OnceKey(state.hash(PURPOSE))
    }

    /// What a browser that holds `secret` is known by.
    #[must_use]
    pub fn browser_of(secret: &OpaqueId) -> [u8; 32] {
        secret.hash("login browser")
    }

    /// The sealed form; only who knows `state` can open it.
    #[must_use]
    pub fn seal(&self, state: &OpaqueId, seals: &Seals, random: &dyn Random) -> Vec<u8> {
        let message = wire::LoginAttempt {
            provider: self.provider.as_str().to_owned(),
            nonce: self.nonce.expose().to_owned(),
            pkce_verifier: self.pkce_verifier.expose().to_owned(),
            return_to: self.return_to.clone(),
            browser: self.browser.to_vec(),
            started_at_ms: self.started_at.as_millis(),
        };
        let plain = Zeroizing::new(message.encode_to_vec());
        seals.seal(&plain, state, PURPOSE, &Self::key(state).0, random)
    }

    /// Opens the sealed form.
    ///
    /// # Errors
    /// When it was not sealed with this `state` and one of the secrets.
    pub fn open(sealed: &[u8], state: &OpaqueId, seals: &Seals) -> Result<Self, Unsealable> {
        let plain = seals.open(sealed, state, PURPOSE, &Self::key(state).0)?;
        let wire::LoginAttempt { provider, nonce, pkce_verifier, return_to, browser, started_at_ms } =
            wire::LoginAttempt::decode(plain.as_slice()).map_err(|_| Unsealable::Unfit)?;
        Ok(Self {
            provider: ProviderId::new(&provider),
            nonce: Secret::new(nonce),
            pkce_verifier: Secret::new(pkce_verifier),
            return_to,
            browser: browser.try_into().map_err(|_| Unsealable::Unfit)?,
            started_at: UnixTime::from_millis(started_at_ms),
        })
    }
}
