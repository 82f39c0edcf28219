//! Who calls: the verified identity a decision is made about.

use std::fmt;
use std::sync::Arc;

/// The `id` of an identity provider in the config.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

impl ProviderId {
    /// Names the provider `id`.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The id as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A sorted set of names (scopes, permissions, groups), compared whole and with case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameSet(Box<[Box<str>]>);

impl NameSet {
    /// Whether `name` is one of the names.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|held| held.as_ref().cmp(name)).is_ok()
    }

    /// The names in byte order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for NameSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into_boxed_slice())
    }
}

/// An e-mail address as the provider gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    address: Box<str>,
    verified: bool,
}

impl Email {
    /// Keeps the address as it stands; `verified` is the provider's own
    /// `email_verified: true`.
    #[must_use]
    pub fn new(address: &str, verified: bool) -> Self {
        Self { address: Box::from(address), verified }
    }

    /// The address as the provider gave it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the provider verified it.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether there is exactly one `@` with something on both sides of it.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.domain().is_some()
    }

    /// The domain of a well-formed address that the provider verified.
    #[must_use]
    pub fn verified_domain(&self) -> Option<&str> {
        self.domain().filter(|_| self.verified)
    }

    fn domain(&self) -> Option<&str> {
        let (local, domain) = self.address.split_once('@')?;
        (!local.is_empty() && !domain.is_empty() && !domain.contains('@')).then_some(domain)
    }
}

/// The verified caller: issuer and subject together are the identity, never
/// one of them alone (RFC 9700 section 4.15).
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Which configured provider vouches for the caller.
    pub provider: ProviderId,
    /// The `iss` claim.
    pub issuer: Arc<str>,
    /// The `sub` claim.
    pub subject: Box<str>,
    /// The address, when a claim names one.
    pub email: Option<Email>,
    /// The display name, when a claim names one.
    pub name: Option<Box<str>>,
    /// The granted scopes.
    pub scopes: NameSet,
    /// The granted permissions.
    pub permissions: NameSet,
    /// The groups of the caller.
    pub groups: NameSet,
    /// Every claim, for the headers an operator asked for by JSON pointer.
    pub claims: Arc<serde_json::Map<String, serde_json::Value>>,
    /// What the tiers come from.
    pub tiers: TierSource,
    /// What the directory says besides; never a claim.
    pub attributes: Arc<serde_json::Map<String, serde_json::Value>>,
}

/// What the tiers of a caller come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierSource {
    /// The grants of the policy, and besides them the tiers of these names with
    /// all that they include.
    Grants(NameSet),
    /// The tiers of these names and nothing else: no scope, group or identity
    /// opens anything. What a personal access token was made for, as far as its
    /// owner holds it now.
    Only(NameSet),
}

impl Default for TierSource {
    fn default() -> Self {
        Self::Grants(NameSet::default())
    }
}

impl Principal {
    /// What a person is called: by name, else by address, else by the provider's word for them.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        let email = self.email.as_ref().map(Email::address);
        self.name.as_deref().or(email).unwrap_or(&self.subject)
    }
}
