//! The table of the API: every path with its method, what it takes and how it
//! can answer. Requests are dispatched by it, and the document is written from
//! it, so that neither knows something which the other does not.

use schemars::{Schema, SchemaGenerator};

use super::body::BodyForm;
use crate::check::Explanation;
use crate::http::admin::desk::{
    AppList, AuditList, DecisionList, GroupList, MeView, PolicyView, ProviderList, SessionList, SignedOut, TierList,
    TokenList, TokenView, UserList, UserView,
};

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

const fn parameter(name: &'static str, form: Form, means: &'static str) -> Parameter {
    Parameter { name, form, means }
}

const SUBJECT: Parameter = parameter("subject", Form::Text, "The `sub` of the person; together with `provider`.");
const LIMIT: Parameter = parameter("limit", Form::Number(1, 200), "How many at most; 50 unless given.");

const fn read(
    operation: Operation,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    schema: fn(&mut SchemaGenerator) -> Schema,
    problems: &'static [u16],
) -> Described {
    let answer = Answer::View(200, schema);
    Described {
        operation,
        method: "GET",
        path,
        id,
        summary,
        parameters,
        if_match: IfMatch::No,
        body: None,
        answer,
        problems,
    }
}

const fn change(
    operation: Operation,
    (method, path): (&'static str, &'static str),
    id: &'static str,
    summary: &'static str,
    (if_match, body): (IfMatch, Option<BodyForm>),
    answer: Answer,
    problems: &'static [u16],
) -> Described {
    Described { operation, method, path, id, summary, parameters: &[], if_match, body, answer, problems }
}

/// The table.
pub(super) const TABLE: &[Described] = &[
    read(Operation::Me, "/me", "me", "Who asks", &[], SchemaGenerator::subschema_for::<MeView>, &[]),
    Described {
        operation: Operation::Document,
        method: "GET",
        path: "/openapi.json",
        id: "openapi",
        summary: "This document",
        parameters: &[],
        if_match: IfMatch::No,
        body: None,
        answer: Answer::Document,
        problems: &[],
    },
    read(
        Operation::ListUsers,
        "/users",
        "listUsers",
        "Users, page by page",
        &[
            parameter("search", Form::Text, "Part of a name, an address, a user name or a subject."),
            parameter("provider", Form::Text, "Only users of the provider with this id."),
            parameter("disabled", Form::Flag, "Only users who are refused, or only those who are not."),
            parameter("group", Form::Text, "Only users in the group with this name."),
            parameter("tier", Form::Text, "Only users with a grant of this tier, ended or not."),
            parameter("order", Form::Choice(&["user_name", "last_seen", "id"]), "The order; `user_name` unless given."),
            LIMIT,
            parameter("cursor", Form::Id, "The `next` of the page before."),
        ],
        SchemaGenerator::subschema_for::<UserList>,
        &[404, 422],
    ),
    change(
        Operation::CreateUser,
        ("POST", "/users"),
        "createUser",
        "Make a record for somebody who never came, to refuse or to prepare them",
        (IfMatch::No, Some(BodyForm::NewUser)),
        Answer::User(201),
        &[404, 409, 422],
    ),
    Described {
        operation: Operation::ReadUser,
        method: "GET",
        path: "/users/{id}",
        id: "readUser",
        summary: "One user",
        parameters: &[],
        if_match: IfMatch::No,
        body: None,
        answer: Answer::User(200),
        problems: &[404],
    },
    change(
        Operation::ChangeUser,
        ("PATCH", "/users/{id}"),
        "changeUser",
        "Set the groups or the attributes of a user",
        (IfMatch::Must, Some(BodyForm::ChangeUser)),
        Answer::User(200),
        &[404, 422],
    ),
    change(
        Operation::DisableUser,
        ("POST", "/users/{id}/disable"),
        "disableUser",
        "Refuse a user from now on",
        (IfMatch::May, Some(BodyForm::Disable)),
        Answer::User(200),
        &[404, 409, 422],
    ),
    change(
        Operation::EnableUser,
        ("POST", "/users/{id}/enable"),
        "enableUser",
        "Let a user in again, whoever refused them",
        (IfMatch::May, None),
        Answer::User(200),
        &[404, 422],
    ),
    change(
        Operation::SignOutUser,
        ("POST", "/users/{id}/sign-out"),
        "signOutUser",
        "Sign a user out everywhere: tokens and sessions from before count no more",
        (IfMatch::May, None),
        Answer::View(200, SchemaGenerator::subschema_for::<SignedOut>),
        &[404, 422],
    ),
    change(
        Operation::GrantTier,
        ("PUT", "/users/{id}/grants/{tier}"),
        "grantTier",
        "Give a user a tier, or give it with another end",
        (IfMatch::May, Some(BodyForm::Grant)),
        Answer::User(200),
        &[404, 422],
    ),
    change(
        Operation::RevokeTier,
        ("DELETE", "/users/{id}/grants/{tier}"),
        "revokeTier",
        "Take back a tier that was given",
        (IfMatch::May, None),
        Answer::User(200),
        &[404, 422],
    ),
    read(
        Operation::UserSessions,
        "/users/{id}/sessions",
        "listUserSessions",
        "The live sessions of a user",
        &[LIMIT],
        SchemaGenerator::subschema_for::<SessionList>,
        &[404],
    ),
    read(
        Operation::UserTokens,
        "/users/{id}/tokens",
        "listUserTokens",
        "The personal access tokens of a user",
        &[],
        SchemaGenerator::subschema_for::<TokenList>,
        &[404],
    ),
    change(
        Operation::RevokeToken,
        ("DELETE", "/users/{id}/tokens/{token}"),
        "revokeToken",
        "Revoke a personal access token",
        (IfMatch::No, None),
        Answer::View(200, SchemaGenerator::subschema_for::<TokenView>),
        &[404],
    ),
    read(
        Operation::ListGroups,
        "/groups",
        "listGroups",
        "Groups, page by page",
        &[LIMIT, parameter("cursor", Form::Text, "The `next` of the page before.")],
        SchemaGenerator::subschema_for::<GroupList>,
        &[404],
    ),
    read(
        Operation::ListSessions,
        "/sessions",
        "listSessions",
        "Live sessions, of everybody or of one person",
        &[
            parameter("provider", Form::Text, "The id of the person's provider; together with `subject`."),
            SUBJECT,
            LIMIT,
        ],
        SchemaGenerator::subschema_for::<SessionList>,
        &[404, 422],
    ),
    change(
        Operation::RevokeSession,
        ("DELETE", "/sessions/{key}"),
        "revokeSession",
        "End a session",
        (IfMatch::No, None),
        Answer::Nothing,
        &[404],
    ),
    read(
        Operation::ListApps,
        "/apps",
        "listApps",
        "The apps of the catalogue",
        &[],
        SchemaGenerator::subschema_for::<AppList>,
        &[],
    ),
    read(
        Operation::ListTiers,
        "/tiers",
        "listTiers",
        "The tiers",
        &[],
        SchemaGenerator::subschema_for::<TierList>,
        &[],
    ),
    read(
        Operation::ReadPolicy,
        "/policy",
        "readPolicy",
        "The rules as they were compiled, and where each comes from",
        &[],
        SchemaGenerator::subschema_for::<PolicyView>,
        &[],
    ),
    change(
        Operation::Explain,
        ("POST", "/policy/explain"),
        "explain",
        "What would be decided about a request, and why",
        (IfMatch::No, Some(BodyForm::Explain)),
        Answer::View(200, SchemaGenerator::subschema_for::<Explanation>),
        &[404, 422],
    ),
    read(
        Operation::ListDecisions,
        "/decisions",
        "listDecisions",
        "The last decisions of the process that answers, the latest first",
        &[
            parameter("decision", Form::Choice(&["allow", "deny"]), "Only these."),
            parameter("reason", Form::Text, "Only those with this reason."),
            parameter("tier", Form::Text, "Only those about this tier."),
            parameter("subject", Form::Text, "Only those about this subject."),
            parameter("path", Form::Text, "Only those at paths that begin so."),
            parameter("host", Form::Text, "Only those on this host."),
            parameter("since", Form::Moment, "Only those since this moment."),
            parameter("limit", Form::Number(1, 1000), "How many at most; 50 unless given."),
        ],
        SchemaGenerator::subschema_for::<DecisionList>,
        &[],
    ),
    read(
        Operation::ListProviders,
        "/providers",
        "listProviders",
        "The identity providers, and how their keys are",
        &[],
        SchemaGenerator::subschema_for::<ProviderList>,
        &[],
    ),
    read(
        Operation::ReadAudit,
        "/audit",
        "readAudit",
        "Who changed what, the latest first",
        &[
            parameter("user", Form::Id, "Only changes of the user with this id."),
            parameter("actor", Form::Text, "Only changes by this actor."),
            parameter("action", Form::Text, "Only actions that begin so."),
            parameter("before", Form::Number(1, i64::MAX as u64), "The `next` of the page before."),
            LIMIT,
        ],
        SchemaGenerator::subschema_for::<AuditList>,
        &[404],
    ),
];

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
