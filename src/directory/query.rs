//! Looking for users.

use super::user::{User, UserId};
use crate::types::{Email, ProviderId};

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
    /// Those after this one in the order: the last of the page before. Somebody
    /// who was deleted meanwhile keeps their place; an id that never was is
    /// [`DirectoryError::Missing`](super::DirectoryError::Missing).
    pub after: Option<UserId>,
    /// How many to leave out; for clients that page by number (SCIM `startIndex`).
    pub offset: u64,
    /// How many at most.
    pub limit: usize,
}

/// In what order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserOrder {
    /// By user name without case ([`sort_name`]), then by id.
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

/// Between the fields that a search looks through; no field holds it.
const SEPARATOR: char = '\u{1f}';
/// What a database can keep in an index, whichever it is.
const SORTED_BYTES: usize = 240;

/// `text` without case. Letter by letter, so that a part of a text is a part of
/// the folded text too.
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().filter(|letter| *letter != SEPARATOR).flat_map(char::to_lowercase).collect()
}

/// What users are ordered by: their user name without case, cut where an index ends.
#[must_use]
pub fn sort_name(user_name: &str) -> String {
    let mut name = fold(user_name);
    name.truncate(name.floor_char_boundary(SORTED_BYTES));
    name
}

impl User {
    /// What a search looks through, folded.
    #[must_use]
    pub fn search_text(&self) -> String {
        let email = self.email.as_ref().map(Email::address);
        let fields = [Some(self.user_name.as_str()), self.name.as_deref(), email, Some(&self.key.subject)];
        let mut text = String::new();
        for field in fields.into_iter().flatten() {
            text.push_str(&fold(field));
            text.push(SEPARATOR);
        }
        text
    }
}

impl UserQuery {
    /// Whether it finds `user`, whatever page they are on.
    #[must_use]
    pub fn finds(&self, user: &User) -> bool {
        let Self {
            search,
            provider,
            user_name,
            external_id,
            email,
            disabled,
            group,
            granted_tier,
            is_scim,
            order: _,
            after: _,
            offset: _,
            limit: _,
        } = self;
        let address = user.email.as_ref().map(|email| fold(email.address()));
        let external = user.scim.as_ref().and_then(|scim| scim.external_id.as_ref());
        user.deleted_at.is_none()
            && search.as_ref().is_none_or(|text| user.search_text().contains(&fold(text)))
            && provider.as_ref().is_none_or(|provider| user.key.provider == *provider)
            && user_name.as_ref().is_none_or(|name| fold(&user.user_name) == fold(name))
            && external_id.as_ref().is_none_or(|id| external == Some(id))
            && email.as_ref().is_none_or(|email| address == Some(fold(email)))
            && disabled.is_none_or(|disabled| user.is_disabled() == disabled)
            && group.as_ref().is_none_or(|group| user.groups.contains(group))
            && granted_tier.as_ref().is_none_or(|tier| user.grants.iter().any(|grant| grant.tier == *tier))
            && is_scim.is_none_or(|is_scim| user.scim.is_some() == is_scim)
    }
}
