//! YAML text to a [`Node`] tree (YAML 1.2 core: `yes` and `on` are text).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{MessageFormatter as _, Spanned, UserMessageFormatter};

use super::fault::{Fault, Place};
use super::node::{Content, Entry, Node, Origin, in_words, push};

/// The longest config that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// How deep lists and maps may stand in each other.
const MAX_DEPTH: usize = 32;
/// How many values aliases may add to a config.
const MAX_ALIASED: usize = 10_000;

/// Text that is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct YamlError {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Reads `text`; a key that stands twice in one map is added to `faults`.
pub(crate) fn parse(text: &str, faults: &mut Vec<Fault>) -> Result<Node, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError {
            place: Place::Nowhere,
            message: format!("the config is {} bytes long", text.len()),
            hint: Some("at most 1 MiB is read".to_owned()),
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_blank(text) {
        return Ok(Node::empty());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH, max_documents: 2 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let root: Spanned<Written> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(text, &error))?;
    let node = node(root);
    find_duplicates(&node, "", faults);
    Ok(node)
}

/// Whether there is nothing but comments.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn explain(text: &str, error: &serde_saphyr::Error) -> YamlError {
    let place = error
        .location()
        .filter(|location| location.line() > 0)
        .map_or(Place::Nowhere, |location| Place::File { line: location.line(), column: location.column() });
    let said = UserMessageFormatter.format_message(error.without_snippet());
    // The parser's own limit on nesting and the limit on aliases are no variant of their own.
    let too_much = matches!(error, serde_saphyr::Error::Budget { .. })
        || ["recursion limit", "too large or too complex"].iter().any(|part| said.contains(part));
    if too_much {
        let message = format!("the config is nested deeper than {MAX_DEPTH} levels, or its aliases repeat too much");
        return YamlError { place, message, hint: None };
    }
    if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        let message = "a second YAML document starts here, and only one is read".to_owned();
        return YamlError { place, message, hint: Some("remove the `---`".to_owned()) };
    }
    let hint = match &place {
        Place::File { line, .. } => {
            let before = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
            hint_for(text.lines().nth(before).unwrap_or_default()).or_else(|| hint_for_open_bracket(text, before))
        }
        Place::Variable(_) | Place::Nowhere => None,
    };
    YamlError { place, message: format!("this is not valid YAML: {said}"), hint }
}

/// A bracket that is not closed is noticed lines later.
fn hint_for_open_bracket(text: &str, lines: usize) -> Option<String> {
    let mut open: Vec<usize> = Vec::new();
    for (number, line) in text.lines().take(lines).enumerate() {
        for character in line.split(" #").next().unwrap_or_default().chars() {
            match character {
                '[' | '{' => open.push(number),
                ']' | '}' => drop(open.pop()),
                _ => {}
            }
        }
    }
    open.last().map(|line| format!("is the bracket on line {} closed?", line.saturating_add(1)))
}

/// The usual slips, seen from the line they stand on.
fn hint_for(line: &str) -> Option<String> {
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.contains('\t') {
        return Some("indent with spaces: YAML refuses tabs".to_owned());
    }
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start();
    if value.starts_with(['@', '`', '%', '*', '&', '!']) {
        return Some("a value that starts with this character needs quotes".to_owned());
    }
    if line.contains("${") {
        return Some("inside `{ }` and `[ ]`, a variable needs quotes: `\"${NAME}\"`".to_owned());
    }
    if value.contains(": ") && !value.starts_with(['{', '[', '"', '\'']) {
        return Some("a value with `: ` in it needs quotes".to_owned());
    }
    None
}

fn find_duplicates(node: &Node, pointer: &str, faults: &mut Vec<Fault>) {
    match &node.value {
        Content::Map(entries) => {
            for (position, entry) in entries.iter().enumerate() {
                let here = push(pointer, &entry.key);
                if let Some(first) = entries.iter().take(position).find(|earlier| earlier.key == entry.key) {
                    faults.push(duplicate(&here, first, entry));
                }
                find_duplicates(&entry.node, &here, faults);
            }
        }
        Content::List(items) => {
            for (position, item) in items.iter().enumerate() {
                find_duplicates(item, &push(pointer, &position.to_string()), faults);
            }
        }
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
    }
}

fn duplicate(pointer: &str, first: &Entry, second: &Entry) -> Fault {
    let at = match (&first.key_origin, &second.key_origin) {
        (Origin::File { line, .. }, Origin::File { line: again, .. }) => format!("on line {line} and on line {again}"),
        _ => "twice".to_owned(),
    };
    Fault::new(pointer, format!("the key `{}` stands {at}", in_words(pointer)))
        .at_key()
        .hint("keep one of them, or merge what they hold")
}

fn node(written: Spanned<Written>) -> Node {
    let origin = origin(&written.referenced);
    let value = match written.value {
        Written::Null => Content::Null,
        Written::Bool(value) => Content::Bool(value),
        Written::Number(number) => Content::Number(number),
        Written::Text(text) => Content::Text(text),
        Written::List(items) => Content::List(items.into_iter().map(node).collect()),
        Written::Map(entries) => Content::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_origin: self::origin(&key.referenced),
                    key: key.value,
                    node: node(value),
                })
                .collect(),
        ),
    };
    Node::new(value, origin)
}

fn origin(location: &serde_saphyr::Location) -> Origin {
    Origin::File { line: location.line(), column: location.column() }
}

/// A YAML value, each part of it with its place.
enum Written {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Written>>),
    Map(Vec<(Spanned<String>, Spanned<Written>)>),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_none<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Ok(Written::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(Written::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(Written::Number(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Written, E> {
        Ok(Written::Text(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Written, E> {
        Ok(Written::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Ok(Number::from_f64(value).map_or_else(|| Written::Text(value.to_string()), Written::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Written, E> {
        Ok(Written::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Written, E> {
        Ok(Written::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Written::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Written::Map(entries))
    }
}
