//! `session list` and `session revoke`: who is signed in, and how that ends.

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::load::{self, Failure};
use super::{ConfigArg, Exit, Format};
use crate::app;
use crate::config::{self, Config};
use crate::session::{SessionKey, SessionListing, Sessions, StoreError};

/// Sessions that are read from the store in one call.
const AT_ONCE: usize = 1000;
/// How often a store is asked that does not answer.
const TRIES: u32 = 8;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those of this person (the `sub` of the provider)
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only those of this provider (its `id` in the config)
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["key", "subject", "all"]))]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The session with this key, as `session list` shows it
    key: Option<String>,
    /// All sessions of this person (the `sub` of the provider)
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only those of this provider (its `id` in the config)
    #[arg(long, value_name = "PROVIDER", requires = "subject", conflicts_with_all = ["key", "all"])]
    provider: Option<String>,
    /// Everybody's sessions
    #[arg(long)]
    all: bool,
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let issuers = issuers(&config, args.provider.as_deref())?;
    let mut found = app::visit_sessions(kept(&config)?, async |sessions| match &args.subject {
        Some(subject) => {
            let mut found = Vec::new();
            for key in of_subject(sessions, &issuers, subject).await? {
                found.extend(patiently(|| sessions.look_at(key)).await?);
            }
            Ok(found)
        }
        None => {
            let (found, whole) = patiently(|| sessions.list(AT_ONCE)).await?;
            if !whole {
                eprintln!("only {AT_ONCE} sessions were read; --subject finds those of one person among all");
            }
            Ok(found)
        }
    })?;
    if let Some(provider) = &args.provider {
        found.retain(|listing| listing.card.as_ref().is_some_and(|card| card.provider.as_str() == provider));
    }
    found.sort_by_key(|listing| (listing.card.as_ref().map(|card| card.signed_in_at), listing.key));
    match args.format {
        Format::Text => out!("{}", text(&found)),
        Format::Json => {
            let all: Vec<Value> = found.iter().map(json_of).collect();
            outln!("{}", serde_json::to_string_pretty(&all).context("the answer cannot be written")?);
        }
    }
    Ok(Exit::Done)
}

pub(super) fn revoke(args: &RevokeArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let issuers = issuers(&config, args.provider.as_deref())?;
    let key = args.key.as_deref().map(|text| {
        let usage = || Failure::Usage(anyhow::anyhow!("`{text}` is no key: take one from `tiergate session list`"));
        SessionKey::parse(text).ok_or_else(usage)
    });
    let key = key.transpose()?;
    let ended = app::visit_sessions(kept(&config)?, async |sessions| match (key, &args.subject) {
        (Some(key), _) => Ok(u64::from(patiently(|| sessions.end(key)).await?)),
        (None, Some(subject)) => end_of_subject(sessions, &issuers, subject).await,
        (None, None) => end_everybody(sessions).await,
    })?;
    outln!("{ended} {} ended", if ended == 1 { "session" } else { "sessions" });
    if ended == 0 {
        eprintln!("no live session fits");
    }
    // Who named a session or a person meant somebody: a slip must not look done.
    Ok(if ended == 0 && !args.all { Exit::Failed } else { Exit::Done })
}

fn kept(config: &Config) -> anyhow::Result<&config::Sessions> {
    config.sessions.as_ref().context("the config has no `sessions`, and no provider with a `login`")
}

/// The issuers of all providers, or of the one that is named.
fn issuers(config: &Config, provider: Option<&str>) -> Result<Vec<String>, Failure> {
    let all = config.identity_providers.iter();
    let named = all.clone().filter(|known| provider.is_none_or(|name| known.id().as_str() == name));
    let issuers: Vec<String> = named.map(|known| known.tokens.issuer.to_string()).collect();
    match provider {
        Some(name) if issuers.is_empty() => {
            let known: Vec<String> = all.map(|known| format!("`{}`", known.id().as_str())).collect();
            let known = known.join(", ");
            Err(Failure::Usage(anyhow::anyhow!("the config has no provider `{name}`: its providers are {known}")))
        }
        Some(_) | None => Ok(issuers),
    }
}

async fn of_subject(sessions: &Sessions, issuers: &[String], subject: &str) -> anyhow::Result<Vec<SessionKey>> {
    let mut keys = Vec::new();
    for issuer in issuers {
        keys.extend(patiently(|| sessions.of_subject(issuer, subject)).await?);
    }
    Ok(keys)
}

async fn end_of_subject(sessions: &Sessions, issuers: &[String], subject: &str) -> anyhow::Result<u64> {
    let mut ended = 0u64;
    for issuer in issuers {
        ended = ended.saturating_add(patiently(|| sessions.end_of_subject(issuer, subject, None)).await?);
    }
    Ok(ended)
}

async fn end_everybody(sessions: &Sessions) -> anyhow::Result<u64> {
    let mut ended = 0u64;
    while let Some(some) = patiently(|| sessions.end_some(AT_ONCE)).await? {
        ended = ended.saturating_add(some);
    }
    Ok(ended)
}

/// A store gives up after 250 ms, for the sake of those who wait in a browser.
/// Whoever sits at a shell has more time; each call here may be made again.
async fn patiently<T, F>(call: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 1..TRIES {
        match call().await {
            Err(StoreError::Unavailable(_)) => {}
            ended => return Ok(ended?),
        }
    }
    Ok(call().await?)
}

fn json_of(listing: &SessionListing) -> Value {
    let card = listing.card.as_ref();
    json!({
        "key": listing.key.to_string(),
        "provider": card.map(|card| card.provider.as_str()),
        "issuer": card.map(|card| card.issuer.as_str()),
        "subject": card.map(|card| card.subject.as_str()),
        "signed_in_at": card.map(|card| card.signed_in_at.to_string()),
        "idle_until": listing.idle_until.to_string(),
        "ends_at": listing.ends_at.to_string(),
        "browser": card.map(|card| card.user_agent.as_str()),
    })
}

fn text(found: &[SessionListing]) -> String {
    let mut out = String::new();
    for listing in found {
        let (idle_until, ends) = (listing.idle_until.to_string(), listing.ends_at.to_string());
        let lines = match &listing.card {
            Some(card) => vec![
                ("provider", plain(card.provider.as_str())),
                ("subject", plain(&card.subject)),
                ("signed in", card.signed_in_at.to_string()),
                ("idle until", idle_until),
                ("ends", ends),
                ("browser", plain(&card.user_agent)),
            ],
            None => vec![
                ("provider", "- (sealed by a secret that the config does not hold)".to_owned()),
                ("idle until", idle_until),
                ("ends", ends),
            ],
        };
        out.push_str(&format!("{}\n", listing.key));
        for (name, value) in lines {
            out.push_str(&format!("  {name:<11} {value}\n"));
        }
    }
    out.push_str(&format!("{} {}\n", found.len(), if found.len() == 1 { "session" } else { "sessions" }));
    out
}

/// Subjects and browsers name themselves: nothing of that reaches the terminal as a command.
fn plain(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut out = String::new();
    for one in text.chars() {
        match one {
            '\'' | '"' | '\\' => out.push(one),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}
