//! A user, and what identifies one.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};

use crate::types::{Email, NameSet, ProviderId, Random, UnixTime};

/// The directory's own name for a user: 128 random bits, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId([u8; 16]);

impl UserId {
    /// A new one.
    #[must_use]
    pub fn draw(random: &dyn Random) -> Self {
        let mut id = [0u8; 16];
        random.fill(&mut id);
        Self(id)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that [`fmt::Display`] wrote; nothing else is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// 32 lower-case hex digits.
pub(super) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let written = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    written.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// Who somebody is to the providers: provider and subject together, never one
/// of them alone, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserKey {
    /// The provider that vouches for them.
    pub provider: ProviderId,
    /// Its `sub` for them.
    pub subject: Box<str>,
}

impl UserKey {
    /// The user `subject` of `provider`.
    #[must_use]
    pub fn new(provider: &ProviderId, subject: &str) -> Self {
        Self { provider: provider.clone(), subject: Box::from(subject) }
    }

    /// What a database compares in its place, whatever its collation: the
    /// SHA-256 of both, each after its length.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&[self.provider.as_str().as_bytes(), self.subject.as_bytes()])
    }
}

/// A [`UserKey`] in pieces that stand elsewhere; what is kept by keys is found by it.
pub(super) trait KeyParts {
    fn parts(&self) -> (&ProviderId, &str);
}

impl KeyParts for UserKey {
    fn parts(&self) -> (&ProviderId, &str) {
        (&self.provider, &self.subject)
    }
}

impl KeyParts for (&ProviderId, &str) {
    fn parts(&self) -> (&ProviderId, &str) {
        *self
    }
}

impl<'a> Borrow<dyn KeyParts + 'a> for UserKey {
    fn borrow(&self) -> &(dyn KeyParts + 'a) {
        self
    }
}

impl PartialEq for dyn KeyParts + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn KeyParts + '_ {}

impl Hash for dyn KeyParts + '_ {
    /// As [`UserKey`] is hashed: one part after the other.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (provider, subject) = self.parts();
        provider.hash(state);
        subject.hash(state);
    }
}

/// The SHA-256 of the parts, each after its length.
pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0u8; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Somebody the service knows.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The directory's own name for them.
    pub id: UserId,
    /// The provider's.
    pub key: UserKey,
    /// What people type for them (SCIM `userName`): an address, a login name, else the subject.
    pub user_name: String,
    /// Their address.
    pub email: Option<Email>,
    /// Their display name.
    pub name: Option<String>,
    /// The URL of their picture.
    pub picture: Option<String>,
    /// The groups they are in; these count in decisions.
    pub groups: BTreeSet<String>,
    /// What the provider's tokens said last; shown, and what personal access tokens are judged by.
    pub rights: Rights,
    /// Whether an administrator refused them.
    pub disabled_here: bool,
    /// Whether the provider says that they are not active.
    pub disabled_there: bool,
    /// Why an administrator refused them.
    pub disabled_reason: Option<String>,
    /// Whatever else is known of them.
    pub attributes: Map<String, Value>,
    /// Tiers that administrators gave, in the order of their names.
    pub grants: Vec<TierGrant>,
    /// What SCIM keeps, where it manages this user.
    pub scim: Option<ScimResource>,
    /// When they first signed in here.
    pub first_seen: Option<UnixTime>,
    /// When they last signed in or had their tokens renewed.
    pub last_seen: Option<UnixTime>,
    /// When the record was made.
    pub created_at: UnixTime,
    /// When it was changed last.
    pub updated_at: UnixTime,
    /// Tokens and sessions from before count no more.
    pub valid_from: Option<UnixTime>,
    /// When they were deleted. What is left of them is this record, until
    /// somebody vouches for them anew.
    pub deleted_at: Option<UnixTime>,
    /// As of when each part is known, so that what comes late changes nothing.
    pub as_of: AsOf,
    /// Counts the changes of this record, from 1.
    pub version: u64,
    /// Where the last change stands among all changes of the directory.
    pub sequence: u64,
}

impl User {
    /// Whether they are refused, whoever says so.
    #[must_use]
    pub const fn is_disabled(&self) -> bool {
        self.disabled_here || self.disabled_there
    }

    /// Whether the SCIM client of `provider` manages them.
    #[must_use]
    pub fn is_managed_at(&self, provider: &ProviderId) -> bool {
        self.scim.is_some() && self.deleted_at.is_none() && self.key.provider == *provider
    }

    /// What people are called: by name, else by address, else as they sign in.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        let email = self.email.as_ref().map(Email::address);
        self.name.as_deref().or(email).unwrap_or(&self.user_name)
    }
}

/// What a provider's tokens grant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// The granted scopes.
    pub scopes: NameSet,
    /// The granted permissions.
    pub permissions: NameSet,
    /// The groups that the tokens name.
    pub groups: NameSet,
}

/// A tier that an administrator gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierGrant {
    /// Its name. One that the policy does not know opens nothing.
    pub tier: String,
    /// Until when; for good where there is none.
    pub until: Option<UnixTime>,
    /// Who gave it.
    pub given_by: String,
    /// When.
    pub given_at: UnixTime,
}

/// What SCIM keeps of a user (RFC 7643 section 4.1).
#[derive(Debug, Clone, PartialEq)]
pub struct ScimResource {
    /// The client's own name for them.
    pub external_id: Option<String>,
    /// The resource as the client wrote it, without what the directory says itself.
    pub resource: Map<String, Value>,
}

/// As of when each part of a record is known, by the clock of whoever said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsOf {
    /// Name, address, picture, attributes.
    pub profile: Option<UnixTime>,
    /// The groups.
    pub groups: Option<UnixTime>,
    /// Whether the provider says that they are active.
    pub state: Option<UnixTime>,
    /// The rights.
    pub rights: Option<UnixTime>,
}
