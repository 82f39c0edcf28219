//! Built values as YAML that people read: short things on one line, comments
//! where the builder put them.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The key under which an object holds the comment that stands before it.
pub(super) const COMMENT: &str = "#";

/// A line is not made longer than this by putting things side by side.
const WIDTH: usize = 130;

/// The value as block-style YAML, each line behind `indent` blanks.
pub(super) fn block(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    write_block(value, indent, &mut out);
    out
}

/// The value without its comments.
pub(super) fn without_comments(mut value: Value) -> Value {
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.shift_remove(COMMENT);
            object.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn write_block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Array(items) => {
            for item in items {
                write_item(item, indent, out);
            }
        }
        Value::Object(object) => {
            write_comment(object, indent, out);
            write_members(object, indent, out);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = writeln!(out, "{:indent$}{}", "", flow(value));
        }
    }
}

fn write_item(item: &Value, indent: usize, out: &mut String) {
    if let Value::Object(object) = item {
        write_comment(object, indent, out);
    }
    if let Some(line) = one_line(item, indent.saturating_add(2)) {
        let _ = writeln!(out, "{:indent$}- {line}", "");
        return;
    }
    let mut inner = String::new();
    match item {
        Value::Object(object) => write_members(object, indent.saturating_add(2), &mut inner),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            write_block(item, indent.saturating_add(2), &mut inner);
        }
    }
    let _ = write!(out, "{:indent$}- {}", "", inner.trim_start());
}

fn write_comment(object: &Map<String, Value>, indent: usize, out: &mut String) {
    let lines = object.get(COMMENT).and_then(Value::as_str).into_iter().flat_map(str::lines);
    for line in lines {
        let _ = writeln!(out, "{:indent$}# {line}", "");
    }
}

fn write_members(object: &Map<String, Value>, indent: usize, out: &mut String) {
    for (key, value) in object.iter().filter(|(key, _)| *key != COMMENT) {
        let key = scalar(key);
        if let Some(line) = one_line(value, indent.saturating_add(key.len()).saturating_add(2)) {
            let _ = writeln!(out, "{:indent$}{key}: {line}", "");
            continue;
        }
        let _ = writeln!(out, "{:indent$}{key}:", "");
        // The items of a list stand below their key, not further in.
        let deeper = if value.is_array() { indent } else { indent.saturating_add(2) };
        write_block(value, deeper, out);
    }
}

/// The value on one line, where it is short and nothing in it needs a line of its own.
fn one_line(value: &Value, column: usize) -> Option<String> {
    let is_deep = match value {
        Value::Object(object) => object.contains_key("@type") || holds_comment(value),
        Value::Array(_) => holds_comment(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Some(flow(value)),
    };
    if is_deep {
        return None;
    }
    let line = flow(value);
    (line.len().saturating_add(column) <= WIDTH).then_some(line)
}

fn holds_comment(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key(COMMENT) || object.values().any(holds_comment),
        Value::Array(items) => items.iter().any(holds_comment),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(object) if object.is_empty() => "{}".to_owned(),
        Value::Object(object) => {
            let members: Vec<String> =
                object.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text that every YAML reader takes for a text: bare where it can be nothing
/// else, else in double quotes, which YAML 1.2 shares with JSON.
fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let starts_plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    let is_word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text));
    if starts_plain && text.bytes().all(plain) && !is_word { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_what_a_reader_reads_back() {
        let value = json!({
            "#": "first\nsecond",
            "name": "ingress",
            "odd": ["a: b", "on", "1", "", "~", "\\1", "@type", "é\u{7}", "-", "a b"],
            "empty": {}, "list": [], "number": 1.5, "flag": true,
            "routes": [
                { "#": "an item", "match": { "prefix": "/" }, "typed": { "@type": "x", "a": [{ "b": { "c": "d".repeat(140) } }] } },
                [1, 2],
                "text",
            ],
        });
        let written = block(&value, 2);
        let read: Value = serde_saphyr::from_str(&written).unwrap();
        assert_eq!(read, without_comments(value));
        insta::assert_snapshot!(written);
    }
}
