//! `X-Auth-Assertion`: a short-lived ES256 JWT by which an upstream knows that
//! a request came through the check, without trusting the network.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::record::DecisionId;
use crate::types::{Monotonic, Principal, UnixTime};

/// How long one key signs before the next one takes over.
const ROTATION: Duration = Duration::from_secs(24 * 60 * 60);

/// What an assertion says besides the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertionSettings {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
}

/// The signing keys: the live one, the one before it, and the next one, which
/// is published a whole rotation before it signs, so that no upstream meets a
/// signature whose key it cannot have seen.
///
/// Security contract: the private keys are made in this process and never
/// leave it.
pub struct AssertionKeys {
    keys: Mutex<Option<Rotation>>,
}

#[derive(Clone)]
struct Rotation {
    live: Arc<SigningKey>,
    since: Monotonic,
    next: Arc<SigningKey>,
    retired: Option<Arc<SigningKey>>,
}

struct SigningKey {
    pair: EcdsaKeyPair,
    kid: String,
}

/// The key could not be made or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the assertion could not be signed")]
pub struct AssertionError;

impl AssertionKeys {
    /// Without a key yet; the first use makes one.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: Mutex::new(None) }
    }

    /// Signs who calls, for `lifetime` from `now`.
    pub(crate) fn sign(
        &self,
        settings: &AssertionSettings,
        caller: Option<&Principal>,
        tiers: &[&str],
        decision_id: DecisionId,
        now: UnixTime,
        monotonic: Monotonic,
    ) -> Result<String, AssertionError> {
        let key = self.rotation(monotonic)?.live;
        let lifetime = i64::try_from(settings.lifetime.as_secs()).unwrap_or(60);
        let mut claims = json!({
            "iss": settings.issuer,
            "aud": settings.audience,
            "iat": now.as_secs(),
            "exp": now.as_secs().saturating_add(lifetime),
            "jti": decision_id.digits().as_str(),
            "tiers": tiers,
        });
        if let (Some(caller), Some(members)) = (caller, claims.as_object_mut()) {
            members.insert("sub".to_owned(), json!(caller.subject));
            members.insert("idp".to_owned(), json!(caller.issuer));
            members.insert("scope".to_owned(), json!(caller.scopes.iter().collect::<Vec<_>>().join(" ")));
            members.insert("groups".to_owned(), json!(caller.groups.iter().collect::<Vec<_>>()));
            if let Some(email) = &caller.email {
                members.insert("email".to_owned(), json!(email.address()));
            }
            if let Some(name) = &caller.name {
                members.insert("name".to_owned(), json!(name));
            }
        }
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.kid });
        let mut token = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = key.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| AssertionError)?;
        token.push('.');
        token.push_str(&encode(signature));
        Ok(token)
    }

    /// The public keys as a JWK set (RFC 7517).
    ///
    /// # Errors
    /// When the first key cannot be made.
    pub fn jwks(&self, monotonic: Monotonic) -> Result<String, AssertionError> {
        let Rotation { live, since: _, next, retired } = self.rotation(monotonic)?;
        let keys: Vec<_> =
            [Some(live), Some(next), retired].into_iter().flatten().filter_map(|key| key.public_jwk()).collect();
        Ok(json!({ "keys": keys }).to_string())
    }

    /// The keys as they are `now`, rotated when it is time.
    fn rotation(&self, now: Monotonic) -> Result<Rotation, AssertionError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let rotation = match keys.take() {
            Some(rotation) if now.since(rotation.since) < ROTATION => rotation,
            Some(Rotation { live, since: _, next, retired: _ }) => {
                Rotation { live: next, since: now, next: SigningKey::generate()?, retired: Some(live) }
            }
            None => {
                Rotation { live: SigningKey::generate()?, since: now, next: SigningKey::generate()?, retired: None }
            }
        };
        *keys = Some(rotation.clone());
        Ok(rotation)
    }
}

impl Default for AssertionKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl SigningKey {
    fn generate() -> Result<Arc<Self>, AssertionError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| AssertionError)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_key().as_ref());
        let kid = encode(digest.as_ref().get(..16).unwrap_or_default());
        Ok(Arc::new(Self { pair, kid }))
    }

    fn public_jwk(&self) -> Option<serde_json::Value> {
        // An uncompressed point: 0x04, then x and y of 32 bytes (SEC 1 section 2.3.3).
        let point = self.pair.public_key().as_ref().strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(32)?;
        Some(json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": encode(x), "y": encode(y),
        }))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kids(keys: &AssertionKeys, now: Monotonic) -> Vec<String> {
        let set: serde_json::Value = serde_json::from_str(&keys.jwks(now).expect("keys")).expect("json");
        set["keys"].as_array().expect("list").iter().map(|key| key["kid"].as_str().expect("kid").to_owned()).collect()
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_last_one_after() {
        let settings = AssertionSettings {
            issuer: "https://gate.example.com".to_owned(),
            audience: "apps".to_owned(),
            lifetime: Duration::from_secs(60),
        };
        let keys = AssertionKeys::new();
        let signed_by = |now| {
            let token = keys
                .sign(&settings, None, &[], DecisionId::from_bytes([7; 16]), UnixTime::from_secs(0), now)
                .expect("signed");
            let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("header")).expect("base64url");
            let header: serde_json::Value = serde_json::from_slice(&header).expect("json");
            header["kid"].as_str().expect("kid").to_owned()
        };
        let start = Monotonic::default();
        let (first, before) = (signed_by(start), kids(&keys, start));
        let later = start.plus(ROTATION);
        let (second, after) = (signed_by(later), kids(&keys, later));
        assert_ne!(first, second);
        assert!(before.contains(&first) && before.contains(&second), "the next key is there in advance");
        assert!(after.contains(&first) && after.contains(&second) && after.len() == 3);
    }
}
