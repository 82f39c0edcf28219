//! The user directory and what feeds it. URLs and keys may hold secrets, so no
//! message repeats them.

use std::path::PathBuf;
use std::time::Duration;

use super::check::Check;
use super::directory_file::{AccessTokensFile, AdminFile, DirectoryFile, HookFile, ScimFile, ScimSubjectFile};
use super::fault::{Fault, quoted};
use super::node::push;
use super::sessions::{DEFAULT_STORE, host_and_path, read_sqlite};
use crate::policy::Policy;
use crate::types::{ProviderId, Secret};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A key or a token shorter than this can be guessed.
const MIN_SECRET: usize = 32;

/// The user directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is kept.
    pub store: DirectoryAddress,
    /// How long what was known last counts while the database does not answer.
    pub max_stale: Duration,
    /// How many users are kept in memory.
    pub cache: u32,
    /// How long a line of the audit is kept.
    pub audit_keep: Duration,
    /// Who may report users.
    pub hooks: Vec<Hook>,
    /// Who may manage users by SCIM.
    pub scim: Option<Scim>,
    /// Personal access tokens.
    pub access_tokens: AccessTokens,
}

/// Where the directory is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryAddress {
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In MySQL or MariaDB, at this URL.
    Mysql(Secret),
    /// In PostgreSQL, at this URL.
    Postgres(Secret),
}

/// Somebody who reports users of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The provider.
    pub provider: ProviderId,
    /// The key of the HMAC over its messages.
    pub secret: Secret,
    /// How old a message may be, and how far ahead.
    pub window: Duration,
}

/// A SCIM client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scim {
    /// The provider whose users it manages.
    pub provider: ProviderId,
    /// The bearer tokens that it may show.
    pub tokens: Vec<Secret>,
    /// Which attribute is the `sub` of the provider's tokens.
    pub subject: ScimSubject,
}

/// Which attribute of SCIM is the `sub` of the provider's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimSubject {
    /// `externalId`, and `userName` where there is none.
    ExternalId,
    /// `userName`.
    UserName,
}

/// Personal access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessTokens {
    /// How long one may last.
    pub max_lifetime: Duration,
    /// How many somebody may have at a time; with none, no such token counts.
    pub max_per_user: usize,
}

/// The administrator's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The tier that they ask for; the policy has it. `None`: there are no such pages.
    pub tier: Option<String>,
    /// How many of the last decisions they show.
    pub decisions: usize,
}

impl Directory {
    pub(crate) fn read(file: &DirectoryFile, providers: &[ProviderId], check: &mut Check<'_>) -> Option<Self> {
        const POINTER: &str = "/directory";
        let written = check.secret(POINTER, "url", file.url.as_deref(), file.url_file.as_deref());
        let store = match &written {
            Some((url, pointer)) => check.ok(read_address(pointer, url)),
            // One that is written and cannot be read is a fault already.
            None if file.url.is_none() && file.url_file.is_none() => {
                Some(DirectoryAddress::Sqlite(PathBuf::from(DEFAULT_STORE.trim_start_matches("sqlite:"))))
            }
            None => None,
        };
        let max_stale = check.duration(
            &push(POINTER, "max_stale"),
            file.max_stale.as_ref(),
            10 * MINUTE,
            Duration::from_secs(1)..=7 * DAY,
        );
        let audit_keep =
            check.duration(&push(POINTER, "audit_keep"), file.audit_keep.as_ref(), 400 * DAY, DAY..=36_500 * DAY);
        let hooks_at = push(POINTER, "hooks");
        let hooks: Vec<Hook> = file
            .hooks
            .iter()
            .enumerate()
            .filter_map(|(position, hook)| Hook::read(&push(&hooks_at, &position.to_string()), hook, providers, check))
            .collect();
        for (position, hook) in hooks.iter().enumerate() {
            let same = |other: &Hook| other.secret.expose() == hook.secret.expose();
            if hooks.iter().take(position).any(same) {
                let fault = Fault::new(
                    &hooks_at,
                    format!("two hooks have the same key, one of them for {}", quoted(hook.provider.as_str())),
                );
                check.fault(fault.hint(
                    "the key says whose users a message is about: make one for each with `openssl rand -base64 32`",
                ));
            }
        }
        let scim = file.scim.as_ref().and_then(|scim| Scim::read(&push(POINTER, "scim"), scim, providers, check));
        let access_tokens = AccessTokens::read(&push(POINTER, "access_tokens"), &file.access_tokens, check);
        let (store, cache) = (store?, file.cache.unwrap_or(20_000));
        Some(Self { store, max_stale, cache, audit_keep, hooks, scim, access_tokens })
    }
}

fn read_address(pointer: &str, url: &Secret) -> Result<DirectoryAddress, Fault> {
    let text = url.expose();
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let address: fn(Secret) -> DirectoryAddress = match scheme {
        "sqlite" => return read_sqlite(pointer, rest).map(DirectoryAddress::Sqlite),
        "mysql" => DirectoryAddress::Mysql,
        "postgres" | "postgresql" => DirectoryAddress::Postgres,
        _ => {
            let fault = Fault::new(pointer, "this is not the URL of a user directory");
            return Err(fault.hint("one of `sqlite:PATH`, `mysql://user:password@host/database` or `postgres://user:password@host/database`"));
        }
    };
    let database = host_and_path(pointer, rest, scheme)?.trim_start_matches('/');
    if database.is_empty() {
        return Err(Fault::new(pointer, "the URL names no database")
            .hint(format!("such as `{scheme}://user:password@host/database`")));
    }
    Ok(address(url.clone()))
}

/// The provider called `id`.
fn read_provider(pointer: &str, id: &str, providers: &[ProviderId], check: &mut Check<'_>) -> Option<ProviderId> {
    let known = providers.iter().find(|provider| provider.as_str() == id).cloned();
    if known.is_none() && check.is_sound("identity_providers") {
        let fault = Fault::new(push(pointer, "provider"), format!("there is no identity provider {}", quoted(id)));
        check.fault(fault.hint("write the `id` of one of `identity_providers`"));
    }
    known
}

fn is_guessable(secret: &Secret) -> bool {
    secret.expose().len() < MIN_SECRET
}

fn guessable(pointer: &str, what: &str) -> Fault {
    Fault::new(pointer, format!("this {what} has less than {MIN_SECRET} characters, which can be guessed"))
        .hint("make one with `openssl rand -base64 32`")
}

impl Hook {
    fn read(pointer: &str, file: &HookFile, providers: &[ProviderId], check: &mut Check<'_>) -> Option<Self> {
        let HookFile { provider, secret, secret_file, window } = file;
        let provider = read_provider(pointer, provider, providers, check);
        let window = check.duration(
            &push(pointer, "window"),
            window.as_ref(),
            5 * MINUTE,
            Duration::from_secs(10)..=60 * MINUTE,
        );
        if secret.is_none() && secret_file.is_none() {
            let fault = Fault::new(pointer, "`secret` is missing: anybody could report users");
            check.fault(fault.hint("add `secret: ${HOOK_SECRET}`, made with `openssl rand -base64 32`"));
        }
        let (secret, place) = check.secret(pointer, "secret", secret.as_deref(), secret_file.as_deref())?;
        if is_guessable(&secret) {
            check.fault(guessable(&place, "key"));
        }
        Some(Self { provider: provider?, secret, window })
    }
}

impl Scim {
    fn read(pointer: &str, file: &ScimFile, providers: &[ProviderId], check: &mut Check<'_>) -> Option<Self> {
        let ScimFile { provider, tokens, tokens_file, subject } = file;
        let provider = read_provider(pointer, provider, providers, check);
        if tokens.is_none() && tokens_file.is_none() {
            let fault = Fault::new(pointer, "`tokens` is missing: no SCIM client could come in");
            check.fault(fault.hint("add `tokens: [\"${SCIM_TOKEN}\"]`, made with `openssl rand -base64 32`"));
        }
        let inline = tokens.as_ref().map(|tokens| tokens.join("\n"));
        let (text, place) = check.secret(pointer, "tokens", inline.as_deref(), tokens_file.as_deref())?;
        let tokens: Vec<Secret> = text
            .expose()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| Secret::new(line.to_owned()))
            .collect();
        if tokens.iter().any(is_guessable) {
            check.fault(guessable(&place, "token"));
        }
        let subject = match subject {
            None | Some(ScimSubjectFile::ExternalId) => ScimSubject::ExternalId,
            Some(ScimSubjectFile::UserName) => ScimSubject::UserName,
        };
        Some(Self { provider: provider?, tokens, subject })
    }
}

impl AccessTokens {
    fn read(pointer: &str, file: &AccessTokensFile, check: &mut Check<'_>) -> Self {
        let AccessTokensFile { max_lifetime, max_per_user } = file;
        let max_lifetime = check.duration(
            &push(pointer, "max_lifetime"),
            max_lifetime.as_ref(),
            90 * DAY,
            Duration::from_secs(1)..=365 * DAY,
        );
        let max_per_user = max_per_user.map_or(20, |most| usize::try_from(most).unwrap_or(usize::MAX));
        Self { max_lifetime, max_per_user }
    }
}

impl Admin {
    pub(crate) const DEFAULT_TIER: &str = "admin";

    /// `policy` is `None` where it is faulty itself.
    pub(crate) fn read(file: &AdminFile, policy: Option<&Policy>, check: &mut Check<'_>) -> Self {
        let AdminFile { tier, decisions } = file;
        let decisions = decisions.map_or(2000, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let name = tier.as_deref().unwrap_or(Self::DEFAULT_TIER);
        let is_there = policy.is_some_and(|policy| policy.tiers().index(name).is_some());
        if !is_there && tier.is_some() && policy.is_some() {
            let fault = Fault::new("/admin/tier", format!("there is no tier {}", quoted(name)));
            check.fault(fault.hint("write the name of one of `tiers`"));
        }
        Self { tier: is_there.then(|| name.to_owned()), decisions }
    }
}
