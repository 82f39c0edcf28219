//! Unknown keys, wrong types, missing keys and words outside a closed set: the
//! config against its schema, every fault at once and in words.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::fault::{Fault, quoted};
use super::node::{in_words, push, steps};
use super::schema::View;
use crate::policy::nearest;

/// Every structural fault of `config`.
pub(crate) fn check(config: &Value, schema: &Value) -> Vec<Fault> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return vec![Fault::new("", format!("the schema of the config is broken: {error}"))],
    };
    let mut faults = Vec::new();
    for error in validator.iter_errors(config) {
        explain(&error, config, View::new(schema), &mut faults);
    }
    faults
}

/// What of `config` has the right form once the faulty values are taken out, so
/// that the rest can be judged in the same pass. What cannot do without a value
/// that was taken out goes with it.
pub(crate) fn sound_part(config: Value, faults: &[Fault], schema: &Value) -> (Value, TakenOut) {
    let mut taken_out = TakenOut { pointers: BTreeSet::new(), whole: config };
    let mut more: Vec<String> = faults.iter().map(|fault| fault.pointer().to_owned()).collect();
    loop {
        let before = taken_out.pointers.len();
        taken_out.pointers.extend(more);
        let part = taken_out.rest(&taken_out.whole, "");
        if taken_out.pointers.len() == before {
            return (part, taken_out);
        }
        more = check(&part, schema).iter().map(|fault| taken_out.original(fault.pointer())).collect();
    }
}

/// The places of what was taken out of a config. List entries behind one that
/// is gone have moved up.
pub(crate) struct TakenOut {
    pointers: BTreeSet<String>,
    whole: Value,
}

impl TakenOut {
    /// `value`, which stands at `pointer`, without what was taken out of it.
    fn rest(&self, value: &Value, pointer: &str) -> Value {
        let inner = |step: &str, value: &Value| {
            let pointer = push(pointer, step);
            (!self.pointers.contains(&pointer)).then(|| self.rest(value, &pointer))
        };
        match value {
            Value::Array(items) => {
                let kept = items.iter().enumerate().filter_map(|(position, item)| inner(&position.to_string(), item));
                Value::Array(kept.collect())
            }
            Value::Object(map) => {
                Value::Object(map.iter().filter_map(|(key, item)| Some((key.clone(), inner(key, item)?))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    /// Where in the whole config that stands which is at `pointer` in the rest.
    pub(crate) fn original(&self, pointer: &str) -> String {
        steps(pointer).fold(String::new(), |whole, step| {
            let kept = match (self.whole.pointer(&whole), step.parse::<usize>()) {
                (Some(Value::Array(items)), Ok(position)) => {
                    (0..items.len()).filter(|at| !self.pointers.contains(&push(&whole, &at.to_string()))).nth(position)
                }
                _ => None,
            };
            push(&whole, &kept.map_or(step, |position| position.to_string()))
        })
    }
}

fn explain(error: &ValidationError<'_>, config: &Value, root: View<'_>, faults: &mut Vec<Fault>) {
    let pointer = error.instance_path().as_str().to_owned();
    let found = config.pointer(&pointer).unwrap_or(&Value::Null);
    let view = root.follow(&pointer);
    #[expect(clippy::wildcard_enum_match_arm, reason = "the schema uses few of the many keywords")]
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            faults.extend(unexpected.iter().map(|key| unknown_key(&pointer, key, view)));
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            faults.extend(missing_key(&pointer, key, found, view));
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            match one_kind_of(error, found) {
                Some(inner) => inner.iter().for_each(|error| explain(error, config, root, faults)),
                None => faults.push(wrong_value(&pointer, found, view)),
            }
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(_) | TypeKind::Multiple(_) }
        | ValidationErrorKind::Enum { .. }
        | ValidationErrorKind::Constant { .. } => faults.push(wrong_value(&pointer, found, view)),
        ValidationErrorKind::Minimum { limit } => {
            faults.push(Fault::new(&pointer, format!("{found} is too small")).hint(format!("at least {limit}")));
        }
        ValidationErrorKind::Maximum { limit } => {
            faults.push(Fault::new(&pointer, format!("{found} is too large")).hint(format!("at most {limit}")));
        }
        _ => faults.push(Fault::new(&pointer, format!("`{}` has a form that is not known", in_words(&pointer)))),
    }
}

/// The faults of the only alternative that `found` can be meant for: a map is
/// judged as a map, whatever else could stand there.
fn one_kind_of<'e>(error: &'e ValidationError<'_>, found: &Value) -> Option<&'e [ValidationError<'static>]> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) = error.kind() else {
        return None;
    };
    if !found.is_object() {
        return None;
    }
    let is_of_other_type = |inner: &ValidationError<'static>| {
        inner.instance_path() == error.instance_path()
            && matches!(
                inner.kind(),
                ValidationErrorKind::Type { .. }
                    | ValidationErrorKind::Enum { .. }
                    | ValidationErrorKind::Constant { .. }
                    | ValidationErrorKind::OneOfNotValid { .. }
            )
    };
    let mut meant = context.iter().filter(|errors| !errors.iter().any(is_of_other_type));
    meant.next().filter(|_| meant.next().is_none()).map(Vec::as_slice)
}

fn unknown_key(pointer: &str, key: &str, view: Option<View<'_>>) -> Fault {
    let around = if pointer.is_empty() { String::new() } else { format!(" in `{}`", in_words(pointer)) };
    let fault = Fault::new(push(pointer, key), format!("unknown key {}{around}", quoted(key))).at_key();
    let known: Vec<&str> = view.into_iter().flat_map(View::keys).collect();
    match nearest(key, known.iter().copied()) {
        Some(similar) => fault.hint(format!("did you mean `{similar}`?")),
        None if known.is_empty() => fault,
        None => fault.hint(format!("the keys here are {}", listed(&known))),
    }
}

/// A key that is missing because it is misspelled is told as an unknown one.
fn missing_key(pointer: &str, key: &str, found: &Value, view: Option<View<'_>>) -> Option<Fault> {
    let known: Vec<&str> = view.into_iter().flat_map(View::keys).collect();
    let mut written = found.as_object().into_iter().flat_map(|map| map.keys());
    if written.any(|name| !known.contains(&name.as_str()) && nearest(name, known.iter().copied()) == Some(key)) {
        return None;
    }
    let fault = Fault::new(pointer, format!("`{}` is missing", in_words(&push(pointer, key))));
    Some(fault.hint(format!("add `{key}: …`")))
}

fn wrong_value(pointer: &str, found: &Value, view: Option<View<'_>>) -> Fault {
    let name = in_words(pointer);
    let Some(view) = view else { return Fault::new(pointer, format!("`{name}` is of the wrong type")) };
    let words = view.words();
    if let (Value::String(text), false) = (found, words.is_empty()) {
        let fault = Fault::new(pointer, format!("`{name}` cannot be {}", quoted(text)));
        return match nearest(text, words.iter().copied()) {
            Some(similar) => fault.hint(format!("did you mean `{similar}`?")),
            None => fault.hint(format!("write {}", one_of(&words, view))),
        };
    }
    if name.is_empty() {
        return Fault::new(pointer, format!("the config is {} and not a map", kind_of(found)))
            .hint("it starts with keys such as `listen:`");
    }
    if found.is_null() {
        return Fault::new(pointer, format!("`{name}` has no value")).hint("write one, or remove the key");
    }
    let fault =
        Fault::new(pointer, format!("`{name}` is {}, and {} is expected", kind_of(found), expected(view, &words)));
    fault.maybe_hint(correction(found, view))
}

fn correction(found: &Value, view: View<'_>) -> Option<String> {
    match found {
        Value::String(text) if view.takes("array") && !text.contains(['[', '{', '$']) => {
            Some("put it into brackets: `[…]`".to_owned())
        }
        Value::String(_) if view.takes("integer") => Some("write a whole number, without quotes".to_owned()),
        Value::Number(_) if view.example().is_some() => view.example().map(|example| format!("such as `{example}`")),
        Value::Number(_) | Value::Bool(_) if view.takes("string") => Some(format!("put it into quotes: `\"{found}\"`")),
        Value::Object(_) if view.takes("array") => Some("start each entry with `- `".to_owned()),
        Value::Array(_) if view.takes("object") => {
            Some("remove the `- ` or the brackets: this is a single map".to_owned())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn expected(view: View<'_>, words: &[&str]) -> String {
    let mut kinds = Vec::new();
    if !words.is_empty() {
        kinds.push(listed(words));
    } else if view.takes("string") {
        kinds.push("a text".to_owned());
    }
    for (kind, name) in
        [("integer", "a whole number"), ("boolean", "`true` or `false`"), ("array", "a list"), ("object", "a map")]
    {
        if view.takes(kind) {
            kinds.push(name.to_owned());
        }
    }
    if kinds.is_empty() { "something else".to_owned() } else { kinds.join(" or ") }
}

fn one_of(words: &[&str], view: View<'_>) -> String {
    let words = listed(words);
    if view.takes("object") {
        let keys: Vec<&str> = view.keys().collect();
        return format!("{words}, or a map with some of {}", listed(&keys));
    }
    words
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
