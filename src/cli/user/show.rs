//! `user show`: all that is known of somebody.

use anyhow::Context as _;
use clap::Args;

use super::{json_of, kept, named, plain};
use crate::app;
use crate::cli::load::{self, Failure};
use crate::cli::{ConfigArg, Exit, Format};
use crate::config::Config;
use crate::directory::{TierGrant, User, UserId, UserKey, UserRef};
use crate::types::UnixTime;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The id that `user list` shows, or PROVIDER/SUBJECT
    #[arg(value_name = "USER")]
    user: String,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(in crate::cli) fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let whom = whom(&args.user, &config)?;
    let found = app::visit_directory(kept(&config)?, async |ports| Ok(ports.store.user(whom).await?))?;
    let Some(user) = found else {
        eprintln!("there is no user `{}`", plain(&args.user));
        return Ok(Exit::Failed);
    };
    match args.format {
        Format::Text => out!("{}", text(&user)),
        Format::Json => {
            let json = serde_json::to_string_pretty(&json_of(&user)).context("the answer cannot be written")?;
            outln!("{json}");
        }
    }
    Ok(Exit::Done)
}

fn whom(text: &str, config: &Config) -> Result<UserRef, Failure> {
    if let Some(id) = UserId::parse(text) {
        return Ok(UserRef::Id(id));
    }
    let usage = |text: String| Failure::Usage(anyhow::anyhow!(text));
    let Some((name, subject)) = text.split_once('/') else {
        return Err(usage(format!("`{text}` is no user: write an id of `tiergate user list`, or PROVIDER/SUBJECT")));
    };
    let mut providers = config.identity_providers.iter().map(|provider| provider.id());
    match providers.find(|provider| provider.as_str() == name) {
        Some(provider) => Ok(UserRef::Key(UserKey::new(provider, subject))),
        None => Err(usage(format!("the config has no provider `{name}`"))),
    }
}

fn text(user: &User) -> String {
    let time = |time: Option<UnixTime>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let optional = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), plain);
    let names = |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join("; ") };
    let disabled = match (user.disabled_here, user.disabled_there) {
        (false, false) => "no".to_owned(),
        (false, true) => "by the provider".to_owned(),
        (true, there) => {
            let both = if there { "here and by the provider" } else { "here" };
            user.disabled_reason.as_ref().map_or_else(|| both.to_owned(), |why| format!("{both}: {}", plain(why)))
        }
    };
    let email = user
        .email
        .as_ref()
        .map(|email| format!("{}{}", email.address(), if email.is_verified() { "" } else { " (not verified)" }));
    let grant = |grant: &TierGrant| {
        let until = grant.until.map_or_else(|| "for good".to_owned(), |until| format!("until {until}"));
        format!("{} {until}, by {}", plain(&grant.tier), plain(&grant.given_by))
    };
    let mut lines = vec![
        ("user", named(user)),
        ("user name", plain(&user.user_name)),
        ("email", optional(email.as_deref())),
        ("name", optional(user.name.as_deref())),
        ("disabled", disabled),
        ("groups", names(user.groups.iter().map(|group| plain(group)).collect())),
        ("grants", names(user.grants.iter().map(grant).collect())),
        ("attributes", plain(&serde_json::Value::Object(user.attributes.clone()).to_string())),
        ("first seen", time(user.first_seen)),
        ("last seen", time(user.last_seen)),
        ("created", user.created_at.to_string()),
        ("changed", user.updated_at.to_string()),
        ("valid from", time(user.valid_from)),
    ];
    lines.extend(user.deleted_at.map(|deleted| ("deleted", deleted.to_string())));
    let lines: String = lines.into_iter().map(|(name, value)| format!("  {name:<11} {value}\n")).collect();
    format!("{}\n{lines}", user.id)
}
