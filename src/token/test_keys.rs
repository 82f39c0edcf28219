//! Keys and signed tokens for tests, named as in the attack corpus: `k1` is
//! RSA-2048 for RS256, `k2` P-256, `k3` Ed25519.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Algorithm, ClaimNames, ClaimPath, IssuerSettings, Issuers, KeySet, KeySource};
use crate::types::{ProviderId, UnixTime};

pub(crate) const ISSUER: &str = "https://idp.example.com/realms/main";
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(NOW)
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The private keys of the test provider, and of an attacker.
pub(crate) struct Keys {
    pub(crate) rsa: RsaKeyPair,
    pub(crate) p256: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) ed25519: Ed25519KeyPair,
    pub(crate) attacker: RsaKeyPair,
}

pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        ed25519: Ed25519KeyPair::generate().unwrap(),
        attacker: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    })
}

pub(crate) fn rsa_jwk(pair: &RsaKeyPair) -> Value {
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    json!({ "kty": "RSA", "n": b64(public.n), "e": b64(public.e) })
}

pub(crate) fn ec_jwk(pair: &EcdsaKeyPair, curve: &str) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) })
}

pub(crate) fn ed_jwk(pair: &Ed25519KeyPair) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key()) })
}

/// `base` with the members of `more` laid over it; a null takes a member away.
pub(crate) fn with(base: &Value, more: &Value) -> Value {
    let mut merged = base.clone();
    for (name, value) in more.as_object().unwrap() {
        merged[name] = value.clone();
    }
    merged
}

pub(crate) fn without(base: &Value, name: &str) -> Value {
    let mut rest = base.clone();
    rest.as_object_mut().unwrap().shift_remove(name);
    rest
}

/// The key set of the corpus.
pub(crate) fn jwks() -> Value {
    let keys = keys();
    let rsa = rsa_jwk(&keys.rsa);
    let p256 = ec_jwk(&keys.p256, "P-256");
    json!({ "keys": [
        with(&rsa, &json!({ "kid": "k1", "alg": "RS256", "use": "sig" })),
        with(&rsa, &json!({ "kid": "k1-noalg" })),
        with(&p256, &json!({ "kid": "k2", "alg": "ES256" })),
        with(&ed_jwk(&keys.ed25519), &json!({ "kid": "k3", "alg": "EdDSA" })),
        with(&ec_jwk(&keys.p384, "P-384"), &json!({ "kid": "k4" })),
        with(&rsa, &json!({ "kid": "enc1", "use": "enc" })),
        with(&rsa, &json!({ "kid": "ops1", "key_ops": ["encrypt"] })),
        with(&rsa, &json!({ "kid": "dup" })),
        with(&rsa_jwk(&keys.attacker), &json!({ "kid": "dup" })),
        { "kty": "RSA", "kid": "rsa1024", "n": b64([0xC1; 128]), "e": "AQAB" },
        with(&rsa, &json!({ "kid": "rsae1", "e": "AQ" })),
        { "kty": "EC", "kid": "badpoint", "crv": "P-256", "x": b64([7; 32]), "y": b64([7; 32]) },
        { "kty": "oct", "kid": "oct1", "k": "AAAA" },
    ]})
}

pub(crate) fn key_set(jwks: &Value) -> Arc<KeySet> {
    Arc::new(KeySet::parse(jwks.to_string().as_bytes()).unwrap())
}

/// Key sets in memory: one for every provider, or none.
pub(crate) struct Fixed(pub(crate) Option<Arc<KeySet>>);

impl KeySource for Fixed {
    fn key_set(&self, _: &ProviderId) -> Option<Arc<KeySet>> {
        self.0.clone()
    }
}

pub(crate) fn live_keys() -> Fixed {
    static SET: OnceLock<Arc<KeySet>> = OnceLock::new();
    Fixed(Some(Arc::clone(SET.get_or_init(|| key_set(&jwks())))))
}

pub(crate) fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).unwrap()
}

/// The settings of the corpus, but for `typ`: `JWT` is accepted too where a
/// test says so.
pub(crate) fn settings() -> IssuerSettings {
    IssuerSettings {
        provider: ProviderId::new("main"),
        issuer: Arc::from(ISSUER),
        audiences: vec!["portal".to_owned()],
        algorithms: Algorithm::DEFAULT.to_vec(),
        token_types: vec!["at+jwt".to_owned()],
        leeway: Duration::from_secs(60),
        max_lifetime: IssuerSettings::DEFAULT_MAX_LIFETIME,
        claims: ClaimNames {
            scopes: vec![path("scope")],
            permissions: vec![path("permissions")],
            groups: vec![path("groups"), path("/realm_access/roles")],
            email: Some(path("email")),
            name: Some(path("name")),
        },
    }
}

pub(crate) fn issuers() -> Issuers {
    Issuers::new([settings()]).unwrap()
}

pub(crate) fn header() -> Value {
    json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k1" })
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "portal", "sub": "u-123", "client_id": "portal-web",
        "scope": "stable devel", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300, "jti": "j1",
    })
}

/// How a test token is signed.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// `k1` with RS256.
    K1,
    /// `k1` with RS384.
    K1Rs384,
    /// `k1` with PS256.
    K1Ps256,
    /// `k2` with ES256.
    K2,
    /// `k3` with EdDSA.
    K3,
    /// `k4` with ES384.
    K4,
    /// The attacker's key with RS256.
    Attacker,
    /// With nothing.
    No,
}

fn rsa_sign(pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

pub(crate) fn sign(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>, how: Sign) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let message = input.as_bytes();
    let keys = keys();
    let ec = |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    let signature = match how {
        Sign::K1 => rsa_sign(&keys.rsa, &RSA_PKCS1_SHA256, message),
        Sign::K1Rs384 => rsa_sign(&keys.rsa, &RSA_PKCS1_SHA384, message),
        Sign::K1Ps256 => rsa_sign(&keys.rsa, &RSA_PSS_SHA256, message),
        Sign::K2 => ec(&keys.p256),
        Sign::K3 => keys.ed25519.sign(message).as_ref().to_vec(),
        Sign::K4 => ec(&keys.p384),
        Sign::Attacker => rsa_sign(&keys.attacker, &RSA_PKCS1_SHA256, message),
        Sign::No => Vec::new(),
    };
    format!("{input}.{}", b64(signature))
}

/// The base token of the corpus with these members laid over it.
pub(crate) fn token(more_header: &Value, more_claims: &Value, how: Sign) -> String {
    sign(with(&header(), more_header).to_string(), with(&claims(), more_claims).to_string(), how)
}
