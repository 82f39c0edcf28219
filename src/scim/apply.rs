//! What a PATCH makes of a resource.

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType, shown};
use super::filter::{Filter, Operator, Term, Test};
use super::patch::{Action, Operation, Patch, Target};
use super::path::{AttributePath, member};
use super::schema::{Attribute, ResourceSchema};
use super::shape;

impl Patch {
    /// What it makes of a resource that [`shape::read`] has read; to be read
    /// again, because an operation may write anything.
    ///
    /// # Errors
    /// When an operation finds nothing to work on, or takes away what has to be there.
    pub(super) fn apply(
        &self,
        resource: Map<String, Value>,
        schema: &ResourceSchema,
    ) -> Result<Map<String, Value>, ScimError> {
        let mut resource = resource;
        for operation in &self.operations {
            operation.apply(&mut resource, schema)?;
            // Before the next one works on it: what is merged is bounded, and so is the work.
            shape::check_extent(&resource, schema)?;
            shape::check_size(&resource)?;
        }
        shape::read(resource, schema)
    }
}

impl Operation {
    fn apply(&self, resource: &mut Map<String, Value>, schema: &ResourceSchema) -> Result<(), ScimError> {
        let Self { action, target: Target { path, select }, value } = self;
        let known = path.attribute(schema);
        // `null` is no value (RFC 7643 section 2.5).
        let (action, value) = match (action, value) {
            (Action::Add | Action::Replace, Some(Value::Null)) => (Action::Remove, None),
            (action, value) => (*action, value.as_ref()),
        };
        let members = match &path.extension {
            None => resource,
            Some(urn) if path.name.is_empty() => return write_extension(action, urn, value, resource),
            Some(urn) => match object_at(resource, urn) {
                Some(members) => members,
                None if action == Action::Remove => return Ok(()),
                None => return Err(no_target(path)),
            },
        };
        let required = known.is_some_and(|known| known.is_required) && path.extension.is_none();
        if action == Action::Remove && required {
            let why = format!("{} has to be there", shown(&path.name));
            return Err(ScimError::new(ScimType::Mutability, why));
        }
        if let Some(select) = select {
            return write_selected(action, path, select, value, members);
        }
        if let Some(part) = &path.part {
            return write_part(action, path, part, value, members, known);
        }
        write_whole(action, path, value, members, known);
        Ok(())
    }
}

/// The object called `name`, made where there is none.
fn object_at<'r>(members: &'r mut Map<String, Value>, name: &str) -> Option<&'r mut Map<String, Value>> {
    slot(members, name).as_object_mut()
}

/// The place of `name`, whatever case it is written in; an empty object where there is none.
fn slot<'r>(members: &'r mut Map<String, Value>, name: &str) -> &'r mut Value {
    let held = members.keys().find(|held| held.eq_ignore_ascii_case(name)).cloned();
    members.entry(held.unwrap_or_else(|| name.to_owned())).or_insert_with(|| Value::Object(Map::new()))
}

fn set(members: &mut Map<String, Value>, name: &str, value: Value) {
    *slot(members, name) = value;
}

fn remove(members: &mut Map<String, Value>, name: &str) {
    members.retain(|held, _| !held.eq_ignore_ascii_case(name));
}

fn write_extension(
    action: Action,
    urn: &str,
    value: Option<&Value>,
    resource: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    match (action, value) {
        (Action::Remove, _) => remove(resource, urn),
        (Action::Add | Action::Replace, Some(Value::Object(told))) => {
            let members = object_at(resource, urn)
                .ok_or_else(|| ScimError::new(ScimType::NoTarget, format!("{} is no extension", shown(urn))))?;
            for (name, value) in told {
                if value.is_null() { remove(members, name) } else { set(members, name, value.clone()) }
            }
        }
        (Action::Add | Action::Replace, _) => {
            return Err(ScimError::new(ScimType::InvalidValue, "the value of an extension has to be an object"));
        }
    }
    Ok(())
}

/// Writes the values that the filter selects.
fn write_selected(
    action: Action,
    path: &AttributePath,
    select: &Filter,
    value: Option<&Value>,
    members: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    let mut values = match member(members, &path.name) {
        Some(Value::Array(values)) => values.clone(),
        Some(Value::Null) | None => Vec::new(),
        Some(single) => vec![single.clone()],
    };
    let mut found = false;
    match (action, &path.part) {
        (Action::Remove, None) => {
            values.retain(|held| !select.holds_for(held));
            found = true;
        }
        (Action::Remove, Some(part)) => {
            for held in values.iter_mut().filter(|held| select.holds_for(held)) {
                if let Some(members) = held.as_object_mut() {
                    remove(members, part);
                }
            }
            values.retain(|held| !shape::is_empty(held));
            found = true;
        }
        (Action::Add | Action::Replace, part) => {
            let value = value.cloned().unwrap_or_default();
            for held in values.iter_mut().filter(|held| select.holds_for(held)) {
                found = true;
                write_into(held, action, part.as_deref(), &value);
            }
            // A client that adds `emails[type eq "work"].value` to somebody
            // without such an address means that there be one.
            if !found
                && action == Action::Add
                && let Some(mut held) = made_from(select)
            {
                write_into(&mut held, action, part.as_deref(), &value);
                values.push(held);
                found = true;
            }
            let last = values.iter().rposition(|held| select.holds_for(held) && shape::is_primary(held));
            keep_one_primary(&mut values, last);
        }
    }
    if !found {
        return Err(no_target(path));
    }
    if values.is_empty() {
        remove(members, &path.name);
    } else {
        set(members, &path.name, Value::Array(values));
    }
    Ok(())
}

fn write_into(held: &mut Value, action: Action, part: Option<&str>, value: &Value) {
    match (part, held.as_object_mut(), value) {
        (Some(part), Some(members), value) => set(members, part, value.clone()),
        (None, Some(members), Value::Object(told)) if action == Action::Add => {
            for (name, value) in told {
                set(members, name, value.clone());
            }
        }
        (Some(_) | None, _, value) => *held = value.clone(),
    }
}

/// A value for which the filter holds, where it says by `eq` how one looks.
fn made_from(select: &Filter) -> Option<Value> {
    let mut members = Map::new();
    for filter in select.conjuncts() {
        let Filter::Has(Term { path, select: None, test: Test::Compare(Operator::Equal, wanted), .. }) = filter else {
            return None;
        };
        members.insert(path.name.clone(), wanted.clone());
    }
    Some(Value::Object(members))
}

/// Writes `name.givenName`, or `emails.value` in every value there is.
fn write_part(
    action: Action,
    path: &AttributePath,
    part: &str,
    value: Option<&Value>,
    members: &mut Map<String, Value>,
    known: Option<&'static Attribute>,
) -> Result<(), ScimError> {
    let is_multiple = known.is_some_and(|known| known.is_multiple);
    if member(members, &path.name).is_none() && (action == Action::Remove || is_multiple) {
        return if action == Action::Remove { Ok(()) } else { Err(no_target(path)) };
    }
    let write = |members: &mut Map<String, Value>| match value {
        Some(value) if action != Action::Remove => set(members, part, value.clone()),
        Some(_) | None => remove(members, part),
    };
    match slot(members, &path.name) {
        Value::Object(held) => write(held),
        Value::Array(values) => values.iter_mut().filter_map(Value::as_object_mut).for_each(write),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(no_target(path)),
    }
    Ok(())
}

fn write_whole(
    action: Action,
    path: &AttributePath,
    value: Option<&Value>,
    members: &mut Map<String, Value>,
    known: Option<&'static Attribute>,
) {
    let held = member(members, &path.name);
    let is_multiple = known.map_or(held.is_some_and(Value::is_array), |known| known.is_multiple);
    let told = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    match (action, value) {
        // Entra names the values to take away, in place of selecting them.
        (Action::Remove, Some(value)) if is_multiple && !shape::is_empty(value) => {
            let gone = told(value);
            if let Some(Value::Array(values)) = held.cloned() {
                let left: Vec<Value> =
                    values.into_iter().filter(|held| !gone.iter().any(|gone| is_same(held, gone))).collect();
                set(members, &path.name, Value::Array(left));
            }
        }
        (Action::Remove, _) | (_, None) => remove(members, &path.name),
        (Action::Add, Some(value)) if is_multiple => {
            let mut values = held.map(told).unwrap_or_default();
            let before = values.len();
            for value in told(value) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            let new_primary = values.iter().rposition(shape::is_primary).filter(|place| *place >= before);
            keep_one_primary(&mut values, new_primary);
            set(members, &path.name, Value::Array(values));
        }
        // What is not told of a complex value stays (RFC 7644 section 3.5.2.3).
        (Action::Add | Action::Replace, Some(Value::Object(told)))
            if !is_multiple && held.is_some_and(Value::is_object) =>
        {
            if let Some(held) = object_at(members, &path.name) {
                for (name, value) in told {
                    if value.is_null() { remove(held, name) } else { set(held, name, value.clone()) }
                }
            }
        }
        (Action::Add | Action::Replace, Some(value)) => set(members, &path.name, value.clone()),
    }
}

/// Where a new value is the primary one, no other is (RFC 7644 section 3.5.2).
fn keep_one_primary(values: &mut [Value], primary: Option<usize>) {
    let Some(primary) = primary else { return };
    for (place, value) in values.iter_mut().enumerate() {
        if place != primary
            && shape::is_primary(value)
            && let Some(members) = value.as_object_mut()
        {
            members.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Whether two values of an attribute mean the same: by their `value` where they have one.
fn is_same(held: &Value, told: &Value) -> bool {
    let value = |of: &Value| of.get("value").cloned().unwrap_or_else(|| of.clone());
    value(held) == value(told)
}

fn no_target(path: &AttributePath) -> ScimError {
    ScimError::new(ScimType::NoTarget, format!("{} has no such value", shown(&path.name)))
}
