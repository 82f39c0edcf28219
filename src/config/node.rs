//! The config as a tree in which every value and every key knows its place.

use std::sync::Arc;

use serde_json::{Number, Value};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The config file; both count from 1.
    File { line: u64, column: u64 },
    /// An environment variable.
    Variable(Arc<str>),
    /// Nobody wrote it: it stands for a whole that has no text of its own.
    Implied,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Content,
    pub(crate) origin: Origin,
    /// Whether the text was put together from variables, so that it may also
    /// stand for a number or a truth value.
    pub(crate) from_variable: bool,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its place, and what stands under it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(value: Content, origin: Origin) -> Self {
        Self { value, origin, from_variable: false }
    }

    /// An empty map that nobody wrote.
    pub(crate) fn empty() -> Self {
        Self::new(Content::Map(Vec::new()), Origin::Implied)
    }

    /// The value without places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
        }
    }

    /// The same values, all of them from `origin`.
    pub(crate) fn moved_to(self, origin: &Origin) -> Self {
        let value = match self.value {
            Content::List(items) => Content::List(items.into_iter().map(|item| item.moved_to(origin)).collect()),
            Content::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry {
                        key: entry.key,
                        key_origin: origin.clone(),
                        node: entry.node.moved_to(origin),
                    })
                    .collect(),
            ),
            plain @ (Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_)) => plain,
        };
        Self { value, origin: origin.clone(), from_variable: self.from_variable }
    }

    /// What stands under `key` of a map.
    pub(crate) fn child(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::List(_) => None,
        }
    }

    /// The places of the key and the value that `pointer` names. Where it names
    /// nothing, those of the nearest thing around it.
    pub(crate) fn locate(&self, pointer: &str) -> Located<'_> {
        let mut found = Located { key: &self.origin, value: &self.origin };
        let mut node = self;
        for step in steps(pointer) {
            match &node.value {
                Content::Map(_) => {
                    let Some(entry) = node.child(&step) else { break };
                    found = Located { key: &entry.key_origin, value: &entry.node.origin };
                    node = &entry.node;
                }
                Content::List(items) => {
                    let Some(item) = step.parse::<usize>().ok().and_then(|index| items.get(index)) else { break };
                    found = Located { key: &item.origin, value: &item.origin };
                    node = item;
                }
                Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => break,
            }
        }
        found
    }
}

/// The places of a key and its value; a list item has only one.
pub(crate) struct Located<'a> {
    pub(crate) key: &'a Origin,
    pub(crate) value: &'a Origin,
}

/// The unescaped steps of a JSON pointer (RFC 6901).
pub(crate) fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

/// `pointer` one step further.
pub(crate) fn push(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}

/// The pointer as people write paths: `identity_providers[0].issuer`.
pub(crate) fn in_words(pointer: &str) -> String {
    let mut words = String::new();
    for step in steps(pointer) {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            words.push_str(&format!("[{step}]"));
            continue;
        }
        if !words.is_empty() {
            words.push('.');
        }
        words.push_str(&step);
    }
    words
}
