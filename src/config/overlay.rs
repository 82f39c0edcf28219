//! `TIERGATE_<PATH>` variables over the config file: `__` steps into maps and
//! lists, a list or map may also be written whole, as `[a, b]` or `{a: b}`.

use std::sync::Arc;

use serde_json::Value;

use super::fault::Fault;
use super::interpolate::Variables;
use super::node::{Content, Entry, Node, Origin};
use super::schema::View;
use super::yaml;
use crate::policy::nearest;

const PREFIX: &str = "TIERGATE_";
/// What the command line reads itself: the name of the config file.
const OF_THE_COMMAND_LINE: &str = "TIERGATE_CONFIG";

/// Whether any variable speaks of the config.
pub(crate) fn is_used(variables: &Variables) -> bool {
    settings(variables).next().is_some()
}

/// Puts the variables over `tree`; a shorter path before the longer ones in it.
pub(crate) fn overlay(tree: &mut Node, variables: &Variables, schema: &Value, faults: &mut Vec<Fault>) {
    let mut found: Vec<(Vec<Segment<'_>>, &str, &str)> =
        settings(variables).map(|(name, path, value)| (segments(path), name, value)).collect();
    found.sort();
    for (path, name, value) in found {
        let setting = Setting { name, value, origin: Origin::Variable(Arc::from(name)), schema };
        if let Err(fault) = setting.put(tree, View::new(schema), &path) {
            faults.push(fault);
        }
    }
}

/// Texts that stand for a number or a truth value become one, where they came
/// from a variable: those hold nothing but text.
pub(crate) fn coerce(node: &mut Node, view: View<'_>) {
    match &mut node.value {
        Content::Text(text) if node.from_variable && !view.takes("string") => {
            let number = text.trim().parse::<i64>().ok().filter(|_| view.takes("integer"));
            let truth = text.trim().parse::<bool>().ok().filter(|_| view.takes("boolean"));
            if let Some(number) = number {
                node.value = Content::Number(number.into());
            } else if let Some(truth) = truth {
                node.value = Content::Bool(truth);
            }
        }
        Content::List(items) => {
            if let Some(view) = view.items() {
                items.iter_mut().for_each(|item| coerce(item, view));
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                if let Some(view) = view.property(&entry.key).or_else(|| view.any_property()) {
                    coerce(&mut entry.node, view);
                }
            }
        }
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {}
    }
}

/// One step of a path; list positions sort as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Position(usize),
    Name(&'a str),
}

fn segments(path: &str) -> Vec<Segment<'_>> {
    path.split("__").map(|part| part.parse().map_or(Segment::Name(part), Segment::Position)).collect()
}

/// The variables that set something: their name, path and value.
fn settings(variables: &Variables) -> impl Iterator<Item = (&str, &str, &str)> {
    variables.iter().filter_map(|(name, value)| {
        let path = name.strip_prefix(PREFIX)?;
        let other = name == OF_THE_COMMAND_LINE || is_service_link(path);
        (!other).then_some((name.as_str(), path, value.as_str()))
    })
}

/// Kubernetes tells every pod of a Service named `tiergate` its address in
/// variables with our prefix: `TIERGATE_SERVICE_HOST`, `TIERGATE_PORT_9191_TCP_ADDR` and so on.
fn is_service_link(path: &str) -> bool {
    if path.contains("__") {
        return false;
    }
    let parts: Vec<&str> = path.split('_').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    path == "PORT"
        || path.ends_with("_PORT")
        || parts.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || parts.windows(3).any(|run| matches!(run, ["PORT", number, "TCP" | "UDP" | "SCTP"] if is_number(number)))
}

struct Setting<'a> {
    name: &'a str,
    value: &'a str,
    origin: Origin,
    schema: &'a Value,
}

impl Setting<'_> {
    fn put(&self, node: &mut Node, view: View<'_>, path: &[Segment<'_>]) -> Result<(), Fault> {
        match path.split_first() {
            None => {
                *node = self.parsed(view)?;
                Ok(())
            }
            Some((Segment::Position(position), rest)) => {
                let inner = view.items().ok_or_else(|| self.unknown())?;
                self.put_in_list(node, *position, |item| self.put(item, inner, rest))
            }
            Some((Segment::Name(part), rest)) => {
                let key = self.key(node, view, part)?;
                let inner = view.property(&key).or_else(|| view.any_property()).ok_or_else(|| self.unknown())?;
                self.put_in_map(node, key, |value| self.put(value, inner, rest))
            }
        }
    }

    fn put_in_map(
        &self,
        node: &mut Node,
        key: String,
        put: impl FnOnce(&mut Node) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !matches!(node.value, Content::Map(_)) {
            *node = Node::new(Content::Map(Vec::new()), self.origin.clone());
        }
        let Content::Map(entries) = &mut node.value else { return Ok(()) };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            return put(&mut entry.node);
        }
        let mut value = Node::new(Content::Null, self.origin.clone());
        put(&mut value)?;
        entries.push(Entry { key, key_origin: self.origin.clone(), node: value });
        Ok(())
    }

    fn put_in_list(
        &self,
        node: &mut Node,
        position: usize,
        put: impl FnOnce(&mut Node) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !matches!(node.value, Content::List(_)) {
            *node = Node::new(Content::List(Vec::new()), self.origin.clone());
        }
        let Content::List(items) = &mut node.value else { return Ok(()) };
        let length = items.len();
        if let Some(item) = items.get_mut(position) {
            return put(item);
        }
        if position > length {
            let message = format!("there is no entry {position} in a list of {length}");
            let fault = Fault::of_variable(self.name, message);
            return Err(fault.hint(format!("entries count from 0; {length} adds one")));
        }
        let mut item = Node::new(Content::Null, self.origin.clone());
        put(&mut item)?;
        items.push(item);
        Ok(())
    }

    /// The key that a part of the name stands for: variables are written in
    /// capitals and cannot hold `-`.
    fn key(&self, node: &Node, view: View<'_>, part: &str) -> Result<String, Fault> {
        let wanted = plain(part);
        if let Some(key) = view.keys().find(|key| plain(key) == wanted) {
            return Ok(key.to_owned());
        }
        if part.is_empty() || view.any_property().is_none() {
            return Err(self.unknown());
        }
        let written = match &node.value {
            Content::Map(entries) => entries.iter().find(|entry| plain(&entry.key) == wanted),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) | Content::List(_) => None,
        };
        Ok(written.map_or(wanted, |entry| entry.key.clone()))
    }

    fn parsed(&self, view: View<'_>) -> Result<Node, Fault> {
        let start = self.value.trim_start();
        let whole = (start.starts_with('[') && view.takes("array")) || (start.starts_with('{') && view.takes("object"));
        if !whole {
            if view.takes("array") && !view.takes("string") {
                let fault = Fault::of_variable(self.name, "a list is expected");
                return Err(fault.hint("write it as `[first, second]`, or set one entry with `__0` behind the name"));
            }
            if view.takes("object") && !view.takes("string") {
                let fault = Fault::of_variable(self.name, "a map is expected");
                return Err(fault.hint("write it as `{key: value}`, or set one key with `__KEY` behind the name"));
            }
            let mut node = Node::new(Content::Text(self.value.to_owned()), self.origin.clone());
            node.from_variable = true;
            return Ok(node);
        }
        let mut duplicates = Vec::new();
        let parsed = yaml::parse(self.value, &mut duplicates)
            .map_err(|error| Fault::of_variable(self.name, error.message).maybe_hint(error.hint))?;
        if !duplicates.is_empty() {
            return Err(Fault::of_variable(self.name, "a key stands twice in the map"));
        }
        Ok(parsed.moved_to(&self.origin))
    }

    fn unknown(&self) -> Fault {
        let known = known_names(View::new(self.schema), PREFIX, 0);
        let fault = Fault::of_variable(self.name, "no key of the config has this name");
        let path = self.name.trim_start_matches(PREFIX);
        match nearest(path, known.iter().filter_map(|name| name.strip_prefix(PREFIX))) {
            Some(similar) => fault.hint(format!("did you mean `{PREFIX}{similar}`?")),
            None => fault
                .hint("`__` steps into a map or list, such as `TIERGATE_LISTEN__GRPC`; `config schema` lists the keys"),
        }
    }
}

fn plain(text: &str) -> String {
    text.to_ascii_lowercase().replace('-', "_")
}

/// The names of the variables down to where only the writer knows the keys.
fn known_names(view: View<'_>, prefix: &str, depth: usize) -> Vec<String> {
    const DEEPEST: usize = 4;
    let mut names = Vec::new();
    if depth > DEEPEST {
        return names;
    }
    let separator = if depth == 0 { "" } else { "__" };
    for key in view.keys() {
        let name = format!("{prefix}{separator}{}", plain(key).to_ascii_uppercase());
        if let Some(inner) = view.property(key) {
            names.extend(known_names(inner, &name, depth + 1));
        }
        names.push(name);
    }
    if let Some(inner) = view.items().filter(|inner| inner.takes("object")) {
        names.extend(known_names(inner, &format!("{prefix}__0"), depth + 1));
    }
    names
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
