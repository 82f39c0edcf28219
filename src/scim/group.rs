//! A group as SCIM writes it, and as the directory keeps it.

use serde_json::{Map, Value, json};

use super::error::{ScimError, ScimType, shown};
use super::filter::{Filter, Operator, Term, Test};
use super::patch::{Action, Operation, Patch, take};
use super::schema::{GROUP, GROUPS};
use super::shape;
use super::user::check_name;
use crate::directory::{Group, GroupChange, UserId};

/// A group as a client wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenGroup {
    /// What rules call it.
    pub name: String,
    /// The client's own name for it.
    pub external_id: Option<String>,
    /// Who is in it, each once.
    pub members: Vec<UserId>,
}

impl WrittenGroup {
    /// The group that the body of a POST or PUT is.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(body: Map<String, Value>) -> Result<Self, ScimError> {
        let mut resource = shape::read(body, &GROUPS)?;
        let Some(Value::String(name)) = take(&mut resource, "displayName") else {
            return Err(ScimError::new(ScimType::InvalidValue, "`displayName` has to be there"));
        };
        check_name("displayName", &name)?;
        let external_id = match take(&mut resource, "externalId") {
            Some(Value::String(id)) => read_external_id(&id)?,
            Some(_) | None => None,
        };
        let members = take(&mut resource, "members").map(|members| read_members(&members)).transpose()?;
        Ok(Self { name, external_id, members: members.unwrap_or_default() })
    }

    /// What a PUT changes: everything.
    #[must_use]
    pub fn into_change(self) -> GroupChange {
        GroupChange {
            name: Some(self.name),
            external_id: Some(self.external_id),
            members: Some(self.members),
            add: Vec::new(),
            remove: Vec::new(),
        }
    }
}

impl Patch {
    /// What it changes of a group; who is in it need not be read for that, so that
    /// two of them at once do not lose each other's members.
    ///
    /// # Errors
    /// When an operation cannot be done to a group.
    pub fn group_change(&self) -> Result<GroupChange, ScimError> {
        let mut change = GroupChange::default();
        // Those of all operations, before any of them is looked for among the others.
        let named = self.operations.iter().map(Operation::named_members);
        if named.sum::<usize>() > GROUPS.most_values {
            let why = format!("a request names too many members: {} at most", GROUPS.most_values);
            return Err(ScimError::new(ScimType::TooMany, why));
        }
        for operation in &self.operations {
            operation.change_group(&mut change)?;
        }
        Ok(change)
    }
}

impl Operation {
    /// How many members it names.
    fn named_members(&self) -> usize {
        let Self { action: _, target, value } = self;
        let selected = target.select.as_ref().map_or(0, Filter::terms);
        if target.path.is("members") {
            value.iter().map(|value| values(value).len()).sum::<usize>() + selected
        } else {
            0
        }
    }

    fn change_group(&self, change: &mut GroupChange) -> Result<(), ScimError> {
        let Self { action, target, value } = self;
        let value = value.as_ref().filter(|value| !value.is_null());
        if target.path.is("members") {
            return self.change_members(change);
        }
        if target.path.is("displayName") {
            let name = value.and_then(Value::as_str).filter(|_| *action != Action::Remove);
            let why = "`displayName` has to be there, and be text";
            let name = name.ok_or_else(|| ScimError::new(ScimType::InvalidValue, why))?;
            check_name("displayName", name)?;
            change.name = Some(name.to_owned());
        } else if target.path.is("externalId") {
            change.external_id = Some(match value.filter(|_| *action != Action::Remove) {
                None => None,
                Some(Value::String(id)) => read_external_id(id)?,
                Some(_) => return Err(ScimError::new(ScimType::InvalidValue, "`externalId` has to be text")),
            });
        }
        // What else a client says of a group is not kept.
        Ok(())
    }

    fn change_members(&self, change: &mut GroupChange) -> Result<(), ScimError> {
        let Self { action, target, value } = self;
        if target.path.part.is_some() {
            let why = "who is a member cannot be changed into somebody else: remove the one and add the other";
            return Err(ScimError::new(ScimType::Mutability, why));
        }
        let value = value.as_ref().filter(|value| !shape::is_empty(value));
        let told = |value: Option<&Value>| value.map(read_members).transpose().map(Option::unwrap_or_default);
        match (action, &target.select) {
            (Action::Add, None) => told(value)?.into_iter().for_each(|id| change.add_member(id)),
            (Action::Replace, None) => {
                *change =
                    GroupChange { members: Some(told(value)?), add: Vec::new(), remove: Vec::new(), ..change.clone() };
            }
            // Entra names the members to take away, in place of selecting them.
            (Action::Remove, None) if value.is_some() => {
                for text in value.into_iter().flat_map(values) {
                    if let Some(id) = member_id(text) {
                        change.remove_member(id);
                    }
                }
            }
            (Action::Remove, None) => {
                *change =
                    GroupChange { members: Some(Vec::new()), add: Vec::new(), remove: Vec::new(), ..change.clone() };
            }
            (Action::Remove, Some(select)) => {
                for text in selected(select)? {
                    if let Some(id) = UserId::parse(&text) {
                        change.remove_member(id);
                    }
                }
            }
            (Action::Add | Action::Replace, Some(_)) => {
                let why = "members are added by their ids, without a filter";
                return Err(ScimError::new(ScimType::InvalidPath, why));
            }
        }
        Ok(())
    }
}

/// The ids for which the filter of a value path holds.
fn selected(select: &Filter) -> Result<Vec<String>, ScimError> {
    let filters = match select {
        Filter::Or(filters) => filters.as_slice(),
        Filter::And(_) | Filter::Not(_) | Filter::Has(_) => std::slice::from_ref(select),
    };
    let id = |filter: &Filter| match filter {
        Filter::Has(Term { path, test: Test::Compare(Operator::Equal, Value::String(id)), .. }) if path.is("value") => {
            Some(id.clone())
        }
        Filter::And(_) | Filter::Or(_) | Filter::Not(_) | Filter::Has(_) => None,
    };
    let ids: Option<Vec<String>> = filters.iter().map(id).collect();
    let why = "members are selected by `members[value eq \"id\"]`";
    ids.ok_or_else(|| ScimError::new(ScimType::InvalidFilter, why))
}

fn values(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// The ids of members, each once.
fn read_members(members: &Value) -> Result<Vec<UserId>, ScimError> {
    let mut ids = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for member in values(members) {
        let kind = member.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("User")) {
            return Err(ScimError::new(ScimType::InvalidValue, "only users are members of groups"));
        }
        let id = member_id(member).ok_or_else(|| no_such_member(member))?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn member_id(member: &Value) -> Option<UserId> {
    member.get("value").unwrap_or(member).as_str().and_then(UserId::parse)
}

fn no_such_member(member: &Value) -> ScimError {
    let text = member.get("value").unwrap_or(member).as_str().unwrap_or_default();
    ScimError::new(ScimType::InvalidValue, format!("there is no user {}", shown(text)))
}

fn read_external_id(id: &str) -> Result<Option<String>, ScimError> {
    if id.is_empty() {
        return Ok(None);
    }
    check_name("externalId", id)?;
    Ok(Some(id.to_owned()))
}

impl GroupChange {
    /// Adds somebody, whatever was said of them before.
    fn add_member(&mut self, id: UserId) {
        self.remove.retain(|held| *held != id);
        if !self.add.contains(&id) {
            self.add.push(id);
        }
    }

    /// Takes somebody away, whatever was said of them before.
    fn remove_member(&mut self, id: UserId) {
        self.add.retain(|held| *held != id);
        if let Some(members) = &mut self.members {
            members.retain(|held| *held != id);
        }
        if !self.remove.contains(&id) {
            self.remove.push(id);
        }
    }
}

/// A group as a client reads it. Without `members` nothing is said of them.
#[must_use]
pub fn show_group(group: &Group, members: Option<&[(UserId, String)]>, base: &str) -> Map<String, Value> {
    let id = group.id.to_string();
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("schemas", json!([GROUP]));
    put("id", Value::from(id.as_str()));
    if let Some(external_id) = &group.external_id {
        put("externalId", Value::from(external_id.as_str()));
    }
    put("displayName", Value::from(group.name.as_str()));
    if let Some(members) = members {
        let members = members.iter().map(|(user, name)| {
            json!({ "value": user.to_string(), "$ref": format!("{base}/Users/{user}"), "display": name, "type": "User" })
        });
        put("members", Value::Array(members.collect()));
    }
    put(
        "meta",
        json!({
            "resourceType": "Group",
            "created": group.created_at.to_string(),
            "lastModified": group.updated_at.to_string(),
            "location": format!("{base}/Groups/{id}"),
            "version": super::etag::weak(group.version),
        }),
    );
    shown
}
