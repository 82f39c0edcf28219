//! The request target: the only place where a path is decoded.
//!
//! Two programs that read one target differently are how path checks are
//! bypassed, so whatever could be read in two ways is refused, never repaired
//! (RFC 3986 sections 2.1, 3.3 and 6.2.2; RFC 9112 section 3.2.1). What is
//! accepted has one canonical spelling, and that spelling is its own canonical
//! spelling.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::target_error::TargetError;

/// The longest target that is read, in bytes, query included.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;
/// The most path segments.
pub const MAX_SEGMENTS: usize = 256;

/// A set of the encoded characters that a rule can let stand in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodedSet(u8);

impl EncodedSet {
    /// No character.
    pub const NONE: Self = Self(0);
    /// `%2F`
    pub const SLASH: Self = Self(1);
    /// `%25`
    pub const PERCENT: Self = Self(1 << 1);
    /// `%3F`
    pub const QUESTION: Self = Self(1 << 2);
    /// `%23`
    pub const HASH: Self = Self(1 << 3);
    /// `%3B`
    pub const SEMICOLON: Self = Self(1 << 4);

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `allowed`.
    #[must_use]
    pub const fn without(self, allowed: Self) -> Self {
        Self(self.0 & !allowed.0)
    }

    /// Whether `other` is wholly in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The refusal to give for this set, or `None` when it is empty.
    #[must_use]
    pub fn refusal(self) -> Option<TargetError> {
        [
            (Self::SLASH, TargetError::EncodedSlash),
            (Self::PERCENT, TargetError::EncodedPercent),
            (Self::QUESTION, TargetError::EncodedQuestion),
            (Self::HASH, TargetError::EncodedHash),
            (Self::SEMICOLON, TargetError::EncodedSemicolon),
        ]
        .into_iter()
        .find(|(bit, _)| self.contains(*bit))
        .map(|(_, refusal)| refusal)
    }

    const fn of(byte: u8) -> Self {
        match byte {
            b'/' => Self::SLASH,
            b'%' => Self::PERCENT,
            b'?' => Self::QUESTION,
            b'#' => Self::HASH,
            b';' => Self::SEMICOLON,
            _ => Self::NONE,
        }
    }
}

/// A path with exactly one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath {
    text: String,
    encoded: EncodedSet,
}

impl CanonicalPath {
    /// Reads the path of a raw request target; the query is dropped unread.
    ///
    /// # Errors
    /// The first reason why two programs could read the target differently.
    /// Encoded `/ % ? # ;` are not an error here but noted in
    /// [`Self::encoded`]: the rule that matches decides over them.
    pub fn parse(target: &[u8]) -> Result<Self, TargetError> {
        if target.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        match plain_path(target) {
            Some(text) => Ok(Self { text: text.to_owned(), encoded: EncodedSet::NONE }),
            None => Self::parse_any(target),
        }
    }

    fn parse_any(target: &[u8]) -> Result<Self, TargetError> {
        check_raw_bytes(target)?;
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        check_origin_form(path)?;

        let mut canonical =
            Self { text: String::with_capacity(path.len().saturating_add(1)), encoded: EncodedSet::NONE };
        let mut segments = 0usize;
        let mut pieces = path.split(|byte| *byte == b'/').skip(1).peekable();
        while let Some(raw) = pieces.next() {
            if raw.is_empty() && pieces.peek().is_some() {
                continue; // an interior `//` is one `/`
            }
            segments = segments.saturating_add(1);
            if segments > MAX_SEGMENTS {
                return Err(TargetError::TooManySegments);
            }
            canonical.text.push('/');
            canonical.push_segment(raw)?;
        }
        Ok(canonical)
    }

    /// The canonical spelling; starts with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The encoded special characters that stand in the path; a rule must let
    /// each of them stand, or the path is refused.
    #[must_use]
    pub fn encoded(&self) -> EncodedSet {
        self.encoded
    }

    /// The spelling by which rules are matched. RFC 3986 lets `@` and `%40` mean
    /// different things, but nearly every program takes them for one, so all
    /// characters that may stand in a segment count as decoded, and all that may
    /// not as encoded (section 3.3).
    #[must_use]
    pub fn match_key(&self) -> Cow<'_, str> {
        if self.text.bytes().all(|byte| byte == b'/' || (is_pchar(byte) && byte != b'%')) {
            return Cow::Borrowed(&self.text);
        }
        let mut key = String::with_capacity(self.text.len());
        let mut rest = self.text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match (byte, percent_value(after)) {
                (b'%', Ok((value, after))) => {
                    rest = after;
                    if is_pchar(value) && value != b'%' {
                        key.push(char::from(value));
                    } else {
                        push_percent(&mut key, value);
                    }
                }
                _ if byte == b'/' || is_pchar(byte) => key.push(char::from(byte)),
                _ => push_percent(&mut key, byte),
            }
        }
        Cow::Owned(key)
    }

    /// The path as a program reads it that decodes the special characters which
    /// a rule lets stand; `None` where there is none of them.
    #[must_use]
    pub fn decoded_reading(&self) -> Option<String> {
        if self.encoded == EncodedSet::NONE {
            return None;
        }
        let mut reading = self.text.replace("%2F", "/").replace("%25", "%");
        for cut in ["%3F", "%23"] {
            if let Some(position) = reading.find(cut) {
                reading.truncate(position);
            }
        }
        let segments: Vec<&str> =
            reading.split('/').map(|segment| segment.split("%3B").next().unwrap_or_default()).collect();
        Some(segments.join("/"))
    }

    /// The segments in canonical spelling; a trailing `/` gives a last empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.text.split('/').skip(1)
    }

    fn push_segment(&mut self, raw: &[u8]) -> Result<(), TargetError> {
        let start = self.text.len();
        let mut decoded: Vec<u8> = Vec::new(); // stays unallocated while nothing is encoded
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            if byte != b'%' {
                self.text.push(char::from(byte));
                if !decoded.is_empty() {
                    decoded.push(byte);
                }
                rest = after;
                continue;
            }
            let (value, after) = percent_value(after)?;
            if decoded.is_empty() {
                decoded.extend_from_slice(raw.get(..raw.len().saturating_sub(rest.len())).unwrap_or_default());
            }
            decoded.push(value);
            self.encoded = self.encoded.union(check_encoded_byte(value)?);
            if is_unreserved(value) {
                self.text.push(char::from(value));
            } else {
                push_percent(&mut self.text, value);
            }
            rest = after;
        }
        if decoded.is_empty() {
            let written = self.text.get(start..).unwrap_or_default();
            return if is_dot_segment(written) { Err(TargetError::DotSegment) } else { Ok(()) };
        }
        check_decoded_segment(&decoded)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The path of a target that is written canonically already, as nearly all are:
/// nothing encoded, no empty segment but the last, no segment that begins with a
/// dot. `None` says nothing about any other.
fn plain_path(target: &[u8]) -> Option<&str> {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(end)?;
    check_raw_bytes(query).ok()?;
    let mut before = 0u8;
    let mut slashes = 0usize;
    for &byte in path {
        match byte {
            b'/' | b'.' if before == b'/' => return None,
            b'/' => slashes = slashes.saturating_add(1),
            b'%' => return None,
            _ if is_pchar(byte) => {}
            _ => return None,
        }
        before = byte;
    }
    let is_whole = path.first() == Some(&b'/') && slashes <= MAX_SEGMENTS;
    if is_whole { std::str::from_utf8(path).ok() } else { None }
}

fn check_raw_bytes(target: &[u8]) -> Result<(), TargetError> {
    for &byte in target {
        match byte {
            0..=0x20 | 0x7f => return Err(TargetError::ControlOrSpace),
            0x80.. => return Err(TargetError::RawNonAscii),
            b'#' => return Err(TargetError::Fragment),
            _ => {}
        }
    }
    Ok(())
}

fn check_origin_form(path: &[u8]) -> Result<(), TargetError> {
    if path.first() != Some(&b'/') {
        return Err(TargetError::NotOriginForm);
    }
    if path.get(1) == Some(&b'/') {
        return Err(TargetError::LeadingDoubleSlash);
    }
    match path.iter().find(|byte| matches!(byte, b'\\' | b';')) {
        Some(b'\\') => Err(TargetError::Backslash),
        Some(_) => Err(TargetError::Semicolon),
        None => Ok(()),
    }
}

/// The value of the two hexadecimal digits that follow a `%`, and what stands behind them.
fn percent_value(after: &[u8]) -> Result<(u8, &[u8]), TargetError> {
    let Some((&[high, low], rest)) = after.split_first_chunk::<2>() else {
        return Err(TargetError::BadPercent);
    };
    match (hex_value(high), hex_value(low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
        _ => Err(TargetError::BadPercent),
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn check_encoded_byte(value: u8) -> Result<EncodedSet, TargetError> {
    match value {
        0..=0x1f | 0x7f => Err(TargetError::EncodedControl),
        b'\\' => Err(TargetError::EncodedBackslash),
        _ => Ok(EncodedSet::of(value)),
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 3.3, `%` included.
const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' | b'%')
}

fn push_percent(text: &mut String, value: u8) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    text.push('%');
    for digit in [value >> 4, value & 0x0f] {
        text.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
    }
}

/// A segment that was partly encoded, judged by what it decodes to: every
/// piece that another program could take for a segment of its own.
fn check_decoded_segment(decoded: &[u8]) -> Result<(), TargetError> {
    let text = std::str::from_utf8(decoded).map_err(|_| TargetError::InvalidUtf8)?;
    if text.split(['/', ';', '?', '#']).any(is_dot_segment) {
        return Err(TargetError::DotSegment);
    }
    // `%2561` is `a` to whoever decodes twice: no rule can let that stand.
    if decoded.windows(3).any(|window| matches!(window, [b'%', digits @ ..] if percent_value(digits).is_ok())) {
        return Err(TargetError::EncodedPercent);
    }
    for character in text.chars().filter(|character| !character.is_ascii()) {
        if character.is_control() {
            return Err(TargetError::EncodedControl);
        }
        if std::iter::once(character).nfkc().any(is_structural) {
            return Err(TargetError::UnicodeStructural);
        }
    }
    Ok(())
}

/// `.` or `..`, also with blanks or characters of no width in or behind it,
/// which some programs drop.
fn is_dot_segment(segment: &str) -> bool {
    let mut dots = 0usize;
    for character in segment.chars().filter(|character| !is_dropped(*character)) {
        if character != '.' {
            return false;
        }
        dots = dots.saturating_add(1);
    }
    matches!(dots, 1 | 2)
}

/// White space and the default-ignorable code points of Unicode.
fn is_dropped(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

const fn is_structural(character: char) -> bool {
    matches!(character, '/' | '\\' | '.' | '%' | ';' | '?' | '#')
}

#[cfg(test)]
#[path = "resource_tests.rs"]
mod tests;
