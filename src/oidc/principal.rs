//! Whom a session speaks of, by the settings that hold now.

use std::sync::Arc;

use super::relying_party::RelyingParty;
use crate::session::Session;
use crate::token::{carries_audience, principal_of, profile_of};
use crate::types::Principal;

impl RelyingParty {
    /// Whom a session speaks of, by the claims and the settings that hold now;
    /// `None` when its provider is not configured any more, or the claims do
    /// not fit. Times are judged by who keeps the session.
    #[must_use]
    pub fn principal(&self, session: &Session) -> Option<Arc<Principal>> {
        let provider = self.provider(&session.provider)?;
        let settings = &provider.tokens;
        let authority = &session.authority;
        let client = [provider.client.client_id.clone()];
        let audiences = if authority.from_access_token { settings.audiences.as_slice() } else { &client };
        if session.issuer != settings.issuer.as_ref() || !carries_audience(&authority.claims, audiences) {
            return None;
        }
        let mut principal = principal_of(authority.claims.clone(), settings).ok()?;
        if principal.subject.as_ref() != session.subject {
            return None;
        }
        let (email, name) = profile_of(&session.profile, &settings.claims);
        principal.email = principal.email.or(email);
        principal.name = principal.name.or(name);
        Some(Arc::new(principal))
    }
}
