//! The written form of tiers and rules, as it stands in the config file.
//!
//! These types only carry what was written; [`super::compile`] turns them into
//! a policy or says, with a JSON pointer for each fault, why it cannot.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Tiers and rules together.
#[derive(Debug, Clone, Default)]
pub struct PolicyDocument {
    /// The tiers, in written order.
    pub tiers: TiersFile,
    /// The rules; their order has no meaning.
    pub rules: Vec<RuleFile>,
}

/// The tiers in the order they were written.
#[derive(Debug, Clone, Default)]
pub struct TiersFile(pub Vec<(String, TierFile)>);

/// One tier.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierFile {
    /// Who holds the tier: `anyone`, `authenticated`, or conditions of which one is enough.
    pub grant: Option<GrantFile>,
    /// The tiers this one contains, however deep.
    #[serde(default)]
    pub includes: Vec<String>,
    /// What people read in place of the tier's name.
    pub label: Option<String>,
}

/// Who holds a tier.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GrantFile {
    /// A keyword.
    Keyword(GrantKeyword),
    /// Conditions; the kinds listed are alternatives.
    Conditions(Box<ConditionFile>),
}

/// The two grants that need no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantKeyword {
    /// Everybody, also without credentials.
    Anyone,
    /// Everybody with a verified identity.
    Authenticated,
}

/// Conditions on the caller. `scopes` and `permissions` ask for all of their
/// names, the other lists for one of theirs; an empty list is an error.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionFile {
    /// A tier the caller holds (not in a grant; a rule may name a path variable, `"{tier}"`).
    pub tier: Option<String>,
    /// All of these scopes.
    pub scopes: Option<Vec<String>>,
    /// All of these permissions.
    pub permissions: Option<Vec<String>>,
    /// One of these groups.
    pub groups: Option<Vec<String>>,
    /// One of these users, each `<provider id>/<sub>`.
    pub users: Option<Vec<String>>,
    /// One of these identity providers, by id.
    pub providers: Option<Vec<String>>,
    /// One of these domains of a verified e-mail address.
    pub email_domains: Option<Vec<String>>,
    /// One of these conditions.
    pub any: Option<Vec<ConditionFile>>,
    /// All of these conditions.
    pub all: Option<Vec<ConditionFile>>,
}

/// One rule.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The path pattern: literal segments, `{name}` for one segment, `**` last for the rest.
    pub path: String,
    /// The host: exact, `*.example.com`, or absent for every host.
    pub host: Option<String>,
    /// The methods; absent for every method.
    pub methods: Option<Vec<String>>,
    /// The tier to hold; `"{name}"` reads it from the path.
    pub tier: Option<String>,
    /// All of these scopes.
    pub scopes: Option<Vec<String>>,
    /// All of these permissions.
    pub permissions: Option<Vec<String>>,
    /// One of these groups.
    pub groups: Option<Vec<String>>,
    /// One of these users, each `<provider id>/<sub>`.
    pub users: Option<Vec<String>>,
    /// One of these identity providers, by id.
    pub providers: Option<Vec<String>>,
    /// One of these domains of a verified e-mail address.
    pub email_domains: Option<Vec<String>>,
    /// One of these conditions.
    pub any: Option<Vec<ConditionFile>>,
    /// All of these conditions.
    pub all: Option<Vec<ConditionFile>>,
    /// Further conditions, all of which must hold.
    pub require: Option<ConditionFile>,
    /// Encoded characters this rule lets stand in a path segment.
    pub encoded: Option<Vec<EncodedFile>>,
    /// Origins whose preflights are answered.
    pub cors: Option<CorsFile>,
    /// Where a bearer token may stand; `[header]` when absent.
    pub token_from: Option<Vec<TokenPlaceFile>>,
}

/// An encoded character a rule may let stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodedFile {
    /// `%2F`
    Slash,
    /// `%25`
    Percent,
    /// `%3F`
    Question,
    /// `%23`
    Hash,
    /// `%3B`
    Semicolon,
}

/// Cross-origin answers of a rule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsFile {
    /// Exact origins, such as `https://app.example.com`.
    pub origins: Vec<String>,
}

/// A place a bearer token may stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlaceFile {
    /// `Authorization: Bearer …`
    Header,
    /// The query parameter `access_token`.
    Query,
    /// A value of `Sec-WebSocket-Protocol`.
    WebsocketProtocol,
}

impl<'de> Deserialize<'de> for TiersFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = TiersFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tier names to tiers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TiersFile, A::Error> {
                let mut tiers = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    tiers.push(entry);
                }
                Ok(TiersFile(tiers))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for TiersFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tiers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let tier = generator.subschema_for::<TierFile>();
        json_schema!({
            "type": "object",
            "description": "The tiers by name; their order is the order of `X-Auth-Tiers`.",
            "additionalProperties": tier
        })
    }
}
