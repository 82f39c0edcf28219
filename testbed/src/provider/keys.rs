//! Signing keys, their public halves as JWKs (RFC 7517), and signatures with
//! any algorithm a test wants, whether or not it fits the key's own.

use anyhow::{Context, Result, anyhow, bail};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Which key signs a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The published RSA-2048 key, `k1`, RS256.
    Rsa,
    /// The published P-256 key, `k2`, ES256.
    P256,
    /// The published Ed25519 key, `k3`, EdDSA.
    Ed25519,
    /// A P-384 key that is not published by itself, `k4`, ES384.
    P384,
    /// An attacker's RSA-2048 key, which claims to be `k1`.
    ForeignRsa,
    /// An attacker's P-256 key, which claims to be `k2`.
    ForeignP256,
    /// A shared secret, HS256, which claims to be `k1`.
    Hmac(Vec<u8>),
    /// No key: the signature part is empty and `alg` is `none`.
    Unsigned,
}

#[derive(Debug)]
pub(crate) struct KeyRing {
    generation: u32,
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    p384: EcdsaKeyPair,
    foreign_rsa: RsaKeyPair,
    foreign_p256: EcdsaKeyPair,
}

impl KeyRing {
    pub(crate) fn generate(generation: u32) -> Result<Self> {
        let failed = |_| anyhow!("cannot generate a key");
        Ok(Self {
            generation,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?,
            p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?,
            ed25519: Ed25519KeyPair::generate().map_err(failed)?,
            p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).map_err(failed)?,
            foreign_rsa: RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?,
            foreign_p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?,
        })
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn kid(&self, key: &Key) -> String {
        let name = match key {
            Key::Rsa | Key::ForeignRsa | Key::Hmac(_) | Key::Unsigned => "k1",
            Key::P256 | Key::ForeignP256 => "k2",
            Key::Ed25519 => "k3",
            Key::P384 => "k4",
        };
        if self.generation == 0 { name.to_owned() } else { format!("{name}-{}", self.generation) }
    }

    /// The published set.
    pub(crate) fn published(&self) -> Result<Vec<Value>> {
        [Key::Rsa, Key::P256, Key::Ed25519].iter().map(|key| self.jwk(key)).collect()
    }

    /// The public half of a key as a JWK with `alg`, `use` and `kid`.
    pub(crate) fn jwk(&self, key: &Key) -> Result<Value> {
        let (kid, alg) = (self.kid(key), algorithm_of(key));
        let ec = |pair: &EcdsaKeyPair, curve: &str| -> Result<Value> {
            let point = pair.public_key().as_ref();
            let (x, y) = point.get(1..).context("an empty point")?.split_at(point.len() / 2);
            Ok(
                json!({"kty": "EC", "crv": curve, "alg": alg, "use": "sig", "kid": kid, "x": base64url(x), "y": base64url(y)}),
            )
        };
        let rsa = |pair: &RsaKeyPair| -> Result<Value> {
            let n = modulus(pair.public_key().as_ref())?;
            Ok(json!({"kty": "RSA", "alg": alg, "use": "sig", "kid": kid, "n": base64url(n), "e": "AQAB"}))
        };
        match key {
            Key::Rsa => rsa(&self.rsa),
            Key::ForeignRsa => rsa(&self.foreign_rsa),
            Key::P256 => ec(&self.p256, "P-256"),
            Key::ForeignP256 => ec(&self.foreign_p256, "P-256"),
            Key::P384 => ec(&self.p384, "P-384"),
            Key::Ed25519 => {
                let x = base64url(self.ed25519.public_key().as_ref());
                Ok(json!({"kty": "OKP", "crv": "Ed25519", "alg": alg, "use": "sig", "kid": kid, "x": x}))
            }
            Key::Hmac(secret) => {
                Ok(json!({"kty": "oct", "alg": alg, "use": "sig", "kid": kid, "k": base64url(secret)}))
            }
            Key::Unsigned => bail!("no key has no public half"),
        }
    }

    /// The public half as SubjectPublicKeyInfo.
    pub(crate) fn public_der(&self, key: &Key) -> Result<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match key {
            Key::Rsa => self.rsa.public_key().as_der(),
            Key::ForeignRsa => self.foreign_rsa.public_key().as_der(),
            Key::P256 => self.p256.public_key().as_der(),
            Key::ForeignP256 => self.foreign_p256.public_key().as_der(),
            Key::P384 => self.p384.public_key().as_der(),
            Key::Ed25519 => self.ed25519.public_key().as_der(),
            Key::Hmac(_) | Key::Unsigned => bail!("{key:?} has no public half"),
        }
        .map_err(|_| anyhow!("cannot write the public key of {key:?}"))?;
        Ok(der.as_ref().to_vec())
    }

    /// Signs with a key and an algorithm by its JOSE name.
    pub(crate) fn sign(&self, key: &Key, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
        let unspecified = |_| anyhow!("cannot sign with {key:?} and {algorithm}");
        let rsa = |pair: &RsaKeyPair| -> Result<Vec<u8>> {
            let mut signed = vec![0; pair.public_modulus_len()];
            pair.sign(rsa_encoding(algorithm)?, &SystemRandom::new(), message, &mut signed).map_err(unspecified)?;
            Ok(signed)
        };
        let ec = |pair: &EcdsaKeyPair, fits: &str| -> Result<Vec<u8>> {
            if algorithm != fits {
                bail!("{key:?} signs {fits}, not {algorithm}");
            }
            Ok(pair.sign(&SystemRandom::new(), message).map_err(unspecified)?.as_ref().to_vec())
        };
        match key {
            Key::Rsa => rsa(&self.rsa),
            Key::ForeignRsa => rsa(&self.foreign_rsa),
            Key::P256 => ec(&self.p256, "ES256"),
            Key::ForeignP256 => ec(&self.foreign_p256, "ES256"),
            Key::P384 => ec(&self.p384, "ES384"),
            Key::Ed25519 => Ok(self.ed25519.try_sign(message).map_err(unspecified)?.as_ref().to_vec()),
            Key::Hmac(secret) => {
                let key = hmac::Key::new(hmac_algorithm(algorithm)?, secret);
                Ok(hmac::sign(&key, message).as_ref().to_vec())
            }
            Key::Unsigned => Ok(Vec::new()),
        }
    }
}

/// The algorithm a key signs with unless a test says otherwise.
pub(crate) fn algorithm_of(key: &Key) -> &'static str {
    match key {
        Key::Rsa | Key::ForeignRsa => "RS256",
        Key::P256 | Key::ForeignP256 => "ES256",
        Key::P384 => "ES384",
        Key::Ed25519 => "EdDSA",
        Key::Hmac(_) => "HS256",
        Key::Unsigned => "none",
    }
}

/// Base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out + format!("-----END {label}-----\n").as_str()
}

pub(crate) fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no randomness"))?;
    Ok(base64url(bytes))
}

/// The modulus of an RSA-2048 key in PKCS#1 DER: SEQUENCE, then INTEGER with a leading zero, each with a two-byte length.
fn modulus(pkcs1: &[u8]) -> Result<&[u8]> {
    pkcs1.get(9..9 + 256).context("not an RSA-2048 public key")
}

fn rsa_encoding(algorithm: &str) -> Result<&'static dyn RsaEncoding> {
    Ok(match algorithm {
        "RS256" => &signature::RSA_PKCS1_SHA256,
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        _ => bail!("an RSA key does not sign {algorithm}"),
    })
}

fn hmac_algorithm(algorithm: &str) -> Result<hmac::Algorithm> {
    Ok(match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => bail!("a secret does not sign {algorithm}"),
    })
}
