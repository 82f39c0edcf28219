//! Identity providers: whose tokens count, and how their keys are found.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::{ProviderId, Secret};

/// One identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its short name, unique in the config.
    pub id: ProviderId,
    /// The `iss` of its tokens, byte for byte as written; unique in the config.
    pub issuer: String,
    /// A token must carry one of these; never empty.
    pub audience: Vec<String>,
    /// The accepted signature algorithms by their JWA names; never empty, never `none`, never symmetric.
    pub algorithms: Vec<String>,
    /// The accepted `typ` values in lower case without `application/`; never empty.
    pub token_types: Vec<String>,
    /// How its keys are found and kept.
    pub jwks: Jwks,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Where the claims stand.
    pub claims: ClaimPaths,
    /// Present: browsers can sign in here.
    pub login: Option<Login>,
}

/// How the keys of a provider are found and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwks {
    /// Where the keys come from.
    pub source: JwksSource,
    /// How often they are fetched again.
    pub refresh: Duration,
    /// How long the last good keys stay in use while no fetch succeeds.
    pub max_stale: Duration,
    /// A directory that keeps the last good keys over a restart.
    pub cache_dir: Option<PathBuf>,
}

/// Where the keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// `jwks_uri` of the issuer's OIDC discovery document.
    Discovery,
    /// This URL (https, or http on a loopback address).
    Uri(String),
    /// This file.
    File(PathBuf),
}

/// Where the claims stand in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPaths {
    /// The scopes, joined from all of these.
    pub scopes: Vec<ClaimPath>,
    /// The permissions, joined from all of these.
    pub permissions: Vec<ClaimPath>,
    /// The groups, joined from all of these.
    pub groups: Vec<ClaimPath>,
    /// The e-mail address.
    pub email: ClaimPath,
    /// The display name.
    pub name: ClaimPath,
}

/// One place in a token's claims: a claim name, or a JSON pointer (RFC 6901)
/// when it was written with a leading `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath {
    written: String,
    steps: Vec<String>,
}

impl ClaimPath {
    /// The claim as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The steps from the top of the claims, unescaped; at least one.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

/// The client that browsers sign in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The client id at the provider.
    pub client_id: String,
    /// The client secret; none for a public client.
    pub client_secret: Option<Secret>,
    /// The scopes asked for; `openid` is one of them.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request, none of which the protocol itself sets.
    pub extra_params: Vec<(String, String)>,
    /// The path the provider sends browsers back to.
    pub callback_path: String,
}
