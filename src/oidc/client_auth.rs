//! How the service shows a provider which client it is (OIDC Core section 9).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::types::{Random, Secret, UnixTime};

/// How long a statement of the client counts, in seconds.
const LIFETIME: i64 = 60;

/// The private key of a client: RSA (RS256) or P-256 (ES256).
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// A text that holds no private key that can sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no private key for RS256 or ES256 in it")]
pub struct NoSigningKey;

/// The statement could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement of the client could not be signed")]
pub(super) struct NotSigned;

impl SigningKey {
    /// Reads a key from PEM: PKCS #8, or PKCS #1 for RSA.
    ///
    /// # Errors
    /// When there is none that can sign with RS256 or ES256.
    pub fn from_pem(pem: &Secret) -> Result<Self, NoSigningKey> {
        let pem = pem.expose().as_bytes();
        let candidates = [
            EncodingKey::from_ec_pem(pem).ok().map(|key| Self { algorithm: Algorithm::ES256, key }),
            EncodingKey::from_rsa_pem(pem).ok().map(|key| Self { algorithm: Algorithm::RS256, key }),
        ];
        // A key on another curve is read like one on P-256; only signing tells.
        candidates.into_iter().flatten().find(|key| key.sign(b"").is_ok()).ok_or(NoSigningKey)
    }

    /// A statement that this is the client, for `audience` (RFC 7523 section 3).
    pub(super) fn assertion(
        &self,
        client_id: &str,
        key_id: Option<&str>,
        audience: &str,
        random: &dyn Random,
        now: UnixTime,
    ) -> Result<Secret, NotSigned> {
        let mut jti = [0u8; 16];
        random.fill(&mut jti);
        let alg = if self.algorithm == Algorithm::ES256 { "ES256" } else { "RS256" };
        let mut header = json!({ "alg": alg, "typ": "JWT" });
        if let Some((members, kid)) = header.as_object_mut().zip(key_id) {
            members.insert("kid".to_owned(), json!(kid));
        }
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(jti),
            "iat": now.as_secs(),
            "exp": now.as_secs().saturating_add(LIFETIME),
        });
        let encode = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(input.as_bytes())?;
        Ok(Secret::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NotSigned> {
        // The provider is named and not taken from the process, as where tokens are verified.
        let signer = (aws_lc::DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key).map_err(|_| NotSigned)?;
        signer.try_sign(message).map_err(|_| NotSigned)
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        let same: bool = self.key.as_bytes().ct_eq(other.key.as_bytes()).into();
        same && self.algorithm == other.algorithm
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.algorithm)
    }
}

#[cfg(test)]
#[path = "client_auth_tests.rs"]
mod tests;
