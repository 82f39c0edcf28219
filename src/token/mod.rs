//! Layer 2: the strict gate for bearer tokens and key sets.
//!
//! A token passes through in one direction, and each step needs what the one
//! before it made:
//!
//! ```text
//! jws      compact form, strict JSON, header        (unverified)
//! issuer   the unverified `iss` names the provider
//! jwk      the provider's key set names the key
//! verify   algorithm, signature, then the claims    (witness: VerifiedToken)
//! ```
//!
//! Of an opaque token the provider says what a JWT says itself, and the same
//! settings judge it ([`introspected`]).
//!
//! ID tokens and logout tokens pass the same gate with their own claims
//! ([`id_token`], [`logout_token`]).
//!
//! Nothing here reads a clock, a file or the network, waits, logs or panics;
//! key sets come through [`KeySource`] and time is a parameter. What RFC 8725
//! calls for beyond a good signature is decided here; the signature primitive
//! itself is called in [`algorithm`] only.

pub mod algorithm;
pub mod claims;
pub mod id_token;
pub mod inspect;
pub mod introspected;
pub mod issuer;
mod json;
pub mod jwk;
pub mod jwks_cache;
mod jws;
pub mod logout_token;
pub mod rejection;
pub mod verify;

#[cfg(test)]
pub(crate) mod test_keys;

pub use algorithm::Algorithm;
pub use claims::{ClaimNames, ClaimPath, ClaimPathError, carries_audience, join_profiles, principal_of, profile_of};
pub use id_token::{ExpectedIdToken, IdTokenRejection, VerifiedIdToken, verify_id_token};
pub use inspect::{CheckResult, Inspection, inspect};
pub use introspected::{Introspected, IntrospectedToken, OpaqueRejection, OpaqueTokens, is_opaque};
pub use issuer::{DuplicateIssuer, IssuerSettings, Issuers};
pub use json::{JsonFault, parse_object};
pub use jwk::{KeyRef, KeySet, KeySetError, SkipReason, SkippedKey};
pub use jwks_cache::{Freshness, Held, JwksCache, UNKNOWN_KID_COOLDOWN, UnknownKid};
pub use logout_token::{
    LogoutTarget, LogoutTokenRejection, VerifiedLogoutToken, unverified_issuer, verify_logout_token,
};
pub use rejection::{Flaw, Rejection, TokenCheck, TokenPart};
pub use verify::{Grounds, KeyRefresh, KeySource, NamedKey, VerifiedToken, claims_audience, verify};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
