//! `user list`: who is in the directory.

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{json_of, kept, named, plain, plural};
use crate::app;
use crate::cli::load::{self, Failure};
use crate::cli::{ConfigArg, Exit, Format};
use crate::directory::{User, UserQuery};

/// Users that are read in one call.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those whose name, address, user name or subject holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those who are refused
    #[arg(long)]
    disabled: bool,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(in crate::cli) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let users = app::visit_directory(kept(&config)?, async |ports| {
        let mut users: Vec<User> = Vec::new();
        loop {
            let query = UserQuery {
                search: args.search.clone(),
                disabled: args.disabled.then_some(true),
                after: users.last().map(|user| user.id),
                limit: PAGE,
                ..UserQuery::default()
            };
            let page = ports.store.users(query).await?;
            users.extend(page.users);
            if !page.more {
                return Ok(users);
            }
        }
    })?;
    match args.format {
        Format::Text => {
            for user in &users {
                let disabled = if user.is_disabled() { "  disabled" } else { "" };
                outln!("{}  {}  {}{disabled}", user.id, named(user), plain(user.shown_name()));
            }
            let count = u64::try_from(users.len()).unwrap_or(u64::MAX);
            outln!("{count} {}", plural(count, "user", "users"));
        }
        Format::Json => {
            let all: Vec<Value> = users.iter().map(json_of).collect();
            outln!("{}", serde_json::to_string_pretty(&all).context("the answer cannot be written")?);
        }
    }
    Ok(Exit::Done)
}
