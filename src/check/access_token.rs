//! Personal access tokens and opaque tokens: what somebody else has to say what
//! they stand for.
//!
//! Whoever shows a personal access token is its owner, with the tiers that it was
//! made for, as far as the owner holds them now. Nothing else of theirs goes with
//! it: no scope, no permission, no group.

use std::sync::Arc;

use super::admission::{Admitted, Shown, Vouched, bars, cannot_tell};
use super::checker::{Checker, Snapshot};
use super::deadline::Deadline;
use super::judgement::Caller;
use super::token_cache::CacheResult;
use crate::directory::{Standing, StoredAccessToken, TokenHash, UserKey};
use crate::policy::Tiers;
use crate::token::{Introspected, Issuers};
use crate::types::{NameSet, Principal, Reason, TierSet, TierSource, UnixTime};

impl Checker {
    /// The token with this hash. Whether it counts is not judged.
    pub(super) async fn access_token(&self, hash: TokenHash, as_password: bool) -> Caller {
        let Some(directory) = &self.ports.directory else { return NOT_TAKEN };
        match directory.access_token(hash).await {
            Ok(Some(stored)) => Caller::AccessToken { stored, as_password },
            Ok(None) => rejected(Reason::InvalidToken, "access_token_unknown"),
            Err(error) => {
                let barred = cannot_tell(&error);
                Caller::BadToken(barred.reason, barred.cause, None)
            }
        }
    }

    /// What the provider says of an opaque token.
    pub(super) async fn opaque_token(&self, token: &str, issuers: &Issuers) -> Caller {
        match &self.ports.opaque_tokens {
            Some(opaque) => told(opaque.ask(token, issuers).await, CacheResult::Miss),
            None => NOT_TAKEN,
        }
    }

    /// What a personal access token counts for under a policy.
    pub(super) async fn admit_access_token(
        &self,
        snapshot: &Snapshot,
        stored: &StoredAccessToken,
        as_password: bool,
        deadline: &mut Deadline<'_>,
    ) -> Admitted {
        let refused = |cause| Admitted::BadToken(Reason::InvalidToken, cause, REJECTED);
        let StoredAccessToken { token, owner, sequence: _ } = stored;
        let now = self.ports.clock.now();
        if token.revoked_at.is_some() {
            return refused("access_token_revoked");
        }
        if now >= token.expires_at {
            return Admitted::BadToken(Reason::ExpiredToken, "access_token_over", REJECTED);
        }
        let standing = match self.standing(owner, deadline).await {
            Ok(Some(standing)) => standing,
            Ok(None) => return refused("access_token_of_nobody"),
            Err(barred) => return Admitted::BadToken(barred.reason, barred.cause, None),
        };
        let Some(issuer) = snapshot.issuers.iter().find(|settings| settings.provider == owner.provider) else {
            return refused("access_token_of_no_provider");
        };
        let whole = owner_of(owner, &issuer.issuer, &standing, now);
        let tiers = snapshot.policy.tiers();
        let opened = opened(tiers, &whole, &token.tiers);
        let caller = Arc::new(Principal {
            scopes: NameSet::default(),
            permissions: NameSet::default(),
            groups: NameSet::default(),
            tiers: TierSource::Only(opened.iter().map(|tier| tiers.name(tier)).collect()),
            ..whole
        });
        if let Some(barred) = bars(&standing, Vouched::Token(token.created_at)) {
            return Admitted::Barred(caller, Shown::AccessToken { as_password }, barred);
        }
        if let Some(directory) = &self.ports.directory {
            directory.uses().note(token.id, now);
        }
        Admitted::Somebody(caller, Shown::AccessToken { as_password })
    }
}

/// A text that nobody could say anything about.
pub(super) const NOT_TAKEN: Caller = rejected(Reason::InvalidToken, "malformed");

const REJECTED: Option<CacheResult> = Some(CacheResult::Rejected);

/// A credential that was judged and does not count.
pub(super) const fn rejected(reason: Reason, cause: &'static str) -> Caller {
    Caller::BadToken(reason, cause, REJECTED)
}

/// Who calls, by what a provider says.
pub(super) fn told(introspected: Introspected, cache: CacheResult) -> Caller {
    match introspected {
        Ok(token) => Caller::Opaque(token, cache),
        Err(refused) => {
            let is_judged = !matches!(refused.reason(), Reason::Unavailable | Reason::Overloaded);
            Caller::BadToken(refused.reason(), refused.as_str(), is_judged.then_some(CacheResult::Rejected))
        }
    }
}

/// The owner of a token, with all that would be theirs if they came themselves.
fn owner_of(owner: &UserKey, issuer: &Arc<str>, standing: &Standing, now: UnixTime) -> Principal {
    let rights = &standing.rights;
    Principal {
        provider: owner.provider.clone(),
        issuer: Arc::clone(issuer),
        subject: owner.subject.clone(),
        email: standing.email.clone(),
        name: standing.name.clone(),
        scopes: rights.scopes.clone(),
        permissions: rights.permissions.clone(),
        groups: rights.groups.iter().chain(standing.groups.iter()).collect(),
        claims: Arc::default(),
        tiers: TierSource::Grants(standing.granted(now).collect()),
        attributes: Arc::clone(&standing.attributes),
    }
}

/// The tiers that a token made for the tiers of these names opens: all that they
/// contain, as far as the owner holds it.
fn opened(tiers: &Tiers, owner: &Principal, names: &[String]) -> TierSet {
    let asked = names.iter().filter_map(|name| tiers.index(name));
    let asked = asked.fold(TierSet::EMPTY, |all, tier| all.union(tiers.contained(tier)));
    asked.intersection(tiers.held_by(Some(owner)))
}

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
