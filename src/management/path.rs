//! Paths below a management API: what administrators may ask, and how a name
//! stands in one.

use std::fmt::{self, Write as _};

/// A pattern of paths: literal segments, `{name}` for one segment, `**` last
/// for the rest; `/p/**` also matches `/p`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    written: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// It does not begin with `/`.
    #[error("the pattern does not begin with `/`")]
    Relative,
    /// A segment is empty, `.` or `..`, or has a character that no path holds.
    #[error("the pattern has a segment that no path has")]
    Segment,
    /// `**` stands before the end.
    #[error("`**` is not the last segment")]
    RestInside,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        let path = text.strip_prefix('/').ok_or(PathPatternError::Relative)?;
        let segments: Vec<Segment> = path.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        let rest = segments.iter().position(|segment| *segment == Segment::Rest);
        match rest {
            Some(place) if place.saturating_add(1) != segments.len() => Err(PathPatternError::RestInside),
            Some(_) | None => Ok(Self { written: text.to_owned(), segments }),
        }
    }

    /// Whether a canonical path, with its leading `/`, is one of these.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut given = path.split('/');
        for segment in &self.segments {
            let met = match segment {
                Segment::Rest => return true,
                Segment::One => given.next().is_some_and(|given| !given.is_empty()),
                Segment::Literal(literal) => given.next() == Some(literal),
            };
            if !met {
                return false;
            }
        }
        given.next().is_none()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PathPatternError> {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match text {
            "**" => Ok(Self::Rest),
            "" | "." | ".." => Err(PathPatternError::Segment),
            _ => match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if is_name(name) => Ok(Self::One),
                Some(_) => Err(PathPatternError::Segment),
                None if text.bytes().all(is_path) => Ok(Self::Literal(text.to_owned())),
                None => Err(PathPatternError::Segment),
            },
        }
    }
}

/// `pchar` of RFC 3986 section 3.3, without `%`.
const fn is_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

/// `name` as one segment of a path (RFC 3986 section 2.1): everything but the
/// unreserved is encoded.
#[must_use]
pub fn encode_segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && name.len() > 2) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, expected) in [
            ("/users/**", "/users", true),
            ("/users/**", "/users/", true),
            ("/users/**", "/users/auth0%7C1/roles", true),
            ("/users/**", "/usersx", false),
            ("/users", "/users/1", false),
            ("/users/{id}", "/users/auth0%7C1", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users/1/roles", false),
            ("/users/{id}/roles", "/users/1/roles", true),
            ("/users-by-email", "/users-by-email", true),
            ("/**", "/anything/at/all", true),
            ("/users", "users", false),
        ] {
            assert_eq!(PathPattern::parse(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_no_path_is_like_is_no_pattern() {
        for text in
            ["users", "", "/", "/a//b", "/a/./b", "/../b", "/a/**/b", "/a/{}", "/a/{a b}", "/a%2Fb", "/a?b", "/{"]
        {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_stays_one_segment() {
        for (name, encoded) in [
            ("auth0|123", "auth0%7C123"),
            ("a/../b", "a%2F..%2Fb"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("a?b#c%d", "a%3Fb%23c%25d"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(encode_segment(name), encoded);
        }
    }
}
