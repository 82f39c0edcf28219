//! Where a browser goes once somebody is signed in (`rd`): a place on our own
//! origin and outside the service's own pages, or nothing.
//!
//! What a browser would read as another host is refused, never repaired. No
//! URL parser is asked, since the one of the browser might disagree with it.

use crate::types::{CanonicalPath, TargetError};

/// The longest target, in bytes.
const MAX_BYTES: usize = 2048;

/// Path and query on our own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTarget(String);

/// Why a text is no such target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReturnTargetError {
    /// It is empty.
    #[error("the target is empty")]
    Empty,
    /// It was given more than once.
    #[error("the target is given more than once")]
    Repeated,
    /// It is longer than 2048 bytes.
    #[error("the target is longer than 2048 bytes")]
    TooLong,
    /// It holds something else than visible ASCII.
    #[error("the target holds a blank, a control character or a character outside ASCII")]
    NotVisibleAscii,
    /// It holds `\`, which browsers read as `/`.
    #[error("the target holds a backslash")]
    Backslash,
    /// It begins neither with `/` nor with our own scheme.
    #[error("the target does not begin with `/`")]
    NotPathAbsolute,
    /// It is an absolute URL of another host, port or user.
    #[error("the target is on another origin")]
    ForeignAuthority,
    /// Its path begins with `//`.
    #[error("the target begins with `//`")]
    SchemeRelative,
    /// It has a fragment, which no server sees.
    #[error("the target has a fragment")]
    Fragment,
    /// Its path holds `//`.
    #[error("the path of the target holds `//`")]
    DoubleSlash,
    /// It is one of the service's own pages: a loop, or worse.
    #[error("the target is a page of the service itself")]
    OwnEndpoint,
    /// Its path can be read in more than one way.
    #[error(transparent)]
    Path(#[from] TargetError),
}

impl ReturnTarget {
    /// Reads `rd`, decoded once from the query it stood in: a path on
    /// `public_origin` (scheme, host and port, in lower case), or an absolute
    /// `https` URL of it. `is_own` tells the paths of the service's own pages.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn parse(rd: &str, public_origin: &str, is_own: impl Fn(&str) -> bool) -> Result<Self, ReturnTargetError> {
        if rd.is_empty() {
            return Err(ReturnTargetError::Empty);
        }
        if !rd.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ReturnTargetError::NotVisibleAscii);
        }
        if rd.len() > MAX_BYTES {
            return Err(ReturnTargetError::TooLong);
        }
        if rd.contains('\\') {
            return Err(ReturnTargetError::Backslash);
        }
        let target = match own_part(rd, public_origin)? {
            "" => "/",
            target => target,
        };
        if !target.starts_with('/') {
            return Err(ReturnTargetError::NotPathAbsolute);
        }
        if target.starts_with("//") {
            return Err(ReturnTargetError::SchemeRelative);
        }
        if target.contains('#') {
            return Err(ReturnTargetError::Fragment);
        }
        let path = target.split('?').next().unwrap_or_default();
        if path.contains("//") {
            return Err(ReturnTargetError::DoubleSlash);
        }
        if path.to_ascii_lowercase().contains("%2f") {
            return Err(TargetError::EncodedSlash.into());
        }
        let path = CanonicalPath::parse(path.as_bytes())?;
        if let Some(refusal) = path.encoded().refusal() {
            return Err(refusal.into());
        }
        if is_own(path.as_str()) || is_own(&path.match_key()) {
            return Err(ReturnTargetError::OwnEndpoint);
        }
        Ok(Self(target.to_owned()))
    }

    /// Path and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReturnTargetError {
    /// The constant word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Repeated => "repeated",
            Self::TooLong => "too-long",
            Self::NotVisibleAscii => "control-space-nonascii",
            Self::Backslash => "backslash",
            Self::NotPathAbsolute => "not-path-absolute",
            Self::ForeignAuthority => "foreign-authority",
            Self::SchemeRelative => "scheme-relative",
            Self::Fragment => "fragment",
            Self::DoubleSlash => "double-slash",
            Self::OwnEndpoint => "own-auth-endpoint",
            Self::Path(error) => error.as_str(),
        }
    }
}

/// What stands behind our own origin; the whole text where no scheme of ours
/// begins it.
fn own_part<'a>(rd: &'a str, public_origin: &str) -> Result<&'a str, ReturnTargetError> {
    let Some((scheme, authority)) = public_origin.split_once("://") else { return Ok(rd) };
    let Some((begin, rest)) = rd.split_once("://") else { return Ok(rd) };
    if !begin.eq_ignore_ascii_case(scheme) {
        return Ok(rd);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (named, target) = rest.split_at_checked(end).ok_or(ReturnTargetError::ForeignAuthority)?;
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let named = named.to_ascii_lowercase();
    let same = named == authority || named.strip_suffix(default_port) == Some(authority);
    if same { Ok(target) } else { Err(ReturnTargetError::ForeignAuthority) }
}

#[cfg(test)]
#[path = "return_target_tests.rs"]
mod tests;
