//! Which apps open for somebody, judged by what judges their requests.

use std::sync::Arc;

use super::checker::Snapshot;
use crate::apps::App;
use crate::policy::{Decision, Required};
use crate::types::{Host, Principal, Reason};

/// An app, and whether it opens for the one who asks.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The app.
    pub app: Arc<App>,
    /// Whether a request for its front page would pass.
    pub access: Access,
}

/// Whether an app opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It does.
    Open,
    /// It does not; what its front page asks for.
    Locked(Reason, Required),
}

impl Snapshot {
    /// Every app of the catalogue that is not hidden, in its order, and whether
    /// `GET` of its front page would pass for `caller`. `public_host` is the host
    /// that browsers see where an app names none.
    #[must_use]
    pub fn openings(&self, caller: Option<&Principal>, public_host: Option<&Host>) -> Vec<Opening> {
        let shown = self.catalogue.apps().iter().filter(|app| !app.hidden);
        shown.map(|app| Opening { app: Arc::clone(app), access: self.access(app, caller, public_host) }).collect()
    }

    fn access(&self, app: &App, caller: Option<&Principal>, public_host: Option<&Host>) -> Access {
        let tiers = self.policy.tiers();
        let host = app.host.as_ref().or(public_host);
        let Some(matched) = self.policy.find(host, app.path.front(), "GET") else {
            return Access::Locked(Reason::NoRule, Required::default());
        };
        match matched.decide(tiers, caller, None) {
            Decision::Allow(_) => Access::Open,
            Decision::Deny(reason) => Access::Locked(reason, matched.required(tiers, None)),
        }
    }
}

#[cfg(test)]
#[path = "openings_tests.rs"]
mod tests;
