//! The query that a provider sends a browser back with (OIDC Core section
//! 3.1.2.5, RFC 9207 section 2), read strictly.

use super::error::{CallbackError, ProviderRefusal};
use crate::session::OpaqueId;
use crate::types::Secret;

/// The longest parameter, name and value as they stand there.
const MAX_PARAMETER_BYTES: usize = 2048;
const MAX_PARAMETERS: usize = 32;

/// A query. The state stands apart, for whatever is wrong with the rest, the
/// attempt that it names is used up.
#[derive(Debug)]
pub(super) struct CallbackQuery {
    /// The first `state` that has our form.
    pub(super) state: Option<OpaqueId>,
    /// The whole, when it is what a provider may send.
    pub(super) answer: Result<ProviderAnswer, CallbackError>,
}

/// What the provider answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProviderAnswer {
    pub(super) code: Option<Secret>,
    pub(super) refusal: Option<ProviderRefusal>,
    pub(super) issuer: Option<String>,
}

impl CallbackQuery {
    pub(super) fn parse(query: &[u8]) -> Self {
        let mut state = None;
        let mut fault = None;
        let mut answer = ProviderAnswer::default();
        let mut names: Vec<String> = Vec::new();
        let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for (position, pair) in pairs.enumerate() {
            if position >= MAX_PARAMETERS || pair.len() > MAX_PARAMETER_BYTES {
                fault.get_or_insert(CallbackError::OversizedQuery);
                continue;
            }
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let decoded = [parts.next(), parts.next()].map(|part| decode(part.unwrap_or_default()));
            let [Some(name), Some(value)] = decoded else {
                fault.get_or_insert(CallbackError::MalformedQuery);
                continue;
            };
            match name.as_str() {
                "state" if state.is_none() => state = OpaqueId::parse(&value),
                "code" => answer.code = (!value.is_empty()).then(|| Secret::new(value)),
                "error" => answer.refusal = Some(ProviderRefusal::parse(&value)),
                "iss" => answer.issuer = Some(value),
                _ => {}
            }
            if names.contains(&name) {
                fault.get_or_insert(CallbackError::RepeatedParameter);
            }
            names.push(name);
        }
        Self { state, answer: fault.map_or(Ok(answer), Err) }
    }
}

/// The text of a name or value (WHATWG URL section 5.1): printable, and read by
/// every reader alike.
fn decode(raw: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            plain => bytes.push(plain),
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
