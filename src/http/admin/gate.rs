//! Who may come into the administrator's area: one function, for pages and API.

use std::sync::Arc;

use crate::check::{Checker, Credential, DenyKind, Guest, Visitor};
use crate::directory::UserKey;
use crate::http::pages::Visit;
use crate::types::{Protocol, Reason};

/// Somebody who holds the administrators' tier now; only [`Gate::admit`] makes one.
#[expect(clippy::manual_non_exhaustive, reason = "nobody else in this crate may make one either")]
#[derive(Debug, Clone)]
pub struct Administrator {
    /// Who it is, for the audit.
    pub actor: UserKey,
    /// The same with tiers and with what they showed.
    pub guest: Guest,
    /// Only the gate makes one.
    _admitted: (),
}

#[cfg(test)]
impl Administrator {
    /// Somebody who was let in, for tests of what is behind the gate.
    pub(crate) fn admitted(guest: Guest) -> Self {
        let actor = UserKey::new(&guest.principal.provider, &guest.principal.subject);
        Self { actor, guest, _admitted: () }
    }
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody is known to be there.
    Nobody,
    /// Credentials are there and do not count; the word is for the log.
    Refused(Reason, &'static str),
    /// Somebody without the tier.
    LacksTier,
    /// A change that a page of another origin may have sent with the cookie, or with a password that the browser keeps.
    CrossSite,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Nobody => 401,
            Self::Refused(reason, _) => DenyKind::of(reason).http_status(Protocol::ForwardAuth),
            Self::LacksTier | Self::CrossSite => 403,
        }
    }

    /// The reason, one of the closed set.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Nobody => Reason::NoCredentials,
            Self::Refused(reason, _) => reason,
            Self::LacksTier => Reason::InsufficientTier,
            Self::CrossSite => Reason::InsufficientPermission,
        }
    }

    /// The word for the log.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Nobody => "admin_nobody",
            Self::Refused(_, cause) => cause,
            Self::LacksTier => "admin_tier",
            Self::CrossSite => "admin_origin",
        }
    }
}

/// The way in.
pub struct Gate {
    checker: Arc<Checker>,
    tier: String,
}

impl Gate {
    /// Lets in who holds `tier`.
    #[must_use]
    pub fn new(checker: Arc<Checker>, tier: String) -> Self {
        Self { checker, tier }
    }

    /// The tier that it asks for.
    #[must_use]
    pub fn tier(&self) -> &str {
        &self.tier
    }

    /// The administrator who visits.
    ///
    /// Nothing of the path is looked at: who is refused learns the same of a path
    /// that is there as of one that is not.
    ///
    /// # Errors
    /// Why nobody comes in.
    pub async fn admit(&self, visit: &Visit<'_>) -> Result<Administrator, Refusal> {
        let guest = match self.checker.visitor(visit.headers()).await {
            Visitor::Nobody => return Err(Refusal::Nobody),
            Visitor::Refused(reason, cause) => return Err(Refusal::Refused(reason, cause)),
            Visitor::Somebody(guest) => guest,
        };
        let snapshot = self.checker.snapshot();
        let tier = snapshot.policy.tiers().index(&self.tier);
        if !tier.is_some_and(|tier| guest.tiers.contains(tier)) {
            return Err(Refusal::LacksTier);
        }
        // A browser sends a cookie, and a password that it knows, unasked, whatever
        // page makes it ask; a bearer token it does not.
        let may_be_unasked = match guest.credential {
            Credential::Session(_) => true,
            Credential::AccessToken { as_password } => as_password && visit.is_of_a_page(),
            Credential::Bearer => false,
        };
        let is_change = !matches!(visit.method(), "GET" | "HEAD" | "OPTIONS");
        let from_us = || snapshot.login.as_ref().is_some_and(|login| visit.is_same_origin(login.origin()));
        if may_be_unasked && is_change && !from_us() {
            return Err(Refusal::CrossSite);
        }
        let actor = UserKey::new(&guest.principal.provider, &guest.principal.subject);
        Ok(Administrator { actor, guest, _admitted: () })
    }
}
