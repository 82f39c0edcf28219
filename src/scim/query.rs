//! What a client asks of a list or a resource: filter, page, order, attributes
//! (RFC 7644 sections 3.4.2 and 3.9).

use serde_json::{Map, Value, json};

use super::error::{ScimError, ScimType, shown};
use super::filter::Filter;
use super::patch::take;
use super::path::{AttributePath, member};
use super::schema::{LIST, ResourceSchema, SEARCH};

/// How many resources one answer has at most.
pub const MOST_RESULTS: usize = 200;
/// How many it has where nobody says.
const USUAL_RESULTS: usize = 100;
/// How many attributes may be named.
const MOST_ATTRIBUTES: usize = 100;

/// What a list is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// From which one on, counted from 1.
    pub start_index: u64,
    /// How many at most; 0 asks for the total alone.
    pub count: usize,
    /// Whether by user name, in place of by creation.
    pub by_user_name: bool,
    /// Which attributes.
    pub projection: Projection,
}

/// Which attributes an answer has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    only: Vec<AttributePath>,
    without: Vec<AttributePath>,
}

/// The parameters as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// `filter`
    pub filter: Option<String>,
    /// `startIndex`
    pub start_index: Option<String>,
    /// `count`
    pub count: Option<String>,
    /// `sortBy`
    pub sort_by: Option<String>,
    /// `sortOrder`
    pub sort_order: Option<String>,
    /// `attributes`
    pub attributes: Option<String>,
    /// `excludedAttributes`
    pub excluded_attributes: Option<String>,
}

impl Parameters {
    /// Those of a search by POST.
    ///
    /// # Errors
    /// When the body is none.
    pub fn of_search(mut body: Map<String, Value>) -> Result<Self, ScimError> {
        let is_search = |held: &Value| held.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(SEARCH));
        if !take(&mut body, "schemas").is_some_and(|all| all.as_array().is_some_and(|all| all.iter().any(is_search))) {
            return Err(ScimError::new(ScimType::InvalidSyntax, format!("`schemas` has to hold `{SEARCH}`")));
        }
        let mut text = |name: &str| match take(&mut body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Array(names)) => Ok(Some(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))),
            Some(_) => Err(ScimError::new(ScimType::InvalidValue, format!("`{name}` has to be text or a number"))),
        };
        Ok(Self {
            filter: text("filter")?,
            start_index: text("startIndex")?,
            count: text("count")?,
            sort_by: text("sortBy")?,
            sort_order: text("sortOrder")?,
            attributes: text("attributes")?,
            excluded_attributes: text("excludedAttributes")?,
        })
    }

    /// What they ask of a list of such resources.
    ///
    /// # Errors
    /// When one of them cannot be read, or asks for an order that there is not.
    pub fn list(&self, schema: &ResourceSchema) -> Result<ListQuery, ScimError> {
        let filter = self.filter.as_deref().filter(|filter| !filter.trim().is_empty());
        let start = self.start_index.as_deref().map_or(Ok(1), |text| number("startIndex", text))?.max(1);
        let usual = i64::try_from(USUAL_RESULTS).unwrap_or(i64::MAX);
        let count = self.count.as_deref().map_or(Ok(usual), |text| number("count", text))?.max(0);
        Ok(ListQuery {
            filter: filter.map(|filter| Filter::parse(filter, schema)).transpose()?,
            start_index: u64::try_from(start).unwrap_or(1),
            count: usize::try_from(count).unwrap_or(usize::MAX).min(MOST_RESULTS),
            by_user_name: self.is_by_user_name(schema)?,
            projection: self.projection(schema)?,
        })
    }

    /// Which attributes they ask for.
    ///
    /// # Errors
    /// When one names none, or they say both which and which not.
    pub fn projection(&self, schema: &ResourceSchema) -> Result<Projection, ScimError> {
        let paths = |names: &Option<String>| -> Result<Vec<AttributePath>, ScimError> {
            let names = names.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
            let paths: Result<Vec<_>, _> =
                names.take(MOST_ATTRIBUTES).map(|name| AttributePath::parse(name, schema)).collect();
            paths.map_err(|error| ScimError::new(ScimType::InvalidValue, error.detail))
        };
        let (only, without) = (paths(&self.attributes)?, paths(&self.excluded_attributes)?);
        if !only.is_empty() && !without.is_empty() {
            let why = "`attributes` and `excludedAttributes` do not go together";
            return Err(ScimError::new(ScimType::InvalidValue, why));
        }
        Ok(Projection { only, without })
    }

    fn is_by_user_name(&self, schema: &ResourceSchema) -> Result<bool, ScimError> {
        let Some(sort_by) = self.sort_by.as_deref().filter(|text| !text.is_empty()) else { return Ok(false) };
        let is_ascending = self.sort_order.as_deref().is_none_or(|order| order.eq_ignore_ascii_case("ascending"));
        let key = schema.attributes.iter().find(|attribute| attribute.is_required).map_or("", |key| key.name);
        let path = AttributePath::parse(sort_by, schema).ok();
        if is_ascending && path.is_some_and(|path| path.is(key) && path.part.is_none()) {
            return Ok(true);
        }
        Err(ScimError::new(ScimType::InvalidValue, format!("there is no order but `{key}`, ascending")))
    }
}

fn number(name: &str, text: &str) -> Result<i64, ScimError> {
    text.trim().parse().map_err(|_| {
        ScimError::new(ScimType::InvalidValue, format!("`{name}` has to be a whole number, unlike {}", shown(text)))
    })
}

impl Projection {
    /// Whether an answer has this attribute of the core, or part of it.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let is_whole = |path: &&AttributePath| path.is(name) && path.part.is_none();
        (self.only.is_empty() || self.only.iter().any(|path| path.is(name)))
            && !self.without.iter().any(|path| is_whole(&path))
    }

    /// Whether the client says which attributes it wants.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        !self.only.is_empty() || !self.without.is_empty()
    }

    /// What an answer has of a resource: always `schemas` and `id`.
    #[must_use]
    pub fn of(&self, resource: Map<String, Value>) -> Map<String, Value> {
        let mut resource = resource;
        if !self.only.is_empty() {
            let mut kept = Map::new();
            for name in ["schemas", "id"] {
                if let Some(value) = resource.get(name) {
                    kept.insert(name.to_owned(), value.clone());
                }
            }
            for path in &self.only {
                keep(path, &resource, &mut kept);
            }
            return kept;
        }
        for path in self.without.iter().filter(|path| !path.is("id") && !path.is("schemas")) {
            leave_out(path, &mut resource);
        }
        resource
    }
}

/// Copies what `path` names.
fn keep(path: &AttributePath, resource: &Map<String, Value>, kept: &mut Map<String, Value>) {
    let (from, into) = match &path.extension {
        None => (resource, kept),
        Some(urn) => {
            let Some(Value::Object(members)) = member(resource, urn) else { return };
            if path.name.is_empty() {
                kept.insert(urn.clone(), Value::Object(members.clone()));
                return;
            }
            let held = kept.entry(urn.clone()).or_insert_with(|| Value::Object(Map::new()));
            let Some(into) = held.as_object_mut() else { return };
            (members, into)
        }
    };
    let Some(value) = member(from, &path.name) else { return };
    match &path.part {
        None => {
            into.insert(path.name.clone(), value.clone());
        }
        Some(part) => merge_part(into.entry(path.name.clone()).or_insert(Value::Null), value, part),
    }
}

/// Puts `part` of `value` beside what is kept of it.
fn merge_part(kept: &mut Value, value: &Value, part: &str) {
    match value {
        Value::Object(members) => {
            if !kept.is_object() {
                *kept = Value::Object(Map::new());
            }
            if let (Some(into), Some(found)) = (kept.as_object_mut(), member(members, part)) {
                into.insert(part.to_owned(), found.clone());
            }
        }
        Value::Array(values) => {
            if !kept.is_array() {
                *kept = Value::Array(vec![Value::Null; values.len()]);
            }
            for (held, value) in kept.as_array_mut().into_iter().flatten().zip(values) {
                merge_part(held, value, part);
            }
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => *kept = plain.clone(),
    }
}

fn leave_out(path: &AttributePath, resource: &mut Map<String, Value>) {
    let members = match &path.extension {
        None => resource,
        Some(urn) if path.name.is_empty() => {
            resource.retain(|held, _| !held.eq_ignore_ascii_case(urn));
            return;
        }
        Some(urn) => {
            let held = resource.iter_mut().find(|(held, _)| held.eq_ignore_ascii_case(urn));
            let Some(members) = held.and_then(|(_, value)| value.as_object_mut()) else { return };
            members
        }
    };
    let Some(part) = &path.part else {
        members.retain(|held, _| !held.eq_ignore_ascii_case(&path.name));
        return;
    };
    let found = members.iter_mut().find(|(held, _)| held.eq_ignore_ascii_case(&path.name));
    let values = match found {
        Some((_, Value::Array(values))) => values.as_mut_slice(),
        Some((_, value)) => std::slice::from_mut(value),
        None => &mut [],
    };
    for members in values.iter_mut().filter_map(Value::as_object_mut) {
        members.retain(|held, _| !held.eq_ignore_ascii_case(part));
    }
}

/// A list as an answer.
#[must_use]
pub fn list_response(resources: &[Value], total: u64, start_index: u64) -> Value {
    json!({
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}
