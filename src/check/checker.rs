//! The way from a request to its outcome, the same for every protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::assertion::{AssertionKeys, AssertionSettings};
use super::body::ErrorTemplate;
use super::identity_headers::IdentityHeaders;
use super::judgement::{Caller, Check};
use super::outcome::{CheckOutcome, DenyKind};
use super::token_cache::TokenCache;
use crate::policy::{Policy, Required};
use crate::token::{Issuers, KeySource};
use crate::types::{Clock, Principal, ProviderId, Random, Reason, RequestView};

/// Everything a check is decided by; replaced whole, never changed.
pub struct Snapshot {
    /// Tiers and rules.
    pub policy: Policy,
    /// Whose tokens count.
    pub issuers: Issuers,
    /// What the upstream is told.
    pub identity: IdentityHeaders,
    /// The operator's own JSON body for refusals.
    pub errors: Option<ErrorTemplate>,
    /// Present: the upstream gets a signed assertion.
    pub assertion: Option<AssertionSettings>,
    /// Where the service's own pages live.
    pub base_path: String,
}

/// Asks for the keys of a provider once more.
///
/// Security contract: however often it is called, a provider is asked at most
/// once in each cooldown, and the call ends within the time a proxy waits.
pub trait KeyRefresh: Send + Sync {
    /// Ends when the keys are fresh, or when there is no sense in waiting on.
    fn refresh<'a>(&'a self, provider: &'a ProviderId) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// What a checker needs of the world.
pub struct Ports {
    /// The live key sets.
    pub keys: Arc<dyn KeySource>,
    /// Their refresh.
    pub refresh: Arc<dyn KeyRefresh>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// For the ids of decisions.
    pub random: Arc<dyn Random>,
}

/// Decides requests.
pub struct Checker {
    snapshot: ArcSwap<Snapshot>,
    pub(super) tokens: TokenCache,
    pub(super) assertion_keys: AssertionKeys,
    pub(super) ports: Ports,
}

impl Checker {
    /// A checker with its first snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot, tokens: TokenCache, ports: Ports) -> Self {
        Self { snapshot: ArcSwap::from_pointee(snapshot), tokens, assertion_keys: AssertionKeys::new(), ports }
    }

    /// The live snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a new snapshot in the place of the live one; checks under way end
    /// with the one they began with.
    pub fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The public keys of `X-Auth-Assertion`, or `None` where it is not in use.
    #[must_use]
    pub fn assertion_jwks(&self) -> Option<String> {
        self.snapshot.load().assertion.as_ref()?;
        self.assertion_keys.jwks(self.ports.clock.monotonic()).ok()
    }

    /// Decides one request.
    pub async fn check(&self, request: &RequestView<'_>) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        let check = Check::new(self, &snapshot, request);
        let subject = match check.subject() {
            Ok(subject) => subject,
            Err(outcome) => return *outcome,
        };
        let mut caller = check.caller(&subject);
        if let Caller::AskKeys(provider) = &caller {
            self.ports.refresh.refresh(provider).await;
            caller = match check.caller(&subject) {
                Caller::AskKeys(_) => Caller::Refused(Reason::InvalidToken, "kid_unknown"),
                told @ (Caller::Anonymous | Caller::Known(..) | Caller::Refused(..)) => told,
            };
        }
        check.judge(&subject, &caller)
    }

    /// Decides a request as if `caller` had sent it, whatever credentials stand
    /// in it: what `policy explain` and `policy test` ask.
    #[must_use]
    pub fn check_as(&self, request: &RequestView<'_>, caller: Option<Arc<Principal>>) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        let check = Check::new(self, &snapshot, request);
        match check.subject() {
            Ok(subject) => {
                let caller = caller.map_or(Caller::Anonymous, |principal| Caller::Known(principal, None));
                check.judge(&subject, &caller)
            }
            Err(outcome) => *outcome,
        }
    }

    /// The outcome for a request that could not be checked: an error within,
    /// too little time, too much work.
    #[must_use]
    pub fn refuse(
        &self,
        request: &RequestView<'_>,
        kind: DenyKind,
        reason: Reason,
        cause: &'static str,
    ) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        Check::new(self, &snapshot, request).deny_as(kind, None, reason, Some(cause), &Required::default())
    }
}
