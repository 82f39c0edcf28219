//! What a SCIM client is answered.

use serde_json::{Map, Value};

use crate::check::Page;
use crate::directory::DirectoryError;
use crate::scim::{ScimError, ScimType};

/// An answer before it is written.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body: Some(body) }
    }

    pub(super) const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    /// One resource, at this version.
    pub(super) fn resource(status: u16, resource: Map<String, Value>, version: u64) -> Self {
        Self { status, headers: Vec::new(), body: Some(Value::Object(resource)) }.at_version(version)
    }

    pub(super) fn at_version(mut self, version: u64) -> Self {
        self.headers.push(("etag", crate::scim::weak(version)));
        self
    }

    pub(super) fn at(mut self, location: String) -> Self {
        self.headers.push(("location", location));
        self
    }

    pub(super) fn into_page(self) -> Page {
        let Self { status, mut headers, body } = self;
        headers.push(("cache-control", "no-store".to_owned()));
        headers.push(("x-content-type-options", "nosniff".to_owned()));
        if body.is_some() {
            headers.push(("content-type", "application/scim+json".to_owned()));
        }
        Page { status, headers, body: body.map(|body| body.to_string()).unwrap_or_default() }
    }
}

impl From<ScimError> for Answer {
    fn from(error: ScimError) -> Self {
        let mut headers = Vec::new();
        if error.status == 401 {
            headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        if error.status == 503 {
            headers.push(("retry-after", "5".to_owned()));
        }
        Self { status: error.status, headers, body: Some(error.to_json()) }
    }
}

/// What a client is told of what the directory said.
pub(super) fn refusal(error: &DirectoryError) -> ScimError {
    match error {
        DirectoryError::Unavailable(_) | DirectoryError::Corrupt | DirectoryError::TooMany(_) => unavailable(),
        DirectoryError::Taken("user_name") => {
            ScimError::new(ScimType::Uniqueness, "another user has this `userName` already")
        }
        DirectoryError::Taken("name") => {
            ScimError::new(ScimType::Uniqueness, "another group has this `displayName` already")
        }
        DirectoryError::Taken(_) => ScimError::new(ScimType::Uniqueness, "another resource has this already"),
        DirectoryError::Missing("member") => ScimError::new(ScimType::InvalidValue, "a member is no user"),
        DirectoryError::Missing(_) => ScimError::not_found(),
        DirectoryError::Changed => ScimError::changed(),
        DirectoryError::NotManaged => ScimError::status(
            403,
            "users are in this group who are not provisioned by this client: call the group another name, or have an \
             administrator take them out of it",
        ),
    }
}

/// It cannot be done now.
pub(super) fn unavailable() -> ScimError {
    ScimError::status(503, "the user directory does not answer: try again later")
}
