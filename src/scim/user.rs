//! A user as SCIM writes it, and as the directory keeps it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::error::{ScimError, ScimType, shown};
use super::patch::{Patch, take};
use super::schema::{ENTERPRISE, USER, USERS};
use super::shape;
use crate::directory::{AsOf, AttributesChange, Report, ScimResource, User};
use crate::types::{Email, UnixTime};

/// The longest name by which somebody or something is known, in bytes.
pub(super) const LONGEST_NAME: usize = 255;
/// The longest text that the directory takes over from a resource, in bytes.
const LONGEST_VALUE: usize = 2000;

/// Which attribute is the `sub` of the provider's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectRule {
    /// `externalId`, and `userName` where there is none.
    ExternalId,
    /// `userName`.
    UserName,
}

/// The attributes of the core that also become attributes of the directory.
const CORE_ATTRIBUTES: &[&str] = &["title", "userType", "preferredLanguage", "locale", "timezone", "nickName"];
/// Those of the extension.
const ENTERPRISE_SCALARS: &[&str] = &["employeeNumber", "costCenter", "organization", "division", "department"];

/// A user as a client wants it to be.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenUser {
    user_name: String,
    external_id: Option<String>,
    active: Option<bool>,
    /// Without the three above.
    resource: Map<String, Value>,
}

impl WrittenUser {
    /// The user that the body of a POST is.
    ///
    /// # Errors
    /// When it is none.
    pub fn created(body: Map<String, Value>) -> Result<Self, ScimError> {
        Self::of(shape::read(body, &USERS)?)
    }

    /// What the body of a PUT makes of `before`. An external id stays where the
    /// body has none: it may be what identifies the user.
    ///
    /// # Errors
    /// When the body is no user.
    pub fn replaced(body: Map<String, Value>, before: &User) -> Result<Self, ScimError> {
        let written = Self::created(body)?;
        let external_id = written.external_id.or_else(|| before.scim.as_ref()?.external_id.clone());
        Ok(Self { external_id, ..written })
    }

    /// What a PATCH makes of `before`.
    ///
    /// # Errors
    /// When an operation cannot be done, or what comes of it is no user.
    pub fn patched(patch: &Patch, before: &User) -> Result<Self, ScimError> {
        let mut resource = before.scim.as_ref().map(|scim| scim.resource.clone()).unwrap_or_default();
        resource.insert("userName".to_owned(), Value::from(before.user_name.as_str()));
        if let Some(id) = before.scim.as_ref().and_then(|scim| scim.external_id.as_deref()) {
            resource.insert("externalId".to_owned(), Value::from(id));
        }
        // What the provider says, not whether they are let in: a refusal of an
        // administrator's is not for the client to take over.
        resource.insert("active".to_owned(), Value::Bool(!before.disabled_there));
        let patched = Self::of(patch.apply(resource, &USERS)?)?;
        // Who does not speak of it does not say anew what others said before.
        let is_told = patch.operations.iter().any(|operation| operation.target.path.is("active"));
        // Active is what a user is where nobody says: who takes the word back would let in unasked.
        if is_told && patched.active.is_none() {
            return Err(ScimError::new(ScimType::InvalidValue, "`active` is true or false"));
        }
        Ok(Self { active: patched.active.filter(|_| is_told), ..patched })
    }

    fn of(mut resource: Map<String, Value>) -> Result<Self, ScimError> {
        let Some(Value::String(user_name)) = take(&mut resource, "userName") else {
            return Err(ScimError::new(ScimType::InvalidValue, "`userName` has to be there"));
        };
        let external_id = take(&mut resource, "externalId").and_then(|id| id.as_str().map(str::to_owned));
        let external_id = external_id.filter(|id| !id.is_empty());
        let active = take(&mut resource, "active").and_then(|active| active.as_bool());
        check_name("userName", &user_name)?;
        if let Some(id) = &external_id {
            check_name("externalId", id)?;
        }
        Ok(Self { user_name, external_id, active, resource })
    }

    /// What people type for the user.
    #[must_use]
    pub fn user_name(&self) -> &str {
        &self.user_name
    }

    /// The `sub` of the user's tokens.
    #[must_use]
    pub fn subject(&self, rule: SubjectRule) -> &str {
        subject(rule, &self.user_name, self.external_id.as_deref())
    }

    /// That it is still the user `before`: who somebody is to the provider cannot
    /// be written, or one person's record would become another's.
    ///
    /// # Errors
    /// When it is another one.
    pub fn check_identity(&self, before: &User, rule: SubjectRule) -> Result<(), ScimError> {
        let external_id = before.scim.as_ref().and_then(|scim| scim.external_id.as_deref());
        if self.subject(rule) == subject(rule, &before.user_name, external_id) {
            return Ok(());
        }
        let name = if rule == SubjectRule::UserName { "userName" } else { "externalId" };
        let why = format!("`{name}` is the user's subject at the provider: delete the user and create it anew");
        Err(ScimError::new(ScimType::Mutability, why))
    }

    /// What the directory is told of the user, who is `before` until now.
    #[must_use]
    pub fn report(self, before: Option<&User>, now: UnixTime) -> Report {
        let held = before.and_then(|user| user.scim.as_ref()).map(|scim| &scim.resource);
        let as_of = before.map_or(now, |user| after_all(user, now));
        let resource = self.resource;
        Report {
            as_of,
            user_name: Some(self.user_name),
            email: told(&resource, held, email).map(|address| address.map(|address| Email::new(&address, false))),
            name: told(&resource, held, display_name),
            picture: told(&resource, held, picture),
            disabled: self.active.map(|active| !active).or_else(|| held.is_none().then_some(false)),
            attributes: Some(AttributesChange::Merge(attributes(&resource, held))),
            scim: Some(ScimResource { external_id: self.external_id, resource }),
            // Groups are changed through the groups.
            ..Report::default()
        }
    }
}

/// As of when a deletion counts: after all that is known of the user.
#[must_use]
pub fn gone_as_of(user: &User, now: UnixTime) -> UnixTime {
    after_all(user, now)
}

/// `now`, or later where something is known as of now or later: whoever speaks
/// last is right, whatever another clock says.
fn after_all(user: &User, now: UnixTime) -> UnixTime {
    let AsOf { profile, groups, state, rights } = user.as_of;
    let known = [profile, groups, state, rights, user.deleted_at].into_iter().max().flatten();
    known.map_or(now, |known| known.plus(Duration::from_millis(1)).max(now))
}

fn subject<'a>(rule: SubjectRule, user_name: &'a str, external_id: Option<&'a str>) -> &'a str {
    match rule {
        SubjectRule::ExternalId => external_id.unwrap_or(user_name),
        SubjectRule::UserName => user_name,
    }
}

/// A name that databases, logs and headers can hold.
pub(super) fn check_name(attribute: &str, name: &str) -> Result<(), ScimError> {
    let is_sound = !name.trim().is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    if is_sound {
        return Ok(());
    }
    let why = format!("`{attribute}` has 1 to {LONGEST_NAME} bytes and no control character, unlike {}", shown(name));
    Err(ScimError::new(ScimType::InvalidValue, why))
}

/// What is to be taken over: what stands there, or nothing where something stood
/// before. What SCIM never spoke of stays whatever others said.
fn told(
    resource: &Map<String, Value>,
    held: Option<&Map<String, Value>>,
    read: fn(&Map<String, Value>) -> Option<String>,
) -> Option<Option<String>> {
    match read(resource) {
        Some(value) => Some(Some(value)),
        None => held.and_then(read).map(|_| None),
    }
}

fn email(resource: &Map<String, Value>) -> Option<String> {
    first_value(resource, "emails")
}

fn picture(resource: &Map<String, Value>) -> Option<String> {
    first_value(resource, "photos")
}

/// The primary value, else the first one.
fn first_value(resource: &Map<String, Value>, name: &str) -> Option<String> {
    let values = resource.get(name)?.as_array()?;
    let first = values.iter().find(|value| shape::is_primary(value)).or_else(|| values.first())?;
    let text = first.get("value")?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST_VALUE).then(|| text.to_owned())
}

fn display_name(resource: &Map<String, Value>) -> Option<String> {
    let is_one = |text: &&str| !text.trim().is_empty() && text.len() <= LONGEST_VALUE;
    let text = |value: &Value| value.as_str().filter(is_one).map(str::to_owned);
    let part = |part: &str| resource.get("name")?.get(part).and_then(text);
    let whole = resource.get("displayName").and_then(text).or_else(|| part("formatted"));
    whole.or_else(|| {
        let parts: Vec<String> = ["givenName", "familyName"].into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

/// What becomes of the attributes of the directory; `null` for what stands there no more.
fn attributes(resource: &Map<String, Value>, held: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut change = Map::new();
    let now = scalars(resource);
    for name in held.map(scalars).unwrap_or_default().keys() {
        change.insert(name.clone(), Value::Null);
    }
    change.extend(now);
    change
}

fn scalars(resource: &Map<String, Value>) -> Map<String, Value> {
    let enterprise = resource.get(ENTERPRISE);
    let core = CORE_ATTRIBUTES.iter().map(|name| (*name, resource.get(*name)));
    let enterprise_scalars = ENTERPRISE_SCALARS.iter().map(|name| (*name, enterprise.and_then(|held| held.get(name))));
    let manager = enterprise.and_then(|held| held.get("manager")?.get("value"));
    core.chain(enterprise_scalars)
        .chain([("manager", manager)])
        .filter_map(|(name, value)| {
            Some((name.to_owned(), value?.as_str().filter(|text| text.len() <= LONGEST_VALUE)?))
        })
        .map(|(name, text)| (name, Value::from(text)))
        .collect()
}

/// A group that a user is in, as the user's resource names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGroup {
    /// Its id, where SCIM can ask for it.
    pub id: Option<String>,
    /// What rules call it.
    pub name: String,
}

/// A user as a client reads it. `base` is the URL below which the endpoints are.
#[must_use]
pub fn show_user(user: &User, groups: &[HeldGroup], base: &str) -> Map<String, Value> {
    let empty = Map::new();
    let (resource, external_id) =
        user.scim.as_ref().map_or((&empty, None), |scim| (&scim.resource, scim.external_id.as_deref()));
    let extensions = resource.keys().filter(|name| super::path::is_urn(name));
    let schemas: Vec<&str> = [USER].into_iter().chain(extensions.map(String::as_str)).collect();
    let id = user.id.to_string();
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("schemas", json!(schemas));
    put("id", Value::from(id.as_str()));
    if let Some(external_id) = external_id {
        put("externalId", Value::from(external_id));
    }
    put("userName", Value::from(user.user_name.as_str()));
    for (name, value) in resource {
        put(name, value.clone());
    }
    put("active", Value::Bool(!user.is_disabled()));
    let groups = groups.iter().map(|group| match &group.id {
        Some(id) => json!({
            "value": id, "$ref": format!("{base}/Groups/{id}"), "display": group.name, "type": "direct",
        }),
        None => json!({ "display": group.name, "type": "direct" }),
    });
    put("groups", Value::Array(groups.collect()));
    put(
        "meta",
        json!({
            "resourceType": "User",
            "created": user.created_at.to_string(),
            "lastModified": user.updated_at.to_string(),
            "location": format!("{base}/Users/{id}"),
            "version": super::etag::weak(user.version),
        }),
    );
    shown
}
