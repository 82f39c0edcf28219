//! What a line of the API's table says: a path with its method, what it takes and
//! how it can answer. Requests are dispatched by the table, and the document is
//! written from it, so that neither knows something which the other does not.

use schemars::{Schema, SchemaGenerator};

use super::body::BodyForm;
use crate::http::admin::desk::UserView;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Me,
    Document,
    ListUsers,
    CreateUser,
    ReadUser,
    ChangeUser,
    DisableUser,
    EnableUser,
    SignOutUser,
    GrantTier,
    RevokeTier,
    UserSessions,
    UserTokens,
    RevokeToken,
    ListGroups,
    ListSessions,
    RevokeSession,
    ListApps,
    ListTiers,
    ReadPolicy,
    Explain,
    ListDecisions,
    ListProviders,
    ReadAudit,
}

/// One line of the table.
pub(super) struct Described {
    pub(super) operation: Operation,
    pub(super) method: &'static str,
    /// Below the API's own path, with `{names}` for single segments.
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) if_match: IfMatch,
    pub(super) body: Option<BodyForm>,
    pub(super) answer: Answer,
    /// The statuses of problems, beside those that every operation has.
    pub(super) problems: &'static [u16],
}

/// Whether a change names the version that it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMatch {
    No,
    May,
    Must,
}

/// A good answer.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// A view, with its status.
    View(u16, fn(&mut SchemaGenerator) -> Schema),
    /// A view of one user, with its status; the `ETag` goes with it.
    User(u16),
    /// The document itself.
    Document,
    /// Nothing, with 204.
    Nothing,
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) means: &'static str,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// 1 to 255 characters, none of them a control character.
    Text,
    /// `true` or `false`.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A number between these.
    Number(u64, u64),
    /// 32 lower-case hexadecimal digits.
    Id,
    /// A moment (RFC 3339).
    Moment,
}

impl Answer {
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::View(status, _) | Self::User(status) => *status,
            Self::Document => 200,
            Self::Nothing => 204,
        }
    }

    pub(super) fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema> {
        match self {
            Self::View(_, schema) => Some(schema(generator)),
            Self::User(_) => Some(generator.subschema_for::<UserView>()),
            Self::Document => Some(schemars::json_schema!({ "type": "object" })),
            Self::Nothing => None,
        }
    }
}

impl Described {
    pub(super) fn is_change(&self) -> bool {
        self.method != "GET"
    }

    /// Every status with which it answers a problem.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let mut all = vec![400, 401, 403, 503];
        all.extend(self.problems);
        if self.is_change() {
            // It came to a check, which reads no bodies; the body is too large, or came too slowly.
            all.extend([405, 408, 413]);
        }
        if self.body.is_some() {
            all.push(415);
        }
        match self.if_match {
            IfMatch::No => {}
            IfMatch::May => all.push(412),
            IfMatch::Must => all.extend([412, 428]),
        }
        all.sort_unstable();
        all
    }

    /// The values of the `{names}`, where `path` is one of this line.
    pub(super) fn values<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        let mut values = Vec::new();
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(values),
                (Some(own), Some(given)) if own.starts_with('{') && !given.is_empty() => values.push(given),
                (Some(own), Some(given)) if own == given => {}
                (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return None,
            }
        }
    }
}
