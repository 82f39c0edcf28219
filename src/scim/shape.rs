//! A resource as the schema wants it, whatever a client writes: names without
//! case, `"False"` for false, one value where several may be.

use serde_json::{Map, Value, json};

use super::error::{ScimError, ScimType, shown};
use super::path::is_urn;
use super::schema::{Attribute, Kind, Mutability, ResourceSchema, USERS};

/// The largest resource, in bytes of JSON.
const LARGEST: usize = 64 * 1024;
/// How many attributes one object may have.
const MOST_ATTRIBUTES: usize = 200;

/// Reads a resource: attributes that the service alone writes are left out, as
/// is what is never kept; those that no schema knows stay as they are.
///
/// # Errors
/// When a value is of the wrong kind, a name stands twice, or there is too much.
pub(super) fn read(written: Map<String, Value>, schema: &ResourceSchema) -> Result<Map<String, Value>, ScimError> {
    check_extent(&written, schema)?;
    let mut resource = Map::new();
    for (name, value) in written {
        if name.eq_ignore_ascii_case("schemas") {
            continue;
        }
        if schema.is_extension(&name) {
            let (urn, attributes) = schema.extension.unwrap_or_default();
            let Value::Object(members) = value else {
                if value.is_null() {
                    continue;
                }
                return Err(wrong_kind(&name, "an object"));
            };
            let members = read_members(members, attributes)?;
            if !members.is_empty() {
                insert_once(&mut resource, urn.to_owned(), Value::Object(members))?;
            }
            continue;
        }
        if let Some((name, value)) = read_attribute(name, value, |name| schema.attribute(name))? {
            insert_once(&mut resource, name, value)?;
        }
    }
    // A user goes into the directory whole; of a group only the names and members do.
    if schema.name == USERS.name {
        check_size(&resource)?;
    }
    Ok(resource)
}

/// That a resource has no more in it than is worked on: looked at before any
/// work that grows faster than what is in it.
///
/// # Errors
/// When an attribute has too many values, or an object too many attributes.
pub(super) fn check_extent(written: &Map<String, Value>, schema: &ResourceSchema) -> Result<(), ScimError> {
    check_attributes(written)?;
    for (name, value) in written {
        check_value(name, value, schema)?;
    }
    Ok(())
}

/// The same for the value of one attribute.
///
/// # Errors
/// As [`check_extent`].
pub(super) fn check_value(name: &str, value: &Value, schema: &ResourceSchema) -> Result<(), ScimError> {
    let is_dropped = schema.attribute(name).is_some_and(|known| known.mutability == Mutability::ReadOnly);
    if !is_dropped && count_values(value)? > schema.most_values {
        let why = format!("{} has too many values: {} at most", shown(name), schema.most_values);
        return Err(ScimError::new(ScimType::InvalidValue, why));
    }
    Ok(())
}

/// That a resource, or what is written into one, is not too large to keep.
///
/// # Errors
/// When it is.
pub(super) fn check_size(written: &impl serde::Serialize) -> Result<(), ScimError> {
    let size = serde_json::to_vec(written).map_or(usize::MAX, |text| text.len());
    if size > LARGEST {
        return Err(ScimError::new(ScimType::InvalidValue, format!("a resource has {LARGEST} bytes at most")));
    }
    Ok(())
}

/// How many values the lists in `value` have, at any depth.
fn count_values(value: &Value) -> Result<usize, ScimError> {
    let (own, within): (usize, Vec<&Value>) = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(0),
        Value::Array(values) => (values.len(), values.iter().collect()),
        Value::Object(members) => {
            check_attributes(members)?;
            (0, members.values().collect())
        }
    };
    within.into_iter().try_fold(own, |sum, value| Ok(sum.saturating_add(count_values(value)?)))
}

fn check_attributes(members: &Map<String, Value>) -> Result<(), ScimError> {
    if members.len() > MOST_ATTRIBUTES {
        let why = format!("an object has too many attributes: {MOST_ATTRIBUTES} at most");
        return Err(ScimError::new(ScimType::InvalidValue, why));
    }
    Ok(())
}

fn read_members(
    written: Map<String, Value>,
    attributes: &'static [Attribute],
) -> Result<Map<String, Value>, ScimError> {
    let known = |name: &str| attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
    let mut members = Map::new();
    for (name, value) in written {
        if let Some((name, value)) = read_attribute(name, value, known)? {
            insert_once(&mut members, name, value)?;
        }
    }
    Ok(members)
}

/// The attribute by the name that it has in the schema; `None` where it is not kept.
fn read_attribute(
    name: String,
    value: Value,
    known: impl Fn(&str) -> Option<&'static Attribute>,
) -> Result<Option<(String, Value)>, ScimError> {
    match known(&name) {
        Some(attribute) if attribute.mutability != Mutability::ReadWrite => Ok(None),
        Some(attribute) => Ok(read_value(attribute, value)?.map(|value| (attribute.name.to_owned(), value))),
        None if is_empty(&value) => Ok(None),
        None if name.is_empty() || (name.contains(char::is_control) && !is_urn(&name)) => {
            Err(ScimError::new(ScimType::InvalidSyntax, format!("{} names no attribute", shown(&name))))
        }
        None => Ok(Some((name, value))),
    }
}

/// The value of an attribute; `None` where there is none (RFC 7643 section 2.5).
pub(super) fn read_value(attribute: &'static Attribute, value: Value) -> Result<Option<Value>, ScimError> {
    if !attribute.is_multiple {
        let single = match value {
            // Some clients write one value as a list of one.
            Value::Array(values) => match <[Value; 1]>::try_from(values) {
                Ok([only]) => only,
                Err(values) if values.is_empty() => return Ok(None),
                Err(_) => return Err(wrong_kind(attribute.name, "one value")),
            },
            single @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => single,
        };
        return read_single(attribute, single);
    }
    let values = match value {
        Value::Array(values) => values,
        Value::Null => return Ok(None),
        single @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![single],
    };
    let mut read = Vec::new();
    for value in values {
        read.extend(read_single(attribute, value)?);
    }
    if read.iter().filter(|value| is_primary(value)).count() > 1 {
        let why = format!("{} has more than one primary value", shown(attribute.name));
        return Err(ScimError::new(ScimType::InvalidValue, why));
    }
    Ok((!read.is_empty()).then_some(Value::Array(read)))
}

fn read_single(attribute: &'static Attribute, value: Value) -> Result<Option<Value>, ScimError> {
    let value = match (attribute.kind, value) {
        (_, Value::Null) => return Ok(None),
        (Kind::Boolean, Value::Bool(value)) => Value::Bool(value),
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        (Kind::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        (Kind::Boolean, _) => return Err(wrong_kind(attribute.name, "`true` or `false`")),
        (Kind::Complex, Value::Object(members)) => {
            let members = read_members(members, attribute.parts)?;
            if members.is_empty() {
                return Ok(None);
            }
            Value::Object(members)
        }
        (Kind::Complex, Value::String(text)) if attribute.part("value").is_some() => json!({ "value": text }),
        (Kind::Complex, _) => return Err(wrong_kind(attribute.name, "an object")),
        (Kind::String | Kind::DateTime | Kind::Binary | Kind::Reference, Value::String(text)) => Value::String(text),
        (Kind::String | Kind::DateTime | Kind::Binary | Kind::Reference, _) => {
            return Err(wrong_kind(attribute.name, "text"));
        }
    };
    Ok(Some(value))
}

/// Whether it is the value that comes first.
pub(super) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Whether a value is none: `null`, or an empty list or object.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn insert_once(members: &mut Map<String, Value>, name: String, value: Value) -> Result<(), ScimError> {
    if members.keys().any(|held| held.eq_ignore_ascii_case(&name)) {
        return Err(ScimError::new(ScimType::InvalidSyntax, format!("{} stands twice", shown(&name))));
    }
    members.insert(name, value);
    Ok(())
}

fn wrong_kind(name: &str, wanted: &str) -> ScimError {
    ScimError::new(ScimType::InvalidValue, format!("the value of {} has to be {wanted}", shown(name)))
}
