//! The audit: who changed what, from what to what.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::views::Timestamp;
use super::{AdminDesk, DeskError};
use crate::directory::{AuditEntry, AuditQuery, UserId};

/// Which lines; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditSearch {
    /// Lines about this user.
    pub user: Option<UserId>,
    /// Lines of this actor.
    pub actor: Option<String>,
    /// Lines whose action begins so.
    pub action: Option<String>,
    /// Lines before this number.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Lines of the audit, the latest first.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuditList {
    /// The lines.
    pub entries: Vec<AuditLine>,
    /// The `before` of the next page, where there is one.
    pub next: Option<u64>,
}

/// A line of the audit.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuditLine {
    /// Its place; later ones are higher.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// The user it is about.
    pub user: Option<String>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
    /// The id by which the log knows the request.
    pub request_id: Option<String>,
}

impl AdminDesk {
    /// The audit.
    ///
    /// # Errors
    /// Without a directory, or when it does not answer.
    pub async fn audit(&self, search: AuditSearch) -> Result<AuditList, DeskError> {
        let AuditSearch { user, actor, action, before, limit } = search;
        let query = AuditQuery { user, actor, action, before, limit: limit.clamp(1, Self::MAX_USERS) };
        let page = self.directory()?.store().audit(query).await?;
        let next = page.entries.last().filter(|_| page.more).map(|entry| entry.number);
        Ok(AuditList { entries: page.entries.into_iter().map(line).collect(), next })
    }
}

fn line(entry: AuditEntry) -> AuditLine {
    let AuditEntry { number, at, actor, action, target, user, before, after, request_id } = entry;
    let user = user.map(|id| id.to_string());
    AuditLine { number, at: Timestamp(at), actor, action, target, user, before, after, request_id }
}
