//! Whether a resource stands a filter.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::filter::{Filter, Operator, Term, Test};
use super::moment;
use super::path::member;
use super::schema::{Attribute, Kind};

impl Filter {
    /// Whether it holds for a resource.
    #[must_use]
    pub fn holds(&self, resource: &Map<String, Value>) -> bool {
        match self {
            Self::And(filters) => filters.iter().all(|filter| filter.holds(resource)),
            Self::Or(filters) => filters.iter().any(|filter| filter.holds(resource)),
            Self::Not(filter) => !filter.holds(resource),
            Self::Has(term) => term.holds(resource),
        }
    }

    /// Whether it holds for one value of an attribute.
    pub(super) fn holds_for(&self, value: &Value) -> bool {
        match value.as_object() {
            Some(members) => self.holds(members),
            // A plain value is its own `value`.
            None => self.holds(&Map::from_iter([("value".to_owned(), value.clone())])),
        }
    }
}

impl Term {
    fn holds(&self, resource: &Map<String, Value>) -> bool {
        let found = if self.path.name.is_empty() {
            self.path.extension.as_deref().and_then(|urn| member(resource, urn))
        } else {
            self.path.find(resource)
        };
        let values: Vec<&Value> = match found {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values.iter().collect(),
            Some(value) => vec![value],
        };
        let chosen =
            values.into_iter().filter(|value| self.select.as_ref().is_none_or(|select| select.holds_for(value)));
        let leaves: Vec<&Value> = chosen.filter_map(|value| self.leaf_of(value)).collect();
        match &self.test {
            Test::Present => leaves.into_iter().any(is_present),
            Test::Compare(Operator::Equal, Value::Null) => !leaves.into_iter().any(is_present),
            Test::Compare(Operator::NotEqual, Value::Null) => leaves.into_iter().any(is_present),
            // Nothing equals it, and be it that there is nothing.
            Test::Compare(Operator::NotEqual, wanted) => {
                !leaves.into_iter().any(|held| compare(Operator::Equal, held, wanted, self.leaf))
            }
            Test::Compare(operator, wanted) => {
                leaves.into_iter().any(|held| compare(*operator, held, wanted, self.leaf))
            }
        }
    }

    /// What is compared of a value of the attribute.
    fn leaf_of<'r>(&self, value: &'r Value) -> Option<&'r Value> {
        match (value, &self.path.part, &self.test) {
            (Value::Object(members), Some(part), _) => member(members, part),
            (_, Some(part), _) => (part == "value").then_some(value),
            (Value::Object(_), None, Test::Present) => Some(value),
            (Value::Object(members), None, Test::Compare(..)) => member(members, "value"),
            (_, None, _) => Some(value),
        }
    }
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(is_present),
        Value::Object(members) => members.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(operator: Operator, held: &Value, wanted: &Value, leaf: Option<&'static Attribute>) -> bool {
    match (held, wanted) {
        (Value::String(held), Value::String(wanted)) => compare_text(operator, held, wanted, leaf),
        (Value::Number(held), Value::Number(wanted)) => {
            let order = held.as_f64().zip(wanted.as_f64()).and_then(|(held, wanted)| held.partial_cmp(&wanted));
            order.is_some_and(|order| is_so(operator, order))
        }
        (Value::Bool(held), Value::Bool(wanted)) => operator == Operator::Equal && held == wanted,
        // Some clients put quotes around it.
        (Value::Bool(held), Value::String(wanted)) => {
            operator == Operator::Equal && wanted.eq_ignore_ascii_case(if *held { "true" } else { "false" })
        }
        _ => false,
    }
}

fn compare_text(operator: Operator, held: &str, wanted: &str, leaf: Option<&'static Attribute>) -> bool {
    if leaf.is_some_and(|leaf| leaf.kind == Kind::DateTime)
        && let (Some(held), Some(wanted)) = (moment::parse(held), moment::parse(wanted))
    {
        return is_so(operator, held.cmp(&wanted));
    }
    if leaf.is_some_and(|leaf| leaf.is_case_exact) {
        return compare_bytes(operator, held, wanted);
    }
    compare_bytes(operator, &held.to_lowercase(), &wanted.to_lowercase())
}

fn compare_bytes(operator: Operator, held: &str, wanted: &str) -> bool {
    match operator {
        Operator::Contains => held.contains(wanted),
        Operator::StartsWith => held.starts_with(wanted),
        Operator::EndsWith => held.ends_with(wanted),
        Operator::Equal
        | Operator::NotEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::Less
        | Operator::LessOrEqual => is_so(operator, held.cmp(wanted)),
    }
}

const fn is_so(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        // Only text holds text.
        Operator::Contains | Operator::StartsWith | Operator::EndsWith => false,
    }
}
