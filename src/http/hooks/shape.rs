//! What a message says. Which shape it has is told by what stands in it.

use serde_json::Value;

use super::{earlier, plain};
use crate::directory::UserChange;
use crate::management::{Scope, ShapeFault, Told, admin_event, auth0_user, user_event};
use crate::token::{JsonFault, parse_object};
use crate::types::UnixTime;

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something of a user.
    Told(Told),
    /// Something that the directory does not keep, such as that somebody signed in.
    Nothing,
}

/// Why a message is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// Not one JSON object, or too deep.
    #[error("the message is no JSON object, or is nested too deep")]
    NotJson,
    /// A member stands twice.
    #[error("the message names a member twice")]
    Duplicate,
    /// None of the shapes.
    #[error(
        "the message has none of the known shapes: send `event` and `user`, the `event` of an Auth0 Action, or an event of Keycloak"
    )]
    Unknown,
    /// It does not say when it happened in a way that is understood.
    #[error("`{0}` is no moment: write RFC 3339 or a number")]
    Time(&'static str),
    /// A part of it is not of its form.
    #[error(transparent)]
    Shape(#[from] ShapeFault),
}

/// The second in which a message was signed. One that does not say when something
/// happened may speak of any moment in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedSecond {
    /// Its first moment.
    pub start: UnixTime,
    /// Its last moment; no message speaks of a later one.
    pub end: UnixTime,
}

impl SignedSecond {
    /// What was told without a time. Who is let in is so as of the first moment,
    /// and everything else counts as of the last one: whichever of two messages
    /// of one second comes first, who is refused in it stays refused.
    fn date(self, told: Told) -> Told {
        let Told { subject, mut change } = told;
        if let UserChange::Reported(report) = &mut change
            && report.disabled == Some(false)
        {
            report.as_of = self.start;
        }
        Told { subject, change }
    }
}

/// What a message says; nothing in it is of later than it was signed.
///
/// # Errors
/// When it is not understood.
pub fn read_event(message: &[u8], signed: SignedSecond) -> Result<Event, EventFault> {
    let members = parse_object(message).map_err(|fault| match fault {
        JsonFault::Malformed => EventFault::NotJson,
        JsonFault::Duplicate => EventFault::Duplicate,
    })?;
    let latest = signed.end;
    let is_text = |name| members.get(name).is_some_and(Value::is_string);
    if is_text("event") {
        let time = moment(members.get("time"), "time", latest)?;
        let told = plain::read(&members, time.unwrap_or(latest))?;
        return Ok(Event::Told(if time.is_none() { signed.date(told) } else { told }));
    }
    let told = if is_text("operationType") {
        admin_event(&members, millis(members.get("time"), latest)?)?
    } else if is_text("type") && is_text("realmId") {
        user_event(&members, millis(members.get("time"), latest)?)?
    } else {
        let user = members.get("user").and_then(Value::as_object).filter(|user| user.contains_key("user_id"));
        let user = user.ok_or(EventFault::Unknown)?;
        // There is no other word about when: Auth0 sets it with every change of a user.
        let changed = user.get("updated_at").or_else(|| user.get("created_at"));
        let time = moment(changed, "updated_at", latest)?;
        let told = auth0_user(user, Scope::Part, time.unwrap_or(latest))?;
        Some(if time.is_none() { signed.date(told) } else { told })
    };
    Ok(told.map_or(Event::Nothing, Event::Told))
}

/// Milliseconds of 1970, as Keycloak writes them.
fn millis(time: Option<&Value>, latest: UnixTime) -> Result<UnixTime, EventFault> {
    let millis = time.and_then(Value::as_i64).filter(|millis| *millis >= 0).ok_or(EventFault::Time("time"))?;
    Ok(earlier(UnixTime::from_millis(millis), latest))
}

/// RFC 3339, or seconds of 1970, and never later than `latest`; `None` where it is not said.
fn moment(time: Option<&Value>, name: &'static str, latest: UnixTime) -> Result<Option<UnixTime>, EventFault> {
    let told = match time {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => UnixTime::parse_rfc3339(text),
        Some(Value::Number(number)) => number.as_i64().filter(|secs| *secs >= 0).map(UnixTime::from_secs),
        Some(_) => None,
    };
    told.map(|told| Some(earlier(told, latest))).ok_or(EventFault::Time(name))
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
