//! Who visits a page of the service itself: the same credentials as in a check,
//! whose cookies and tokens count by the same rules.

use std::sync::Arc;

use super::admission::{Admitted, Barred, Shown};
use super::checker::Checker;
use super::judgement::Check;
use crate::policy::TokenPlaces;
use crate::session::LiveSession;
use crate::types::{Principal, Protocol, Reason, RequestView, TierSet};

/// Who visits a page.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// Nobody, as far as can be told.
    Nobody,
    /// Somebody whose credentials do not count; the word is for the log.
    Refused(Reason, &'static str),
    /// Somebody.
    Somebody(Guest),
}

/// Somebody whose credentials count now.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Who it is, with all that the directory says.
    pub principal: Arc<Principal>,
    /// The tiers that they hold now.
    pub tiers: TierSet,
    /// What they showed.
    pub credential: Credential,
}

/// What somebody showed.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The cookie of a session. Browsers send it unasked: what changes something has to come from our own pages.
    Session(Arc<LiveSession>),
    /// A token of a provider in `Authorization`.
    Bearer,
    /// A personal access token in `Authorization`.
    AccessToken {
        /// Whether it is the password of Basic. Browsers keep that and send it unasked, as they do a cookie; only
        /// programs send it without saying for which page.
        as_password: bool,
    },
}

impl Checker {
    /// Who sends these headers (names in lower case): by the one token in
    /// `Authorization`, else by the session cookie.
    pub async fn visitor(&self, headers: &[(&str, &[u8])]) -> Visitor {
        let request = RequestView {
            protocol: Protocol::ForwardAuth,
            method: "GET",
            target: b"/",
            host: None,
            headers,
            route_tier: None,
            route_app: None,
            request_id: None,
        };
        let snapshot = self.snapshot();
        let check = Check::new(self, &snapshot, &request);
        let admitted = self.admitted(&snapshot, || check.caller_by(TokenPlaces::HEADER)).await;
        let (principal, credential) = match admitted {
            Admitted::Somebody(principal, Shown::Token(_)) => (principal, Credential::Bearer),
            Admitted::Somebody(principal, Shown::AccessToken { as_password }) => {
                (principal, Credential::AccessToken { as_password })
            }
            Admitted::Somebody(principal, Shown::Session(live)) => (principal, Credential::Session(live)),
            Admitted::Anonymous => return Visitor::Nobody,
            Admitted::Barred(_, _, Barred { reason, cause })
            | Admitted::BadToken(reason, cause, _)
            | Admitted::BadCookie(reason, cause) => {
                return Visitor::Refused(reason, cause);
            }
        };
        let tiers = snapshot.policy.tiers().held_by(Some(&principal));
        Visitor::Somebody(Guest { principal, tiers, credential })
    }
}
