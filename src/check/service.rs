//! A check with everything around it: observed, and one denied request where it
//! panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::checker::Checker;
use super::outcome::{CheckOutcome, DenyKind};
use super::pages::OwnPages;
use super::record::DecisionRecord;
use crate::types::{Clock, Reason, RequestView};

/// Where decisions are written down.
///
/// Contract: takes every decision exactly once and never blocks.
pub trait DecisionLog: Send + Sync {
    /// One decision and the time it took.
    fn record(&self, record: &DecisionRecord, took: Duration);
}

/// What the protocols call.
#[derive(Clone)]
pub struct CheckService {
    checker: Arc<Checker>,
    log: Arc<dyn DecisionLog>,
    clock: Arc<dyn Clock>,
    pages: Option<Arc<dyn OwnPages>>,
}

impl CheckService {
    /// Writes the decisions of `checker` down in `log`.
    #[must_use]
    pub fn new(checker: Arc<Checker>, log: Arc<dyn DecisionLog>, clock: Arc<dyn Clock>) -> Self {
        Self { checker, log, clock, pages: None }
    }

    /// The same, with `pages` answering for the service's own paths.
    #[must_use]
    pub fn with_pages(self, pages: Arc<dyn OwnPages>) -> Self {
        Self { pages: Some(pages), ..self }
    }

    /// What answers for the service's own paths, if anything does.
    #[must_use]
    pub fn pages(&self) -> Option<&Arc<dyn OwnPages>> {
        self.pages.as_ref()
    }

    /// The checker behind it.
    #[must_use]
    pub fn checker(&self) -> &Arc<Checker> {
        &self.checker
    }

    /// Decides one request and writes the decision down.
    pub async fn answer(&self, request: &RequestView<'_>) -> CheckOutcome {
        let start = self.clock.monotonic();
        let checked = self.checker.check(request, self.pages.as_deref());
        let outcome = AssertUnwindSafe(checked).catch_unwind().await.unwrap_or_else(|_| {
            // The panic itself is in the service's own log.
            self.checker.refuse(request, DenyKind::Unavailable, Reason::Unavailable, "panic")
        });
        self.write_down(outcome, self.clock.monotonic().since(start))
    }

    /// Refuses a request that could not even be read.
    pub fn refuse(
        &self,
        request: &RequestView<'_>,
        kind: DenyKind,
        reason: Reason,
        cause: &'static str,
    ) -> CheckOutcome {
        self.write_down(self.checker.refuse(request, kind, reason, cause), Duration::ZERO)
    }

    fn write_down(&self, outcome: CheckOutcome, took: Duration) -> CheckOutcome {
        self.log.record(&outcome.record, took);
        outcome
    }
}
