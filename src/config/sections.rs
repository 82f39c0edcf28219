//! The smaller sections, as valid values.

use std::path::PathBuf;
use std::time::Duration;

use super::identity_provider::ClaimPath;
use crate::types::Secret;

/// What browsers see of the service: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
}

impl PublicUrl {
    /// The origin, such as `https://app.example.com`, without a trailing `/`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether browsers come by https, so that cookies can be `Secure`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }
}

/// What the upstream is told about the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The sets of headers to send, each once.
    pub profiles: Vec<Profile>,
    /// Further headers in lower case, each with the claim it carries.
    pub claims: Vec<(String, ClaimPath)>,
    /// Further headers in lower case that no client may send upstream.
    pub strip: Vec<String>,
}

/// A set of identity headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `X-Auth-User` and its kin.
    XAuth,
    /// `Remote-User` and its kin.
    RemoteUser,
    /// `X-Auth-Request-User` and its kin.
    Oauth2Proxy,
}

/// The signed statement for the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its `aud` claim.
    pub audience: String,
    /// How long it is valid.
    pub lifetime: Duration,
}

/// Other programs whose endpoint paths are served too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compat {
    /// `/oauth2/auth` and its kin.
    pub oauth2_proxy: bool,
    /// `/api/authz/forward-auth` and its kin.
    pub authelia: bool,
}

/// Upper bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections held open at once, for each listener; at least 1.
    pub max_connections: u32,
    /// Verified tokens remembered; 0 for none.
    pub token_cache: u32,
    /// The longest time between `iat` and `exp` that a token may have.
    pub max_token_lifetime: Duration,
}

/// The service's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least important level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
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

impl LogLevel {
    /// The level's name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Browser sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// Where they are kept.
    pub store: SessionStoreAddress,
    /// How long a session lasts without a request.
    pub idle_timeout: Duration,
    /// How long a session lasts at most.
    pub lifetime: Duration,
    /// The first seals, all open; empty: a key file beside the SQLite file.
    pub secrets: Vec<Secret>,
}

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStoreAddress {
    /// In the process, gone with it.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In Redis.
    Redis {
        /// What kind of Redis answers there.
        topology: RedisTopology,
        /// The whole URL as written.
        url: Secret,
    },
}

/// What kind of Redis answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Single,
    /// One server by TLS.
    SingleTls,
    /// Sentinels that know the primary.
    Sentinel,
    /// A cluster.
    Cluster,
}

/// The user directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// What kind of database it is.
    pub kind: DirectoryKind,
    /// The whole URL as written.
    pub url: Secret,
}

/// What kind of database holds the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryKind {
    /// A SQLite file.
    Sqlite,
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// One app of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its short name, unique among the apps.
    pub name: String,
    /// The tier that opens it; one of the config's.
    pub tier: String,
    /// Where the proxy finds it.
    pub upstream: String,
    /// What people read in place of the name.
    pub title: Option<String>,
    /// One sentence about it.
    pub description: Option<String>,
}
