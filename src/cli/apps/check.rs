//! `apps check`: whether each app is up, protected by what its file says, and
//! alone at its place.

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::super::load::{self, Failure, Loaded};
use super::super::{ConfigArg, Exit, Format};
use crate::app::{self, Reach};
use crate::apps::App;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What was found out about one app.
struct Finding<'a> {
    app: &'a App,
    reach: Reach,
    /// The rule that decides about its front page.
    rule: Option<String>,
    /// What is wrong.
    faults: Vec<String>,
    /// What may be meant.
    notes: Vec<String>,
}

pub(in crate::cli) fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let loaded = load::with_faulty_apps(&args.config)?;
    let apps = loaded.apps.catalogue.apps();
    let reached = app::reach(apps)?;
    let findings: Vec<Finding<'_>> =
        apps.iter().zip(reached).map(|(app, reach)| find_out(&loaded, app, reach)).collect();
    for fault in &loaded.apps.faults {
        eprintln!("{}", fault.errors);
    }
    match args.format {
        Format::Text => findings.iter().for_each(|finding| out!("{}", text(finding))),
        Format::Json => {
            let list: Vec<Value> = findings.iter().map(as_json).collect();
            outln!("{}", serde_json::to_string_pretty(&list).context("the answer cannot be written")?);
        }
    }
    let wrong = findings.iter().filter(|finding| !finding.faults.is_empty()).count();
    let refused = loaded.apps.faults.len();
    if args.format == Format::Text {
        let refused = match refused {
            0 => String::new(),
            1 => ", 1 file that a start would refuse".to_owned(),
            count => format!(", {count} files that a start would refuse"),
        };
        let apps = if findings.len() == 1 { "app" } else { "apps" };
        outln!("{} {apps}, {} well, {wrong} not{refused}", findings.len(), findings.len().saturating_sub(wrong));
    }
    Ok(if wrong == 0 && refused == 0 { Exit::Done } else { Exit::Failed })
}

fn find_out<'a>(loaded: &Loaded, app: &'a App, reach: Reach) -> Finding<'a> {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    if let Err(why) = &reach.upstream {
        faults.push(format!("{} cannot be reached: {why}", app.upstream));
    }
    match &reach.health {
        Some(Err(why)) => faults.push(format!("its health cannot be asked: {why}")),
        Some(Ok(status)) if !reach.is_well() => faults.push(format!("its health is answered with {status}")),
        Some(Ok(_)) | None => {}
    }
    let policy = &loaded.apps.policy;
    let host = app.host.as_ref();
    let rule = policy.find(host, app.path.front(), "GET").map(|matched| matched.rule().name().to_owned());
    if rule.is_none() {
        faults.push(format!("no rule covers `{}`: it is refused to everybody", app.front()));
    }
    for rule in loaded.config.policy.rules_within(host, app.path.front()) {
        notes.push(format!("the rule `{}` of the config decides about a part of it", rule.name()));
    }
    let front = app.path.front().as_str();
    for other in loaded.apps.catalogue.apps() {
        let is_inside = other.id != app.id && other.path.covers(front) && other.host == app.host;
        if is_inside && other.path.prefix().len() < app.path.prefix().len() {
            notes.push(format!("it is served inside of `{}`", other.id));
        }
    }
    Finding { app, reach, rule, faults, notes }
}

fn text(finding: &Finding<'_>) -> String {
    let Finding { app, rule, faults, notes, .. } = finding;
    let state = if faults.is_empty() { "ok     " } else { "FAILED " };
    let rule = rule.as_deref().unwrap_or("no rule");
    let mut text = format!("{state} {}  {}  rule {rule}\n", app.id, app.upstream);
    for fault in faults {
        text.push_str(&format!("        {fault}\n"));
    }
    for note in notes {
        text.push_str(&format!("        note: {note}\n"));
    }
    text
}

fn as_json(finding: &Finding<'_>) -> Value {
    let Finding { app, reach, rule, faults, notes } = finding;
    let health = reach.health.as_ref().map(|health| health.as_ref().ok());
    json!({
        "app": app.id.to_string(),
        "source": app.source,
        "path": app.path.to_string(),
        "upstream": app.upstream.to_string(),
        "reachable": reach.upstream.is_ok(),
        "health_status": health.flatten(),
        "rule": rule,
        "faults": faults,
        "notes": notes,
    })
}
