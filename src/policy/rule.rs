//! One rule, compiled: which requests it covers and what it asks.

use std::sync::Arc;

use super::condition::{Condition, variable_name};
use super::document::{ConditionFile, EncodedFile, RuleFile, TokenPlaceFile};
use super::error::{PolicyError, PolicyErrorKind};
use super::names::Names;
use super::pattern::{Pattern, Segment};
use super::requirement::Requirement;
use super::tiers::Tiers;
use crate::types::{EncodedSet, Host, TierIndex};

/// The tier a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleTier {
    /// Always this one.
    Fixed(TierIndex),
    /// The one that the segment at this position names.
    FromSegment(usize),
}

/// Which hosts a rule covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostPattern {
    /// This name; with this port only, or with every port when it is empty.
    Exact { name: Box<str>, port: Box<str> },
    /// Every name that ends in this suffix, which starts with a dot; ports as above.
    Suffix { name: Box<str>, port: Box<str> },
    /// Every host.
    Any,
}

impl HostPattern {
    /// How specific it is: the higher, the more.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Exact { port, .. } if !port.is_empty() => 4,
            Self::Exact { .. } => 3,
            Self::Suffix { port, .. } if !port.is_empty() => 2,
            Self::Suffix { .. } => 1,
            Self::Any => 0,
        }
    }
}

/// Where a bearer token may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPlaces {
    /// In `Authorization`.
    pub header: bool,
    /// In the query parameter `access_token`.
    pub query: bool,
    /// In `Sec-WebSocket-Protocol`.
    pub websocket_protocol: bool,
}

impl TokenPlaces {
    /// In `Authorization` alone.
    pub const HEADER: Self = Self { header: true, query: false, websocket_protocol: false };
}

/// One rule of the policy.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) host: HostPattern,
    pub(crate) methods: Box<[Box<str>]>,
    pub(crate) tier: Option<RuleTier>,
    pub(crate) conditions: Box<[Condition]>,
    encoded: EncodedSet,
    origins: Box<[Box<str>]>,
    token_places: TokenPlaces,
    name: Arc<str>,
    digest: [u8; 32],
}

impl Rule {
    /// How the rule is called in logs and explanations: methods, host, pattern.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, to be kept beyond the policy.
    #[must_use]
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The methods that it covers; all where there are none.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(AsRef::as_ref)
    }

    /// Everything that it asks for, in words for the operator.
    #[must_use]
    pub fn requirement<'p>(&'p self, tiers: &'p Tiers) -> Requirement<'p> {
        Requirement { conditions: &self.conditions, beside: None, path_tier: None, tiers }
    }

    /// The tier that it always asks for; none where the path names one.
    #[must_use]
    pub fn fixed_tier(&self) -> Option<TierIndex> {
        match self.tier {
            Some(RuleTier::Fixed(tier)) => Some(tier),
            Some(RuleTier::FromSegment(_)) | None => None,
        }
    }

    /// Whether it is for what no other rule covers: the path `/**`.
    #[must_use]
    pub fn is_for_the_rest(&self) -> bool {
        self.pattern.segments().is_empty() && self.pattern.has_rest()
    }

    /// Whether it covers one host only, or the hosts under one name.
    #[must_use]
    pub fn names_host(&self) -> bool {
        self.host != HostPattern::Any
    }

    /// Whether it is about a part of the place below these segments, or about
    /// some of its hosts.
    pub(crate) fn is_within(&self, host: Option<&Host>, place: &[String]) -> bool {
        let is_there = match (&self.host, host) {
            (HostPattern::Any | HostPattern::Suffix { .. }, Some(_)) => false,
            (HostPattern::Any, None) => true,
            (HostPattern::Exact { name, .. }, Some(host)) => host.name() == name.as_ref(),
            (HostPattern::Exact { .. } | HostPattern::Suffix { .. }, None) => true,
        };
        let own = self.pattern.segments();
        let is_below = place.iter().enumerate().all(|(at, part)| match own.get(at) {
            Some(Segment::Literal(literal)) => literal.as_ref() == part,
            Some(Segment::Variable(_)) | None => false,
        });
        is_there && is_below && (own.len() > place.len() || !self.pattern.has_rest())
    }

    /// The encoded characters it lets stand in a segment.
    #[must_use]
    pub fn encoded(&self) -> EncodedSet {
        self.encoded
    }

    /// Whether `origin` is one whose preflights are answered.
    #[must_use]
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|held| held.as_bytes() == origin)
    }

    /// Where a bearer token may stand.
    #[must_use]
    pub fn token_places(&self) -> TokenPlaces {
        self.token_places
    }

    /// Compiles the rule written at `pointer`; `None` when it is faulty.
    pub(crate) fn compile(
        file: &RuleFile,
        pointer: &str,
        names: &Names<'_>,
        errors: &mut Vec<PolicyError>,
    ) -> Option<Self> {
        let before = errors.len();
        let encoded = compile_encoded(file.encoded.as_deref(), pointer, errors);
        let pattern = Pattern::parse(&file.path, encoded)
            .map_err(|kind| errors.push(PolicyError::new(format!("{pointer}/path"), kind)))
            .ok();
        let host = compile_host(file.host.as_deref(), pointer, errors);
        let methods = compile_methods(file.methods.as_deref(), pointer, errors);

        let mut conditions = Condition::compile_rule(&own_conditions(file), pointer, names, pattern.as_ref(), errors);
        if let Some(require) = &file.require {
            let pointer = format!("{pointer}/require");
            let required = Condition::compile_rule(require, &pointer, names, pattern.as_ref(), errors);
            if required.is_empty() {
                errors.push(PolicyError::new(pointer, PolicyErrorKind::EmptyCondition));
            }
            conditions.extend(required);
        }
        if conditions.is_empty() && errors.len() == before {
            errors.push(PolicyError::new(pointer, PolicyErrorKind::EmptyRule));
        }
        let tier = pattern.as_ref().and_then(|pattern| compile_tier(file, pattern, names, pointer, errors));
        let origins = compile_origins(file, pointer, errors);
        let token_places = compile_token_places(file.token_from.as_deref(), pointer, errors);
        if errors.len() > before {
            return None;
        }
        let pattern = pattern?;
        let name = rule_name(&methods, file.host.as_deref(), &pattern);
        let mut rule = Self {
            pattern,
            host: host?,
            methods,
            tier,
            conditions: conditions.into_boxed_slice(),
            encoded,
            origins,
            token_places,
            name,
            digest: [0; 32],
        };
        let written = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{rule:?}").as_bytes());
        rule.digest.iter_mut().zip(written.as_ref()).for_each(|(to, from)| *to = *from);
        Some(rule)
    }

    /// The same for two rules that say the same, else another.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// The conditions that stand directly in the rule.
fn own_conditions(file: &RuleFile) -> ConditionFile {
    ConditionFile {
        tier: file.tier.clone(),
        scopes: file.scopes.clone(),
        permissions: file.permissions.clone(),
        groups: file.groups.clone(),
        users: file.users.clone(),
        providers: file.providers.clone(),
        email_domains: file.email_domains.clone(),
        any: file.any.clone(),
        all: file.all.clone(),
    }
}

fn rule_name(methods: &[Box<str>], host: Option<&str>, pattern: &Pattern) -> Arc<str> {
    let mut name = methods.join(",");
    if !name.is_empty() {
        name.push(' ');
    }
    name.push_str(host.unwrap_or_default());
    name.push_str(pattern.as_str());
    Arc::from(name)
}

fn compile_encoded(file: Option<&[EncodedFile]>, pointer: &str, errors: &mut Vec<PolicyError>) -> EncodedSet {
    if file.is_some_and(<[_]>::is_empty) {
        errors.push(PolicyError::new(format!("{pointer}/encoded"), PolicyErrorKind::EmptyList { list: "encoded" }));
    }
    file.unwrap_or_default().iter().fold(EncodedSet::NONE, |set, encoded| {
        set.union(match encoded {
            EncodedFile::Slash => EncodedSet::SLASH,
            EncodedFile::Percent => EncodedSet::PERCENT,
            EncodedFile::Question => EncodedSet::QUESTION,
            EncodedFile::Hash => EncodedSet::HASH,
            EncodedFile::Semicolon => EncodedSet::SEMICOLON,
        })
    })
}

fn compile_host(host: Option<&str>, pointer: &str, errors: &mut Vec<PolicyError>) -> Option<HostPattern> {
    let Some(text) = host else { return Some(HostPattern::Any) };
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let Ok(host) = Host::parse(name.as_bytes()) else {
        errors.push(PolicyError::new(format!("{pointer}/host"), PolicyErrorKind::BadHost { host: text.to_owned() }));
        return None;
    };
    if !wildcard {
        return Some(HostPattern::Exact { name: Box::from(host.name()), port: Box::from(host.port()) });
    }
    Some(HostPattern::Suffix { name: format!(".{}", host.name()).into(), port: Box::from(host.port()) })
}

fn compile_methods(methods: Option<&[String]>, pointer: &str, errors: &mut Vec<PolicyError>) -> Box<[Box<str>]> {
    let Some(methods) = methods else { return Box::default() };
    if methods.is_empty() {
        errors.push(PolicyError::new(format!("{pointer}/methods"), PolicyErrorKind::EmptyList { list: "methods" }));
    }
    for (position, method) in methods.iter().enumerate() {
        let kind = if matches!(method.as_str(), "CONNECT" | "TRACE") {
            PolicyErrorKind::RefusedMethod { method: method.clone() }
        } else if is_method(method) {
            continue;
        } else {
            PolicyErrorKind::BadMethod { method: method.clone() }
        };
        errors.push(PolicyError::new(format!("{pointer}/methods/{position}"), kind));
    }
    let mut methods: Vec<Box<str>> = methods.iter().map(|method| Box::from(method.as_str())).collect();
    methods.sort_unstable();
    methods.dedup();
    methods.into_boxed_slice()
}

/// Whether a method is spelled as every registered one is (RFC 9110 section 16.1.2).
pub(crate) fn is_method(method: &str) -> bool {
    !method.is_empty()
        && method.len() <= 32
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
}

fn compile_tier(
    file: &RuleFile,
    pattern: &Pattern,
    names: &Names<'_>,
    pointer: &str,
    errors: &mut Vec<PolicyError>,
) -> Option<RuleTier> {
    let mut variables = Vec::new();
    collect_tier_variables(&own_conditions(file), &mut variables);
    if let Some(require) = &file.require {
        collect_tier_variables(require, &mut variables);
    }
    variables.sort_unstable();
    variables.dedup();
    if let [first, second, ..] = variables.as_slice() {
        errors.push(PolicyError::new(
            pointer,
            PolicyErrorKind::TwoTierVariables { first: first.clone(), second: second.clone() },
        ));
    }
    if let Some(segment) = variables.first().and_then(|variable| pattern.variable(variable)) {
        return Some(RuleTier::FromSegment(segment));
    }
    let written = file.tier.as_deref().or_else(|| file.require.as_ref().and_then(|require| require.tier.as_deref()))?;
    names.tier(written).ok().flatten().map(RuleTier::Fixed)
}

fn collect_tier_variables(file: &ConditionFile, variables: &mut Vec<String>) {
    variables.extend(file.tier.as_deref().and_then(variable_name).map(str::to_owned));
    for nested in file.any.iter().chain(&file.all).flatten() {
        collect_tier_variables(nested, variables);
    }
}

fn compile_origins(file: &RuleFile, pointer: &str, errors: &mut Vec<PolicyError>) -> Box<[Box<str>]> {
    let Some(cors) = &file.cors else { return Box::default() };
    let pointer = format!("{pointer}/cors/origins");
    if cors.origins.is_empty() {
        errors.push(PolicyError::new(&pointer, PolicyErrorKind::EmptyList { list: "origins" }));
    }
    for (position, origin) in cors.origins.iter().enumerate() {
        if !is_origin(origin) {
            errors.push(PolicyError::new(
                format!("{pointer}/{position}"),
                PolicyErrorKind::BadOrigin { origin: origin.clone() },
            ));
        }
    }
    cors.origins.iter().map(|origin| Box::from(origin.as_str())).collect()
}

/// Scheme, host and non-default port as a browser serialises them (RFC 6454 section 6.2).
fn is_origin(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let Ok(host) = Host::parse(authority.as_bytes()) else { return false };
    // `Host` drops both default ports; an origin keeps the other scheme's.
    let written = if host.port().is_empty() { authority.strip_suffix(other_port(default_port)) } else { None };
    written.unwrap_or(authority) == host.as_str()
}

fn other_port(default_port: &str) -> &'static str {
    if default_port == ":443" { ":80" } else { ":443" }
}

fn compile_token_places(file: Option<&[TokenPlaceFile]>, pointer: &str, errors: &mut Vec<PolicyError>) -> TokenPlaces {
    let Some(places) = file else { return TokenPlaces { header: true, query: false, websocket_protocol: false } };
    if places.is_empty() {
        errors
            .push(PolicyError::new(format!("{pointer}/token_from"), PolicyErrorKind::EmptyList { list: "token_from" }));
    }
    TokenPlaces {
        header: places.contains(&TokenPlaceFile::Header),
        query: places.contains(&TokenPlaceFile::Query),
        websocket_protocol: places.contains(&TokenPlaceFile::WebsocketProtocol),
    }
}
