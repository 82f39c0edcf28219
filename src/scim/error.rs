//! What a SCIM client is told when it is refused (RFC 7644 section 3.12).

use serde_json::{Value, json};

use super::schema::ERROR;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// What kind of mistake it was, where the status does not say it.
    pub kind: Option<ScimType>,
    /// What to do about it, for people.
    pub detail: String,
}

/// The `scimType` of an error (RFC 7644 table 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimType {
    /// The filter cannot be read, or asks what cannot be compared.
    InvalidFilter,
    /// The filter finds, or would have to look through, more than is answered.
    TooMany,
    /// Another resource has this already.
    Uniqueness,
    /// An attribute that cannot be changed so.
    Mutability,
    /// The body cannot be read.
    InvalidSyntax,
    /// The path of an operation cannot be read.
    InvalidPath,
    /// The path of an operation finds nothing to change.
    NoTarget,
    /// A value is missing or of the wrong kind.
    InvalidValue,
}

impl ScimType {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
        }
    }
}

impl ScimError {
    /// A mistake of the client's: status 400, or 409 where another resource is in the way.
    #[must_use]
    pub fn new(kind: ScimType, detail: impl Into<String>) -> Self {
        let status = if kind == ScimType::Uniqueness { 409 } else { 400 };
        Self { status, kind: Some(kind), detail: detail.into() }
    }

    /// A refusal that its status says.
    #[must_use]
    pub fn status(status: u16, detail: impl Into<String>) -> Self {
        Self { status, kind: None, detail: detail.into() }
    }

    /// There is no such resource.
    #[must_use]
    pub fn not_found() -> Self {
        Self::status(404, "there is no such resource")
    }

    /// It was changed since the version of `If-Match`.
    #[must_use]
    pub fn changed() -> Self {
        Self::status(412, "the resource is not at this version any more: read it again")
    }

    /// As the body of an answer.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "schemas": [ERROR], "status": self.status.to_string(), "detail": self.detail });
        if let (Some(kind), Value::Object(members)) = (self.kind, &mut body) {
            members.insert("scimType".to_owned(), Value::from(kind.as_str()));
        }
        body
    }
}

/// A part of what the client sent, short enough to be repeated to it.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let plain: String = text.chars().filter(|c| !c.is_control() && *c != '`').take(MOST).collect();
    if text.chars().count() > MOST { format!("`{plain}…`") } else { format!("`{plain}`") }
}
