//! Layer 3: the people the service knows, beyond what their tokens say.
//!
//! ```text
//! sign-in, hook, SCIM, sync, administrator ─▶ UserChange ─apply─▶ User ─▶ store
//!                                                                  │
//!                           check ◀── Standing ◀── Directory ◀─────┘
//! ```
//!
//! What a change makes of a user is a pure function ([`User::apply`]); a store
//! runs it inside one transaction, so that whatever writes at the same time, one
//! row with the right values comes of it. A check asks the [`Directory`], which
//! knows the last records and is told of every change.

mod access_token;
mod audit;
mod change;
mod group;
mod known;
mod look_ups;
mod query;
mod standing;
mod standings;
mod store;
mod token_uses;
mod trail;
mod user;

pub use access_token::{
    AccessToken, AccessTokenId, AccessTokenSecret, KEPT_AFTER_END, NewAccessToken, StoredAccessToken, TOKEN_DAY,
    TOO_MANY_NEW_TOKENS, TOO_MANY_TOKENS, TokenHash, made_in_a_day,
};
pub use audit::{Actor, AuditEntry, AuditPage, AuditQuery, NewAuditEntry};
pub use change::{AttributesChange, Membership, Report, SignedIn, UserChange};
pub use group::{Group, GroupChange, GroupId, GroupPage, GroupQuery, NewGroup};
pub use known::{Because, Directory, DirectoryPorts, Remembering};
pub use query::{UserOrder, UserPage, UserQuery, fold, sort_name};
pub use standing::{Grant, Standing};
pub use store::{
    ChangeRequest, Changed, Changes, DirectoryError, DirectoryFuture, EventId, Outcome, ReportRequest, UserDirectory,
    UserRef,
};
pub use token_uses::TokenUses;
pub use user::{AsOf, Rights, ScimResource, TierGrant, User, UserId, UserKey};

#[cfg(test)]
pub(crate) mod fixture;
