//! What a SCIM client sends, read strictly.

use serde_json::{Map, Value};

use crate::http::pages::Visit;
use crate::scim::{Parameters, ScimError, ScimType, Tags};
use crate::token::parse_object;

/// The object that the body is.
pub(super) fn body(visit: &Visit<'_>) -> Result<Map<String, Value>, ScimError> {
    let Some(body) = visit.body() else {
        return Err(ScimError::status(501, "the proxy does not hand this path on: give it a route to the service"));
    };
    let mut kinds = visit.values("content-type");
    let kind = kinds.next().and_then(|kind| kind.split(|byte| *byte == b';').next()).unwrap_or_default().trim_ascii();
    let is_json =
        [&b"application/scim+json"[..], b"application/json"].iter().any(|json| kind.eq_ignore_ascii_case(json));
    if !is_json || kinds.next().is_some() {
        return Err(ScimError::status(415, "the body has to be `application/scim+json`"));
    }
    parse_object(body).map_err(|_| {
        let why = "the body has to be one JSON object, no name twice, at most 16 levels deep";
        ScimError::new(ScimType::InvalidSyntax, why)
    })
}

/// The parameters of the query.
pub(super) fn parameters(visit: &Visit<'_>) -> Result<Parameters, ScimError> {
    let single = |name: &str| {
        let mut values = visit.parameters(name).into_iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(ScimError::new(ScimType::InvalidValue, format!("`{name}` stands twice")));
        }
        Ok(first)
    };
    Ok(Parameters {
        filter: single("filter")?,
        start_index: single("startIndex")?,
        count: single("count")?,
        sort_by: single("sortBy")?,
        sort_order: single("sortOrder")?,
        attributes: single("attributes")?,
        excluded_attributes: single("excludedAttributes")?,
    })
}

/// The versions that a conditional request names.
pub(super) fn tags(visit: &Visit<'_>, header: &'static str) -> Option<Tags> {
    let written: Vec<&str> = visit.values(header).map(|value| std::str::from_utf8(value).unwrap_or_default()).collect();
    (!written.is_empty()).then(|| Tags::parse(&written.join(",")))
}
