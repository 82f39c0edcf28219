//! Signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1) and the
//! public keys that check them.
//!
//! Only asymmetric algorithms exist in the type: `none` and the HMAC kinds
//! cannot be written down, so they cannot be confused with anything. This is
//! also the one place that speaks to the cryptographic libraries.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

/// 24 µs for 2048 bits.
const RSA_NANOS_PER_SQUARE_WORD: u64 = 24;

/// An algorithm a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// What a provider accepts unless it is configured otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The algorithm of exactly this registered name, compared with case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// What the library verifies RSA signatures of this kind by.
    const fn of_rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 | Self::Es384 | Self::EdDsa => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The elliptic curves of [`PublicKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// The length of one coordinate (RFC 7518 section 6.2.1.2).
    pub(super) const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// A public key that its library accepted: the right size, on its curve. It is
/// parsed once, when its set is loaded, and never for a signature.
pub(super) struct PublicKey {
    shape: Shape,
    /// One for each algorithm that the key may check.
    parsed: Box<[(Algorithm, ParsedPublicKey)]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa { modulus_bytes: usize },
    Ec(Curve),
    Ed25519,
}

impl PublicKey {
    /// An RSA key from big-endian components without leading zeros, for `only`
    /// one algorithm where one of RSA is given.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8], only: Option<Algorithm>) -> Option<Self> {
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        let mut parsed = Vec::new();
        for algorithm in Algorithm::ALL {
            let Some(parameters) = algorithm.of_rsa() else { continue };
            if only.is_none_or(|only| only == algorithm || only.of_rsa().is_none()) {
                parsed.push((algorithm, components.to_parsed_public_key(parameters).ok()?));
            }
        }
        let shape = Shape::Rsa { modulus_bytes: modulus.len() };
        Some(Self { shape, parsed: parsed.into_boxed_slice() })
    }

    /// A key from the coordinates of a point, which must be on the curve.
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let point = [&[0x04], x, y].concat();
        let (algorithm, parsed) = match curve {
            Curve::P256 => (Algorithm::Es256, ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)),
            Curve::P384 => (Algorithm::Es384, ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point)),
        };
        Some(Self { shape: Shape::Ec(curve), parsed: Box::new([(algorithm, parsed.ok()?)]) })
    }

    /// An Ed25519 key (RFC 8037 section 2).
    pub(super) fn ed25519(x: &[u8]) -> Option<Self> {
        let parsed = ParsedPublicKey::new(&ED25519, x).ok()?;
        Some(Self { shape: Shape::Ed25519, parsed: Box::new([(Algorithm::EdDsa, parsed)]) })
    }

    /// Whether the kind of key can check signatures of `algorithm` at all.
    pub(super) const fn fits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self.shape, Shape::Rsa { .. }),
            Algorithm::Es256 => matches!(self.shape, Shape::Ec(Curve::P256)),
            Algorithm::Es384 => matches!(self.shape, Shape::Ec(Curve::P384)),
            Algorithm::EdDsa => matches!(self.shape, Shape::Ed25519),
        }
    }

    /// About what one look at a signature takes on a core of the usual kind. RSA
    /// grows with the square of the modulus.
    pub(super) const fn cost(&self) -> Duration {
        match self.shape {
            Shape::Rsa { modulus_bytes } => {
                let words = modulus_bytes as u64 / 8;
                Duration::from_nanos(words * words * RSA_NANOS_PER_SQUARE_WORD)
            }
            Shape::Ec(Curve::P256) => Duration::from_micros(60),
            Shape::Ec(Curve::P384) => Duration::from_micros(400),
            Shape::Ed25519 => Duration::from_micros(45),
        }
    }

    /// How long every signature of the key is.
    pub(super) const fn signature_bytes(&self) -> usize {
        match self.shape {
            Shape::Rsa { modulus_bytes } => modulus_bytes,
            Shape::Ec(curve) => 2 * curve.coordinate_len(),
            Shape::Ed25519 => 64,
        }
    }

    /// Whether `signature` over `message` is this key's, made with `algorithm`.
    ///
    /// The length is compared first: RSA has exactly the modulus' length
    /// (RFC 8017 section 8), ECDSA the two coordinates (RFC 7518 section 3.4),
    /// Ed25519 64 bytes, so no other form reaches the library.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &[u8]) -> bool {
        if signature.len() != self.signature_bytes() || !self.fits(algorithm) {
            return false;
        }
        let key = self.parsed.iter().find(|(parsed_for, _)| *parsed_for == algorithm);
        key.is_some_and(|(_, key)| key.verify_sig(message.as_bytes(), signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.fmt(f)
    }
}
