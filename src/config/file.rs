//! The config as it is written: one struct a section, nothing judged yet.
//!
//! The doc comments of this file are what `config schema` and editors show, so
//! they speak to whoever writes a config. Text that has a form of its own (an
//! address, a duration, a URL) stays text here and is read in the section's
//! own module, which can say what is wrong with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::apps_file::{AppFile, AppsDefaultsFile, AppsDirFile, RoutesFile};
use super::directory_file::{AdminFile, DirectoryFile, IntrospectionFile, ManagementFile};
use super::duration::DurationText;
use crate::policy::document::{RuleFile, TiersFile};

/// The config file of Tiergate.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Tiergate config")]
pub(crate) struct ConfigFile {
    /// Where the service listens.
    pub(crate) listen: ListenFile,
    /// What browsers see, such as `https://app.example.com`; redirects and cookies derive from it, never from a request.
    pub(crate) public_url: Option<String>,
    /// The path under which the service's own browser pages live; `/_auth` when absent.
    pub(crate) base_path: Option<String>,
    /// The networks whose `X-Original-*` and `X-Forwarded-*` headers count, as addresses or CIDRs; nobody when absent.
    pub(crate) trusted_proxies: Vec<String>,
    /// Who signs the tokens.
    pub(crate) identity_providers: Vec<IdentityProviderFile>,
    /// The access levels.
    pub(crate) tiers: TiersFile,
    /// What is asked of whom; their order has no meaning, the most specific rule wins.
    pub(crate) rules: Vec<RuleFile>,
    /// What a refusal looks like.
    pub(crate) errors: ErrorsFile,
    /// What the upstream is told about the caller.
    pub(crate) identity_headers: IdentityHeadersFile,
    /// Present: the upstream gets `X-Auth-Assertion`, a short-lived signed statement about the caller.
    pub(crate) assertion: Option<AssertionFile>,
    /// Other programs whose endpoint paths are served too.
    pub(crate) compat: Vec<CompatFile>,
    /// Upper bounds.
    pub(crate) limits: LimitsFile,
    /// The service's own log.
    pub(crate) log: LogFile,
    /// Browser sessions.
    pub(crate) sessions: Option<SessionsFile>,
    /// The user directory.
    pub(crate) directory: Option<DirectoryFile>,
    /// The administrator's pages.
    pub(crate) admin: AdminFile,
    /// The portal, and how the pages look and speak.
    pub(crate) portal: PortalFile,
    /// A directory, or several, with the apps: one YAML file each, or a folder `<tier>/<app>/` each. Watched.
    pub(crate) apps_dir: Option<AppsDirFile>,
    /// What the apps have where they say nothing themselves.
    pub(crate) apps_defaults: AppsDefaultsFile,
    /// Apps, written here in place of files.
    pub(crate) apps: Vec<AppFile>,
    /// What the proxies' configs need besides the apps, and the files of routes that are kept up to date.
    pub(crate) routes: RoutesFile,
}

/// Where the service listens: each an address such as `127.0.0.1:9191`, or `unix:/path`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenFile {
    /// What Envoy calls; `127.0.0.1:9191` when absent.
    pub(crate) grpc: Option<String>,
    /// What nginx, Caddy, Traefik, HAProxy and browsers call; `127.0.0.1:4180` when absent.
    pub(crate) http: Option<String>,
    /// Health and metrics, nothing a browser should reach; `127.0.0.1:9190` when absent.
    pub(crate) admin: Option<String>,
}

/// One identity provider.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityProviderFile {
    /// Its short name: lower-case letters, digits and `-`.
    #[schemars(regex(pattern = "^[a-z0-9-]+$"))]
    pub(crate) id: String,
    /// The `iss` claim of its tokens, compared byte for byte.
    pub(crate) issuer: String,
    /// A token must carry one of these in `aud`.
    #[schemars(length(min = 1))]
    pub(crate) audience: Vec<String>,
    /// The accepted signature algorithms; `[RS256, ES256, EdDSA]` when absent. Never `none`, never `HS*`.
    pub(crate) algorithms: Option<Vec<String>>,
    /// The accepted `typ` headers; `[at+jwt, JWT]` when absent.
    pub(crate) token_types: Option<Vec<String>>,
    /// Where its keys come from; OIDC discovery when absent.
    #[serde(default)]
    pub(crate) jwks: JwksFile,
    /// How far clocks may differ; `30s` when absent, at most `60s`.
    pub(crate) leeway: Option<DurationText>,
    /// Where the claims stand.
    #[serde(default)]
    pub(crate) claims: ClaimsFile,
    /// Present: browsers can sign in here.
    pub(crate) login: Option<LoginFile>,
    /// Present: bearer tokens that are no JWTs are looked up here. At most one provider has it.
    pub(crate) introspection: Option<IntrospectionFile>,
    /// Present: the service may ask the provider's management API.
    pub(crate) management: Option<ManagementFile>,
}

/// Where the keys of a provider come from.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwksFile {
    /// The URL of the key set.
    pub(crate) uri: Option<String>,
    /// A file with the key set, in place of a URL.
    pub(crate) file: Option<String>,
    /// How often the keys are fetched again; `10m` when absent, at most `15m`.
    pub(crate) refresh: Option<DurationText>,
    /// How long the last good keys stay in use while no fetch succeeds; `24h` when absent.
    pub(crate) max_stale: Option<DurationText>,
    /// A directory that keeps the last good keys over a restart.
    pub(crate) cache_dir: Option<String>,
}

/// Where the claims stand: claim names, or JSON pointers such as `/realm_access/roles`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimsFile {
    /// The scopes; `[scope]` when absent.
    pub(crate) scopes: Option<Vec<String>>,
    /// The permissions; `[permissions]` when absent.
    pub(crate) permissions: Option<Vec<String>>,
    /// The groups; `[groups]` when absent.
    pub(crate) groups: Option<Vec<String>>,
    /// The e-mail address; `email` when absent.
    pub(crate) email: Option<String>,
    /// The display name; `name` when absent.
    pub(crate) name: Option<String>,
}

/// The client that browsers sign in with.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginFile {
    /// The client id at the provider.
    pub(crate) client_id: String,
    /// The client secret; none for a public client.
    pub(crate) client_secret: Option<String>,
    /// A file that holds the client secret.
    pub(crate) client_secret_file: Option<String>,
    /// How the service shows the provider which client it is; what fits the secret or the key that is given when absent.
    pub(crate) client_auth: Option<ClientAuthFile>,
    /// The private key of the client in PEM, for `private_key_jwt`: RSA, or ECDSA on P-256.
    pub(crate) private_key: Option<String>,
    /// A file that holds the private key.
    pub(crate) private_key_file: Option<String>,
    /// The `kid` that the provider knows the key by.
    pub(crate) private_key_id: Option<String>,
    /// Whom the client's signed statement is for; `issuer` when absent.
    pub(crate) assertion_audience: Option<AssertionAudienceFile>,
    /// What people read where they choose a provider; the id when absent.
    pub(crate) label: Option<String>,
    /// The scopes asked for; `[openid, profile, email]` when absent.
    pub(crate) scopes: Option<Vec<String>>,
    /// Further parameters of the authorization request, such as Auth0's `audience`.
    #[serde(default)]
    pub(crate) extra_params: BTreeMap<String, String>,
    /// The path the provider sends browsers back to; `<base_path>/callback/<id>` when absent.
    pub(crate) callback_path: Option<String>,
}

/// How a client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuthFile {
    /// The secret in the `Authorization` header.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// A statement signed by the client's own key.
    PrivateKeyJwt,
    /// A public client, which PKCE alone protects.
    None,
}

/// What stands in `aud` of a client's statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssertionAudienceFile {
    /// The issuer.
    Issuer,
    /// The URL of the token endpoint.
    TokenEndpoint,
}

/// What a refusal looks like.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorsFile {
    /// A template for JSON bodies; it sees `status`, `title`, `reason`, `message`, `required`, `request_id` and
    /// `login_url`, which is empty where signing in would not help.
    #[schemars(example = r#"{"error": {{ status }}, "message": "{{ message }}", "success": false}"#)]
    pub(crate) json_template: Option<String>,
}

/// What the upstream is told about the caller.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityHeadersFile {
    /// The sets of headers to send; `[x-auth]` when absent.
    pub(crate) profiles: Option<Vec<ProfileFile>>,
    /// Further headers, each with the claim it carries: a claim name or a JSON pointer.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    /// Further headers that no client may send upstream.
    #[serde(default)]
    pub(crate) strip: Vec<String>,
}

/// A set of identity headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProfileFile {
    /// `X-Auth-User` and its kin.
    XAuth,
    /// `Remote-User`, `Remote-Email`, `Remote-Name`, `Remote-Groups`.
    RemoteUser,
    /// `X-Auth-Request-User` and its kin, as oauth2-proxy names them.
    #[serde(rename = "oauth2-proxy")]
    Oauth2Proxy,
}

/// The signed statement for the upstream.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionFile {
    /// The `aud` claim of the statement.
    pub(crate) audience: String,
    /// How long it is valid; `60s` when absent.
    pub(crate) lifetime: Option<DurationText>,
}

/// A program whose endpoint paths are served too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CompatFile {
    /// `/oauth2/auth` and its kin.
    #[serde(rename = "oauth2-proxy")]
    Oauth2Proxy,
    /// `/api/authz/forward-auth` and its kin.
    Authelia,
}

/// Upper bounds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// Connections held open at once, for each listener; 10000 when absent.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: Option<u32>,
    /// Verified tokens remembered; 10000 when absent, 0 for none.
    #[schemars(range(max = 10_000_000))]
    pub(crate) token_cache: Option<u32>,
    /// The longest time between `iat` and `exp` that a token may have; `24h` when absent.
    pub(crate) max_token_lifetime: Option<DurationText>,
}

/// The service's own log.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogFile {
    /// `json` when absent.
    pub(crate) format: Option<LogFormatFile>,
    /// `info` when absent.
    pub(crate) level: Option<LogLevelFile>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormatFile {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least important level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevelFile {
    /// Failures.
    Error,
    /// And what may become one.
    Warn,
    /// And what the service does.
    Info,
    /// And how.
    Debug,
    /// And everything else.
    Trace,
}

/// Browser sessions.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsFile {
    /// `memory`, `sqlite:PATH`, `redis://`, `rediss://`, `redis+sentinel://…/MASTER` or `redis+cluster://`;
    /// `sqlite:tiergate.db` when absent.
    pub(crate) store: Option<String>,
    /// A file that holds the store's URL.
    pub(crate) store_file: Option<String>,
    /// How long a session lasts without a request; `30m` when absent.
    pub(crate) idle_timeout: Option<DurationText>,
    /// How long a session lasts at most; `12h` when absent.
    pub(crate) lifetime: Option<DurationText>,
    /// The keys of the session cookies: the first seals, all of them open.
    pub(crate) secrets: Option<Vec<String>>,
    /// A file that holds the keys, one a line.
    pub(crate) secrets_file: Option<String>,
}

/// The portal, and how the pages look and speak.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortalFile {
    /// Whose apps they are; people read it at the top of every page.
    pub(crate) name: Option<String>,
    /// A picture beside the name: an SVG, PNG, JPEG, GIF or WebP file of at most 64 KiB.
    pub(crate) logo: Option<String>,
    /// What buttons and links are coloured with.
    #[serde(default)]
    pub(crate) colors: PortalColorsFile,
    /// Whom to ask for access where an app names no owner: an e-mail address, a URL, or a name.
    pub(crate) contact: Option<String>,
    /// Whether apps that somebody may not open are listed, with what is missing; `hide` when absent.
    pub(crate) locked: Option<LockedFile>,
    /// A path outside `base_path` at which the portal is shown too, such as `/dashboard`.
    pub(crate) path: Option<String>,
    /// A directory whose files take the place of the page templates of the same name.
    pub(crate) templates: Option<String>,
    /// A directory with a file of messages for each language, such as `fr.yaml`, on top of ours.
    pub(crate) messages: Option<String>,
}

/// What buttons and links are coloured with, each such as `"#0b57b0"`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortalColorsFile {
    /// On light pages; its contrast with them has to be 4.5 at least.
    pub(crate) accent: Option<String>,
    /// On dark pages; made from `accent` when absent.
    pub(crate) accent_dark: Option<String>,
}

/// What becomes of apps that somebody may not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LockedFile {
    /// They are not listed.
    Hide,
    /// They are listed as locked, with what is missing.
    Show,
}
