//! What can be wrong with a written policy.

use crate::types::{TargetError, TierIndex};

/// One fault of a policy document and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PolicyError {
    pointer: String,
    kind: PolicyErrorKind,
}

impl PolicyError {
    pub(crate) fn new(pointer: impl Into<String>, kind: PolicyErrorKind) -> Self {
        Self { pointer: pointer.into(), kind }
    }

    /// The JSON pointer of the faulty value in the config, such as `/rules/3/path`.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &PolicyErrorKind {
        &self.kind
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.kind.hint()
    }
}

/// A fault of a policy, a variant per cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyErrorKind {
    /// More tiers than a set can hold.
    #[error("{found} tiers are more than the {} a policy can hold", TierIndex::MAX_TIERS)]
    TooManyTiers {
        /// How many were written.
        found: usize,
    },
    /// A tier name that could not be told from path syntax or a list.
    #[error("the tier name `{name}` is not made of ASCII letters, digits, `-` and `_`")]
    BadTierName {
        /// The name.
        name: String,
    },
    /// A tier that is not declared.
    #[error("there is no tier `{name}`")]
    UnknownTier {
        /// The name.
        name: String,
        /// The declared name most like it.
        nearest: Option<String>,
    },
    /// A tier that contains itself.
    #[error("the tier `{}` includes itself: {}", .cycle.first().map_or("", String::as_str), .cycle.join(" → "))]
    TierCycle {
        /// The tiers on the way round, the first again at the end.
        cycle: Vec<String>,
    },
    /// `tier` inside a grant.
    #[error("a grant cannot ask for a tier")]
    TierInGrant,
    /// An empty list where names are expected.
    #[error("`{list}` is empty, which would ask for nothing")]
    EmptyList {
        /// The key.
        list: &'static str,
    },
    /// A condition without any key.
    #[error("the condition asks for nothing")]
    EmptyCondition,
    /// A rule that asks for nothing.
    #[error("the rule asks for nothing")]
    EmptyRule,
    /// A name that can never be held.
    #[error("`{name}` can never be held: {why}")]
    ImpossibleName {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A user that is not `<provider id>/<sub>`.
    #[error("the user `{user}` is not `<provider id>/<sub>`")]
    BadUser {
        /// The text found.
        user: String,
    },
    /// A provider that is not configured.
    #[error("there is no identity provider `{id}`")]
    UnknownProvider {
        /// The id.
        id: String,
        /// The configured id most like it.
        nearest: Option<String>,
    },
    /// A pattern that is not canonical, so that it could never match.
    #[error("the pattern `{pattern}` can never match: {why}")]
    NotCanonical {
        /// The pattern.
        pattern: String,
        /// Why the path is refused.
        why: TargetError,
    },
    /// A pattern whose canonical spelling is another one.
    #[error("the pattern `{pattern}` is not in canonical spelling")]
    OtherSpelling {
        /// The pattern.
        pattern: String,
        /// How it is spelled.
        canonical: String,
    },
    /// A segment that is neither literal nor `{name}` nor `**`.
    #[error("the segment `{segment}` of the pattern is neither literal, `{{name}}` nor `**`")]
    BadSegment {
        /// The segment.
        segment: String,
    },
    /// `**` before the end.
    #[error("`**` stands before the end of the pattern `{pattern}`")]
    RestNotLast {
        /// The pattern.
        pattern: String,
    },
    /// One variable twice in a pattern.
    #[error("the variable `{{{name}}}` stands twice in the pattern")]
    VariableTwice {
        /// The variable.
        name: String,
    },
    /// A tier variable that the pattern does not have.
    #[error("the pattern has no variable `{{{name}}}`")]
    UnknownVariable {
        /// The variable.
        name: String,
    },
    /// Two different tier variables in one rule.
    #[error("the rule reads its tier from two variables, `{{{first}}}` and `{{{second}}}`")]
    TwoTierVariables {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A host that is not a name.
    #[error("the host `{host}` is neither a name nor `*.` and a name")]
    BadHost {
        /// The text found.
        host: String,
    },
    /// A method that no request carries.
    #[error("the method `{method}` is not made of upper-case letters, `-` and `_`")]
    BadMethod {
        /// The text found.
        method: String,
    },
    /// A method that is always refused.
    #[error("the method `{method}` is always refused")]
    RefusedMethod {
        /// The method.
        method: String,
    },
    /// A cross-origin origin that is not one.
    #[error("`{origin}` is not an origin")]
    BadOrigin {
        /// The text found.
        origin: String,
    },
    /// Two rules of equal specificity.
    #[error("this rule and `{other}` cover the same requests and neither is more specific")]
    Tie {
        /// Where the other rule stands.
        other: String,
    },
}

impl PolicyErrorKind {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooManyTiers { .. } => "merge tiers, or use scopes or groups for the finer steps".to_owned(),
            Self::BadTierName { .. } => "such as `devel` or `early-adopter`; use `label` for what people read".to_owned(),
            Self::UnknownTier { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::UnknownTier { nearest: None, .. } => "declare it under `tiers`".to_owned(),
            Self::TierCycle { .. } => "remove one `includes`: the wider tier includes the narrower one".to_owned(),
            Self::TierInGrant => "use `includes` on the tier that contains this one".to_owned(),
            Self::EmptyList { list } => format!("name at least one, or leave `{list}` out"),
            Self::EmptyCondition => {
                "write one of `tier`, `scopes`, `permissions`, `groups`, `users`, `providers`, `email_domains`, `any`, `all`"
                    .to_owned()
            }
            Self::EmptyRule => "write `tier: …`; a tier with `grant: anyone` opens it to everybody".to_owned(),
            Self::ImpossibleName { .. } => "write each name as its own list entry, without blanks".to_owned(),
            Self::BadUser { .. } => "such as `main/auth0|5f7c8ec7c33c6c004bbafe82`".to_owned(),
            Self::UnknownProvider { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::UnknownProvider { nearest: None, .. } => "name one of `identity_providers[].id`".to_owned(),
            Self::NotCanonical { .. } => "write the path as it looks after decoding, such as `/apps/devel/**`".to_owned(),
            Self::OtherSpelling { canonical, .. } => format!("write `{canonical}`"),
            Self::BadSegment { .. } => {
                "`{name}` stands for one whole segment and `**` for the rest; a literal `*`, `{` or `}` is written `%2A`, `%7B`, `%7D`"
                    .to_owned()
            }
            Self::RestNotLast { .. } => "use `{name}` for a single segment in the middle".to_owned(),
            Self::VariableTwice { .. } => "give each variable a name of its own".to_owned(),
            Self::UnknownVariable { name } => format!("put `{{{name}}}` into `path`, or name a tier"),
            Self::TwoTierVariables { .. } => "use one variable for the tier".to_owned(),
            Self::BadHost { .. } => {
                "such as `api.example.com`, `localhost:8080` or `*.example.com`; leave it out for every host".to_owned()
            }
            Self::BadMethod { .. } => "such as `GET`".to_owned(),
            Self::RefusedMethod { .. } => "leave it out: `CONNECT` and `TRACE` never pass".to_owned(),
            Self::BadOrigin { .. } => "write scheme, host and port only, such as `https://app.example.com`".to_owned(),
            Self::Tie { .. } => "merge them, or give one a host, a literal segment or a method that the other lacks".to_owned(),
        };
        Some(hint)
    }
}
