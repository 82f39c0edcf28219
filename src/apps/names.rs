//! What apps are called.

use std::fmt;

/// The short name of an app: lower-case ASCII letters, digits and `-`, at most
/// 63 of them, so that it can be one label of a host name (RFC 1123 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(Box<str>);

/// A text that is no short name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{0}` is not made of at most 63 lower-case letters, digits and `-`")]
pub struct AppNameError(String);

impl AppName {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is empty, too long or holds other characters.
    pub fn parse(text: &str) -> Result<Self, AppNameError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 63 || !text.bytes().all(fits) {
            let shown = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            return Err(AppNameError(shown));
        }
        Ok(Self(Box::from(text)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which app it is: its tier and its name. Two versions of one product live in
/// two tiers under one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId {
    /// The tier, by its name in the policy.
    pub tier: Box<str>,
    /// The name.
    pub name: AppName,
}

impl AppId {
    /// Whether `text` is `<tier>/<name>` of this app.
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(tier, name)| tier == self.tier.as_ref() && name == self.name.as_str())
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tier, self.name)
    }
}
