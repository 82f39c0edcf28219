//! Where sessions are kept. The addresses may hold passwords, so no
//! message repeats them.

use std::path::PathBuf;
use std::time::Duration;

use super::check::Check;
use super::fault::Fault;
use super::file::SessionsFile;
use super::node::push;
use crate::policy::nearest;
use crate::types::Secret;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DEFAULT_STORE: &str = "sqlite:tiergate.db";
/// A key shorter than this can be guessed.
const GOOD_SECRET_BYTES: usize = 32;

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

impl Sessions {
    pub(crate) fn read(file: &SessionsFile, check: &mut Check<'_>) -> Self {
        const POINTER: &str = "/sessions";
        let written = check.secret(POINTER, "store", file.store.as_deref(), file.store_file.as_deref());
        let store = match &written {
            Some((secret, pointer)) => check.or(read_store(pointer, secret.expose()), SessionStoreAddress::Memory),
            None => SessionStoreAddress::Sqlite(PathBuf::from(DEFAULT_STORE.trim_start_matches("sqlite:"))),
        };
        let lifetime =
            check.duration(&push(POINTER, "lifetime"), file.lifetime.as_ref(), 12 * HOUR, MINUTE..=365 * 24 * HOUR);
        let idle_timeout = check.duration(
            &push(POINTER, "idle_timeout"),
            file.idle_timeout.as_ref(),
            (30 * MINUTE).min(lifetime),
            MINUTE..=lifetime,
        );
        let secrets = read_secrets(POINTER, file, check);
        if secrets.is_empty()
            && matches!(store, SessionStoreAddress::Redis { .. })
            && file.secrets.is_none()
            && file.secrets_file.is_none()
        {
            let fault =
                Fault::new(POINTER, "`sessions.secrets` is missing: with Redis, every instance needs the same keys");
            check.fault(fault.hint("add `secrets: [\"${SECRET_KEY}\"]`, made with `openssl rand -base64 32`"));
        }
        Self { store, idle_timeout, lifetime, secrets }
    }
}

fn read_store(pointer: &str, text: &str) -> Result<SessionStoreAddress, Fault> {
    const KINDS: &str =
        "`memory`, `sqlite:PATH`, `redis://`, `rediss://`, `redis+sentinel://…/MASTER` or `redis+cluster://`";
    if text == "memory" {
        return Ok(SessionStoreAddress::Memory);
    }
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let topology = match scheme {
        "sqlite" => return read_sqlite(pointer, rest).map(SessionStoreAddress::Sqlite),
        "redis" => RedisTopology::Single,
        "rediss" => RedisTopology::SingleTls,
        "redis+sentinel" => RedisTopology::Sentinel,
        "redis+cluster" => RedisTopology::Cluster,
        _ => {
            let fault = Fault::new(pointer, "this is not a session store");
            let known = ["memory", "sqlite", "redis", "rediss", "redis+sentinel", "redis+cluster"];
            let word = if scheme.is_empty() { text } else { scheme };
            return Err(match nearest(word, known) {
                Some(similar) => fault.hint(format!("did you mean `{similar}`? one of {KINDS}")),
                None => fault.hint(format!("one of {KINDS}")),
            });
        }
    };
    let place = host_and_path(pointer, rest, scheme)?;
    if topology == RedisTopology::Sentinel && place.trim_start_matches('/').is_empty() {
        return Err(Fault::new(pointer, "the URL names no primary")
            .hint("put its name behind the sentinels: `redis+sentinel://s1:26379,s2:26379/MASTER`"));
    }
    Ok(SessionStoreAddress::Redis { topology, url: Secret::new(text.to_owned()) })
}

/// What stands behind the hosts of `//user:password@host,host/path`.
pub(super) fn host_and_path<'t>(pointer: &str, rest: &'t str, scheme: &str) -> Result<&'t str, Fault> {
    let refuse = || Fault::new(pointer, "the URL names no host").hint(format!("such as `{scheme}://127.0.0.1`"));
    let rest = rest.strip_prefix("//").ok_or_else(refuse)?;
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).ok_or_else(refuse)?;
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let names_host = |host: &str| !host.is_empty() && !host.starts_with(':') && !host.contains(char::is_whitespace);
    if hosts.split(',').all(names_host) { Ok(path) } else { Err(refuse()) }
}

pub(super) fn read_sqlite(pointer: &str, rest: &str) -> Result<PathBuf, Fault> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return Err(Fault::new(pointer, "`sqlite:` names no file").hint(format!("such as `{DEFAULT_STORE}`")));
    }
    Ok(PathBuf::from(path))
}

fn read_secrets(pointer: &str, file: &SessionsFile, check: &mut Check<'_>) -> Vec<Secret> {
    let here = push(pointer, "secrets");
    let inline = file.secrets.as_ref().map(|secrets| secrets.join("\n"));
    let mut empty = false;
    for (position, secret) in file.secrets.iter().flatten().enumerate() {
        if secret.trim().is_empty() {
            empty = true;
            let fault = Fault::new(push(&here, &position.to_string()), "this secret is empty");
            check.fault(fault.hint("an empty secret protects nothing: make one with `openssl rand -base64 32`"));
        }
    }
    if empty {
        return Vec::new();
    }
    let Some((text, _)) = check.secret(pointer, "secrets", inline.as_deref(), file.secrets_file.as_deref()) else {
        return Vec::new();
    };
    let secrets: Vec<Secret> = text
        .expose()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| Secret::new(line.to_owned()))
        .collect();
    if secrets.iter().any(|secret| secret.expose().len() < GOOD_SECRET_BYTES) {
        check.notice("`sessions.secrets` holds a key of less than 32 characters, which can be guessed: make one with `openssl rand -base64 32`");
    }
    secrets
}
