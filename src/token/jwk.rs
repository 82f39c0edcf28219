//! Key sets (RFC 7517, RFC 7518 section 6, RFC 8037 section 2): which published
//! keys may verify tokens.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Curve, PublicKey};
use super::json::{self, JsonFault};
use super::jws::MAX_KID_BYTES;

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// The keys of one provider at one moment. It holds at least one usable key.
#[derive(Debug)]
pub struct KeySet {
    keys: Box<[Key]>,
    skipped: Box<[SkippedKey]>,
    ignored: usize,
}

#[derive(Debug)]
pub(super) struct Key {
    kid: Option<Box<str>>,
    /// The one algorithm the key is for, when its JWK says so.
    algorithm: Option<Algorithm>,
    public: PublicKey,
    fingerprint: KeyRef,
}

/// Names one key with its parameters: two keys have the same reference only
/// when `kid`, `alg` and the key itself are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRef([u8; 32]);

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRef({self})")
    }
}

/// Why a document is not a key set. Such a document never replaces a good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`KeySet::MAX_BYTES`].
    #[error("the key set is too large")]
    TooLarge,
    /// Not a JSON object.
    #[error("the key set is not a json object")]
    Malformed,
    /// A member named twice.
    #[error("the key set names a member twice")]
    DuplicateMember,
    /// No `keys`, or not an array.
    #[error("the key set has no array `keys`")]
    NoKeys,
    /// `keys` is empty.
    #[error("the key set is empty")]
    Empty,
    /// No key is usable.
    #[error("the key set holds no usable key")]
    NoUsableKey(Box<[SkippedKey]>),
}

/// A key of the document that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its position in `keys`.
    pub position: usize,
    /// Why it is not used.
    pub reason: SkipReason,
}

/// Why a key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// Not an object, or a member is missing or of the wrong type.
    Malformed,
    /// `use` is not `sig` (RFC 7517 section 4.2).
    Use,
    /// `key_ops` does not hold `verify` (RFC 7517 section 4.3).
    KeyOps,
    /// A symmetric key.
    Symmetric,
    /// A private key that somebody published.
    Private,
    /// A `kty` or curve without a use here.
    KeyType,
    /// An `alg` that is unknown or not for this kind of key.
    Algorithm,
    /// An RSA modulus of fewer than 2048 or more than 8192 bits.
    RsaSize,
    /// An RSA exponent that is even, below 3 or not below 2^32.
    RsaExponent,
    /// Numbers that are no key: a point off its curve, an even modulus.
    NotAKey,
    /// Another key has the same `kid`: neither is used.
    DuplicateKid,
}

impl SkipReason {
    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Use => "use",
            Self::KeyOps => "key_ops",
            Self::Symmetric => "symmetric",
            Self::Private => "private",
            Self::KeyType => "key_type",
            Self::Algorithm => "algorithm",
            Self::RsaSize => "rsa_size",
            Self::RsaExponent => "rsa_exponent",
            Self::NotAKey => "not_a_key",
            Self::DuplicateKid => "duplicate_kid",
        }
    }
}

/// Why a key set names no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    KidMissing,
    KidUnknown,
    AlgorithmMismatch,
}

impl KeySet {
    /// The longest document, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// The most keys that are considered; those behind them are ignored.
    pub const MAX_KEYS: usize = 64;

    /// Reads a JWK set.
    ///
    /// # Errors
    ///
    /// When the document is too large or no JWK set, and when it holds no
    /// usable key.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > Self::MAX_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let document = json::parse_object(document).map_err(|fault| match fault {
            JsonFault::Duplicate => KeySetError::DuplicateMember,
            JsonFault::Malformed => KeySetError::Malformed,
        })?;
        let published = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        if published.is_empty() {
            return Err(KeySetError::Empty);
        }

        let mut keys = Vec::new();
        let mut skipped = Vec::new();
        for (position, jwk) in published.iter().take(Self::MAX_KEYS).enumerate() {
            match Key::parse(jwk) {
                Ok(key) => keys.push((position, key)),
                Err(reason) => skipped.push(SkippedKey { position, reason }),
            }
        }
        let ambiguous: Vec<usize> = keys
            .iter()
            .filter(|(at, key)| {
                key.kid.is_some() && keys.iter().any(|(other, held)| at != other && held.kid == key.kid)
            })
            .map(|(position, _)| *position)
            .collect();
        keys.retain(|(position, _)| !ambiguous.contains(position));
        skipped.extend(ambiguous.into_iter().map(|position| SkippedKey { position, reason: SkipReason::DuplicateKid }));
        skipped.sort_by_key(|key| key.position);

        let skipped = skipped.into_boxed_slice();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(skipped));
        }
        let ignored = published.len().saturating_sub(Self::MAX_KEYS);
        Ok(Self { keys: keys.into_iter().map(|(_, key)| key).collect(), skipped, ignored })
    }

    /// How many keys are usable.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// The keys that are not used, in their order.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// How many keys stood behind the first [`Self::MAX_KEYS`].
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// Whether the key that `key` refers to is still here, unchanged.
    #[must_use]
    pub fn still_holds(&self, key: &KeyRef) -> bool {
        self.keys.iter().any(|held| held.fingerprint == *key)
    }

    /// The key for a token with this header. Without a `kid` there must be
    /// exactly one that fits.
    pub(super) fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let Some(kid) = kid else {
            let mut fitting = self.keys.iter().filter(|key| key.is_for(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(NoKey::KidMissing),
            };
        };
        let key = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid)).ok_or(NoKey::KidUnknown)?;
        if key.is_for(algorithm) { Ok(key) } else { Err(NoKey::AlgorithmMismatch) }
    }
}

impl Key {
    /// Whether the key may check signatures of `algorithm`: its JWK's `alg`
    /// decides, and where there is none the kind of key.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.public.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &[u8]) -> bool {
        self.is_for(algorithm) && self.public.verifies(algorithm, message, signature)
    }

    /// About what [`Self::verifies`] takes for a signature of this length.
    pub(super) fn cost(&self, signature_bytes: usize) -> Duration {
        if signature_bytes == self.public.signature_bytes() { self.public.cost() } else { Duration::ZERO }
    }

    pub(super) fn reference(&self) -> KeyRef {
        self.fingerprint
    }

    fn parse(jwk: &Value) -> Result<Self, SkipReason> {
        let jwk = jwk.as_object().ok_or(SkipReason::Malformed)?;
        let kty = text(jwk, "kty")?.ok_or(SkipReason::Malformed)?;
        if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(SkipReason::Use);
        }
        check_key_ops(jwk)?;
        if kty == "oct" {
            return Err(SkipReason::Symmetric);
        }
        if jwk.contains_key("d") {
            return Err(SkipReason::Private);
        }
        let kid = text(jwk, "kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(SkipReason::Malformed);
        }
        let alg = text(jwk, "alg")?;
        let algorithm = alg.map(|name| Algorithm::parse(name).ok_or(SkipReason::Algorithm)).transpose()?;
        let (public, parameters) = match kty {
            "RSA" => rsa(jwk, algorithm)?,
            "EC" => ec(jwk)?,
            "OKP" => okp(jwk)?,
            _ => return Err(SkipReason::KeyType),
        };
        if algorithm.is_some_and(|algorithm| !public.fits(algorithm)) {
            return Err(SkipReason::Algorithm);
        }
        let fingerprint = fingerprint(kid, alg, kty, &parameters);
        Ok(Self { kid: kid.map(Box::from), algorithm, public, fingerprint })
    }
}

fn check_key_ops(jwk: &Map<String, Value>) -> Result<(), SkipReason> {
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(_) => Err(SkipReason::KeyOps),
    }
}

/// RFC 7518 section 6.3.1.
fn rsa(jwk: &Map<String, Value>, only: Option<Algorithm>) -> Result<(PublicKey, [Vec<u8>; 2]), SkipReason> {
    let modulus = number(jwk, "n")?;
    let exponent = number(jwk, "e")?;
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(SkipReason::RsaSize);
    }
    let small = exponent.len() <= 4;
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !small || !odd || exponent == [1] {
        return Err(SkipReason::RsaExponent);
    }
    if modulus.last().is_some_and(|last| last % 2 == 0) {
        return Err(SkipReason::NotAKey);
    }
    let public = PublicKey::rsa(&modulus, &exponent, only).ok_or(SkipReason::NotAKey)?;
    Ok((public, [modulus, exponent]))
}

/// RFC 7518 section 6.2.1.
fn ec(jwk: &Map<String, Value>) -> Result<(PublicKey, [Vec<u8>; 2]), SkipReason> {
    let curve = match text(jwk, "crv")? {
        Some("P-256") => Curve::P256,
        Some("P-384") => Curve::P384,
        _ => return Err(SkipReason::KeyType),
    };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != curve.coordinate_len() || y.len() != curve.coordinate_len() {
        return Err(SkipReason::NotAKey);
    }
    let public = PublicKey::ec(curve, &x, &y).ok_or(SkipReason::NotAKey)?;
    Ok((public, [x, y]))
}

/// RFC 8037 section 2.
fn okp(jwk: &Map<String, Value>) -> Result<(PublicKey, [Vec<u8>; 2]), SkipReason> {
    if text(jwk, "crv")? != Some("Ed25519") {
        return Err(SkipReason::KeyType);
    }
    let x = octets(jwk, "x")?;
    let public = PublicKey::ed25519(&x).ok_or(SkipReason::NotAKey)?;
    Ok((public, [x, Vec::new()]))
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &str) -> Result<Option<&'j str>, SkipReason> {
    jwk.get(name).map(|value| value.as_str().ok_or(SkipReason::Malformed)).transpose()
}

fn octets(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkipReason> {
    let encoded = text(jwk, name)?.ok_or(SkipReason::Malformed)?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SkipReason::Malformed)
}

/// A Base64urlUInt (RFC 7518 section 2). Some publishers keep the zero byte
/// that marks a positive number in ASN.1; it has no meaning and is dropped.
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkipReason> {
    let octets = octets(jwk, name)?;
    Ok(octets.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// Each piece goes in with its length, so that no two lists of pieces give the
/// same bytes.
fn fingerprint(kid: Option<&str>, alg: Option<&str>, kty: &str, parameters: &[Vec<u8>; 2]) -> KeyRef {
    let [first, second] = parameters;
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in [
        [u8::from(kid.is_some())].as_slice(),
        kid.unwrap_or_default().as_bytes(),
        alg.unwrap_or_default().as_bytes(),
        kty.as_bytes(),
        first,
        second,
    ] {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece);
    }
    let mut bytes = [0; 32];
    for (byte, hashed) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *byte = *hashed;
    }
    KeyRef(bytes)
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
