//! What a PATCH says (RFC 7644 section 3.5.2), read before anything is changed.

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType, shown};
use super::filter::{Filter, canonical_part};
use super::path::{AttributePath, is_name};
use super::schema::{Attribute, Mutability, PATCH, ResourceSchema, USERS};
use super::shape;

/// How many comparisons the value filters of one PATCH may have together, where it may not have more operations.
const MOST_TERMS: usize = 200;

/// A PATCH: its operations in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The operations.
    pub operations: Vec<Operation>,
}

/// One operation on one place of the resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What it does.
    pub action: Action,
    /// Where.
    pub target: Target,
    /// With what.
    pub value: Option<Value>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Puts values beside those that are there.
    Add,
    /// Takes values away.
    Remove,
    /// Puts values in place of those that are there.
    Replace,
}

/// Where an operation works.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The attribute; the part stands in `part` where values are selected.
    pub path: AttributePath,
    /// Which of its values: those for which this holds.
    pub select: Option<Filter>,
}

impl Patch {
    /// The PATCH that a body is, for resources of this schema. Names have no
    /// case; an operation without a path becomes one for each of its members.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(mut body: Map<String, Value>, schema: &ResourceSchema) -> Result<Self, ScimError> {
        let is_patch = |held: &Value| held.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(PATCH));
        if !take(&mut body, "schemas")
            .is_some_and(|schemas| schemas.as_array().is_some_and(|all| all.iter().any(is_patch)))
        {
            return Err(syntax(format!("`schemas` has to hold `{PATCH}`")));
        }
        let Some(Value::Array(written)) = take(&mut body, "Operations") else {
            return Err(syntax("`Operations` has to be a list"));
        };
        if written.is_empty() {
            return Err(syntax("`Operations` has to have an entry"));
        }
        let mut operations = Vec::new();
        check_operations(written.len(), schema)?;
        for operation in written {
            read_operation(operation, schema, &mut operations)?;
            check_operations(operations.len(), schema)?;
        }
        let terms = operations.iter().filter_map(|operation| operation.target.select.as_ref()).map(Filter::terms);
        // One in each operation is what clients write.
        let most = MOST_TERMS.max(schema.most_operations);
        if terms.sum::<usize>() > most {
            let why = format!("the filters of a PATCH have too many comparisons: {most} at most");
            return Err(ScimError::new(ScimType::TooMany, why));
        }
        Ok(Self { operations })
    }
}

fn check_operations(count: usize, schema: &ResourceSchema) -> Result<(), ScimError> {
    let most = schema.most_operations;
    if count > most {
        let why =
            format!("a PATCH has too many operations: {most} at most, an attribute in a value without path is one");
        return Err(ScimError::new(ScimType::TooMany, why));
    }
    Ok(())
}

/// That what is written is no more than a resource may hold, before it is copied into one.
fn check_written(path: &AttributePath, value: &Value, schema: &ResourceSchema) -> Result<(), ScimError> {
    let name = path.extension.as_deref().unwrap_or(&path.name);
    shape::check_value(name, value, schema)?;
    if schema.name == USERS.name { shape::check_size(value) } else { Ok(()) }
}

fn read_operation(written: Value, schema: &ResourceSchema, operations: &mut Vec<Operation>) -> Result<(), ScimError> {
    let Value::Object(mut members) = written else { return Err(syntax("an operation has to be an object")) };
    let action = match take(&mut members, "op") {
        Some(Value::String(op)) if op.eq_ignore_ascii_case("add") => Action::Add,
        Some(Value::String(op)) if op.eq_ignore_ascii_case("remove") => Action::Remove,
        Some(Value::String(op)) if op.eq_ignore_ascii_case("replace") => Action::Replace,
        _ => return Err(syntax("`op` has to be `add`, `remove` or `replace`")),
    };
    let value = take(&mut members, "value");
    match take(&mut members, "path") {
        Some(Value::String(path)) => {
            let target = Target::parse(&path, schema)?;
            refuse_read_only(&target, schema)?;
            if action != Action::Remove && value.is_none() {
                return Err(ScimError::new(ScimType::InvalidValue, "the operation has no `value`"));
            }
            value.iter().try_for_each(|value| check_written(&target.path, value, schema))?;
            operations.push(Operation { action, target, value });
        }
        None | Some(Value::Null) if action == Action::Remove => {
            return Err(ScimError::new(ScimType::NoTarget, "`remove` has to have a `path`"));
        }
        None | Some(Value::Null) => {
            let Some(Value::Object(members)) = value else {
                return Err(ScimError::new(ScimType::InvalidValue, "without a `path`, `value` has to be an object"));
            };
            check_operations(members.len(), schema)?;
            for (name, value) in members {
                let is_schemas = name.eq_ignore_ascii_case("schemas");
                let target = if is_schemas { None } else { Some(Target::parse(&name, schema)?) };
                // A client that sends back what it read says nothing by these.
                if let Some(target) = target.filter(|target| refuse_read_only(target, schema).is_ok()) {
                    check_written(&target.path, &value, schema)?;
                    operations.push(Operation { action, target, value: Some(value) });
                }
            }
        }
        Some(_) => return Err(ScimError::new(ScimType::InvalidPath, "`path` has to be text")),
    }
    Ok(())
}

impl Target {
    /// The place that `text` names: an attribute, or some values of one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, schema: &ResourceSchema) -> Result<Self, ScimError> {
        let wrong = || ScimError::new(ScimType::InvalidPath, format!("{} is no path", shown(text)));
        let text = text.trim_matches(' ');
        let Some((name, rest)) = text.split_once('[') else {
            return Ok(Self { path: AttributePath::parse(text, schema)?, select: None });
        };
        let (select, after) = rest.rsplit_once(']').ok_or_else(wrong)?;
        let mut path = AttributePath::parse(name, schema)?;
        if path.part.is_some() || path.name.is_empty() {
            return Err(wrong());
        }
        let known = path.attribute(schema);
        if known.is_some_and(|known| !known.is_multiple) {
            return Err(wrong());
        }
        path.part = match after.strip_prefix('.') {
            Some(part) if is_name(part) => Some(canonical_part(known, part)),
            None if after.is_empty() => None,
            Some(_) | None => return Err(wrong()),
        };
        Ok(Self { path, select: Some(Filter::parse_select(select, schema, known)?) })
    }

    /// What the schema says of the attribute.
    #[must_use]
    pub fn attribute(&self, schema: &ResourceSchema) -> Option<&'static Attribute> {
        self.path.attribute(schema)
    }
}

fn refuse_read_only(target: &Target, schema: &ResourceSchema) -> Result<(), ScimError> {
    let attribute = target.attribute(schema);
    let part = target.path.part.as_deref().and_then(|part| attribute?.part(part));
    let is_read_only = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
    if attribute.is_some_and(is_read_only) || part.is_some_and(is_read_only) {
        let why = format!("{} cannot be written", shown(&target.path.name));
        return Err(ScimError::new(ScimType::Mutability, why));
    }
    Ok(())
}

/// The member called `name`, without case.
pub(super) fn take(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let held = members.keys().find(|held| held.eq_ignore_ascii_case(name))?.clone();
    members.shift_remove(&held)
}

fn syntax(detail: impl Into<String>) -> ScimError {
    ScimError::new(ScimType::InvalidSyntax, detail)
}
