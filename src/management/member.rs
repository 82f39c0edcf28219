//! Members of hostile JSON objects, read into what a directory keeps.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::types::Email;

/// The longest subject, in bytes (OIDC Core section 2).
const MAX_SUBJECT: usize = 255;
/// The longest name, address or login name, in bytes.
const MAX_TEXT: usize = 512;
/// The longest URL of a picture, in bytes.
const MAX_URL: usize = 2048;
/// The most groups of one user.
const MAX_GROUPS: usize = 1000;

/// What is wrong with a user as somebody describes them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault {
    /// A member that has to be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member of the wrong type, too long, or with control characters.
    #[error("`{0}` is not of the expected form")]
    Form(&'static str),
    /// A member that nobody knows.
    #[error("`{0}` is unknown")]
    Unknown(String),
    /// Members that say two things.
    #[error("`{0}` and `{1}` do not go together")]
    Contradiction(&'static str, &'static str),
}

/// How much of a user a description says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything: what is absent is not there.
    Whole,
    /// What changed: what is absent is as it was.
    Part,
}

impl Scope {
    /// What an absent member says.
    pub(super) fn absent<T>(self, nothing: T) -> Option<T> {
        match self {
            Self::Whole => Some(nothing),
            Self::Part => None,
        }
    }
}

/// The members of an object that somebody else wrote.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Text without control characters: `None` where it is absent, `Some(None)`
    /// where it is null or blank.
    ///
    /// # Errors
    /// When it is something else, or too long.
    pub fn text(self, name: &'static str) -> Result<Option<Option<String>>, ShapeFault> {
        self.bounded(name, MAX_TEXT)
    }

    /// The URL of a picture, as [`Self::text`].
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn picture(self, name: &'static str) -> Result<Option<Option<String>>, ShapeFault> {
        self.bounded(name, MAX_URL)
    }

    /// Text that is there and says something.
    ///
    /// # Errors
    /// When there is none.
    pub fn word(self, name: &'static str) -> Result<String, ShapeFault> {
        self.text(name)?.flatten().ok_or(ShapeFault::Missing(name))
    }

    fn bounded(self, name: &'static str, most: usize) -> Result<Option<Option<String>>, ShapeFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(Some(None)),
            Some(Value::String(text)) if is_plain(text, most) => Ok(Some(Some(text.clone()))),
            Some(_) => Err(ShapeFault::Form(name)),
        }
    }

    /// A subject, which is never empty.
    ///
    /// # Errors
    /// When there is none.
    pub fn subject(self, name: &'static str) -> Result<Box<str>, ShapeFault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Err(ShapeFault::Missing(name)),
            Some(Value::String(text)) => as_subject(text).ok_or(ShapeFault::Form(name)),
            Some(_) => Err(ShapeFault::Form(name)),
        }
    }

    /// Yes or no; null says neither.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(self, name: &'static str) -> Result<Option<bool>, ShapeFault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(ShapeFault::Form(name)),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// When it is something else.
    pub fn object(self, name: &'static str) -> Result<Option<&'a Map<String, Value>>, ShapeFault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(inner)) => Ok(Some(inner)),
            Some(_) => Err(ShapeFault::Form(name)),
        }
    }

    /// An address; one that is not said to be verified is not.
    ///
    /// # Errors
    /// When one of both is something else.
    pub fn email(self, address: &'static str, verified: &'static str) -> Result<Option<Option<Email>>, ShapeFault> {
        let is_verified = self.flag(verified)?.unwrap_or(false);
        let address = self.text(address)?;
        Ok(address.map(|address| address.map(|address| Email::new(&address, is_verified))))
    }

    /// The names of groups; none is empty.
    ///
    /// # Errors
    /// When it is something else, or holds too many.
    pub fn groups(self, name: &'static str) -> Result<Option<BTreeSet<String>>, ShapeFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Array(names)) if names.len() <= MAX_GROUPS => {
                let group = |value: &Value| value.as_str().and_then(as_group).ok_or(ShapeFault::Form(name));
                names.iter().map(group).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(ShapeFault::Form(name)),
        }
    }
}

pub(super) fn as_subject(text: &str) -> Option<Box<str>> {
    (!text.is_empty() && is_plain(text, MAX_SUBJECT)).then(|| Box::from(text))
}

pub(super) fn as_group(name: &str) -> Option<String> {
    (!name.trim().is_empty() && is_plain(name, MAX_TEXT)).then(|| name.to_owned())
}

fn is_plain(text: &str, most: usize) -> bool {
    text.len() <= most && !text.contains(char::is_control)
}
