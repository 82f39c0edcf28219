//! The walk through all users of a provider: which page is next, and what a
//! page says.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::member::{Scope, ShapeFault};
use super::path::encode_segment;
use super::{Kind, Told, auth0_user, keycloak_user};
use crate::types::UnixTime;

/// How many users a page has; the most that Auth0 gives.
const PAGE: u64 = 100;
/// How many users Auth0 shows of one search, however many it finds.
const SHOWN: u64 = 1000;

/// Why a walk does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A page that is no page of users.
    #[error("the page of users is malformed")]
    Malformed,
    /// More users than one search shows were made at one moment.
    #[error(
        "more users were made at `{0}` than one search of Auth0 shows: walk them by an export job and `user import`"
    )]
    Crowd(String),
}

/// A user on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The provider's name for them, as far as it can be read.
    pub name: String,
    /// What the page says of them.
    pub told: Result<Told, ShapeFault>,
}

/// Where a walk is.
///
/// Auth0 shows 1000 users of a search and no more. So its users are walked in
/// the order in which they were made, and every 1000 a new search begins at the
/// moment at which the last one was made. Keycloak counts from the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    kind: Start,
    /// When it began, in milliseconds of 1970.
    started: i64,
    /// How many users of the present search, or of all, are behind it.
    behind: u64,
    /// What the present search begins at (Auth0).
    since: Option<String>,
    /// The last moment that was seen (Auth0).
    last: Option<String>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    Auth0,
    Keycloak,
}

impl Start {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Auth0 => Self::Auth0,
            Kind::Keycloak => Self::Keycloak,
        }
    }
}

impl Walk {
    /// A walk that begins at `now`.
    #[must_use]
    pub fn begin(kind: Kind, now: UnixTime) -> Self {
        Self { kind: Start::of(kind), started: now.as_millis(), behind: 0, since: None, last: None, done: false }
    }

    /// The walk that wrote this bookmark, where it was one through such an API.
    #[must_use]
    pub fn resume(kind: Kind, bookmark: &str) -> Option<Self> {
        serde_json::from_str(bookmark).ok().filter(|walk: &Self| walk.kind == Start::of(kind) && !walk.done)
    }

    /// Where it is, to go on later.
    #[must_use]
    pub fn bookmark(&self) -> Option<String> {
        serde_json::to_string(self).ok().filter(|_| !self.done)
    }

    /// When it began.
    #[must_use]
    pub const fn started(&self) -> UnixTime {
        UnixTime::from_millis(self.started)
    }

    /// The path and query of the next page; `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<String> {
        if self.done {
            return None;
        }
        let mut query = Serializer::new(String::new());
        match self.kind {
            Start::Auth0 => {
                query
                    .append_pair("page", &(self.behind / PAGE).to_string())
                    .append_pair("per_page", &PAGE.to_string())
                    .append_pair("include_totals", "true")
                    .append_pair("sort", "created_at:1")
                    .append_pair("search_engine", "v3");
                if let Some(since) = &self.since {
                    query.append_pair("q", &format!("created_at:[{since} TO *]"));
                }
            }
            Start::Keycloak => {
                query
                    .append_pair("first", &self.behind.to_string())
                    .append_pair("max", &PAGE.to_string())
                    .append_pair("briefRepresentation", "false");
            }
        }
        Some(format!("users?{}", query.finish()))
    }

    /// Takes the page that [`Self::next`] named, asked for at `as_of`.
    ///
    /// # Errors
    /// When it is no page, or the walk cannot go on; it stays where it was.
    pub fn take(&mut self, page: &[u8], as_of: UnixTime) -> Result<Vec<Found>, WalkError> {
        let page: Value = serde_json::from_slice(page).map_err(|_| WalkError::Malformed)?;
        let users = match self.kind {
            Start::Auth0 => page.get("users").unwrap_or(&page),
            Start::Keycloak => &page,
        };
        let users = users.as_array().ok_or(WalkError::Malformed)?;
        let count = u64::try_from(users.len()).unwrap_or(u64::MAX);
        match self.kind {
            Start::Auth0 => self.go_on(users, count)?,
            Start::Keycloak => {
                self.behind = self.behind.saturating_add(count);
                // A page may be short where users come from several sources.
                self.done = count == 0;
            }
        }
        Ok(users.iter().map(|user| self.found(user, as_of)).collect())
    }

    fn go_on(&mut self, users: &[Value], count: u64) -> Result<(), WalkError> {
        if count < PAGE {
            self.done = true;
            return Ok(());
        }
        let made = |user: &Value| user.get("created_at").and_then(Value::as_str).map(str::to_owned);
        let latest = users.iter().filter_map(made).filter(|made| UnixTime::parse_rfc3339(made).is_some());
        let latest = latest.chain(self.last.clone()).max_by_key(|made| UnixTime::parse_rfc3339(made));
        let behind = self.behind.saturating_add(count);
        if behind < SHOWN {
            (self.behind, self.last) = (behind, latest);
            return Ok(());
        }
        let latest = latest.ok_or(WalkError::Malformed)?;
        let has_come_on =
            self.since.as_ref().is_none_or(|since| UnixTime::parse_rfc3339(since) < UnixTime::parse_rfc3339(&latest));
        if !has_come_on {
            return Err(WalkError::Crowd(latest));
        }
        (self.behind, self.since, self.last) = (0, Some(latest), None);
        Ok(())
    }

    fn found(&self, user: &Value, as_of: UnixTime) -> Found {
        let id = match self.kind {
            Start::Auth0 => "user_id",
            Start::Keycloak => "id",
        };
        let name = user.get(id).and_then(Value::as_str).unwrap_or_default().to_owned();
        let told = user.as_object().ok_or(ShapeFault::Missing(id)).and_then(|user| match self.kind {
            Start::Auth0 => auth0_user(user, Scope::Whole, as_of),
            Start::Keycloak => keycloak_user(user, Scope::Whole, as_of),
        });
        Found { name, told }
    }
}

/// Where one user is.
#[must_use]
pub fn user_path(subject: &str) -> String {
    format!("users/{}", encode_segment(subject))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
