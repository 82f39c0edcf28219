//! The headers that tell the upstream who calls, and the guard that nobody
//! else can set them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::policy::Tiers;
use crate::token::ClaimPath;
use crate::types::{Principal, TierSet};

/// A group of header names that one family of upstreams reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeaderProfile {
    /// `X-Auth-*`: Tiergate's own.
    XAuth,
    /// `Remote-User`, `Remote-Email`, `Remote-Name`, `Remote-Groups`.
    RemoteUser,
    /// `X-Auth-Request-*`, as oauth2-proxy sets them.
    Oauth2Proxy,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Subject,
    Email,
    Name,
    Tier,
    Tiers,
    Scopes,
    Groups,
    Issuer,
    RequestId,
    Claim(ClaimPath),
    /// An attribute of the user directory; no token can say it.
    Attribute(ClaimPath),
}

/// A JSON pointer that begins so leads to the attributes of the user directory.
const DIRECTORY: &str = "directory";

/// Header names that carry an answer of the service to the proxy and are
/// therefore never accepted from a client.
const CARRIER_NAMES: [&str; 4] = [ASSERTION_HEADER, COOKIE_HEADER, QUERY_HEADER, WEBSOCKET_PROTOCOL_HEADER];

/// The signed assertion for the upstream.
pub const ASSERTION_HEADER: &str = "x-auth-assertion";
/// The `Cookie` to send upstream (HTTP protocols).
pub const COOKIE_HEADER: &str = "x-auth-cookie";
/// The query to send upstream, with its `?` (HTTP protocols).
pub const QUERY_HEADER: &str = "x-auth-query";
/// The `Sec-WebSocket-Protocol` to send upstream (HTTP protocols).
pub const WEBSOCKET_PROTOCOL_HEADER: &str = "x-auth-websocket-protocol";

/// Which headers are managed and what each one says.
#[derive(Debug, Clone)]
pub struct IdentityHeaders {
    fields: Vec<(Box<str>, Field)>,
    /// Names no client may send upstream, in lower case, with the managed ones.
    reserved: BTreeSet<Box<str>>,
    /// The reserved names folded to their one spelling.
    folded: BTreeSet<Box<str>>,
    /// The reserved names that no allowed request brings, in byte order.
    unmanaged: Box<[Box<str>]>,
}

/// What the headers of one allowed request are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) tiers: &'a Tiers,
    pub(crate) held: TierSet,
    /// The tier the rule asked for.
    pub(crate) tier: Option<&'a str>,
    pub(crate) request_id: &'a str,
}

impl IdentityHeaders {
    /// `claims` pairs a header name with the claim it carries, or, as
    /// `/directory/…`, with an attribute of the user directory; `strip`
    /// are further names that no client may send upstream.
    #[must_use]
    pub fn new(profiles: &[HeaderProfile], claims: &[(String, ClaimPath)], strip: &[String]) -> Self {
        let mut fields: Vec<(Box<str>, Field)> = Vec::new();
        for profile in profiles {
            fields.extend(profile.fields().iter().map(|(name, field)| (Box::from(*name), field.clone())));
        }
        for (name, claim) in claims {
            let name = name.to_ascii_lowercase().into_boxed_str();
            fields.retain(|(held, _)| *held != name);
            let field = claim.below(DIRECTORY).map_or_else(|| Field::Claim(claim.clone()), Field::Attribute);
            fields.push((name, field));
        }
        let mut reserved: BTreeSet<Box<str>> = fields.iter().map(|(name, _)| name.clone()).collect();
        // An upstream may read the names of a profile that is not in use: no client sets those either.
        for profile in HeaderProfile::ALL {
            reserved.extend(profile.fields().iter().map(|(name, _)| Box::from(*name)));
        }
        reserved.extend(CARRIER_NAMES.map(Box::from));
        reserved.extend(strip.iter().map(|name| name.to_ascii_lowercase().into_boxed_str()));
        let folded = reserved.iter().map(|name| fold(name)).collect();
        let managed = |name: &Box<str>| **name == *ASSERTION_HEADER || fields.iter().any(|(held, _)| held == name);
        let unmanaged = reserved.iter().filter(|name| !managed(name)).cloned().collect();
        Self { fields, reserved, folded, unmanaged }
    }

    /// Every managed header of one allowed request with its value, empty when
    /// it is unknown; the assertion is not among them.
    pub(crate) fn each(&self, identity: &Identity<'_>, mut put: impl FnMut(&str, &str)) {
        for (name, field) in &self.fields {
            put(name, &field.value(identity));
        }
    }

    /// The reserved names that no allowed request brings to its upstream.
    pub(crate) fn unmanaged(&self) -> impl Iterator<Item = &str> {
        self.unmanaged.iter().map(AsRef::as_ref)
    }

    /// Whether a header carries what only a user directory says.
    #[must_use]
    pub fn reads_directory(&self) -> bool {
        self.fields.iter().any(|(_, field)| matches!(field, Field::Attribute(_)))
    }

    /// The names that every allowed request brings to its upstream, in lower case.
    pub fn managed(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref())
    }

    /// The reserved names, in lower case.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.reserved.iter().map(AsRef::as_ref)
    }

    /// Whether `name` (lower case) is a reserved name in another spelling,
    /// such as `x_auth_user`.
    #[must_use]
    pub fn is_alias(&self, name: &str) -> bool {
        !self.reserved.contains(name) && self.reads_as_reserved(name)
    }

    /// Whether `name` is a reserved name in any spelling.
    #[must_use]
    pub fn reads_as_reserved(&self, name: &str) -> bool {
        // Most headers are none: tell by the first letter before folding.
        let first = name.bytes().next().map(|byte| byte.to_ascii_lowercase());
        self.folded.iter().any(|held| held.bytes().next() == first && folds_to(name, held))
    }
}

impl HeaderProfile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::XAuth, Self::RemoteUser, Self::Oauth2Proxy];

    fn fields(self) -> &'static [(&'static str, Field)] {
        match self {
            Self::XAuth => &[
                ("x-auth-user", Field::Subject),
                ("x-auth-email", Field::Email),
                ("x-auth-name", Field::Name),
                ("x-auth-tier", Field::Tier),
                ("x-auth-tiers", Field::Tiers),
                ("x-auth-scopes", Field::Scopes),
                ("x-auth-groups", Field::Groups),
                ("x-auth-issuer", Field::Issuer),
                ("x-auth-request-id", Field::RequestId),
            ],
            Self::RemoteUser => &[
                ("remote-user", Field::Subject),
                ("remote-email", Field::Email),
                ("remote-name", Field::Name),
                ("remote-groups", Field::Groups),
            ],
            Self::Oauth2Proxy => &[
                ("x-auth-request-user", Field::Subject),
                ("x-auth-request-email", Field::Email),
                ("x-auth-request-preferred-username", Field::Name),
                ("x-auth-request-groups", Field::Groups),
            ],
        }
    }
}

impl Field {
    fn value<'i>(&self, identity: &Identity<'i>) -> Cow<'i, str> {
        let caller = identity.principal;
        match self {
            Self::Subject => printable(caller.map_or("", |caller| &caller.subject), ""),
            Self::Email => {
                let email = caller.and_then(|caller| caller.email.as_ref()).filter(|email| email.is_well_formed());
                printable(email.map_or("", |email| email.address()), "")
            }
            Self::Name => printable(caller.and_then(|caller| caller.name.as_deref()).unwrap_or_default(), ""),
            Self::Tier => Cow::Borrowed(identity.tier.unwrap_or_default()),
            Self::Tiers => joined(identity.held.iter().map(|tier| identity.tiers.name(tier)), ","),
            Self::Scopes => joined(caller.into_iter().flat_map(|caller| caller.scopes.iter()), " "),
            Self::Groups => joined(caller.into_iter().flat_map(|caller| caller.groups.iter()), ","),
            Self::Issuer => printable(caller.map_or("", |caller| &caller.issuer), ""),
            Self::RequestId => Cow::Borrowed(identity.request_id),
            Self::Claim(claim) => {
                caller.and_then(|caller| claim.find(&caller.claims)).map_or(Cow::Borrowed(""), claim_text)
            }
            Self::Attribute(attribute) => {
                caller.and_then(|caller| attribute.find(&caller.attributes)).map_or(Cow::Borrowed(""), claim_text)
            }
        }
    }
}

/// The names as one text. A name that holds the separator would read as two names.
fn joined<'n>(mut names: impl Iterator<Item = &'n str>, separator: &str) -> Cow<'n, str> {
    let Some(first) = names.next() else { return Cow::Borrowed("") };
    names.fold(printable(first, separator), |all, name| {
        let mut all = all.into_owned();
        all.push_str(separator);
        all.push_str(&printable(name, separator));
        Cow::Owned(all)
    })
}

/// A scalar claim as text, a list of scalars comma-separated, else its JSON.
fn claim_text(value: &serde_json::Value) -> Cow<'_, str> {
    match value {
        serde_json::Value::Null => Cow::Borrowed(""),
        serde_json::Value::String(text) => printable(text, ""),
        serde_json::Value::Bool(true) => Cow::Borrowed("true"),
        serde_json::Value::Bool(false) => Cow::Borrowed("false"),
        serde_json::Value::Number(number) => Cow::Owned(number.to_string()),
        serde_json::Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            let texts: Vec<Cow<'_, str>> = items
                .iter()
                .map(|item| match item {
                    serde_json::Value::String(text) => printable(text, ","),
                    serde_json::Value::Null
                    | serde_json::Value::Bool(_)
                    | serde_json::Value::Number(_)
                    | serde_json::Value::Array(_)
                    | serde_json::Value::Object(_) => claim_text(item),
                })
                .collect();
            Cow::Owned(texts.join(","))
        }
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Cow::Owned(printable(&value.to_string(), "").into_owned())
        }
    }
}

/// The text with every byte outside printable ASCII, every byte of `separator`
/// and `%` itself percent-encoded, so that two texts never become one.
fn printable<'t>(text: &'t str, separator: &str) -> Cow<'t, str> {
    let keep = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'%' && !separator.as_bytes().contains(&byte);
    // Whoever reads a header trims it.
    let trimmed = text.trim_matches(' ');
    if trimmed.len() == text.len() && text.bytes().all(keep) {
        return Cow::Borrowed(text);
    }
    let start = text.len().saturating_sub(text.trim_start_matches(' ').len());
    let end = start.saturating_add(trimmed.len());
    let keep = |(position, byte): (usize, u8)| keep(byte) && (start..end).contains(&position);
    let mut out = String::with_capacity(text.len().saturating_mul(3));
    for (position, byte) in text.bytes().enumerate() {
        if keep((position, byte)) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}

/// The one spelling that all spellings of a header name share: lower case,
/// everything but letters and digits a `-`. CGI and WSGI make the same of
/// `X_Auth_User` and `X-Auth-User`.
fn fold(name: &str) -> Box<str> {
    name.bytes().map(|byte| char::from(fold_byte(byte))).collect::<String>().into_boxed_str()
}

fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && name.bytes().map(fold_byte).eq(folded.bytes())
}

const fn fold_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> IdentityHeaders {
        IdentityHeaders::new(
            &[HeaderProfile::XAuth],
            &[("X-Auth-Plan".to_owned(), ClaimPath::parse("/plan").expect("pointer"))],
            &["X-Envoy-Peer-Metadata".to_owned()],
        )
    }

    #[test]
    fn every_spelling_of_a_reserved_name_is_known() {
        let headers = headers();
        for alias in ["x_auth_user", "x.auth.user", "x-auth.user", "x_auth_plan", "x_envoy_peer_metadata"] {
            assert!(headers.is_alias(alias), "{alias}");
        }
        for name in ["x-auth-user", "x-auth-plan", "x-envoy-peer-metadata", "x-auth-cookie", "remote-user"] {
            assert!(!headers.is_alias(name) && headers.reads_as_reserved(name), "{name}");
        }
        for name in ["x-auth-users", "x-auth", "accept", "xauthuser", ""] {
            assert!(!headers.reads_as_reserved(name), "{name}");
        }
    }

    #[test]
    fn values_are_printable_ascii_and_lists_cannot_be_widened() {
        assert_eq!(printable("Zoë\r\nX-Auth-Scopes: admin", ""), "Zo%C3%AB%0D%0AX-Auth-Scopes: admin");
        assert_eq!(joined(["a,admin", "b"].into_iter(), ","), "a%2Cadmin,b");
        assert_eq!(joined(std::iter::empty(), ","), "");
        assert_eq!(printable("a%2Cb", ""), "a%252Cb");
        assert_eq!(printable(" a b ", ""), "%20a b%20");
        assert_eq!(claim_text(&serde_json::json!(["a", 1, true, "x,y"])), "a,1,true,x%2Cy");
        assert_eq!(claim_text(&serde_json::json!({ "a": "é" })), "{\"a\":\"%C3%A9\"}");
    }
}
