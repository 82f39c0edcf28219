//! What is wrong with a config, and how it is told.

use std::fmt;

use super::node::{Node, Origin, steps};
use crate::policy::{PolicyError, PolicyErrorKind};

/// One fault, at a place that is still a JSON pointer into the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    pointer: String,
    variable: Option<String>,
    at_key: bool,
    message: String,
    hint: Option<String>,
    other: Option<String>,
}

impl Fault {
    /// A fault of the value at `pointer`.
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let pointer = pointer.into();
        let message = message.into();
        Self(Box::new(Parts { pointer, variable: None, at_key: false, message, hint: None, other: None }))
    }

    /// A fault of an environment variable that is not part of the config.
    pub(crate) fn of_variable(name: &str, message: impl Into<String>) -> Self {
        let mut fault = Self::new("", message);
        fault.0.variable = Some(name.to_owned());
        fault
    }

    /// What to write instead.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What to write instead, if there is something to say.
    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// The fault is the key, not the value.
    pub(crate) fn at_key(mut self) -> Self {
        self.0.at_key = true;
        self
    }

    /// A second place that has to do with it.
    pub(crate) fn other(mut self, pointer: impl Into<String>) -> Self {
        self.0.other = Some(pointer.into());
        self
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the fault stands.
    pub(crate) fn pointer(&self) -> &str {
        &self.0.pointer
    }

    /// The config's top-level key in which the fault stands.
    pub(crate) fn section(&self) -> Option<String> {
        steps(&self.0.pointer).next()
    }

    /// The same fault with its places where `place` says.
    pub(crate) fn moved(mut self, place: impl Fn(&str) -> String) -> Self {
        self.0.pointer = place(&self.0.pointer);
        if let Some(other) = &self.0.other {
            let moved = place(other);
            self.0.message = self.0.message.replace(&format!("`{other}`"), &format!("`{moved}`"));
            self.0.other = Some(moved);
        }
        self
    }

    /// Whether this and `earlier` are about one value, or one of them about
    /// what holds the other. The second place of this one counts as well.
    pub(crate) fn touches(&self, earlier: &Self) -> bool {
        let earlier = earlier.0.pointer.as_str();
        let holds = |outer: &str, inner: &str| {
            let below = inner.strip_prefix(outer);
            !outer.is_empty() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut places = std::iter::once(&self.0.pointer).chain(&self.0.other);
        places.any(|here| holds(earlier, here) || holds(here, earlier))
    }

    fn place(&self, tree: &Node) -> Place {
        if let Some(name) = &self.0.variable {
            return Place::Variable(name.clone());
        }
        let located = tree.locate(&self.0.pointer);
        Place::of(if self.0.at_key { located.key } else { located.value })
    }
}

impl From<&PolicyError> for Fault {
    fn from(error: &PolicyError) -> Self {
        let fault = Self::new(error.pointer(), error.to_string()).maybe_hint(error.hint());
        if let PolicyErrorKind::Tie { other } = error.kind() { fault.other(other) } else { fault }
    }
}

/// Everything that is wrong with a config; its `Display` is what people read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    source_name: String,
    errors: Vec<ConfigError>,
}

/// One fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the faulty value was written.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// A second place that has to do with it.
    pub other: Option<Place>,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the config file; both count from 1.
    File {
        /// The line.
        line: u64,
        /// The column, in characters.
        column: u64,
    },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: something is missing.
    Nowhere,
}

impl Place {
    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::File { line, column } => Self::File { line: *line, column: *column },
            Origin::Variable(name) => Self::Variable(name.to_string()),
            Origin::Implied => Self::Nowhere,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, source_name: &str) -> fmt::Result {
        match self {
            Self::File { line, column } => write!(f, "{source_name}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Nowhere => f.write_str(source_name),
        }
    }
}

impl ConfigErrors {
    /// Puts every fault to its place in `tree`.
    pub(crate) fn locate(source_name: &str, tree: &Node, faults: &[Fault]) -> Self {
        let mut errors: Vec<ConfigError> = faults
            .iter()
            .map(|fault| ConfigError {
                place: fault.place(tree),
                message: fault.0.message.clone(),
                hint: fault.0.hint.clone(),
                other: fault.0.other.as_deref().map(|pointer| Place::of(tree.locate(pointer).value)),
            })
            .collect();
        errors.sort_by(|left, right| left.place.cmp(&right.place));
        errors.dedup();
        Self { source_name: source_name.to_owned(), errors }
    }

    /// One fault whose place is known already.
    pub(crate) fn single(source_name: &str, place: Place, message: String, hint: Option<String>) -> Self {
        let error = ConfigError { place, message, hint, other: None };
        Self { source_name: source_name.to_owned(), errors: vec![error] }
    }

    /// Faults whose places are known already; at least one.
    pub(crate) fn listed(source_name: &str, errors: Vec<ConfigError>) -> Self {
        Self { source_name: source_name.to_owned(), errors }
    }

    /// The faults in the order of their places; at least one.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// The name of the config file, or what stands for it.
    #[must_use]
    pub fn source_name(&self) -> &str {
        &self.source_name
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            error.place.write(f, &self.source_name)?;
            writeln!(f, ": {}", error.message)?;
            if let Some(other) = &error.other {
                f.write_str("  note: the other one is at ")?;
                other.write(f, &self.source_name)?;
                writeln!(f)?;
            }
            if let Some(hint) = &error.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        match self.errors.len() {
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

/// Text from a config as it may stand in a message: cut, and free of control characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > LONGEST { format!("`{shown}…`") } else { format!("`{shown}`") }
}
