//! Layer 5: one check, from the request a proxy describes to an outcome.
//!
//! ```text
//! RequestView ─target─▶ rule ─credentials─▶ caller ─conditions─▶ CheckOutcome
//!                                 token, else session; then the directory
//! ```
//!
//! [`Checker::check`] is the only way to a decision, whatever the protocol. It
//! waits for four things only: the refresh of a key set that lacks a token's
//! key, the session of a cookie, what the directory says of somebody it does
//! not know by heart, and a page of the service itself. All but the last share one
//! deadline, which is shorter than Envoy's patience.

mod access_token;
mod admission;
mod allow;
mod answers;
mod assertion;
mod body;
mod checker;
mod credentials;
mod deadline;
mod identity_headers;
mod judgement;
mod known_bad;
mod login;
mod merged;
mod miss_budget;
mod openings;
mod outcome;
mod own_page;
mod pages;
mod per_caller;
mod places;
mod record;
mod request_kind;
mod service;
mod token_cache;
mod visitor;
mod what_if;

pub use admission::SessionGuest;
pub use allow::Allow;
pub use assertion::{AssertionKeys, AssertionSettings};
pub use body::{ErrorTemplate, TemplateError};
pub use checker::{Checker, Generation, Ports, Snapshot};
pub use identity_headers::{
    ASSERTION_HEADER, COOKIE_HEADER, HeaderProfile, IdentityHeaders, QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER,
};
pub use login::{LoginPlace, LoginRedirect, LostSession};
pub use openings::{Access, Opening};
pub use outcome::{Answer, Body, CheckOutcome, Denial, DenyKind, Response};
pub use pages::{OwnPages, Page, PageRequest, Sender};
pub use per_caller::PerCaller;
pub use record::{DecisionId, DecisionRecord, Digits};
pub(crate) use request_kind::{is_navigation, is_request_id};
pub use service::{CheckService, DecisionLog};
pub use token_cache::{CacheResult, TokenCache};
pub use visitor::{Credential, Guest, Visitor};
pub use what_if::{CallerHas, CallerNames, Explanation, Question, QuestionError, Requires};

pub use crate::token::KeyRefresh;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
pub(crate) mod tests;
