//! A user as Keycloak writes one: in its admin API (`UserRepresentation`), in
//! its admin events and in its user events.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Told;
use super::member::{self, Fields, Scope, ShapeFault};
use crate::directory::{AttributesChange, Membership, Report, UserChange};
use crate::token::parse_object;
use crate::types::{Email, UnixTime};

/// The user of the admin API, with what of it the directory keeps.
///
/// # Errors
/// When a member that counts is not of its form.
pub fn keycloak_user(user: &Map<String, Value>, scope: Scope, as_of: UnixTime) -> Result<Told, ShapeFault> {
    let subject = Fields(user).subject("id")?;
    Ok(Told { subject, change: UserChange::Reported(Box::new(representation(user, scope, as_of)?)) })
}

fn representation(user: &Map<String, Value>, scope: Scope, as_of: UnixTime) -> Result<Report, ShapeFault> {
    let first = Fields(user).text("firstName")?.or_else(|| scope.absent(None));
    let last = Fields(user).text("lastName")?.or_else(|| scope.absent(None));
    let enabled = Fields(user).flag("enabled")?;
    let attributes = Fields(user).object("attributes")?.map(flattened);
    Ok(Report {
        as_of,
        user_name: Fields(user).text("username")?.flatten(),
        email: Fields(user).email("email", "emailVerified")?.or_else(|| scope.absent(None)),
        // One half alone does not tell the other.
        name: first.zip(last).map(|(first, last)| joined(first, last)),
        disabled: enabled.map(|enabled| !enabled),
        // What others wrote besides is not the provider's to take.
        attributes: attributes.map(AttributesChange::Merge),
        ..Report::default()
    })
}

fn joined(first: Option<String>, last: Option<String>) -> Option<String> {
    let name: Vec<String> = [first, last].into_iter().flatten().collect();
    (!name.is_empty()).then(|| name.join(" "))
}

/// Every attribute is a list there; one of one value is that value here.
fn flattened(attributes: &Map<String, Value>) -> Map<String, Value> {
    let value = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([only]) => only.clone(),
        Some(_) | None => value.clone(),
    };
    attributes.iter().map(|(name, held)| (name.clone(), value(held))).collect()
}

/// What an admin event says, with the moment it names; `None` where it is about
/// nothing that the directory keeps.
///
/// # Errors
/// When a member that counts is missing or not of its form.
pub fn admin_event(event: &Map<String, Value>, as_of: UnixTime) -> Result<Option<Told>, ShapeFault> {
    let word = |name| Fields(event).word(name);
    let (operation, resource) = (word("operationType")?, word("resourceType")?);
    if Fields(event).text("error")?.flatten().is_some() {
        return Ok(None);
    }
    let path = word("resourcePath")?;
    let segments: Vec<&str> = path.split('/').collect();
    match (resource.as_str(), segments.as_slice()) {
        ("USER", ["users", id]) => {
            let subject = member::as_subject(id).ok_or(ShapeFault::Form("resourcePath"))?;
            let change = match operation.as_str() {
                "DELETE" => UserChange::Gone { as_of },
                "CREATE" | "UPDATE" => {
                    let user = written(event)?.unwrap_or_default();
                    UserChange::Reported(Box::new(representation(&user, Scope::Part, as_of)?))
                }
                _ => return Ok(None),
            };
            Ok(Some(Told { subject, change }))
        }
        ("GROUP_MEMBERSHIP", ["users", id, "groups", _]) => {
            let subject = member::as_subject(id).ok_or(ShapeFault::Form("resourcePath"))?;
            let group = written(event)?.ok_or(ShapeFault::Missing("representation"))?;
            let path = Fields(&group).text("path")?.flatten().ok_or(ShapeFault::Missing("representation"))?;
            let one: BTreeSet<String> = std::iter::once(path).collect();
            let membership = match operation.as_str() {
                "CREATE" => Membership { joined: one, left: BTreeSet::new() },
                "DELETE" => Membership { joined: BTreeSet::new(), left: one },
                _ => return Ok(None),
            };
            let report = Report { as_of, membership: Some(membership), ..Report::default() };
            Ok(Some(Told { subject, change: UserChange::Reported(Box::new(report)) }))
        }
        _ => Ok(None),
    }
}

/// The `representation`: JSON within a text. Absent where the realm keeps none.
fn written(event: &Map<String, Value>) -> Result<Option<Map<String, Value>>, ShapeFault> {
    match event.get("representation") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            parse_object(text.as_bytes()).map(Some).map_err(|_| ShapeFault::Form("representation"))
        }
        Some(_) => Err(ShapeFault::Form("representation")),
    }
}

/// What a user event says; `None` where it is about nothing that the directory keeps.
///
/// # Errors
/// When a member that counts is missing or not of its form.
pub fn user_event(event: &Map<String, Value>, as_of: UnixTime) -> Result<Option<Told>, ShapeFault> {
    let kind = Fields(event).text("type")?.flatten().ok_or(ShapeFault::Missing("type"))?;
    let nothing = Map::new();
    let details = Fields(event).object("details")?.unwrap_or(&nothing);
    let detail = |name| Fields(details).text(name).map(Option::flatten);
    let address = |name, verified| Ok(detail(name)?.map(|address| Some(Email::new(&address, verified))));
    let name = |first, last| Ok(detail(first)?.zip(detail(last)?).map(|(first, last)| joined(Some(first), Some(last))));
    let report = match kind.as_str() {
        "REGISTER" => Report {
            user_name: detail("username")?,
            email: address("email", false)?,
            name: name("first_name", "last_name")?,
            ..Report::default()
        },
        "UPDATE_PROFILE" | "UPDATE_EMAIL" => Report {
            email: address("updated_email", false)?,
            name: name("updated_first_name", "updated_last_name")?,
            ..Report::default()
        },
        "VERIFY_EMAIL" => Report { email: address("email", true)?, ..Report::default() },
        "DELETE_ACCOUNT" => {
            return Ok(Some(Told { subject: Fields(event).subject("userId")?, change: UserChange::Gone { as_of } }));
        }
        _ => return Ok(None),
    };
    let report = Report { as_of, ..report };
    Ok(Some(Told { subject: Fields(event).subject("userId")?, change: UserChange::Reported(Box::new(report)) }))
}
