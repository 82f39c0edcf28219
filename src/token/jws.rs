//! The compact JWS (RFC 7515 section 7.1), read strictly; nothing in it is believed here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::MAX_TOKEN_BYTES;
use super::algorithm::Algorithm;
use super::json::{self, JsonFault};
use super::rejection::{Flaw, Rejection, TokenPart};

/// The longest `kid`, in bytes.
pub(super) const MAX_KID_BYTES: usize = 256;

/// A token whose form is right. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct UnverifiedJws<'t> {
    /// What the signature is over: header, dot, payload, as they came.
    pub(super) signing_input: &'t str,
    /// The header members that count.
    pub(super) header: Header,
    /// The payload.
    pub(super) claims: Map<String, Value>,
    /// The decoded signature; it may be empty and then verifies with no key.
    pub(super) signature: Vec<u8>,
}

/// The header members that count; `jwk`, `jku`, `x5u` and `x5c` never do (RFC
/// 8725 section 3.10).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<Box<str>>,
    pub(super) typ: Option<Box<str>>,
}

impl<'t> UnverifiedJws<'t> {
    /// Reads the compact form.
    pub(super) fn parse(token: &'t str) -> Result<Self, Rejection> {
        let parts = Parts::split(token)?;
        let header = Header::parse(&object(parts.header, TokenPart::Header)?)?;
        let claims = object(parts.payload, TokenPart::Payload)?;
        let signature = decode(parts.signature, TokenPart::Signature)?;
        Ok(Self { signing_input: parts.signing_input, header, claims, signature })
    }
}

/// The three parts, still encoded.
pub(super) struct Parts<'t> {
    signing_input: &'t str,
    pub(super) header: &'t str,
    pub(super) payload: &'t str,
    signature: &'t str,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejection::TooLarge);
        }
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(Rejection::Malformed(Flaw::Characters));
        }
        let three = token.rsplit_once('.').and_then(|(signing_input, signature)| {
            let (header, payload) = signing_input.split_once('.')?;
            let whole = !header.is_empty() && !payload.is_empty() && !payload.contains('.');
            whole.then_some(Self { signing_input, header, payload, signature })
        });
        three.ok_or(Rejection::Malformed(Flaw::Parts))
    }
}

/// The JSON object that an encoded part holds.
pub(super) fn object(encoded: &str, part: TokenPart) -> Result<Map<String, Value>, Rejection> {
    json::parse_object(&decode(encoded, part)?).map_err(|fault| match fault {
        JsonFault::Duplicate => Rejection::DuplicateMember(part),
        JsonFault::Malformed => Rejection::Malformed(Flaw::Json(part)),
    })
}

/// Unpadded base64url whose unused trailing bits are zero, so that a token has
/// one spelling only.
fn decode(encoded: &str, part: TokenPart) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Rejection::Malformed(Flaw::Encoding(part)))
}

impl Header {
    fn parse(members: &Map<String, Value>) -> Result<Self, Rejection> {
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(Rejection::Crit);
        }
        for encrypted in ["enc", "zip"] {
            if members.contains_key(encrypted) {
                return Err(Rejection::Malformed(Flaw::HeaderMember(encrypted)));
            }
        }
        let algorithm =
            members.get("alg").and_then(Value::as_str).and_then(Algorithm::parse).ok_or(Rejection::AlgNotAllowed)?;
        let kid = text(members, "kid")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(Rejection::Malformed(Flaw::HeaderMember("kid")));
        }
        Ok(Self { algorithm, kid, typ: text(members, "typ")? })
    }

    /// Whether `typ` is one of `accepted`, compared without case and without
    /// `application/` (RFC 7515 section 4.1.9); an absent `typ` counts as `JWT`.
    pub(super) fn is_of_type(&self, accepted: &[String]) -> bool {
        let typ = bare_type(self.typ.as_deref().unwrap_or("JWT"));
        accepted.iter().any(|accepted| bare_type(accepted).eq_ignore_ascii_case(typ))
    }
}

fn text(members: &Map<String, Value>, name: &'static str) -> Result<Option<Box<str>>, Rejection> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(Box::from(text.as_str()))),
        Some(_) => Err(Rejection::Malformed(Flaw::HeaderMember(name))),
    }
}

fn bare_type(typ: &str) -> &str {
    match typ.split_once('/') {
        Some((top, rest)) if top.eq_ignore_ascii_case("application") && !rest.contains('/') => rest,
        _ => typ,
    }
}
