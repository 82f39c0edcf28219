//! How attributes are named: `userName`, `name.givenName`,
//! `urn:…:enterprise:2.0:User:department` (RFC 7644 section 3.10).

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType, shown};
use super::schema::{Attribute, ResourceSchema};

/// The longest name or path that is read, in bytes.
const LONGEST: usize = 512;

/// The name of an attribute, or of one of its own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    /// The URN of the extension that it stands in; `None` in the core.
    pub extension: Option<String>,
    /// Its name, as the schema writes it where the schema knows it. Empty for
    /// the whole extension.
    pub name: String,
    /// The attribute of its own that is meant.
    pub part: Option<String>,
}

impl AttributePath {
    /// The path that `text` is in resources of this schema.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, schema: &ResourceSchema) -> Result<Self, ScimError> {
        let wrong = || ScimError::new(ScimType::InvalidPath, format!("{} names no attribute", shown(text)));
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let (extension, rest) = split_urn(text, schema).ok_or_else(wrong)?;
        if rest.is_empty() {
            return extension
                .map(|urn| Self { extension: Some(urn), name: String::new(), part: None })
                .ok_or_else(wrong);
        }
        let (name, part) = match rest.split_once('.') {
            Some((name, part)) => (name, Some(part)),
            None => (rest, None),
        };
        if !is_name(name) || !part.is_none_or(is_name) {
            return Err(wrong());
        }
        let mut path = Self { extension, name: name.to_owned(), part: part.map(str::to_owned) };
        if let Some(known) = path.attribute(schema) {
            known.name.clone_into(&mut path.name);
            if let Some(part) = path.part.as_mut()
                && let Some(known) = known.part(part)
            {
                known.name.clone_into(part);
            }
        }
        Ok(path)
    }

    /// What the schema says of the attribute, not of its part.
    #[must_use]
    pub fn attribute(&self, schema: &ResourceSchema) -> Option<&'static Attribute> {
        match &self.extension {
            None => schema.attribute(&self.name),
            Some(urn) if schema.is_extension(urn) => schema.of_extension(&self.name),
            Some(_) => None,
        }
    }

    /// Whether it is this attribute of the core, or a part of it.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.extension.is_none() && self.name == name
    }

    /// The value at the attribute, its part aside.
    #[must_use]
    pub fn find<'r>(&self, resource: &'r Map<String, Value>) -> Option<&'r Value> {
        let members = match &self.extension {
            None => resource,
            Some(urn) => member(resource, urn)?.as_object()?,
        };
        member(members, &self.name)
    }
}

/// The member called `name`, without case: attributes have none (RFC 7643 section 2.1).
pub(super) fn member<'r>(members: &'r Map<String, Value>, name: &str) -> Option<&'r Value> {
    members
        .get(name)
        .or_else(|| members.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// Whether `name` may be the name of an attribute: a letter, then letters, digits, `-` and `_`.
pub(super) fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix('$').unwrap_or(name);
    rest.starts_with(|c: char| c.is_ascii_alphabetic())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether `text` begins as a URN does.
pub(super) fn is_urn(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// The extension and what is named in it.
fn split_urn<'t>(text: &'t str, schema: &ResourceSchema) -> Option<(Option<String>, &'t str)> {
    if !is_urn(text) {
        return Some((None, text));
    }
    let extension = schema.extension.map(|(urn, _)| (urn, Some(urn.to_owned())));
    for (urn, extension) in [(schema.urn, None)].into_iter().chain(extension) {
        let Some(start) = text.get(..urn.len()).filter(|start| start.eq_ignore_ascii_case(urn)) else { continue };
        let rest = text.get(start.len()..)?;
        // Some clients write a dot where the colon belongs.
        if let Some(name) = rest.strip_prefix([':', '.']) {
            return (!name.is_empty()).then_some((extension, name));
        }
        if rest.is_empty() {
            return Some((extension, rest));
        }
    }
    // An extension that only the client knows.
    let (urn, name) = text.rsplit_once(':')?;
    let is_plain = urn.len() > 4 && urn.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.-_".contains(&byte));
    (is_plain && !name.is_empty()).then(|| (Some(urn.to_owned()), name))
}
