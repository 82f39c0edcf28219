//! The sections about people as they are written: the directory, what feeds it,
//! and what the service may ask of a provider about them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration::DurationText;

/// The user directory.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryFile {
    /// `sqlite:PATH`, `mysql://…` or `postgres://…`; `sqlite:tiergate.db` when absent.
    pub(crate) url: Option<String>,
    /// A file that holds the URL.
    pub(crate) url_file: Option<String>,
    /// How long what was known last counts while the database does not answer; `10m` when absent.
    pub(crate) max_stale: Option<DurationText>,
    /// How many users are kept in memory; `20000` when absent.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) cache: Option<u32>,
    /// How long a line of the audit is kept; `400d` when absent, at least `1d`.
    pub(crate) audit_keep: Option<DurationText>,
    /// Who may report users to `<base_path>/hooks/users`.
    #[serde(default)]
    pub(crate) hooks: Vec<HookFile>,
    /// Present: a SCIM client may manage users and groups at `/scim/v2`.
    pub(crate) scim: Option<ScimFile>,
    /// Personal access tokens.
    #[serde(default)]
    pub(crate) access_tokens: AccessTokensFile,
}

/// Somebody who reports users of one provider.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookFile {
    /// The `id` of the provider whose users it reports.
    pub(crate) provider: String,
    /// The key of the HMAC over its messages, of 32 characters at least.
    pub(crate) secret: Option<String>,
    /// A file that holds the key.
    pub(crate) secret_file: Option<String>,
    /// How old a message may be; `5m` when absent, at most `1h`.
    pub(crate) window: Option<DurationText>,
}

/// A SCIM client.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScimFile {
    /// The `id` of the provider whose users it manages.
    pub(crate) provider: String,
    /// The bearer tokens that it may show, each of 32 characters at least.
    pub(crate) tokens: Option<Vec<String>>,
    /// A file that holds them, one a line.
    pub(crate) tokens_file: Option<String>,
    /// Which attribute is the `sub` of the provider's tokens; `external_id` when absent.
    pub(crate) subject: Option<ScimSubjectFile>,
}

/// Which attribute of SCIM is the `sub` of the provider's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScimSubjectFile {
    /// `externalId`, and `userName` where there is none.
    ExternalId,
    /// `userName`.
    UserName,
}

/// Personal access tokens.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessTokensFile {
    /// How long one may last; `90d` when absent, at most `365d`.
    pub(crate) max_lifetime: Option<DurationText>,
    /// How many somebody may have at a time; `20` when absent. `0`: nobody makes any, and none counts.
    #[schemars(range(max = 1000))]
    pub(crate) max_per_user: Option<u32>,
}

/// What the service may do at the provider's management API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagementFile {
    /// Whose API it is.
    pub(crate) kind: ManagementKindFile,
    /// Where it is: `https://TENANT/api/v2/` of Auth0, `https://HOST/admin/realms/REALM/` of Keycloak.
    pub(crate) url: String,
    /// Where the service gets its token; the provider's own token endpoint when absent.
    pub(crate) token_url: Option<String>,
    /// The client id of the service there.
    pub(crate) client_id: String,
    /// The client secret.
    pub(crate) client_secret: Option<String>,
    /// A file that holds the client secret.
    pub(crate) client_secret_file: Option<String>,
    /// The audience that the token is asked for; the `url` for Auth0 when absent.
    pub(crate) audience: Option<String>,
    /// The scopes that the token is asked for.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// What administrators may send through `<base_path>/admin/idp/`; `[GET]` when absent.
    pub(crate) methods: Option<Vec<String>>,
    /// Below which paths of the API; nowhere when absent. Each a pattern such as `/users/**`.
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    /// Whether `user sync` asks for each user's groups too (Keycloak) or roles (Auth0), one question a user.
    #[serde(default)]
    pub(crate) groups: bool,
}

/// Whose management API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ManagementKindFile {
    /// Auth0, version 2.
    Auth0,
    /// Keycloak.
    Keycloak,
}

/// How opaque tokens are looked up (RFC 7662).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntrospectionFile {
    /// The introspection endpoint; `introspection_endpoint` of the provider's discovery document when absent.
    pub(crate) url: Option<String>,
    /// The client id of the service there; the one of `login` when absent.
    pub(crate) client_id: Option<String>,
    /// The client secret; the one of `login` when absent.
    pub(crate) client_secret: Option<String>,
    /// A file that holds the client secret.
    pub(crate) client_secret_file: Option<String>,
    /// How long an answer counts at most, within the token's own time; `1m` when absent, at most `24h`.
    pub(crate) max_age: Option<DurationText>,
    /// How many answers are kept; `10000` when absent.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) cache: Option<u32>,
}

/// The administrator's pages.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminFile {
    /// The tier that they ask for; `admin` when absent. Without such a tier there are none.
    pub(crate) tier: Option<String>,
    /// How many of the last decisions they show; `2000` when absent.
    #[schemars(range(max = 100_000))]
    pub(crate) decisions: Option<u32>,
}
