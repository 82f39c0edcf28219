//! `user …`: the user directory, from the shell.

mod import;
mod list;
mod migrate;
mod show;
mod sync;

pub(super) use import::{ImportArgs, import};
pub(super) use list::{ListArgs, list};
pub(super) use migrate::migrate;
pub(super) use show::{ShowArgs, show};
pub(super) use sync::{SyncArgs, run as sync};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::config::{self, Config};
use crate::directory::{TierGrant, User};
use crate::types::{Email, UnixTime};

fn kept(config: &Config) -> anyhow::Result<&config::Directory> {
    config.directory.as_ref().context("the config has no `directory`: add `directory: {}` to keep users")
}

/// A user, for programs.
fn json_of(user: &User) -> Value {
    let time = |time: Option<UnixTime>| time.map(|time| time.to_string());
    let grant = |grant: &TierGrant| {
        json!({
            "tier": grant.tier,
            "until": time(grant.until),
            "given_by": grant.given_by,
            "given_at": grant.given_at.to_string(),
        })
    };
    json!({
        "id": user.id.to_string(),
        "provider": user.key.provider.as_str(),
        "subject": user.key.subject,
        "user_name": user.user_name,
        "email": user.email.as_ref().map(Email::address),
        "email_verified": user.email.as_ref().is_some_and(Email::is_verified),
        "name": user.name,
        "picture": user.picture,
        "groups": user.groups,
        "disabled": user.is_disabled(),
        "disabled_here": user.disabled_here,
        "disabled_there": user.disabled_there,
        "disabled_reason": user.disabled_reason,
        "attributes": user.attributes,
        "grants": user.grants.iter().map(grant).collect::<Vec<_>>(),
        "first_seen": time(user.first_seen),
        "last_seen": time(user.last_seen),
        "created_at": user.created_at.to_string(),
        "updated_at": user.updated_at.to_string(),
        "valid_from": time(user.valid_from),
        "deleted_at": time(user.deleted_at),
        "version": user.version,
    })
}

/// How people at the shell name somebody: provider and subject.
fn named(user: &User) -> String {
    plain(&format!("{}/{}", user.key.provider.as_str(), user.key.subject))
}

/// People name themselves: nothing of that reaches the terminal as a command.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for one in text.chars() {
        match one {
            '\'' | '"' | '\\' => out.push(one),
            other => out.extend(other.escape_debug()),
        }
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

const fn plural(count: u64, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}
