//! `${VAR}` and `${VAR:-default}` in the texts of the config file; `$$` is one `$`.
//!
//! What a variable holds is never read again: a secret with `${` in it stays
//! what it is.

use std::collections::BTreeMap;

use super::fault::{Fault, quoted};
use super::node::{Content, Node, push};
use crate::policy::nearest;

/// The variables of the process and of `.env`, by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Fills in every text of `node`; keys stay as they are.
pub(crate) fn interpolate(node: &mut Node, variables: &Variables, faults: &mut Vec<Fault>) {
    walk(node, "", variables, faults);
}

fn walk(node: &mut Node, pointer: &str, variables: &Variables, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Content::Text(text) if text.contains('$') => match fill(text, variables) {
            Ok(filled) => {
                node.from_variable |= filled.from_variable;
                *text = filled.text;
            }
            Err(slip) => faults.push(slip.fault(pointer, variables)),
        },
        Content::List(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                walk(item, &push(pointer, &position.to_string()), variables, faults);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                walk(&mut entry.node, &push(pointer, &entry.key), variables, faults);
            }
        }
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
    }
}

struct Filled {
    text: String,
    from_variable: bool,
}

/// Why a text could not be filled in.
#[derive(Debug, PartialEq, Eq)]
enum Slip {
    Unset(String),
    Unclosed,
    BadName(String),
}

impl Slip {
    fn fault(self, pointer: &str, variables: &Variables) -> Fault {
        match self {
            Self::Unset(name) => {
                let hint = match nearest(&name, variables.keys().map(String::as_str)) {
                    Some(similar) => format!("`{similar}` is set: did you mean that?"),
                    None => format!("set it, or give a default: `${{{name}:-…}}`"),
                };
                Fault::new(pointer, format!("the environment variable `{name}` is not set")).hint(hint)
            }
            Self::Unclosed => {
                Fault::new(pointer, "a `${` without its `}`").hint("write `$$` for a `$` that is meant as text")
            }
            Self::BadName(name) if name.is_empty() => Fault::new(pointer, "a `${}` without the name of a variable")
                .hint("write `${NAME}`, and `$$` for a `$` that is meant as text"),
            Self::BadName(name) => Fault::new(pointer, format!("{} is not the name of a variable", quoted(&name)))
                .hint("write `${NAME}` or `${NAME:-default}`, and `$$` for a `$` that is meant as text"),
        }
    }
}

fn fill(text: &str, variables: &Variables) -> Result<Filled, Slip> {
    let mut filled = Filled { text: String::with_capacity(text.len()), from_variable: false };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.text.push('$');
            rest = after;
        } else if let Some(reference) = after.strip_prefix('{') {
            let (inside, after) = reference.split_once('}').ok_or(Slip::Unclosed)?;
            filled.text.push_str(look_up(inside, variables)?);
            filled.from_variable = true;
            rest = after;
        } else {
            filled.text.push('$');
            rest = after;
        }
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn look_up<'a>(inside: &'a str, variables: &'a Variables) -> Result<&'a str, Slip> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Slip::BadName(name.to_owned()));
    }
    match (variables.get(name), default) {
        // As in a shell: the default also stands for an empty value.
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default),
        (Some(value), None) => Ok(value),
        (None, None) => Err(Slip::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Slip> {
        let variables = [("HOST", "db.example.com"), ("EMPTY", ""), ("ODD", "${HOST}$$")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        fill(text, &Variables::from(variables)).map(|filled| filled.text)
    }

    #[test]
    fn variables_stand_anywhere_in_a_text() {
        assert_eq!(filled("a ${HOST} b ${HOST}").unwrap(), "a db.example.com b db.example.com");
        assert_eq!(filled("${NONE:-other}").unwrap(), "other");
        assert_eq!(filled("${NONE:-}").unwrap(), "");
        assert_eq!(filled("${EMPTY:-other}").unwrap(), "other");
        assert_eq!(filled("${EMPTY}").unwrap(), "");
    }

    #[test]
    fn a_dollar_can_be_text() {
        assert_eq!(filled("$$").unwrap(), "$");
        assert_eq!(filled("$${HOST}").unwrap(), "${HOST}");
        assert_eq!(filled("cost: $5").unwrap(), "cost: $5");
        assert_eq!(filled("end$").unwrap(), "end$");
    }

    #[test]
    fn what_a_variable_holds_is_not_read_again() {
        assert_eq!(filled("${ODD}").unwrap(), "${HOST}$$");
    }

    #[test]
    fn slips_are_named() {
        assert_eq!(filled("${NONE}"), Err(Slip::Unset("NONE".to_owned())));
        assert_eq!(filled("${HOST"), Err(Slip::Unclosed));
        assert_eq!(filled("${}"), Err(Slip::BadName(String::new())));
        assert_eq!(filled("${1A}"), Err(Slip::BadName("1A".to_owned())));
        assert_eq!(filled("${A B}"), Err(Slip::BadName("A B".to_owned())));
    }
}
