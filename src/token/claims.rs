//! The claims of an access token (RFC 7519 section 4, RFC 9068 section 2.2):
//! typed, checked, and mapped to a [`Principal`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::issuer::IssuerSettings;
use super::rejection::{Flaw, Rejection};
use crate::types::{Email, NameSet, Principal, TierSource, UnixTime};

/// Claims that only other kinds of token carry: ID tokens (OIDC Core section
/// 2), logout tokens (OIDC Back-Channel Logout section 2.4), and tokens bound
/// to a key that the bearer would have to prove (RFC 7800).
pub(super) const FOREIGN_CLAIMS: [&str; 5] = ["nonce", "at_hash", "c_hash", "events", "cnf"];

/// Which claims say what about the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimNames {
    /// Scopes: space-separated strings or arrays; all sources together count.
    pub scopes: Vec<ClaimPath>,
    /// Permissions, written as scopes are.
    pub permissions: Vec<ClaimPath>,
    /// Groups: arrays, or one string that is one group.
    pub groups: Vec<ClaimPath>,
    /// The e-mail address. It counts as verified when the claim of the same
    /// name with `_verified` behind it is `true`.
    pub email: Option<ClaimPath>,
    /// The display name.
    pub name: Option<ClaimPath>,
}

/// Where a claim stands: a claim name, or, from a leading `/` on, a JSON
/// pointer (RFC 6901). A name such as `https://example.com/roles` is a name.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimPath {
    first: Box<str>,
    rest: Box<[Box<str>]>,
}

/// Why a text is not a [`ClaimPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// Nothing there.
    #[error("a claim name must not be empty")]
    Empty,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("`{0}` is not a json pointer: `~` must be written `~0`")]
    Escape(String),
    /// More levels than [`ClaimPath::MAX_LEVELS`].
    #[error("`{0}` has more than 8 levels")]
    TooDeep(String),
}

impl ClaimPath {
    /// The most levels of a JSON pointer.
    pub const MAX_LEVELS: usize = 8;

    /// Reads a claim name or a JSON pointer.
    ///
    /// # Errors
    ///
    /// When the text is empty, or a JSON pointer that is broken or too deep.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() {
            return Err(ClaimPathError::Empty);
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return Ok(Self { first: Box::from(text), rest: Box::default() });
        };
        let mut levels = pointer.split('/').map(|level| unescape(level).ok_or(ClaimPathError::Escape(text.to_owned())));
        let first = levels.next().unwrap_or(Err(ClaimPathError::Empty))?;
        let rest: Box<[Box<str>]> = levels.collect::<Result<_, _>>()?;
        if rest.len() >= Self::MAX_LEVELS {
            return Err(ClaimPathError::TooDeep(text.to_owned()));
        }
        Ok(Self { first, rest })
    }

    /// The value that stands there; a `null` counts as nothing.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let first = claims.get(self.first.as_ref())?;
        let found = self.rest.iter().try_fold(first, |value, level| match value {
            Value::Object(members) => members.get(level.as_ref()),
            Value::Array(elements) => elements.get(array_index(level)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })?;
        (!found.is_null()).then_some(found)
    }

    /// The rest of a JSON pointer that begins with `/` and `first`; `None` for
    /// every other one, and for a name.
    #[must_use]
    pub fn below(&self, first: &str) -> Option<Self> {
        let (next, rest) = self.rest.split_first().filter(|_| self.first.as_ref() == first)?;
        Some(Self { first: next.clone(), rest: rest.into() })
    }

    /// Takes away what stands there.
    fn remove(&self, claims: &mut Map<String, Value>) {
        let Some((last, way)) = self.rest.split_last() else {
            claims.remove(self.first.as_ref());
            return;
        };
        let top = claims.get_mut(self.first.as_ref());
        let holder = top.and_then(|top| way.iter().try_fold(top, |value, level| value.get_mut(level.as_ref())));
        if let Some(Value::Object(members)) = holder {
            members.remove(last.as_ref());
        }
    }

    /// The claim beside this one that says whether it is verified.
    fn verified(&self) -> Self {
        let mut verified = self.clone();
        let last = verified.rest.last_mut().unwrap_or(&mut verified.first);
        *last = format!("{last}_verified").into_boxed_str();
        verified
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entry(&self.first).entries(&self.rest).finish()
    }
}

fn unescape(level: &str) -> Option<Box<str>> {
    let whole = level.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    whole.then(|| level.replace("~1", "/").replace("~0", "~").into_boxed_str())
}

/// An array index as RFC 6901 section 4 writes it: no sign, no leading zero.
fn array_index(level: &str) -> Option<usize> {
    let canonical = level == "0" || level.starts_with(|first: char| ('1'..='9').contains(&first));
    if canonical { level.parse().ok() } else { None }
}

/// The three times of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) expires_at: UnixTime,
    pub(super) issued_at: UnixTime,
    pub(super) not_before: Option<UnixTime>,
}

impl Times {
    /// Whether the token counts at `now`. `leeway` widens each bound.
    pub(super) fn check(&self, leeway: Duration, now: UnixTime) -> Result<(), Rejection> {
        if now >= self.expires_at.plus(leeway) {
            return Err(Rejection::Expired);
        }
        let soon = now.plus(leeway);
        if self.not_before.is_some_and(|not_before| not_before > soon) {
            return Err(Rejection::NotYetValid);
        }
        if self.issued_at > soon {
            return Err(Rejection::IatFuture);
        }
        Ok(())
    }
}

/// Judges the claims of a token whose signature verified.
pub(super) fn check(
    claims: Map<String, Value>,
    settings: &IssuerSettings,
    now: UnixTime,
) -> Result<(Principal, Times), Rejection> {
    if FOREIGN_CLAIMS.iter().any(|foreign| claims.contains_key(*foreign)) {
        return Err(Rejection::WrongType);
    }
    check_audience(&claims, &settings.audiences)?;
    subject(&claims)?;
    let times = times(&claims)?;
    times.check(settings.leeway(), now)?;
    if times.expires_at.since(times.issued_at) > settings.max_lifetime {
        return Err(Rejection::Lifetime);
    }
    Ok((principal_of(claims, settings)?, times))
}

/// Whom claims speak of that were verified before, read as `settings` say now.
/// Neither times nor audience are judged.
///
/// # Errors
///
/// When a claim that is mapped is not of its form.
pub fn principal_of(claims: Map<String, Value>, settings: &IssuerSettings) -> Result<Principal, Rejection> {
    let names = &settings.claims;
    Ok(Principal {
        provider: settings.provider.clone(),
        issuer: Arc::clone(&settings.issuer),
        subject: subject(&claims)?,
        email: email(&claims, names)?,
        name: name(&claims, names)?.map(Box::from),
        scopes: name_set(&claims, &names.scopes, Separator::Space, "scopes")?,
        permissions: name_set(&claims, &names.permissions, Separator::Space, "permissions")?,
        groups: name_set(&claims, &names.groups, Separator::None, "groups")?,
        claims: Arc::new(claims),
        tiers: TierSource::default(),
        attributes: Arc::default(),
    })
}

/// The e-mail address and the display name that claims hold; what is not of its
/// form counts as absent.
#[must_use]
pub fn profile_of(claims: &Map<String, Value>, names: &ClaimNames) -> (Option<Email>, Option<Box<str>>) {
    (email(claims, names).ok().flatten(), name(claims, names).ok().flatten().map(Box::from))
}

/// The claims of two sources about one person; where both say something,
/// `newer` counts. That an e-mail address is verified is believed of the source
/// that names the address, and of no other.
#[must_use]
pub fn join_profiles(
    mut base: Map<String, Value>,
    mut newer: Map<String, Value>,
    names: &ClaimNames,
) -> Map<String, Value> {
    if let Some(email) = &names.email {
        let silent = if email.find(&newer).is_some() { &mut base } else { &mut newer };
        email.verified().remove(silent);
    }
    base.extend(newer);
    base
}

/// The audiences of a token (RFC 7519 section 4.1.3): one string, or an array
/// of strings.
pub(super) fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, Rejection> {
    let malformed = Rejection::Malformed(Flaw::Claim("aud"));
    match claims.get("aud") {
        None => Err(Rejection::Aud),
        Some(Value::String(audience)) => Ok(vec![audience.as_str()]),
        Some(Value::Array(audiences)) => {
            audiences.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or(malformed)
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(malformed),
    }
}

/// Whether claims name one of the `accepted` audiences.
#[must_use]
pub fn carries_audience(claims: &Map<String, Value>, accepted: &[String]) -> bool {
    check_audience(claims, accepted).is_ok()
}

/// Refuses claims whose audiences hold none of the `accepted` ones.
pub(super) fn check_audience(claims: &Map<String, Value>, accepted: &[String]) -> Result<(), Rejection> {
    let for_us =
        audiences(claims)?.iter().any(|audience| !audience.is_empty() && accepted.iter().any(|held| held == audience));
    if for_us { Ok(()) } else { Err(Rejection::Aud) }
}

/// The subject: it becomes a header, and must survive one unchanged.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<Box<str>, Rejection> {
    let subject = match claims.get("sub") {
        None => return Err(Rejection::Sub),
        Some(Value::String(subject)) => subject.as_str(),
        Some(_) => return Err(Rejection::Malformed(Flaw::Claim("sub"))),
    };
    if subject.is_empty() {
        return Err(Rejection::Sub);
    }
    // Readers of headers trim: `alice ` would be `alice` for the upstream.
    if subject.starts_with(' ') || subject.ends_with(' ') {
        return Err(Rejection::ClaimCharset("sub"));
    }
    printable(subject, "sub").map(Box::from)
}

pub(super) fn times(claims: &Map<String, Value>) -> Result<Times, Rejection> {
    let required = |name| time(claims, name)?.ok_or(Rejection::Malformed(Flaw::Claim(name)));
    Ok(Times { expires_at: required("exp")?, issued_at: required("iat")?, not_before: time(claims, "nbf")? })
}

/// A NumericDate (RFC 7519 section 2), rounded down to the millisecond.
pub(super) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        // The cast saturates: a date beyond the range of the type is as far as
        // the type goes, and then fails the bound it is measured against.
        Some(seconds) if seconds.is_finite() => Ok(Some(UnixTime::from_millis((seconds * 1000.0).floor() as i64))),
        _ => Err(Rejection::Malformed(Flaw::Claim(name))),
    }
}

fn email(claims: &Map<String, Value>, names: &ClaimNames) -> Result<Option<Email>, Rejection> {
    let Some(address) = optional_text(claims, names.email.as_ref(), "email")? else { return Ok(None) };
    let verified = names.email.as_ref().and_then(|email| email.verified().find(claims)) == Some(&Value::Bool(true));
    Ok(Some(Email::new(address, verified)))
}

fn name<'c>(claims: &'c Map<String, Value>, names: &ClaimNames) -> Result<Option<&'c str>, Rejection> {
    optional_text(claims, names.name.as_ref(), "name")
}

fn optional_text<'c>(
    claims: &'c Map<String, Value>,
    path: Option<&ClaimPath>,
    purpose: &'static str,
) -> Result<Option<&'c str>, Rejection> {
    match path.and_then(|path| path.find(claims)) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => printable(text, purpose).map(Some),
        Some(_) => Err(Rejection::Malformed(Flaw::Claim(purpose))),
    }
}

/// What parts the names in one string.
#[derive(Clone, Copy)]
enum Separator {
    /// U+0020 and nothing else (RFC 6749 section 3.3).
    Space,
    /// Nothing: the string is one name.
    None,
}

/// The names of all `sources` together. An element of an array is one name.
fn name_set(
    claims: &Map<String, Value>,
    sources: &[ClaimPath],
    separator: Separator,
    purpose: &'static str,
) -> Result<NameSet, Rejection> {
    let mut names = Vec::new();
    for value in sources.iter().filter_map(|source| source.find(claims)) {
        match (value, separator) {
            (Value::String(text), Separator::Space) => names.extend(text.split(' ')),
            (Value::String(text), Separator::None) => names.push(text),
            (Value::Array(elements), _) => {
                for element in elements {
                    names.push(element.as_str().ok_or(Rejection::Malformed(Flaw::Claim(purpose)))?);
                }
            }
            (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_), _) => {
                return Err(Rejection::Malformed(Flaw::Claim(purpose)));
            }
        }
    }
    names.retain(|name| !name.is_empty());
    for name in &names {
        printable(name, purpose)?;
    }
    Ok(names.into_iter().collect())
}

/// Refuses control characters, those beyond ASCII too.
fn printable<'t>(text: &'t str, purpose: &'static str) -> Result<&'t str, Rejection> {
    if text.chars().any(char::is_control) { Err(Rejection::ClaimCharset(purpose)) } else { Ok(text) }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
