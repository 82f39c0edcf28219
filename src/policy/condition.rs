//! Conditions on a caller: compiled from their written form, then evaluated.

use super::document::ConditionFile;
use super::error::{PolicyError, PolicyErrorKind};
use super::names::Names;
use super::pattern::Pattern;
use crate::types::{Principal, ProviderId, Reason, TierIndex, TierSet};

/// Who holds a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grant {
    Anyone,
    Authenticated,
    /// One of these is enough.
    AnyOf(Box<[Condition]>),
}

impl Grant {
    pub(crate) fn holds(&self, caller: Option<&Principal>) -> bool {
        match (self, caller) {
            (Self::Anyone, _) | (Self::Authenticated, Some(_)) => true,
            (Self::Authenticated | Self::AnyOf(_), None) => false,
            (Self::AnyOf(conditions), Some(principal)) => {
                let facts = Facts { caller: Some(principal), tiers: TierSet::EMPTY, path_tier: None };
                conditions.iter().any(|condition| condition.lack(&facts).is_none())
            }
        }
    }
}

/// One thing asked of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Tier(TierIndex),
    /// The tier that the path names.
    PathTier,
    /// All of these.
    Scopes(Box<[Box<str>]>),
    /// All of these.
    Permissions(Box<[Box<str>]>),
    /// One of these.
    Groups(Box<[Box<str>]>),
    /// One of these.
    Users(Box<[(ProviderId, Box<str>)]>),
    /// One of these.
    Providers(Box<[ProviderId]>),
    /// One of these, in lower case.
    EmailDomains(Box<[Box<str>]>),
    Any(Box<[Condition]>),
    All(Box<[Condition]>),
}

/// What is known of a caller when a condition is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) caller: Option<&'a Principal>,
    pub(crate) tiers: TierSet,
    pub(crate) path_tier: Option<TierIndex>,
}

impl Condition {
    /// Why the caller does not meet the condition, or `None` when it is met.
    pub(crate) fn lack(&self, facts: &Facts<'_>) -> Option<Reason> {
        let met = match self {
            Self::Tier(tier) => return (!facts.tiers.contains(*tier)).then_some(Reason::InsufficientTier),
            Self::PathTier => {
                let held = facts.path_tier.is_some_and(|tier| facts.tiers.contains(tier));
                return (!held).then_some(Reason::InsufficientTier);
            }
            Self::Scopes(scopes) => {
                let held = facts.caller.is_some_and(|caller| scopes.iter().all(|scope| caller.scopes.contains(scope)));
                return (!held).then_some(Reason::InsufficientScope);
            }
            Self::Any(conditions) => {
                let mut first = None;
                for condition in conditions {
                    first = first.or(Some(condition.lack(facts)?));
                }
                return first.or(Some(Reason::InsufficientPermission));
            }
            Self::All(conditions) => return conditions.iter().find_map(|condition| condition.lack(facts)),
            Self::Permissions(permissions) => facts
                .caller
                .is_some_and(|caller| permissions.iter().all(|permission| caller.permissions.contains(permission))),
            Self::Groups(groups) => {
                facts.caller.is_some_and(|caller| groups.iter().any(|group| caller.groups.contains(group)))
            }
            Self::Users(users) => facts.caller.is_some_and(|caller| {
                users.iter().any(|(provider, subject)| *provider == caller.provider && *subject == caller.subject)
            }),
            Self::Providers(providers) => facts.caller.is_some_and(|caller| providers.contains(&caller.provider)),
            Self::EmailDomains(domains) => facts
                .caller
                .and_then(|caller| caller.email.as_ref())
                .and_then(|email| email.verified_domain())
                .is_some_and(|domain| domains.iter().any(|held| held.eq_ignore_ascii_case(domain))),
        };
        (!met).then_some(Reason::InsufficientPermission)
    }

    /// The conditions of a rule: all of them must hold.
    pub(crate) fn compile_rule(
        file: &ConditionFile,
        pointer: &str,
        names: &Names<'_>,
        pattern: Option<&Pattern>,
        errors: &mut Vec<PolicyError>,
    ) -> Vec<Self> {
        Compiler { names, tier: TierUse::Rule(pattern), errors }.compile(file, pointer)
    }

    /// The conditions of a grant: each kind listed is an alternative.
    pub(crate) fn compile_grant(
        file: &ConditionFile,
        pointer: &str,
        names: &Names<'_>,
        errors: &mut Vec<PolicyError>,
    ) -> Vec<Self> {
        let before = errors.len();
        let mut compiler = Compiler { names, tier: TierUse::Grant, errors };
        let conditions = compiler.compile(file, pointer);
        if conditions.is_empty() && compiler.errors.len() == before {
            compiler.fault(pointer, PolicyErrorKind::EmptyCondition);
        }
        conditions
    }
}

/// Where a condition stands, which says what `tier` means in it.
#[derive(Clone, Copy)]
enum TierUse<'a> {
    Grant,
    /// The rule's pattern, or `None` when that one is itself faulty.
    Rule(Option<&'a Pattern>),
}

struct Compiler<'a> {
    names: &'a Names<'a>,
    tier: TierUse<'a>,
    errors: &'a mut Vec<PolicyError>,
}

impl Compiler<'_> {
    fn fault(&mut self, pointer: impl Into<String>, kind: PolicyErrorKind) {
        self.errors.push(PolicyError::new(pointer, kind));
    }

    fn compile(&mut self, file: &ConditionFile, pointer: &str) -> Vec<Condition> {
        let ConditionFile { tier, scopes, permissions, groups, users, providers, email_domains, any, all } = file;
        let mut conditions = Vec::new();
        conditions.extend(tier.as_deref().and_then(|tier| self.tier(tier, &format!("{pointer}/tier"))));
        conditions.extend(self.scopes(scopes.as_deref(), pointer));
        conditions.extend(self.words(permissions.as_deref(), pointer, "permissions").map(Condition::Permissions));
        conditions.extend(self.texts(groups.as_deref(), pointer, "groups").map(Condition::Groups));
        conditions.extend(self.users(users.as_deref(), pointer));
        conditions.extend(self.providers(providers.as_deref(), pointer));
        conditions.extend(self.domains(email_domains.as_deref(), pointer));
        conditions.extend(self.nested(any.as_deref(), pointer, "any").map(Condition::Any));
        conditions.extend(self.nested(all.as_deref(), pointer, "all").map(Condition::All));
        conditions
    }

    fn tier(&mut self, tier: &str, pointer: &str) -> Option<Condition> {
        let TierUse::Rule(pattern) = self.tier else {
            self.fault(pointer, PolicyErrorKind::TierInGrant);
            return None;
        };
        if let Some(variable) = variable_name(tier) {
            if pattern.is_some_and(|pattern| pattern.variable(variable).is_none()) {
                self.fault(pointer, PolicyErrorKind::UnknownVariable { name: variable.to_owned() });
            }
            return Some(Condition::PathTier);
        }
        match self.names.tier(tier) {
            Ok(Some(tier)) => Some(Condition::Tier(tier)),
            // It asks for a tier that the document lacks: no policy comes of it.
            Ok(None) => Some(Condition::PathTier),
            Err(kind) => {
                self.fault(pointer, kind);
                None
            }
        }
    }

    /// A list of names that may not be empty; each entry is checked by `check`.
    fn texts(&mut self, names: Option<&[String]>, pointer: &str, list: &'static str) -> Option<Box<[Box<str>]>> {
        let names = names?;
        if names.is_empty() {
            self.fault(format!("{pointer}/{list}"), PolicyErrorKind::EmptyList { list });
        }
        for (position, name) in names.iter().enumerate() {
            if name.is_empty() {
                self.fault(
                    format!("{pointer}/{list}/{position}"),
                    PolicyErrorKind::ImpossibleName { name: name.clone(), why: "it is empty" },
                );
            }
        }
        Some(names.iter().map(|name| Box::from(name.as_str())).collect())
    }

    /// Like [`Self::texts`], for names that stand in a space-separated list.
    fn words(&mut self, names: Option<&[String]>, pointer: &str, list: &'static str) -> Option<Box<[Box<str>]>> {
        for (position, name) in names.unwrap_or_default().iter().enumerate() {
            if name.chars().any(|character| character.is_whitespace() || character.is_control()) {
                self.fault(
                    format!("{pointer}/{list}/{position}"),
                    PolicyErrorKind::ImpossibleName { name: name.clone(), why: "it holds a blank" },
                );
            }
        }
        self.texts(names, pointer, list)
    }

    fn scopes(&mut self, scopes: Option<&[String]>, pointer: &str) -> Option<Condition> {
        let texts = self.words(scopes, pointer, "scopes")?;
        for (position, scope) in texts.iter().enumerate() {
            let has_blank = scope.chars().any(|character| character.is_whitespace() || character.is_control());
            if !is_scope(scope) && !scope.is_empty() && !has_blank {
                self.fault(
                    format!("{pointer}/scopes/{position}"),
                    PolicyErrorKind::ImpossibleName {
                        name: scope.to_string(),
                        why: "a scope is made of ASCII characters without blank, `\"` and `\\`",
                    },
                );
            }
        }
        Some(Condition::Scopes(texts))
    }

    fn users(&mut self, users: Option<&[String]>, pointer: &str) -> Option<Condition> {
        let texts = self.texts(users, pointer, "users")?;
        let mut compiled = Vec::with_capacity(texts.len());
        for (position, user) in texts.iter().enumerate() {
            let pointer = format!("{pointer}/users/{position}");
            match user.split_once('/').filter(|(id, subject)| !id.is_empty() && !subject.is_empty()) {
                Some((id, subject)) => {
                    if let Err(kind) = self.names.provider(id) {
                        self.fault(pointer, kind);
                    }
                    compiled.push((ProviderId::new(id), Box::from(subject)));
                }
                None => self.fault(pointer, PolicyErrorKind::BadUser { user: user.to_string() }),
            }
        }
        Some(Condition::Users(compiled.into_boxed_slice()))
    }

    fn providers(&mut self, providers: Option<&[String]>, pointer: &str) -> Option<Condition> {
        let texts = self.texts(providers, pointer, "providers")?;
        for (position, id) in texts.iter().enumerate() {
            if let Err(kind) = self.names.provider(id) {
                self.fault(format!("{pointer}/providers/{position}"), kind);
            }
        }
        Some(Condition::Providers(texts.iter().map(|id| ProviderId::new(id)).collect()))
    }

    fn domains(&mut self, domains: Option<&[String]>, pointer: &str) -> Option<Condition> {
        let texts = self.texts(domains, pointer, "email_domains")?;
        for (position, domain) in texts.iter().enumerate() {
            if domain.contains(['@', '*', ' ']) {
                self.fault(
                    format!("{pointer}/email_domains/{position}"),
                    PolicyErrorKind::ImpossibleName {
                        name: domain.to_string(),
                        why: "a domain is compared whole, without `@` and `*`",
                    },
                );
            }
        }
        Some(Condition::EmailDomains(texts))
    }

    fn nested(
        &mut self,
        conditions: Option<&[ConditionFile]>,
        pointer: &str,
        list: &'static str,
    ) -> Option<Box<[Condition]>> {
        let conditions = conditions?;
        if conditions.is_empty() {
            self.fault(format!("{pointer}/{list}"), PolicyErrorKind::EmptyList { list });
        }
        let compiled = conditions
            .iter()
            .enumerate()
            .map(|(position, condition)| {
                let pointer = format!("{pointer}/{list}/{position}");
                let parts = self.compile(condition, &pointer);
                if parts.is_empty() {
                    self.fault(pointer, PolicyErrorKind::EmptyCondition);
                }
                // Several kinds in one entry must all hold, in a grant too.
                Condition::All(parts.into_boxed_slice())
            })
            .collect();
        Some(compiled)
    }
}

/// Whether `text` is one scope (RFC 6749 section 3.3), so that it can stand in
/// a `scope` claim and in a challenge.
pub(crate) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// The variable in `{name}`.
pub(crate) fn variable_name(text: &str) -> Option<&str> {
    text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
}
