//! What is wrong with a request.

use super::problem::problem;
use crate::check::Page;
use crate::http::admin::DeskError;
use crate::http::pages::Visit;

/// Why a request is not done.
pub(super) enum Fault {
    /// The body is not what is asked for; everything that is wrong with it.
    Body(Vec<String>),
    /// The body is no JSON.
    ContentType,
    /// A parameter of the query is wrong.
    Query(String),
    /// `If-Match` names no version.
    IfMatch,
    /// `If-Match` is missing.
    NoIfMatch,
    /// What is asked for cannot be.
    Unfit(String),
    /// The desk says no.
    Desk(DeskError),
}

impl From<DeskError> for Fault {
    fn from(error: DeskError) -> Self {
        Self::Desk(error)
    }
}

impl Fault {
    /// The problem that tells it.
    pub(super) fn page(&self, visit: &Visit<'_>) -> Page {
        match self {
            Self::Body(faults) => problem(visit, 400, "The body is not right", &faults.join("; ")),
            Self::ContentType => {
                problem(visit, 415, "The body is no JSON", "Send it with `Content-Type: application/json`.")
            }
            Self::Query(fault) => problem(visit, 400, "The query is not right", fault),
            Self::IfMatch => problem(
                visit,
                412,
                "`If-Match` names no version of the user",
                "Send the one `ETag` of the user as it was read, or `*` for any.",
            ),
            Self::NoIfMatch => problem(
                visit,
                428,
                "`If-Match` is missing",
                "Read the user first, and send its `ETag` in `If-Match`, so that nobody's change is lost.",
            ),
            Self::Unfit(fault) => problem(visit, 422, "It cannot be done", fault),
            Self::Desk(error) => super::problem::of(visit, error),
        }
    }
}

/// A name as it stands in a message: cut, on one line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}
