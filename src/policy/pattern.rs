//! Path patterns: literal segments, `{name}` for one, `**` last for the rest.

use std::fmt;

use super::error::PolicyErrorKind;
use crate::types::{CanonicalPath, EncodedSet};

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Variable(Box<str>),
}

/// A path pattern that some canonical path matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    rest: bool,
}

impl Pattern {
    /// Reads a pattern; `allowed` are the encoded characters its rule lets stand.
    pub(crate) fn parse(text: &str, allowed: EncodedSet) -> Result<Self, PolicyErrorKind> {
        let (fixed, rest) = match text.strip_suffix("/**") {
            Some(fixed) => (fixed, true),
            None => (text, false),
        };
        let mut segments = Vec::new();
        // What the pattern looks like with its variables filled in.
        let mut sample = String::with_capacity(text.len());
        if let Some(relative) = fixed.strip_prefix('/') {
            for segment in relative.split('/') {
                let parsed = parse_segment(segment, text)?;
                sample.push('/');
                match &parsed {
                    Segment::Literal(literal) => sample.push_str(literal),
                    Segment::Variable(_) => sample.push('x'),
                }
                segments.push(parsed);
            }
        } else if fixed.is_empty() && rest {
            sample.push('/');
        } else {
            sample.push_str(fixed);
        }
        let path = check_canonical(text, &sample, allowed)?;
        check_variables(&segments)?;
        // Literal segments are kept as requests are matched.
        for (segment, key) in segments.iter_mut().zip(path.match_key().split('/').skip(1)) {
            if let Segment::Literal(literal) = segment {
                *literal = Box::from(key);
            }
        }
        Ok(Self { text: Box::from(text), segments: segments.into_boxed_slice(), rest })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern ends in `**`.
    pub(crate) fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether it is the more specific one of two patterns that match one path:
    /// segment by segment from the left, a literal before `{name}` before `**`.
    pub(crate) fn is_more_specific_than(&self, other: &Self) -> bool {
        let mut theirs = other.segments.iter();
        for own in &self.segments {
            match (own, theirs.next()) {
                (Segment::Literal(_), Some(Segment::Literal(_)))
                | (Segment::Variable(_), Some(Segment::Variable(_))) => {}
                (Segment::Literal(_), Some(Segment::Variable(_))) | (_, None) => return true,
                (Segment::Variable(_), Some(Segment::Literal(_))) => return false,
            }
        }
        theirs.next().is_none() && !self.rest && other.rest
    }

    /// Which segment the variable `name` stands for.
    pub(crate) fn variable(&self, name: &str) -> Option<usize> {
        self.segments.iter().position(|segment| matches!(segment, Segment::Variable(held) if held.as_ref() == name))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_segment(segment: &str, pattern: &str) -> Result<Segment, PolicyErrorKind> {
    if segment == "**" {
        return Err(PolicyErrorKind::RestNotLast { pattern: pattern.to_owned() });
    }
    let bad = || PolicyErrorKind::BadSegment { segment: segment.to_owned() };
    if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return if is_variable_name(name) { Ok(Segment::Variable(Box::from(name))) } else { Err(bad()) };
    }
    if segment.contains(['{', '}', '*']) {
        return Err(bad());
    }
    Ok(Segment::Literal(Box::from(segment)))
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check_canonical(pattern: &str, sample: &str, allowed: EncodedSet) -> Result<CanonicalPath, PolicyErrorKind> {
    let never = |why| PolicyErrorKind::NotCanonical { pattern: pattern.to_owned(), why };
    if let Some(query) = sample.find('?') {
        let canonical = sample.get(..query).unwrap_or_default().to_owned();
        return Err(PolicyErrorKind::OtherSpelling { pattern: pattern.to_owned(), canonical });
    }
    let path = CanonicalPath::parse(sample.as_bytes()).map_err(never)?;
    if let Some(why) = path.encoded().without(allowed).refusal() {
        return Err(never(why));
    }
    if path.as_str() != sample {
        return Err(PolicyErrorKind::OtherSpelling {
            pattern: pattern.to_owned(),
            canonical: path.as_str().to_owned(),
        });
    }
    Ok(path)
}

fn check_variables(segments: &[Segment]) -> Result<(), PolicyErrorKind> {
    let mut seen: Vec<&str> = Vec::new();
    for segment in segments {
        if let Segment::Variable(name) = segment {
            if seen.contains(&name.as_ref()) {
                return Err(PolicyErrorKind::VariableTwice { name: name.to_string() });
            }
            seen.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read() {
        for text in ["/", "/**", "/a", "/a/", "/a/**", "/a/{b}/c", "/{a}/**", "/caf%C3%A9"] {
            let pattern = Pattern::parse(text, EncodedSet::NONE).expect(text);
            assert_eq!(pattern.as_str(), text);
        }
        assert!(Pattern::parse("/a%2Fb", EncodedSet::SLASH).is_ok());
    }

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for text in [
            "",
            "a",
            "**",
            "/a//b",
            "//a",
            "/a/../b",
            "/a/%2e",
            "/a%2Fb",
            "/a;b",
            "/a b",
            "/%61",
            "/caf%c3%a9",
            "/a?b",
            "/a#b",
            "/**/a",
            "/a/**/",
            "/a*",
            "/{a",
            "/{}",
            "/{a}{b}",
            "/{a}/{a}",
            "/é",
            "/a**",
        ] {
            assert!(Pattern::parse(text, EncodedSet::NONE).is_err(), "{text}");
        }
    }
}
