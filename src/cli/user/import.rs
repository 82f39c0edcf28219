//! `user import`: users from a file, one JSON object a line.

#![expect(clippy::disallowed_methods, reason = "this module reads the file that it is given")]

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{kept, named, plain, plural};
use crate::app;
use crate::cli::load::{self, Failure};
use crate::cli::{ConfigArg, Exit};
use crate::config::Config;
use crate::directory::{
    Actor, AttributesChange, ChangeRequest, Changed, DirectoryPorts, Outcome, Report, ReportRequest, TierGrant, User,
    UserChange, UserId, UserKey, UserRef,
};
use crate::types::{Email, UnixTime};

/// Users of one call.
const AT_ONCE: usize = 500;
/// Lines that are told of a faulty file.
const TOLD: usize = 50;

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The file: one JSON object a line, with `subject` and whatever else is known
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    provider: Option<String>,
    subject: String,
    user_name: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    name: Option<String>,
    picture: Option<String>,
    groups: Option<BTreeSet<String>>,
    disabled: Option<bool>,
    attributes: Option<Map<String, Value>>,
    #[serde(default)]
    grants: Vec<GrantLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    tier: String,
    until: Option<String>,
}

/// A line that can be imported.
struct Import {
    key: UserKey,
    report: Report,
    grants: Vec<TierGrant>,
}

pub(in crate::cli) fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let config = load::config(&args.config)?;
    let settings = kept(&config)?;
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("`{}` cannot be read", args.file.display()))?;
    let (imports, faults) = read(&text, &config, app::now());
    if !faults.is_empty() {
        for (number, fault) in faults.iter().take(TOLD) {
            eprintln!("line {number}: {fault}");
        }
        let count = u64::try_from(faults.len()).unwrap_or(u64::MAX);
        let (lines, are) = (plural(count, "line", "lines"), plural(count, "is", "are"));
        eprintln!("nothing was imported: {count} {lines} of `{}` {are} faulty", args.file.display());
        return Ok(Exit::Failed);
    }
    let counts = app::visit_directory(settings, async |ports| take(ports, imports, args.dry_run).await)?;
    let Counts { created, updated, same } = counts;
    let users = plural(created, "user", "users");
    if args.dry_run {
        outln!("{created} {users} would be created, {updated} updated, {same} stay as they are");
    } else {
        outln!("{created} {users} created, {updated} updated, {same} as they were");
    }
    Ok(Exit::Done)
}

/// Every line that can be imported, and what is wrong with the others.
fn read(text: &str, config: &Config, now: UnixTime) -> (Vec<Import>, Vec<(usize, String)>) {
    let (mut imports, mut faults) = (Vec::new(), Vec::new());
    let mut seen: HashMap<UserKey, usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match read_line(line, config, now) {
            Ok(import) => match seen.insert(import.key.clone(), number) {
                Some(first) => faults.push((number, format!("line {first} is about the same user: leave one of them"))),
                None => imports.push(import),
            },
            Err(fault) => faults.push((number, fault)),
        }
    }
    (imports, faults)
}

fn read_line(line: &str, config: &Config, now: UnixTime) -> Result<Import, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| {
        // What a line holds is people's: the message keeps to the name of a key.
        format!(
            "it is not a JSON object of a user ({}): write it as `{{\"subject\": \"…\"}}`",
            plain(&error.to_string())
        )
    })?;
    let Line {
        provider,
        subject,
        user_name,
        email,
        email_verified,
        name,
        picture,
        groups,
        disabled,
        attributes,
        grants,
    } = line;
    let mut providers = config.identity_providers.iter().map(|provider| provider.id());
    let provider = match provider {
        Some(name) => providers
            .find(|provider| provider.as_str() == name)
            .ok_or_else(|| format!("the config has no provider `{}`: write the `id` of one", plain(&name)))?,
        None => match (providers.next(), providers.next()) {
            (Some(only), None) => only,
            (Some(_), Some(_)) => return Err("`provider` is missing: the config has more than one".to_owned()),
            (None, _) => return Err("the config has no provider: add one to `identity_providers`".to_owned()),
        },
    };
    if subject.is_empty() {
        return Err("`subject` is empty: write the `sub` of the provider's tokens".to_owned());
    }
    let grants = grants.into_iter().map(|grant| read_grant(grant, config, now)).collect::<Result<_, _>>()?;
    let report = Report {
        as_of: now,
        user_name,
        email: email.map(|address| Some(Email::new(&address, email_verified))),
        name: name.map(Some),
        picture: picture.map(Some),
        groups,
        disabled,
        attributes: attributes.map(AttributesChange::Replace),
        ..Report::default()
    };
    Ok(Import { key: UserKey::new(provider, &subject), report, grants })
}

fn read_grant(line: GrantLine, config: &Config, now: UnixTime) -> Result<TierGrant, String> {
    let GrantLine { tier, until } = line;
    if config.policy.tiers().index(&tier).is_none() {
        return Err(format!("there is no tier `{}`: write the name of one of `tiers`", plain(&tier)));
    }
    let until = until.map(|text| {
        UnixTime::parse_rfc3339(&text)
            .ok_or_else(|| format!("`{}` is no time: write it as `2030-12-31T23:59:59Z`", plain(&text)))
    });
    Ok(TierGrant { tier, until: until.transpose()?, given_by: Actor::Shell.to_string(), given_at: now })
}

/// What became of the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    created: u64,
    updated: u64,
    same: u64,
}

async fn take(ports: &DirectoryPorts, imports: Vec<Import>, dry_run: bool) -> anyhow::Result<Counts> {
    let (total, mut done, mut counts) = (imports.len(), 0usize, Counts::default());
    for some in imports.chunks(AT_ONCE) {
        let reports = some.iter().map(|import| ReportRequest {
            key: import.key.clone(),
            report: import.report.clone(),
            new_id: UserId::draw(ports.random.as_ref()),
        });
        let now = ports.clock.now();
        let changed = ports.store.report(reports.collect(), Actor::Shell, dry_run, now).await?;
        for (import, changed) in some.iter().zip(&changed) {
            let granted = grant(ports, import, changed, dry_run).await?;
            count(&mut counts, changed, granted, dry_run);
        }
        done = done.saturating_add(some.len());
        if total > AT_ONCE {
            eprintln!("{done} of {total}");
        }
    }
    Ok(counts)
}

/// Gives the tiers that somebody does not have so already; whether there was one.
async fn grant(ports: &DirectoryPorts, import: &Import, changed: &Changed, dry_run: bool) -> anyhow::Result<bool> {
    let held = changed.after.as_ref().map_or(&[][..], |user| &user.grants);
    let mut any = false;
    for grant in &import.grants {
        if held.iter().any(|held| held.tier == grant.tier && held.until == grant.until) {
            continue;
        }
        any = true;
        if !dry_run {
            let request = ChangeRequest {
                target: UserRef::Key(import.key.clone()),
                change: UserChange::Grant(grant.clone()),
                actor: Actor::Shell,
                new_id: UserId::draw(ports.random.as_ref()),
                expected_version: None,
                event: None,
                request_id: None,
                now: ports.clock.now(),
            };
            ports.store.change(request).await?;
        }
    }
    Ok(any)
}

/// As of when something is known is no news.
fn count(counts: &mut Counts, changed: &Changed, granted: bool, dry_run: bool) {
    let Changed { outcome, before, after } = changed;
    let differs = after.as_ref().is_some_and(|after| User::differences(before.as_ref(), after).is_some());
    let (counted, sign) = match outcome {
        Outcome::Created => (&mut counts.created, Some('+')),
        Outcome::Updated if differs => (&mut counts.updated, Some('~')),
        Outcome::Updated | Outcome::Unchanged | Outcome::Duplicate if granted => (&mut counts.updated, Some('~')),
        Outcome::Updated | Outcome::Unchanged | Outcome::Duplicate => (&mut counts.same, None),
    };
    *counted = counted.saturating_add(1);
    if let (Some(sign), Some(user), true) = (sign, after, dry_run) {
        outln!("{sign} {}", named(user));
    }
}
