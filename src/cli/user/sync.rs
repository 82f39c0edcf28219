//! `user sync`: what a provider's management API says of its users.

use std::io::IsTerminal as _;

use anyhow::anyhow;
use clap::Args;

use crate::app::{self, SyncChange, SyncEvent, SyncMode, SyncSummary};
use crate::cli::load::{self, Failure};
use crate::cli::{ConfigArg, Exit};
use crate::config::{Config, IdentityProvider};
use crate::directory::User;
use crate::types::ProviderId;

/// How many users are read between two lines of progress where nobody watches.
const STEP: u64 = 1000;

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The provider (its `id` in the config); needed where several have `management`
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Begin anew, also where an earlier run was interrupted
    #[arg(long)]
    restart: bool,
    /// Refuse users whom the provider does not know any more
    #[arg(long)]
    disable_missing: bool,
}

pub(crate) fn run(args: &SyncArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    if config.directory.is_none() {
        return Err(Failure::Usage(anyhow!("there is no user directory: add `directory:` to the config")));
    }
    let provider = chosen(&config, args.provider.as_deref())?;
    let mode =
        SyncMode { groups: false, dry_run: args.dry_run, restart: args.restart, disable_missing: args.disable_missing };
    let mut progress = Progress { is_watched: std::io::stderr().is_terminal(), told: 0 };
    let summary = app::sync_users(&config, &provider, mode, &mut |event| progress.tell(&event))?;
    progress.end();
    outln!("{}", written(&summary, args.dry_run));
    Ok(Exit::Done)
}

/// The provider that was named, or the only one that can be asked.
fn chosen(config: &Config, named: Option<&str>) -> Result<ProviderId, Failure> {
    let managed: Vec<&IdentityProvider> =
        config.identity_providers.iter().filter(|provider| provider.management.is_some()).collect();
    let usage = |text: String| Failure::Usage(anyhow!(text));
    match (named, managed.as_slice()) {
        (Some(named), _) => match config.identity_providers.iter().find(|provider| provider.id().as_str() == named) {
            None => Err(usage(format!("there is no identity provider `{named}`"))),
            Some(provider) if provider.management.is_none() => {
                Err(usage(format!("the provider `{named}` has no `management` in the config: add one")))
            }
            Some(provider) => Ok(provider.id().clone()),
        },
        (None, [only]) => Ok(only.id().clone()),
        (None, []) => Err(usage("no identity provider has `management` in the config: add one".to_owned())),
        (None, _) => Err(usage("several providers have `management`: say which one with --provider".to_owned())),
    }
}

struct Progress {
    is_watched: bool,
    told: u64,
}

impl Progress {
    fn tell(&mut self, event: &SyncEvent<'_>) {
        match event {
            SyncEvent::Resumed(started) => self.say(&format!("goes on with the walk that began at {started}")),
            SyncEvent::Read(count) if self.is_watched => eprint!("\r{count} users read"),
            SyncEvent::Read(count) => {
                if count / STEP > self.told / STEP {
                    eprintln!("{count} users read");
                }
                self.told = *count;
            }
            SyncEvent::Waiting(pause) => {
                self.say(&format!("the management API wants to be left alone for {} s", pause.as_secs_f32().ceil()));
            }
            SyncEvent::Unread(name, fault) => self.say(&format!("{}: not taken over: {fault}", name.escape_debug())),
            SyncEvent::Changed { what, parts, user } => {
                self.clear();
                let what = match what {
                    SyncChange::Created => "created",
                    SyncChange::Returned => "returned",
                    SyncChange::Disabled => "disabled",
                    SyncChange::Enabled => "enabled",
                    SyncChange::Updated => "updated",
                };
                outln!("{}", line(what, user, parts));
            }
            SyncEvent::Missing(user) => {
                self.clear();
                outln!("{}", line("missing", user, &[]));
            }
        }
    }

    fn say(&self, text: &str) {
        self.clear();
        eprintln!("{text}");
    }

    /// Takes away the line that is written over and over.
    fn clear(&self) {
        if self.is_watched {
            eprint!("\r\x1b[2K");
        }
    }

    fn end(&self) {
        self.clear();
    }
}

/// One user; what others wrote cannot steer the terminal.
fn line(what: &str, user: &User, parts: &[&str]) -> String {
    let (subject, name) = (user.key.subject.escape_debug(), user.shown_name().escape_debug());
    let parts = if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) };
    format!("{what:<9} {subject}  {name}{parts}")
}

fn written(summary: &SyncSummary, dry_run: bool) -> String {
    let SyncSummary { read, created, updated, disabled, enabled, unread, missing } = summary;
    let head = if dry_run { "dry run, nothing was written: " } else { "" };
    format!(
        "{head}{read} read, {created} created, {updated} updated, {disabled} disabled, {enabled} enabled, \
         {missing} missing, {unread} not taken over"
    )
}
