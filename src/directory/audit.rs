//! Who changed what, from what to what.

use std::fmt;

use serde_json::Value;

use super::user::{UserId, UserKey};
use crate::types::{ProviderId, UnixTime};

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody in the administrator's pages or API, or a person in the portal.
    Person(UserKey),
    /// A hook of this provider.
    Hook(ProviderId),
    /// The SCIM client of this provider.
    Scim(ProviderId),
    /// `user sync` at this provider.
    Sync(ProviderId),
    /// The sign-in itself.
    SignIn,
    /// Somebody at the shell.
    Shell,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(key) => write!(f, "{}/{}", key.provider.as_str(), key.subject),
            Self::Hook(provider) => write!(f, "hook:{}", provider.as_str()),
            Self::Scim(provider) => write!(f, "scim:{}", provider.as_str()),
            Self::Sync(provider) => write!(f, "sync:{}", provider.as_str()),
            Self::SignIn => f.write_str("sign-in"),
            Self::Shell => f.write_str("shell"),
        }
    }
}

/// One line of the audit to write. Changes of users and groups write their own
/// in the transaction that makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAuditEntry {
    /// Who.
    pub actor: Actor,
    /// What, a constant word such as `user.disable`.
    pub action: &'static str,
    /// To what, as people would name it.
    pub target: String,
    /// The user it is about.
    pub user: Option<UserId>,
    /// What was there before; without secrets.
    pub before: Option<Value>,
    /// What is there now; without secrets.
    pub after: Option<Value>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
}

/// One line of the audit as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Its place; later ones are higher.
    pub number: u64,
    /// When.
    pub at: UnixTime,
    /// Who, as [`Actor`] is displayed.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// The user it is about.
    pub user: Option<UserId>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
}

/// Which lines; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Lines about this user.
    pub user: Option<UserId>,
    /// Lines of this actor, as displayed.
    pub actor: Option<String>,
    /// Lines whose action begins so.
    pub action: Option<String>,
    /// Lines before this number.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Lines of the audit, the latest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditPage {
    /// The lines.
    pub entries: Vec<AuditEntry>,
    /// Whether there are more before these.
    pub more: bool,
}
