//! Layer 6: the config, from text and variables to values that are right.
//!
//! ```text
//! text ──yaml──▶ Node tree ──interpolate, overlay──▶ Node tree     every node knows its place
//!      ──structure──▶ ConfigFile ──sections──▶ Config              every fault at once
//! ```
//!
//! Nothing here opens a file or reads the environment: [`Sources`] brings the
//! text, the variables and a way to read secret files.

mod duration;
mod file;
mod identity_provider;
mod listen;
mod sections;

use std::path::PathBuf;

use ipnet::IpNet;

pub use identity_provider::{ClaimPath, ClaimPaths, IdentityProvider, Jwks, JwksSource, Login};
pub use listen::{Listen, ListenAddress};
pub use sections::{
    App, Assertion, Compat, Directory, DirectoryKind, IdentityHeaders, Limits, Log, LogFormat, LogLevel, Profile,
    PublicUrl, RedisTopology, SessionStoreAddress, Sessions,
};

use crate::policy::document::PolicyDocument;

/// A config in which every value is valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the service listens.
    pub listen: Listen,
    /// What browsers see; always there when a provider has a `login`.
    pub public_url: Option<PublicUrl>,
    /// The path of the service's own browser pages, without a trailing `/`.
    pub base_path: String,
    /// The peers whose target headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// Who signs the tokens.
    pub identity_providers: Vec<IdentityProvider>,
    /// Tiers and rules as written.
    pub policy_document: PolicyDocument,
    /// What the upstream is told about the caller.
    pub identity_headers: IdentityHeaders,
    /// Present: the upstream gets a signed statement about the caller.
    pub assertion: Option<Assertion>,
    /// Other programs whose endpoint paths are served too.
    pub compat: Compat,
    /// Upper bounds.
    pub limits: Limits,
    /// The service's own log.
    pub log: Log,
    /// Browser sessions.
    pub sessions: Option<Sessions>,
    /// The user directory.
    pub directory: Option<Directory>,
    /// A directory with one YAML file for each app.
    pub apps_dir: Option<PathBuf>,
    /// Apps written in the config itself.
    pub apps: Vec<App>,
    /// What the operator should know though nothing is wrong; one sentence each.
    pub notices: Vec<String>,
}
