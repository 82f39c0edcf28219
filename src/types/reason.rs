//! Why a check ended as it did: a closed set, for logs, metrics and bodies.

use std::fmt;

/// The public reason of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Allowed.
    Ok,
    /// The rule asks for a caller and there is none.
    NoCredentials,
    /// A credential is there and does not verify.
    InvalidToken,
    /// The token verified once and its time is over.
    ExpiredToken,
    /// The caller does not hold the tier of the rule.
    InsufficientTier,
    /// A scope is missing.
    InsufficientScope,
    /// A permission, group, user, provider or e-mail domain is missing.
    InsufficientPermission,
    /// No rule covers the request.
    NoRule,
    /// The target can be read in more than one way, or not at all.
    BadTarget,
    /// More than one credential, so nobody can say which counts.
    MultipleCredentials,
    /// A header that only the service or a trusted proxy may set.
    SpoofedHeader,
    /// The directory says that this user is disabled.
    DisabledUser,
    /// The session is over.
    SessionExpired,
    /// A decision was not possible: keys or a store are missing.
    Unavailable,
    /// Too much work is waiting already.
    Overloaded,
}

impl Reason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Self; 15] = [
        Self::Ok,
        Self::NoCredentials,
        Self::InvalidToken,
        Self::ExpiredToken,
        Self::InsufficientTier,
        Self::InsufficientScope,
        Self::InsufficientPermission,
        Self::NoRule,
        Self::BadTarget,
        Self::MultipleCredentials,
        Self::SpoofedHeader,
        Self::DisabledUser,
        Self::SessionExpired,
        Self::Unavailable,
        Self::Overloaded,
    ];

    /// The name used in logs, metrics and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoCredentials => "no_credentials",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::InsufficientTier => "insufficient_tier",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientPermission => "insufficient_permission",
            Self::NoRule => "no_rule",
            Self::BadTarget => "bad_target",
            Self::MultipleCredentials => "multiple_credentials",
            Self::SpoofedHeader => "spoofed_header",
            Self::DisabledUser => "disabled_user",
            Self::SessionExpired => "session_expired",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
