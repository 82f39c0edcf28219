//! Looking for users.

use super::user::{User, UserId};
use crate::types::ProviderId;

/// Which users; what is `None` does not matter. Deleted ones are never found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserQuery {
    /// Users whose name, address, user name or subject holds this text, without case (ASCII at least).
    pub search: Option<String>,
    /// Users of this provider.
    pub provider: Option<ProviderId>,
    /// The one that SCIM calls this, without case.
    pub user_name: Option<String>,
    /// The one with this external id of SCIM, with case.
    pub external_id: Option<String>,
    /// Users with this address, without case.
    pub email: Option<String>,
    /// Users who are refused, or those who are not.
    pub disabled: Option<bool>,
    /// Users in the group with this name.
    pub group: Option<String>,
    /// Users with a grant of this tier, ended or not.
    pub granted_tier: Option<String>,
    /// Users that SCIM manages, or those that it does not.
    pub is_scim: Option<bool>,
    /// The order.
    pub order: UserOrder,
    /// Those after this one in the order: the last of the page before.
    pub after: Option<UserId>,
    /// How many to leave out; for clients that page by number (SCIM `startIndex`).
    pub offset: u64,
    /// How many at most.
    pub limit: usize,
}

/// In what order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserOrder {
    /// By user name without case, then by id.
    #[default]
    UserName,
    /// Who was here last, first; then by id.
    LastSeen,
    /// By id.
    Id,
    /// By when the record was made, then by id: who is added while somebody pages
    /// comes after what was shown.
    Created,
}

/// Users in the order of the query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// How many the query finds without `after`, `offset` and `limit`.
    pub total: u64,
    /// Whether there are more after these.
    pub more: bool,
}
