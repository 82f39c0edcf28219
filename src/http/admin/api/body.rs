//! Bodies, read strictly: one JSON object, no member twice, none that nobody
//! knows, and everything that is wrong told at once.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use crate::check::CallerNames;
use crate::directory::UserId;
use crate::http::admin::desk::{ExplainCaller, NewUser};
use crate::http::pages::Visit;
use crate::token::{JsonFault, parse_object};
use crate::types::UnixTime;

/// The longest name, in characters.
pub(super) const MAX_NAME: usize = 255;
/// The longest reason, in characters.
const MAX_REASON: usize = 500;
/// The longest URL in a question, in characters.
const MAX_URL: usize = 8192;
/// The most names in a list.
const MAX_NAMES: usize = 500;
/// The most attributes.
const MAX_ATTRIBUTES: usize = 100;
/// What a text on one line is made of, for the document.
pub(super) const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// What a body is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    NewUser,
    ChangeUser,
    Disable,
    Grant,
    Explain,
}

/// What somebody wants changed of a user.
pub(super) enum ChangeUser {
    Groups(BTreeSet<String>),
    Attributes(Map<String, Value>),
}

/// A question about the policy.
pub(super) struct Explain {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) caller: ExplainCaller,
}

impl BodyForm {
    /// Whether there has to be a body.
    pub(super) const fn is_required(self) -> bool {
        match self {
            Self::NewUser | Self::ChangeUser | Self::Explain => true,
            Self::Disable | Self::Grant => false,
        }
    }

    /// Its name in the document.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NewUser => "NewUser",
            Self::ChangeUser => "ChangeUser",
            Self::Disable => "Disable",
            Self::Grant => "Grant",
            Self::Explain => "Question",
        }
    }

    /// Its schema in the document; `providers` are the ids of those that there are.
    pub(super) fn schema(self, providers: &[&str]) -> Value {
        let (properties, required) = match self {
            Self::NewUser => (
                json!({
                    "provider": { "enum": providers }, "subject": text(MAX_NAME),
                    "disabled": { "type": "boolean", "default": false }, "reason": text(MAX_REASON),
                }),
                json!(["provider", "subject"]),
            ),
            Self::ChangeUser => (
                json!({
                    "groups": names(),
                    "attributes": {
                        "type": "object", "maxProperties": MAX_ATTRIBUTES,
                        "propertyNames": text(MAX_NAME), "additionalProperties": { "$ref": "#/components/schemas/Attribute" },
                    },
                }),
                json!([]),
            ),
            Self::Disable => (json!({ "reason": text(MAX_REASON) }), json!([])),
            Self::Grant => (json!({ "until": { "type": "string", "format": "date-time" } }), json!([])),
            Self::Explain => return explain_schema(providers),
        };
        let mut schema = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        if let (Self::ChangeUser, Some(schema)) = (self, schema.as_object_mut()) {
            schema.insert("minProperties".to_owned(), 1.into());
            schema.insert("maxProperties".to_owned(), 1.into());
        }
        schema
    }
}

fn text(most: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": most, "pattern": ONE_LINE })
}

fn names() -> Value {
    json!({ "type": "array", "items": text(MAX_NAME), "maxItems": MAX_NAMES })
}

/// The schema of a question: the caller is nobody, or a user, or who has what is named.
fn explain_schema(providers: &[&str]) -> Value {
    let url = r"^(/|https?://)[^\u0000-\u001f\u007f-\u009f]*$";
    let method = text(32);
    let url = json!({ "type": "string", "minLength": 1, "maxLength": MAX_URL, "pattern": url });
    let variant = |caller: Value, required: &[&str]| {
        let mut properties = json!({ "method": method, "url": url });
        if let (Some(properties), Value::Object(caller)) = (properties.as_object_mut(), caller) {
            properties.extend(caller);
        }
        let required: Vec<&str> = ["method", "url"].iter().chain(required).copied().collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    };
    let named = json!({
        "provider": { "enum": providers }, "subject": text(MAX_NAME), "email": text(MAX_NAME),
        "scopes": names(), "permissions": names(), "groups": names(),
    });
    json!({
        "oneOf": [
            variant(json!({ "anonymous": { "const": true } }), &["anonymous"]),
            variant(json!({ "user": { "type": "string", "pattern": "^[0-9a-f]{32}$" } }), &["user"]),
            variant(named, &[]),
        ],
    })
}

/// The schema of one attribute: whatever JSON can say without the character U+0000.
pub(super) fn attribute_schema() -> Value {
    let text = json!({ "type": "string", "pattern": r"^[^\u0000]*$" });
    let whole = json!({ "$ref": "#/components/schemas/Attribute" });
    json!({
        "description": "Any JSON value without the character U+0000, at most ten levels deep.",
        "anyOf": [
            { "type": ["null", "boolean", "number"] },
            text,
            { "type": "array", "items": whole },
            { "type": "object", "propertyNames": text, "additionalProperties": whole },
        ],
    })
}

pub(super) fn new_user(visit: &Visit<'_>) -> Result<NewUser, Fault> {
    let mut body = Body::read(visit, BodyForm::NewUser)?;
    let (provider, subject) = (body.text("provider", MAX_NAME), body.text("subject", MAX_NAME));
    let (disabled, reason) = (body.flag("disabled"), body.text("reason", MAX_REASON));
    let (provider, subject) = (body.needed("provider", provider), body.needed("subject", subject));
    body.end()?;
    let is_disabled = disabled.unwrap_or_default();
    if reason.is_some() && !is_disabled {
        return Err(Fault::Unfit("`reason` says why somebody is refused: set `disabled` to `true` with it".to_owned()));
    }
    Ok(NewUser { provider, subject, disabled: is_disabled.then_some(reason) })
}

pub(super) fn change_user(visit: &Visit<'_>) -> Result<ChangeUser, Fault> {
    let mut body = Body::read(visit, BodyForm::ChangeUser)?;
    let (groups, attributes) = (body.names("groups"), body.attributes("attributes"));
    body.end()?;
    match (groups, attributes) {
        (Some(groups), None) => Ok(ChangeUser::Groups(groups.into_iter().collect())),
        (None, Some(attributes)) => Ok(ChangeUser::Attributes(attributes)),
        (None, None) | (Some(_), Some(_)) => {
            Err(Fault::Body(vec!["give either `groups` or `attributes`: one change at a time".to_owned()]))
        }
    }
}

/// The reason.
pub(super) fn disable(visit: &Visit<'_>) -> Result<Option<String>, Fault> {
    let mut body = Body::read(visit, BodyForm::Disable)?;
    let reason = body.text("reason", MAX_REASON);
    body.end()?;
    Ok(reason)
}

/// Until when.
pub(super) fn grant(visit: &Visit<'_>) -> Result<Option<UnixTime>, Fault> {
    let mut body = Body::read(visit, BodyForm::Grant)?;
    let until = body.moment("until");
    body.end()?;
    Ok(until)
}

pub(super) fn explain(visit: &Visit<'_>) -> Result<Explain, Fault> {
    let mut body = Body::read(visit, BodyForm::Explain)?;
    let (method, url) = (body.text("method", 32), body.text("url", MAX_URL));
    let (method, url) = (body.needed("method", method), body.needed("url", url));
    let (anonymous, user) = (body.flag("anonymous"), body.id("user"));
    let names = CallerNames {
        subject: body.text("subject", MAX_NAME),
        provider: body.text("provider", MAX_NAME),
        email: body.text("email", MAX_NAME),
        scopes: body.names("scopes").unwrap_or_default(),
        permissions: body.names("permissions").unwrap_or_default(),
        groups: body.names("groups").unwrap_or_default(),
    };
    if anonymous == Some(false) {
        body.fault::<()>("anonymous", "`true`, or left out");
    }
    body.end()?;
    let is_named = names != CallerNames::default();
    let caller = match (anonymous.is_some(), user, is_named) {
        (true, None, false) => ExplainCaller::Anonymous,
        (false, Some(user), false) => ExplainCaller::User(user),
        (false, None, _) => ExplainCaller::Names(names),
        (true, Some(_), _) | (_, Some(_), true) | (true, _, true) => {
            let fault = "the caller is either `anonymous`, or a `user`, or what else is named";
            return Err(Fault::Body(vec![fault.to_owned()]));
        }
    };
    Ok(Explain { method, url, caller })
}

/// A body on its way into values; what is wrong is collected.
struct Body {
    members: Map<String, Value>,
    faults: Vec<String>,
}

impl Body {
    fn read(visit: &Visit<'_>, form: BodyForm) -> Result<Self, Fault> {
        let bytes = visit.body().unwrap_or_default();
        if bytes.is_empty() && !form.is_required() {
            return Ok(Self { members: Map::new(), faults: Vec::new() });
        }
        let is_json = visit.single("content-type").is_some_and(|kind| {
            let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            kind.eq_ignore_ascii_case(b"application/json")
        });
        if !is_json {
            return Err(Fault::ContentType);
        }
        let members = parse_object(bytes).map_err(|fault| {
            Fault::Body(vec![match fault {
                JsonFault::Malformed => "the body is not one JSON object, or it is nested too deep".to_owned(),
                JsonFault::Duplicate => "the body names a member twice".to_owned(),
            }])
        })?;
        Ok(Self { members, faults: Vec::new() })
    }

    fn fault<T>(&mut self, name: &str, wants: &str) -> Option<T> {
        self.faults.push(format!("`{name}` must be {wants}"));
        None
    }

    fn needed(&mut self, name: &str, value: Option<String>) -> String {
        if value.is_none() && !self.faults.iter().any(|fault| fault.starts_with(&format!("`{name}` "))) {
            self.faults.push(format!("`{name}` is missing"));
        }
        value.unwrap_or_default()
    }

    fn text(&mut self, name: &str, most: usize) -> Option<String> {
        match self.members.shift_remove(name)? {
            Value::String(text) if is_line(&text, most) => Some(text),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.fault(name, &format!("a text of 1 to {most} characters without control characters"))
            }
        }
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        match self.members.shift_remove(name)? {
            Value::Bool(flag) => Some(flag),
            Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.fault(name, "`true` or `false`")
            }
        }
    }

    fn id(&mut self, name: &str) -> Option<UserId> {
        let value = self.members.shift_remove(name)?;
        match value.as_str().and_then(UserId::parse) {
            Some(id) => Some(id),
            None => self.fault(name, "the id of a user: 32 lower-case hexadecimal digits"),
        }
    }

    fn moment(&mut self, name: &str) -> Option<UnixTime> {
        let value = self.members.shift_remove(name)?;
        match value.as_str().and_then(UnixTime::parse_rfc3339) {
            Some(moment) => Some(moment),
            None => self.fault(name, "a moment by RFC 3339, such as `2027-01-15T20:00:00Z`"),
        }
    }

    fn names(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.members.shift_remove(name)?;
        let read = |value: &Value| value.as_str().filter(|text| is_line(text, MAX_NAME)).map(str::to_owned);
        let names = value.as_array().filter(|list| list.len() <= MAX_NAMES);
        match names.and_then(|list| list.iter().map(read).collect::<Option<Vec<_>>>()) {
            Some(names) => Some(names),
            None => {
                self.fault(name, &format!("a list of at most {MAX_NAMES} names, each of 1 to {MAX_NAME} characters"))
            }
        }
    }

    fn attributes(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.members.shift_remove(name)? {
            Value::Object(attributes)
                if attributes.len() <= MAX_ATTRIBUTES
                    && attributes.iter().all(|(name, value)| is_line(name, MAX_NAME) && is_storable(value)) =>
            {
                Some(attributes)
            }
            Value::Object(_) | Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                self.fault(name, &format!("an object with at most {MAX_ATTRIBUTES} members and without U+0000"))
            }
        }
    }

    /// Nothing may be left.
    fn end(mut self) -> Result<(), Fault> {
        self.faults
            .extend(self.members.keys().map(|name| format!("`{}` is not known here", super::fault::shown(name))));
        if self.faults.is_empty() { Ok(()) } else { Err(Fault::Body(self.faults)) }
    }
}

/// Whether a text has 1 to `most` characters, none of which is a control character.
pub(super) fn is_line(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
}

/// Whether every database can keep it.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains('\0'),
        Value::Array(list) => list.iter().all(is_storable),
        Value::Object(members) => members.iter().all(|(name, value)| !name.contains('\0') && is_storable(value)),
    }
}
