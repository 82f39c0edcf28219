//! Why a token is not accepted: one variant a cause.

use std::fmt;

use crate::types::{ProviderId, Reason};

/// Why a token is not accepted.
///
/// The cause is for logs, metrics and `token inspect`; a client only learns
/// [`Self::reason`], so that an answer is no oracle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Longer than [`super::MAX_TOKEN_BYTES`].
    #[error("the token is too large")]
    TooLarge,
    /// Not a compact JWS of a JSON object with claims of the right types.
    #[error("the token is malformed: {0}")]
    Malformed(Flaw),
    /// A JSON object names a member twice (RFC 7515 section 4, RFC 7519 section 4).
    #[error("the token names a member twice in its {0}")]
    DuplicateMember(TokenPart),
    /// A `crit` or `b64` header (RFC 7515 section 4.1.11, RFC 7797).
    #[error("the token asks for an extension with `crit` or `b64`")]
    Crit,
    /// `alg` is missing, unknown or not allowed for the issuer (RFC 8725 section 3.1).
    #[error("the algorithm is not allowed")]
    AlgNotAllowed,
    /// `typ`, or the claims, are those of another kind of token (RFC 8725 section 3.11).
    #[error("the token is not an access token")]
    WrongType,
    /// `iss` names no configured provider (RFC 8725 section 3.8).
    #[error("the issuer is not known")]
    Iss,
    /// No usable key set of the provider is there.
    #[error("the keys of provider {provider:?} are not available")]
    KeysUnavailable {
        /// Whose keys are missing.
        provider: ProviderId,
    },
    /// No `kid`, and not exactly one key fits the algorithm.
    #[error("the token names no key")]
    KidMissing,
    /// The key set does not hold the `kid`.
    #[error("the key is not one of provider {provider:?}")]
    KidUnknown {
        /// Whose key set does not hold it.
        provider: ProviderId,
    },
    /// The named key is for another algorithm.
    #[error("the key is for another algorithm")]
    KeyAlgMismatch,
    /// The signature is not the key's over these bytes.
    #[error("the signature does not verify")]
    BadSignature,
    /// `aud` names none of the configured audiences (RFC 7519 section 4.1.3).
    #[error("the token is for another audience")]
    Aud,
    /// `sub` is missing or empty (RFC 9068 section 2.2).
    #[error("the token names no subject")]
    Sub,
    /// `exp` is past (RFC 7519 section 4.1.4).
    #[error("the token is expired")]
    Expired,
    /// `nbf` is ahead (RFC 7519 section 4.1.5).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is ahead (RFC 7519 section 4.1.6).
    #[error("the token is from the future")]
    IatFuture,
    /// `exp` is too long after `iat`.
    #[error("the token lives too long")]
    Lifetime,
    /// A claim that becomes a header holds a character it must not.
    #[error("the claim for {0} holds a character it must not")]
    ClaimCharset(&'static str),
    /// The key that verified a kept token is no longer in the key set.
    #[error("the key of the token was withdrawn")]
    KeyRetired,
    /// The settings that verified a kept token are no longer in force.
    #[error("the settings of the issuer have changed")]
    SettingsChanged,
}

impl Rejection {
    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::Crit => "crit",
            Self::AlgNotAllowed => "alg_not_allowed",
            Self::WrongType => "wrong_type",
            Self::Iss => "iss",
            Self::KeysUnavailable { .. } => "keys_unavailable",
            Self::KidMissing => "kid_missing",
            Self::KidUnknown { .. } => "kid_unknown",
            Self::KeyAlgMismatch => "key_alg_mismatch",
            Self::BadSignature => "bad_signature",
            Self::Aud => "aud",
            Self::Sub => "sub",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IatFuture => "iat_future",
            Self::Lifetime => "lifetime",
            Self::ClaimCharset(_) => "claim_charset",
            Self::KeyRetired => "key_retired",
            Self::SettingsChanged => "settings_changed",
        }
    }

    /// What the client may learn. Expiry is only said of a token whose
    /// signature verified.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::ExpiredToken,
            Self::KeysUnavailable { .. } => Reason::Unavailable,
            Self::TooLarge
            | Self::Malformed(_)
            | Self::DuplicateMember(_)
            | Self::Crit
            | Self::AlgNotAllowed
            | Self::WrongType
            | Self::Iss
            | Self::KidMissing
            | Self::KidUnknown { .. }
            | Self::KeyAlgMismatch
            | Self::BadSignature
            | Self::Aud
            | Self::Sub
            | Self::NotYetValid
            | Self::IatFuture
            | Self::Lifetime
            | Self::ClaimCharset(_)
            | Self::KeyRetired
            | Self::SettingsChanged => Reason::InvalidToken,
        }
    }

    /// The provider whose key set should be fetched anew before the token is
    /// finally refused: its `kid` may be one that the provider has just added.
    #[must_use]
    pub const fn provider_needing_keys(&self) -> Option<&ProviderId> {
        if let Self::KidUnknown { provider } = self { Some(provider) } else { None }
    }

    /// Whether the token was refused before any part of it was decoded: for its
    /// length, its characters, its dots, or the encoding of its header.
    #[must_use]
    pub const fn is_unread(&self) -> bool {
        matches!(
            self,
            Self::TooLarge | Self::Malformed(Flaw::Characters | Flaw::Parts | Flaw::Encoding(TokenPart::Header))
        )
    }

    /// The step that refused.
    #[must_use]
    pub const fn check(&self) -> TokenCheck {
        match self {
            Self::TooLarge => TokenCheck::Size,
            Self::Malformed(flaw) => flaw.check(),
            Self::DuplicateMember(TokenPart::Header) | Self::Crit => TokenCheck::Header,
            Self::DuplicateMember(TokenPart::Payload) => TokenCheck::Payload,
            Self::DuplicateMember(TokenPart::Signature) => TokenCheck::Form,
            Self::AlgNotAllowed => TokenCheck::Algorithm,
            Self::WrongType => TokenCheck::Type,
            Self::Iss | Self::SettingsChanged => TokenCheck::Issuer,
            Self::KeysUnavailable { .. }
            | Self::KidMissing
            | Self::KidUnknown { .. }
            | Self::KeyAlgMismatch
            | Self::KeyRetired => TokenCheck::Key,
            Self::BadSignature => TokenCheck::Signature,
            Self::Aud => TokenCheck::Audience,
            Self::Sub => TokenCheck::Subject,
            Self::Expired => TokenCheck::Expiry,
            Self::NotYetValid => TokenCheck::NotBefore,
            Self::IatFuture => TokenCheck::IssuedAt,
            Self::Lifetime => TokenCheck::Lifetime,
            Self::ClaimCharset(_) => TokenCheck::MappedClaims,
        }
    }
}

/// What is wrong with the form of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A character that is neither base64url nor a dot.
    #[error("it holds a character that is neither base64url nor a dot")]
    Characters,
    /// Not three parts, or an empty header or payload.
    #[error("it has not three parts")]
    Parts,
    /// Not the one canonical base64url form (RFC 7515 section 2).
    #[error("its {0} is not canonical base64url")]
    Encoding(TokenPart),
    /// Not a JSON object, or nested too deep.
    #[error("its {0} is not a json object, or nested too deep")]
    Json(TokenPart),
    /// A header member of the wrong type, or one of an encrypted or compressed token.
    #[error("its header member `{0}` is not acceptable")]
    HeaderMember(&'static str),
    /// A required claim is missing, or a claim has the wrong type.
    #[error("its claim for {0} is missing or of the wrong type")]
    Claim(&'static str),
}

impl Flaw {
    const fn check(self) -> TokenCheck {
        match self {
            Self::Characters | Self::Parts | Self::Encoding(_) => TokenCheck::Form,
            Self::Json(TokenPart::Payload) => TokenCheck::Payload,
            Self::Json(_) | Self::HeaderMember(_) => TokenCheck::Header,
            Self::Claim(name) => match name.as_bytes() {
                b"aud" => TokenCheck::Audience,
                b"sub" => TokenCheck::Subject,
                b"exp" => TokenCheck::Expiry,
                b"nbf" => TokenCheck::NotBefore,
                b"iat" => TokenCheck::IssuedAt,
                _ => TokenCheck::MappedClaims,
            },
        }
    }
}

/// The three parts of a compact token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPart {
    /// The first part.
    Header,
    /// The second part.
    Payload,
    /// The third part.
    Signature,
}

impl fmt::Display for TokenPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// The steps of verification, in the order they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenCheck {
    /// The length.
    Size,
    /// Three parts of canonical base64url.
    Form,
    /// A header that is one JSON object and asks for no extension.
    Header,
    /// An algorithm that is known and allowed.
    Algorithm,
    /// A payload that is one JSON object.
    Payload,
    /// A configured issuer.
    Issuer,
    /// The media type.
    Type,
    /// A key of the issuer, for the algorithm.
    Key,
    /// The signature.
    Signature,
    /// The audience.
    Audience,
    /// The subject.
    Subject,
    /// Not expired.
    Expiry,
    /// Valid already.
    NotBefore,
    /// Not from the future.
    IssuedAt,
    /// Not living too long.
    Lifetime,
    /// Scopes, permissions, groups, e-mail and name.
    MappedClaims,
}

impl TokenCheck {
    /// Every step, in order.
    pub const ALL: [Self; 16] = [
        Self::Size,
        Self::Form,
        Self::Header,
        Self::Algorithm,
        Self::Payload,
        Self::Issuer,
        Self::Type,
        Self::Key,
        Self::Signature,
        Self::Audience,
        Self::Subject,
        Self::Expiry,
        Self::NotBefore,
        Self::IssuedAt,
        Self::Lifetime,
        Self::MappedClaims,
    ];

    /// The name shown to people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Form => "form",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Payload => "payload",
            Self::Issuer => "issuer",
            Self::Type => "type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Expiry => "expiry",
            Self::NotBefore => "not before",
            Self::IssuedAt => "issued at",
            Self::Lifetime => "lifetime",
            Self::MappedClaims => "claims",
        }
    }
}
