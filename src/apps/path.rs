//! The path below which an app is served.

use std::fmt;

use crate::types::CanonicalPath;

/// The longest path of an app, in bytes.
const MAX_LENGTH: usize = 512;

/// A canonical path without a trailing `/`; `/` itself for an app that has a
/// whole host. Its segments are made of unreserved characters (RFC 3986 section
/// 2.3), so it means the same in the config of every proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPath {
    /// Empty for `/`.
    text: Box<str>,
    /// The app's front page.
    front: CanonicalPath,
}

/// Why a text is no path of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppPathError {
    /// It is relative.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// It ends in `/`.
    #[error("the path ends in `/`")]
    TrailingSlash,
    /// It is not what requests are compared with.
    #[error("the path has an empty segment, `.` or `..`")]
    NotCanonical,
    /// A character that proxies could read in two ways.
    #[error("the path holds a character other than letters, digits, `-`, `.`, `_`, `~` and `/`")]
    Character,
    /// Longer than any proxy should match.
    #[error("the path is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

impl AppPath {
    /// Reads a path.
    ///
    /// # Errors
    /// The first reason why it is none.
    pub fn parse(text: &str) -> Result<Self, AppPathError> {
        if !text.starts_with('/') {
            return Err(AppPathError::NotAbsolute);
        }
        let text = if text == "/" { "" } else { text };
        if text.ends_with('/') {
            return Err(AppPathError::TrailingSlash);
        }
        if text.len() > MAX_LENGTH {
            return Err(AppPathError::TooLong);
        }
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
        if !text.bytes().all(unreserved) {
            return Err(AppPathError::Character);
        }
        let written = format!("{text}/");
        let front = CanonicalPath::parse(written.as_bytes()).map_err(|_| AppPathError::NotCanonical)?;
        if front.as_str() != written {
            return Err(AppPathError::NotCanonical);
        }
        Ok(Self { text: Box::from(text), front })
    }

    /// The path; empty for `/`, so that something can be put behind it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.text
    }

    /// The app's front page: the path with a `/` behind it.
    #[must_use]
    pub fn front(&self) -> &CanonicalPath {
        &self.front
    }

    /// Whether `path` is this one or below it, on segment boundaries.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for AppPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "/" } else { &self.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_every_proxy_reads_the_same() {
        for (text, prefix, front) in [
            ("/", "", "/"),
            ("/apps/devel/hazard", "/apps/devel/hazard", "/apps/devel/hazard/"),
            ("/a.b/~c/_d-e", "/a.b/~c/_d-e", "/a.b/~c/_d-e/"),
        ] {
            let path = AppPath::parse(text).unwrap();
            assert_eq!((path.prefix(), path.front().as_str(), path.to_string()), (prefix, front, text.to_owned()));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for (text, error) in [
            ("", AppPathError::NotAbsolute),
            ("apps/x", AppPathError::NotAbsolute),
            ("/apps/", AppPathError::TrailingSlash),
            ("//", AppPathError::TrailingSlash),
            ("//apps", AppPathError::NotCanonical),
            ("/apps//x", AppPathError::NotCanonical),
            ("/apps/../x", AppPathError::NotCanonical),
            ("/apps/.", AppPathError::NotCanonical),
            ("/apps/%61", AppPathError::Character),
            ("/apps/{tier}", AppPathError::Character),
            ("/apps/**", AppPathError::Character),
            ("/apps/a b", AppPathError::Character),
            ("/apps/a;b", AppPathError::Character),
            ("/apps/$x", AppPathError::Character),
            ("/äpps", AppPathError::Character),
        ] {
            assert_eq!(AppPath::parse(text), Err(error), "{text}");
        }
        assert_eq!(AppPath::parse(&format!("/{}", "x".repeat(512))), Err(AppPathError::TooLong));
    }

    #[test]
    fn covers_on_segment_boundaries() {
        let app = AppPath::parse("/apps/ea/x").unwrap();
        assert!(["/apps/ea/x", "/apps/ea/x/", "/apps/ea/x/y"].iter().all(|path| app.covers(path)));
        assert!(["/apps/ea/xy", "/apps/ea", "/", "/apps/ea/X"].iter().all(|path| !app.covers(path)));
        assert!(AppPath::parse("/").unwrap().covers("/anything"));
    }
}
