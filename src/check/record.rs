//! What the log and the metrics are told of a decision.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::checker::Snapshot;
use super::token_cache::CacheResult;
use crate::types::{Principal, Protocol, Reason, TierIndex, TierSet};

/// The id of one decision: 128 bits, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(u128);

impl DecisionId {
    /// The id of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The digits, in lower case.
    #[must_use]
    pub fn digits(self) -> Digits {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [b'0'; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0x0f]) {
                *digit = HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            }
        }
        Digits(digits)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

/// The digits of a [`DecisionId`].
#[derive(Debug, Clone, Copy)]
pub struct Digits([u8; 32]);

impl Digits {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// One line of the decision log. Holds no token, cookie or query.
#[derive(Clone)]
pub struct DecisionRecord {
    /// The id of the request, from the proxy or drawn here.
    pub request_id: Arc<str>,
    /// The id of this decision.
    pub decision_id: DecisionId,
    /// By which door it came.
    pub protocol: Protocol,
    /// The method, cut to 32 bytes.
    pub method: Cow<'static, str>,
    /// The canonical host, empty when there is none.
    pub host: String,
    /// The canonical path; of a refused target the raw path, cut and escaped.
    pub path: String,
    /// Whether the request passes.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The exact cause behind the reason, a constant word; for the log only.
    pub cause: Option<&'static str>,
    /// How the token came to be known, when there was one; a session is none.
    pub token: Option<CacheResult>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) rule: Option<Arc<str>>,
    pub(super) asked_tier: Option<TierIndex>,
    pub(super) held: TierSet,
    pub(super) principal: Option<Arc<Principal>>,
}

impl DecisionRecord {
    /// The name of the rule that matched.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The tier the rule asked for.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        self.asked_tier.map(|tier| self.snapshot.policy.tiers().name(tier))
    }

    /// The tiers the caller holds, in configured order, for an allowed request.
    pub fn tiers(&self) -> impl Iterator<Item = &str> {
        self.held.iter().map(|tier| self.snapshot.policy.tiers().name(tier))
    }

    /// The verified subject.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.principal.as_ref().map(|principal| principal.subject.as_ref())
    }

    /// The provider that vouches for it.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.principal.as_ref().map(|principal| principal.provider.as_str())
    }

    /// The fingerprint of the policy that decided.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.snapshot.policy.fingerprint()
    }

    /// Whom it is about.
    pub(super) fn speaks_of(&mut self, principal: &Arc<Principal>) {
        self.principal = Some(Arc::clone(principal));
    }
}

/// What the log shows of it, and nothing else of the caller.
impl fmt::Debug for DecisionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionRecord")
            .field("request_id", &self.request_id)
            .field("decision_id", &self.decision_id)
            .field("protocol", &self.protocol)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("rule", &self.rule())
            .field("tier", &self.tier())
            .field("tiers", &self.tiers().collect::<Vec<_>>())
            .field("allowed", &self.allowed)
            .field("reason", &self.reason)
            .field("cause", &self.cause)
            .field("subject", &self.subject())
            .field("provider", &self.provider())
            .field("token", &self.token)
            .field("policy", &self.policy())
            .finish()
    }
}
