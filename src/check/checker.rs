//! The way from a request to its outcome, the same for every protocol.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::access_token::rejected;
use super::admission::Admitted;
use super::assertion::{AssertionKeys, AssertionSettings};
use super::body::ErrorTemplate;
use super::deadline::Deadline;
use super::identity_headers::IdentityHeaders;
use super::judgement::{Ask, Caller, Check, Step};
use super::login::LoginPlace;
use super::merged::MergedPrincipals;
use super::outcome::{CheckOutcome, DenyKind};
use super::pages::OwnPages;
use super::places::Places;
use super::record::{DecisionId, DecisionRecord};
use super::token_cache::TokenCache;
use crate::apps::Catalogue;
use crate::directory::Directory;
use crate::policy::{Policy, Required, TokenPlaces};
use crate::session::{NoSession, SessionId, SessionSource};
use crate::token::{Issuers, KeyRefresh, KeySource, OpaqueTokens};
use crate::types::{Clock, Principal, Random, Reason, RequestView, Tasks};
use crate::ui::Ui;

/// Why nothing is decided where the time of a check is over.
pub(super) const TOO_LATE: &str = "too_late";

/// Checks that may wait for keys at once. A token with an unknown key costs
/// nothing to make: those beyond this are refused, and nobody else notices.
const MAX_WAITING: usize = 256;

/// How many earlier policies a route is judged by that is older than the live one.
const MAX_EARLIER: usize = 8;

/// Policy and catalogue of one make.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Tiers and rules, those of the apps among them.
    pub policy: Arc<Policy>,
    /// The apps.
    pub catalogue: Arc<Catalogue>,
}

/// Everything a check is decided by; replaced whole, never changed.
pub struct Snapshot {
    /// Tiers and rules, those of the apps among them.
    pub policy: Arc<Policy>,
    /// The apps, of one make with the policy.
    pub catalogue: Arc<Catalogue>,
    /// What policy and catalogue were before, the latest first: routes of proxies
    /// may still lead where these said.
    pub earlier: Vec<Generation>,
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
    /// Present: browsers can sign in.
    pub login: Option<LoginPlace>,
    /// How the pages look and speak.
    pub ui: Arc<Ui>,
    /// Whether the portal shows apps that do not open, as locked.
    pub show_locked: bool,
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
    /// To wait no longer than a proxy does.
    pub tasks: Arc<dyn Tasks>,
    /// The sessions of browsers; without them no cookie is a credential.
    pub sessions: Option<Arc<dyn SessionSource>>,
    /// The people whom the service knows beyond their tokens.
    pub directory: Option<Arc<Directory>>,
    /// Whether the directory's personal access tokens count.
    pub access_tokens: bool,
    /// Who knows what opaque tokens stand for; without it there are none.
    pub opaque_tokens: Option<Arc<dyn OpaqueTokens>>,
}

/// Decides requests.
pub struct Checker {
    snapshot: ArcSwap<Snapshot>,
    pub(super) tokens: TokenCache,
    pub(super) assertion_keys: AssertionKeys,
    pub(super) merged: MergedPrincipals,
    pub(super) ports: Ports,
    waiting: Places,
}

impl Checker {
    /// A checker with its first snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot, tokens: TokenCache, ports: Ports) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            tokens,
            assertion_keys: AssertionKeys::new(),
            merged: MergedPrincipals::new(),
            ports,
            waiting: Places::new(MAX_WAITING),
        }
    }

    /// The live snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts a new snapshot in the place of the live one, whose policy and catalogue
    /// become the latest earlier ones; checks under way end with the one they began
    /// with. One task at a time replaces.
    pub fn replace(&self, mut snapshot: Snapshot) {
        let live = self.snapshot.load();
        let Snapshot { policy, catalogue, earlier, .. } = live.as_ref();
        let latest = Generation { policy: Arc::clone(policy), catalogue: Arc::clone(catalogue) };
        snapshot.earlier = std::iter::once(latest).chain(earlier.iter().cloned()).take(MAX_EARLIER).collect();
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The public keys of `X-Auth-Assertion`, or `None` where it is not in use.
    #[must_use]
    pub fn assertion_jwks(&self) -> Option<String> {
        self.snapshot.load().assertion.as_ref()?;
        self.assertion_keys.jwks(self.ports.clock.monotonic()).ok()
    }

    /// A new id, for a decision or for a request that brings none.
    #[must_use]
    pub fn draw_id(&self) -> DecisionId {
        let mut id = [0u8; 16];
        self.ports.random.fill(&mut id);
        DecisionId::from_bytes(id)
    }

    /// Decides one request; `pages` answers for the service's own paths.
    ///
    /// What may have to be waited for is boxed: a future is moved when its task
    /// begins, and that of a check which waits for nothing should be small.
    pub async fn check(&self, request: &RequestView<'_>, pages: Option<&dyn OwnPages>) -> CheckOutcome {
        let snapshot = self.snapshot.load();
        let check = Check::new(self, &snapshot, request);
        let subject = match (check.begin(pages), pages) {
            (Step::Ask(subject), _) => subject,
            (Step::Done(outcome), _) => return outcome,
            (Step::Page(path), Some(pages)) => return Box::pin(check.page(&path, pages)).await,
            (Step::OwnTier(path, tier), _) => {
                let admitted = self.admitted(&snapshot, || check.caller_by(TokenPlaces::HEADER));
                let admitted = Box::pin(admitted).await;
                return check.judge_own(&path, &tier, &admitted);
            }
            (Step::Page(_), None) => {
                return check.deny(None, Reason::NoRule, Some("own_page"), &Required::default());
            }
        };
        let admitted = self.admitted(&snapshot, || check.caller(&subject)).await;
        check.judge(&subject, &admitted)
    }

    /// Who calls and what they count for under a policy, once what has to be
    /// waited for is there, or the time for all of that is over.
    pub(super) async fn admitted<'a>(
        &self,
        snapshot: &Snapshot,
        caller: impl Fn() -> Result<Caller, Ask<'a>> + Send + Sync,
    ) -> Admitted {
        let mut deadline = Deadline::new(&self.ports.tasks);
        let caller = match caller() {
            Ok(caller) => caller,
            Err(ask) => {
                let late = match &ask {
                    Ask::Session(_) => Caller::BadCookie(Reason::Unavailable, TOO_LATE),
                    Ask::AccessToken { .. } | Ask::Opaque(..) | Ask::Keys(_) => {
                        Caller::BadToken(Reason::Unavailable, TOO_LATE, None)
                    }
                };
                deadline.wait(Box::pin(self.known(ask, caller))).await.unwrap_or(late)
            }
        };
        self.admit(snapshot, caller, &mut deadline).await
    }

    /// Who calls, once what is asked for is there.
    async fn known<'a>(&self, ask: Ask<'a>, caller: impl Fn() -> Result<Caller, Ask<'a>> + Send + Sync) -> Caller {
        match ask {
            Ask::Session(id) => self.session(&id).await,
            Ask::AccessToken { hash, as_password } => self.access_token(hash, as_password).await,
            Ask::Opaque(token, issuers) => self.opaque_token(token, issuers).await,
            Ask::Keys(provider) => match self.waiting.take() {
                Some(_place) => {
                    self.ports.refresh.refresh(&provider).await;
                    caller().unwrap_or(rejected(Reason::InvalidToken, "kid_unknown"))
                }
                None => Caller::BadToken(Reason::Overloaded, "too_many_wait_for_keys", None),
            },
        }
    }

    /// Whose browser holds the session `id`.
    async fn session(&self, id: &SessionId) -> Caller {
        let Some(sessions) = &self.ports.sessions else { return Caller::Anonymous };
        match sessions.find(id).await {
            Ok(live) => Caller::Session(live),
            Err(none) => {
                let reason = match none {
                    NoSession::Unknown | NoSession::Broken | NoSession::Expired => Reason::SessionExpired,
                    NoSession::Unavailable => Reason::Unavailable,
                };
                Caller::BadCookie(reason, none.as_str())
            }
        }
    }

    /// What would be decided if `caller` had sent the request, whatever
    /// credentials stand in it. It can be shown and not be answered with: only
    /// a verified token makes somebody known to [`Self::check`].
    #[must_use]
    pub fn what_if(&self, request: &RequestView<'_>, caller: Option<&Principal>) -> DecisionRecord {
        self.what_if_under(&self.snapshot(), request, caller)
    }

    pub(super) fn what_if_under(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &RequestView<'_>,
        caller: Option<&Principal>,
    ) -> DecisionRecord {
        let check = Check::new(self, snapshot, request);
        match check.begin(None) {
            Step::Ask(subject) => {
                let caller = caller.map(|caller| Arc::new(caller.clone()));
                check.judge_principal(&subject, caller.as_ref(), None).record
            }
            Step::Done(outcome) => outcome.record,
            Step::Page(_) | Step::OwnTier(..) => {
                check.deny(None, Reason::NoRule, Some("own_page"), &Required::default()).record
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn check_as(&self, request: &RequestView<'_>, caller: Option<&Principal>) -> CheckOutcome {
        self.check_shared(request, caller.cloned().map(Arc::new).as_ref())
    }

    #[cfg(test)]
    pub(crate) fn check_shared(&self, request: &RequestView<'_>, caller: Option<&Arc<Principal>>) -> CheckOutcome {
        let snapshot = self.snapshot.load_full();
        let check = Check::new(self, &snapshot, request);
        match check.begin(None) {
            Step::Ask(subject) => check.judge_principal(&subject, caller, None),
            Step::Done(outcome) => outcome,
            Step::Page(_) | Step::OwnTier(..) => panic!("there are no pages"),
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
        Check::new(self, &snapshot, request).deny_as(kind, (None, None), reason, Some(cause), &Required::default())
    }
}
