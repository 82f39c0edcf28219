//! The plain shape, for senders of one's own: an event and the user it is about.
//! What nobody knows is refused by name, so that no field goes lost unseen.

use serde_json::{Map, Value};

use super::shape::EventFault;
use crate::directory::{AttributesChange, Report, UserChange};
use crate::management::{Fields, ShapeFault, Told};
use crate::types::UnixTime;

/// What the message may hold.
const MESSAGE: [&str; 3] = ["event", "time", "user"];
/// What its user may hold.
const USER: [&str; 9] =
    ["subject", "user_name", "email", "email_verified", "name", "picture", "groups", "disabled", "attributes"];

pub(super) fn read(message: &Map<String, Value>, as_of: UnixTime) -> Result<Told, EventFault> {
    known(message, &MESSAGE)?;
    let user = message.get("user").and_then(Value::as_object).ok_or(ShapeFault::Missing("user"))?;
    known(user, &USER)?;
    let fields = Fields(user);
    let subject = fields.subject("subject")?;
    let said = fields.flag("disabled")?;
    let disabled = match message.get("event").and_then(Value::as_str) {
        Some("user.created" | "user.updated") => said,
        Some("user.disabled") => agreed(said, true)?,
        Some("user.enabled") => agreed(said, false)?,
        Some("user.deleted") => return Ok(Told { subject, change: UserChange::Gone { as_of } }),
        Some(_) | None => return Err(ShapeFault::Form("event").into()),
    };
    let report = Report {
        as_of,
        user_name: fields.text("user_name")?.flatten(),
        email: fields.email("email", "email_verified")?,
        name: fields.text("name")?,
        picture: fields.picture("picture")?,
        groups: fields.groups("groups")?,
        disabled,
        attributes: fields.object("attributes")?.cloned().map(AttributesChange::Replace),
        ..Report::default()
    };
    Ok(Told { subject, change: UserChange::Reported(Box::new(report)) })
}

fn known(members: &Map<String, Value>, names: &[&str]) -> Result<(), ShapeFault> {
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ShapeFault::Unknown(name.chars().filter(|c| !c.is_control()).take(64).collect())),
    }
}

/// What the event says, where the user says nothing else.
fn agreed(said: Option<bool>, event: bool) -> Result<Option<bool>, ShapeFault> {
    match said {
        Some(said) if said != event => Err(ShapeFault::Contradiction("event", "disabled")),
        Some(_) | None => Ok(Some(event)),
    }
}
