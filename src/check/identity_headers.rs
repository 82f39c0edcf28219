//! The headers that tell the upstream who calls, and the guard that nobody
//! else can set them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::HeaderName;

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
    fields: Vec<(HeaderName, Field)>,
    /// Names no client may send upstream, in lower case, with the managed ones.
    reserved: BTreeSet<Box<str>>,
    /// The reserved names folded to their one spelling.
    folded: Box<[Box<str>]>,
    shapes: Shapes,
    /// The reserved names that no allowed request brings, in byte order.
    unmanaged: Box<[HeaderName]>,
}

/// What the headers of one allowed request are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) tiers: &'a Tiers,
    pub(crate) held: TierSet,
    /// The tier the rule asked for.
    pub(crate) tier: Option<&'a str>,
}

impl IdentityHeaders {
    /// `claims` pairs a header name with the claim it carries, or, as
    /// `/directory/…`, with an attribute of the user directory; `strip`
    /// are further names that no client may send upstream.
    #[must_use]
    pub fn new(profiles: &[HeaderProfile], claims: &[(String, ClaimPath)], strip: &[String]) -> Self {
        let mut fields: Vec<(HeaderName, Field)> = Vec::new();
        for profile in profiles {
            fields.extend(profile.fields().iter().map(|(name, field)| (HeaderName::from_static(name), field.clone())));
        }
        for (name, claim) in claims {
            // What is no header name reaches nobody.
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            fields.retain(|(held, _)| *held != name);
            let field = claim.below(DIRECTORY).map_or_else(|| Field::Claim(claim.clone()), Field::Attribute);
            fields.push((name, field));
        }
        let mut reserved: BTreeSet<Box<str>> = fields.iter().map(|(name, _)| Box::from(name.as_str())).collect();
        // An upstream may read the names of a profile that is not in use: no client sets those either.
        for profile in HeaderProfile::ALL {
            reserved.extend(profile.fields().iter().map(|(name, _)| Box::from(*name)));
        }
        reserved.extend(CARRIER_NAMES.map(Box::from));
        reserved.extend(strip.iter().map(|name| name.to_ascii_lowercase().into_boxed_str()));
        let folded: Box<[Box<str>]> = reserved.iter().map(|name| fold(name)).collect();
        let shapes = Shapes::of(folded.iter().map(AsRef::as_ref));
        let managed = |name: &str| name == ASSERTION_HEADER || fields.iter().any(|(held, _)| held.as_str() == name);
        let unmanaged = reserved.iter().filter(|name| !managed(name));
        let unmanaged = unmanaged.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
        Self { fields, reserved, folded, shapes, unmanaged }
    }

    /// The managed headers that say the same in every request of a caller under
    /// a tier, with their values, empty when unknown.
    pub(crate) fn each_of_caller(&self, identity: &Identity<'_>, mut put: impl FnMut(&HeaderName, &str)) {
        for (name, field) in self.fields.iter().filter(|(_, field)| *field != Field::RequestId) {
            put(name, &field.value(identity));
        }
    }

    /// The names of those that carry the id of the request.
    pub(crate) fn of_request(&self) -> impl Iterator<Item = &HeaderName> {
        self.fields.iter().filter(|(_, field)| *field == Field::RequestId).map(|(name, _)| name)
    }

    /// The reserved names that no allowed request brings to its upstream.
    pub(crate) fn unmanaged(&self) -> &[HeaderName] {
        &self.unmanaged
    }

    /// Whether a header carries what only a user directory says.
    #[must_use]
    pub fn reads_directory(&self) -> bool {
        self.fields.iter().any(|(_, field)| matches!(field, Field::Attribute(_)))
    }

    /// The names that every allowed request brings to its upstream, in lower case.
    pub fn managed(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The reserved names, in lower case.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.reserved.iter().map(AsRef::as_ref)
    }

    /// Whether `name` (lower case) is a reserved name in another spelling,
    /// such as `x_auth_user`.
    #[must_use]
    pub fn is_alias(&self, name: &str) -> bool {
        self.reads_as_reserved(name) && !self.reserved.contains(name)
    }

    /// Whether `name` is a reserved name in any spelling.
    #[must_use]
    pub fn reads_as_reserved(&self, name: &str) -> bool {
        // Most headers are none, and their shape says so.
        self.shapes.has(name) && self.folded.iter().any(|held| folds_to(name, held))
    }
}

/// First letters and lengths of a set of folded names.
#[derive(Clone)]
struct Shapes([u64; 256]);

impl Shapes {
    fn of<'n>(folded: impl Iterator<Item = &'n str>) -> Self {
        let mut shapes = Self([0; 256]);
        for name in folded {
            if let Some(lengths) = name.bytes().next().and_then(|first| shapes.0.get_mut(usize::from(first))) {
                *lengths |= Self::length(name);
            }
        }
        shapes
    }

    /// Whether a name that folds to one of the set could look so.
    fn has(&self, name: &str) -> bool {
        let lengths = name.bytes().next().and_then(|first| self.0.get(usize::from(fold_byte(first))));
        lengths.is_some_and(|lengths| lengths & Self::length(name) != 0)
    }

    /// One bit for each length, and one for all that are longer.
    fn length(name: &str) -> u64 {
        1u64 << name.len().min(63)
    }
}

impl std::fmt::Debug for Shapes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shapes").finish_non_exhaustive()
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
            // It is no word about the caller.
            Self::RequestId => Cow::Borrowed(""),
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
